"""`xlvla bench fingers`: how well and how fast a robot's fingers follow an operator's, through the
latent and by dex-retargeting.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from xlvla_cli.options import FiguresOut, HandSide, chosen

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.codec import Codec
    from xlvla.types import Side
    from xlvla_drivers.teleop.fingers import Fingers
    from xlvla_policy.latent.human_metrics import Exam, Marks

WAYS = ("codec", "dexpilot", "vector", "limit")

CAPTION = (
    "dexpilot and vector: dex-retargeting's configurations without their low-pass filter; limit: "
    "each pose optimised on its own"
)

SETTLING = 6
"""Frames at rest before a path counts, for ways that start from their last frame."""


@dataclass(frozen=True)
class Row:
    """How well one hand followed by one method."""

    hand: str
    way: str
    marks: Marks

    def figures(self) -> dict[str, Any]:
        return {"hand": self.hand, "way": self.way, **asdict(self.marks)}


def register(app: typer.Typer) -> None:
    app.command("fingers")(fingers)


def fingers(
    hands: Annotated[str, typer.Option(help="Hands, separated by commas, or 'all'.")] = "all",
    side: HandSide = "right",
    ways: Annotated[
        str,
        typer.Option(help="codec; dex-retargeting's dexpilot, vector; limit: each pose optimised."),
    ] = ",".join(WAYS),
    poses: Annotated[
        int, typer.Option(min=4, help="Pinches of each finger, and as many other poses.")
    ] = 24,
    weights: Annotated[
        Path | None,
        typer.Option(help="The operator's hand instead of the shipped one (`xlvla codec human`)."),
    ] = None,
    out: FiguresOut = None,
) -> None:
    """Measure finger retargeting on people not seen in training: pinches, directions, lengths,
    smoothness, time per frame.
    """
    from xlvla import screen
    from xlvla.errors import unknown
    from xlvla.types import SIDES
    from xlvla_cli.bench.figures import save

    if side not in SIDES:
        raise unknown("side", side, SIDES)
    rows = list(compared(hands, side, chosen("way", ways, WAYS), poses, weights))
    console = screen.console()
    console.print(table(rows))
    console.print(CAPTION, soft_wrap=True)
    save(out, [row.figures() for row in rows])


def compared(
    hands: str, side: Side, ways: Sequence[str], poses: int, weights: Path | None
) -> Iterator[Row]:
    """A row of every hand and of every method that supports it."""
    from xlvla import catalog
    from xlvla.codec import Codec
    from xlvla_drivers.teleop.fingers import WRISTS
    from xlvla_policy.latent.human_metrics import exam

    codec = Codec.load()
    names = codec.hands
    if hands != "all":
        names = tuple(catalog.hand(name.strip()).name for name in hands.split(","))
    asked = exam(poses)
    for name in names:
        for way in ways:
            if way in ("codec", "limit") or name in WRISTS:
                yield Row(name, way, _marks(name, side, way, codec, asked, weights))


def _marks(
    name: str, side: Side, way: str, codec: Codec, asked: Exam, weights: Path | None
) -> Marks:
    from xlvla import catalog, human
    from xlvla_policy.latent.human_metrics import limits, mark

    hand = catalog.hand(name)
    if way == "limit":
        return limits(hand, side, asked)
    fingers = _method(name, side, way, codec, weights)
    # The exam shows right hands.
    mirror = np.ones(3) if side == "right" else human.MIRROR
    took_s: list[float] = []
    pinches = _followed(fingers, asked.pinches * mirror, took_s)
    poses = _followed(fingers, asked.poses * mirror, took_s)
    gestures = _followed(fingers, asked.gestures * mirror, took_s)
    # Of a pinch or a pose only the end counts.
    answers = [pinches[:, -1], poses[:, -1], gestures]
    return mark(hand, side, asked, answers, 1e6 * float(np.median(took_s)))


def _method(name: str, side: Side, way: str, codec: Codec, weights: Path | None) -> Fingers:
    from xlvla import catalog
    from xlvla.human_codec import HumanCodec
    from xlvla_drivers.teleop.fingers import CodecFingers, DexFingers

    hand = catalog.hand(name)
    if way == "codec":
        return CodecFingers(hand, side, codec, HumanCodec.load(codec, weights))
    return DexFingers(hand, side, codec, "dexpilot" if way == "dexpilot" else "vector")


def _followed(fingers: Fingers, paths: np.ndarray, took_s: list[float]) -> np.ndarray:
    """Joints [N, T, J] rad along unrelated paths of keypoints [N, T, 21, 3] m; appends the time of
    every frame.
    """
    return np.array([_along(fingers, path, took_s) for path in paths])


def _along(fingers: Fingers, path: np.ndarray, took_s: list[float]) -> np.ndarray:
    """Joints [T, J] rad along a path [T, 21, 3] that has nothing to do with the one before."""
    from xlvla_drivers.teleop.fingers import DexFingers

    if isinstance(fingers, DexFingers):
        fingers.begin()
    settling = [path[0]] * SETTLING
    joints: list[np.ndarray] = []
    for keypoints in [*settling, *path]:
        began_s = time.perf_counter()
        joints.append(fingers.joints(keypoints))
        took_s.append(time.perf_counter() - began_s)
    return np.array(joints[SETTLING:])


def table(rows: Sequence[Row]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    from xlvla.types import FINGERS

    _, *opposing = FINGERS
    made = Table(
        "hand",
        "way",
        *(f"{finger} mm" for finger in opposing),
        "closed",
        "near deg",
        "line deg",
        "line mm",
        "jerk",
        "us",
        box=SIMPLE,
        title="distance to fingers that the operator's thumb touches; lines from thumb to fingers",
    )
    for row in rows:
        marks = row.marks
        touching: list[str] = []
        for finger in opposing:
            distance_mm = marks.touching_mm.get(finger)
            touching.append("-" if distance_mm is None else f"{distance_mm:.1f}")
        # The limit has no continuity and no time per frame.
        online = row.way != "limit"
        made.add_row(
            row.hand,
            row.way,
            *touching,
            f"{marks.closed:.0%}",
            f"{marks.near_deg:.0f}",
            f"{marks.line_deg:.1f}",
            f"{marks.line_mm:.1f}",
            f"{marks.jerk:.2f}" if online else "-",
            f"{marks.frame_us:.0f}" if online else "-",
        )
    return made
