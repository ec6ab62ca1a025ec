"""`xlvla bench fingers`: how well and how fast a robot's fingers follow an operator's, through the
latent and by dex-retargeting.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from xlvla_cli.options import FiguresOut, HandSide

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
    import json
    from dataclasses import asdict

    from xlvla import screen
    from xlvla.errors import unknown
    from xlvla.types import SIDES

    if side not in SIDES:
        raise unknown("side", side, SIDES)
    rows = list(compared(hands, side, [way.strip() for way in ways.split(",")], poses, weights))
    console = screen.console()
    console.print(table(rows))
    console.print(CAPTION, soft_wrap=True)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            json.dumps(
                [{"hand": hand, "way": way, **asdict(marks)} for hand, way, marks in rows], indent=2
            )
            + "\n"
        )


def compared(
    hands: str, side: Side, ways: Sequence[str], poses: int, weights: Path | None
) -> Iterator[tuple[str, str, Marks]]:
    """Hand, way and marks, of every way that knows the hand."""
    from xlvla import catalog
    from xlvla.codec import Codec
    from xlvla.errors import unknown
    from xlvla_drivers.teleop.fingers import WRISTS
    from xlvla_policy.latent.human_metrics import exam

    codec = Codec.load()
    asked = exam(poses)
    names = (
        codec.hands
        if hands == "all"
        else tuple(catalog.hand(name.strip()).name for name in hands.split(","))
    )
    for way in ways:
        if way not in WAYS:
            raise unknown("way", way, WAYS)
    for name in names:
        for way in ways:
            if way in ("codec", "limit") or name in WRISTS:
                yield name, way, _marked(name, side, way, codec, asked, weights)


def _marked(
    name: str, side: Side, way: str, codec: Codec, asked: Exam, weights: Path | None
) -> Marks:
    from xlvla import catalog, human
    from xlvla_policy.latent.human_metrics import limits, mark

    hand = catalog.hand(name)
    if way == "limit":
        return limits(hand, side, asked)
    follows = _way(name, side, way, codec, weights)
    mirror = 1.0 if side == "right" else human.MIRROR
    took_s: list[float] = []
    paths = [paths * mirror for paths in (asked.pinches, asked.poses, asked.gestures)]
    ends, others, along = (
        np.array([_followed(follows, path, took_s) for path in each]) for each in paths
    )
    return mark(
        hand, side, asked, [ends[:, -1], others[:, -1], along], 1e6 * float(np.median(took_s))
    )


def _way(name: str, side: Side, way: str, codec: Codec, weights: Path | None) -> Fingers:
    from xlvla import catalog
    from xlvla.human_codec import HumanCodec
    from xlvla_drivers.teleop.fingers import CodecFingers, DexFingers

    hand = catalog.hand(name)
    if way == "codec":
        return CodecFingers(hand, side, codec, HumanCodec.load(codec, weights))
    return DexFingers(hand, side, codec, "dexpilot" if way == "dexpilot" else "vector")


def _followed(follows: Any, path: np.ndarray, took_s: list[float]) -> np.ndarray:
    """Joints [T, J] rad along a path [T, 21, 3] that has nothing to do with the one before; adds
    how long frames took.
    """
    import time

    if hasattr(follows, "begin"):
        follows.begin()
    joints = []
    for points in [*[path[0]] * SETTLING, *path]:
        began = time.perf_counter()
        joints.append(follows.joints(points))
        took_s.append(time.perf_counter() - began)
    return np.array(joints[SETTLING:])


def table(rows: Sequence[tuple[str, str, Marks]]) -> Table:
    from rich.box import SIMPLE
    from rich.table import Table

    from xlvla.types import FINGERS

    columns = ["hand", "way", *(f"{finger} mm" for finger in FINGERS[1:])]
    columns += ["closed", "near deg", "line deg", "line mm", "jerk", "us"]
    made = Table(
        *columns,
        box=SIMPLE,
        title="distance to fingers that the operator's thumb touches; lines from thumb to fingers",
    )
    for hand, way, marks in rows:
        touching = [
            f"{marks.touching_mm[finger]:.1f}" if finger in marks.touching_mm else "-"
            for finger in FINGERS[1:]
        ]
        rest = [f"{marks.near_deg:.0f}", f"{marks.line_deg:.1f}", f"{marks.line_mm:.1f}"]
        rest += ["-", "-"] if way == "limit" else [f"{marks.jerk:.2f}", f"{marks.frame_us:.0f}"]
        made.add_row(hand, way, *touching, f"{marks.closed:.0%}", *rest)
    return made
