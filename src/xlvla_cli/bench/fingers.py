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

GESTURES = 2
"""Of each simulated person."""

SETTLING = 6
"""Frames at rest before a path counts, for ways that start from their last frame."""


PEOPLE_CAPTION = (
    "tracked: tips that touch, as their trackers show them; people's lines are those of their own "
    "hands; calibrated on touches that are not in the exam"
)


@dataclass(frozen=True)
class Row:
    """How well one hand followed by one method."""

    hand: str
    way: str
    marks: Marks

    def figures(self) -> dict[str, Any]:
        return {"hand": self.hand, "way": self.way, **asdict(self.marks)}


@dataclass(frozen=True)
class PersonRow:
    """How well one hand followed one person, before a tracker with errors.

    Args:
        tracked_mm: how far apart the tracker shows tips that touch, on touches that were not
            fitted.
    """

    hand: str
    way: str
    person: int
    calibrated: bool
    tracked_mm: float
    marks: Marks

    @property
    def touching_mm(self) -> float:
        """Of the robot's tips, mean of its fingers."""
        distances = self.marks.touching_mm.values()
        return sum(distances) / len(distances)

    def figures(self) -> dict[str, Any]:
        named = {key: value for key, value in vars(self).items() if key != "marks"}
        return {**named, **asdict(self.marks)}


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
    people: Annotated[
        int,
        typer.Option(
            min=0,
            help="So many simulated people with trackers that have fingers' lengths wrong, as "
            "tracked and after `xlvla calibrate operator`, instead.",
        ),
    ] = 0,
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
    console = screen.console()
    if people:
        online = tuple(way for way in chosen("way", ways, WAYS) if way != "limit")
        each = list(calibrated(hands, side, online, poses, weights, people))
        console.print(people_table(each))
        console.print(PEOPLE_CAPTION, soft_wrap=True)
        save(out, [row.figures() for row in each])
        return
    rows = list(compared(hands, side, chosen("way", ways, WAYS), poses, weights))
    console.print(table(rows))
    console.print(CAPTION, soft_wrap=True)
    save(out, [row.figures() for row in rows])


def compared(
    hands: str, side: Side, ways: Sequence[str], poses: int, weights: Path | None
) -> Iterator[Row]:
    """A row of every hand and of every method that supports it."""
    from xlvla.codec import Codec
    from xlvla_drivers.teleop.fingers import WRISTS
    from xlvla_policy.latent.human_metrics import exam

    codec = Codec.load()
    asked = exam(poses)
    for name in _names(hands, codec):
        for way in ways:
            if way in ("codec", "limit") or name in WRISTS:
                yield Row(name, way, _marks(name, side, way, codec, asked, weights))


def _names(hands: str, codec: Codec) -> tuple[str, ...]:
    from xlvla import catalog

    if hands == "all":
        return codec.hands
    return tuple(catalog.hand(name.strip()).name for name in hands.split(","))


def calibrated(
    hands: str, side: Side, ways: Sequence[str], poses: int, weights: Path | None, count: int
) -> Iterator[PersonRow]:
    """Two rows of every person, hand and method that supports it: as tracked, and calibrated."""
    from xlvla.codec import Codec
    from xlvla.operator_hand import AS_TRACKED, OPPOSING, fit, gap_m
    from xlvla_drivers.teleop.fingers import WRISTS, CalibratedFingers
    from xlvla_policy.latent.human_people import chance, examined, people, touches

    codec = Codec.load()
    for person, somebody in enumerate(people(count)):
        generator = chance(person)
        fitted = fit("right", touches(somebody, generator))
        kept = touches(somebody, generator)
        own, tracked = examined(somebody, poses, GESTURES, generator)
        for name in _names(hands, codec):
            for way in ways:
                if way != "codec" and name not in WRISTS:
                    continue
                method = _method(name, side, way, codec, weights)
                for hand in (AS_TRACKED, fitted):
                    gaps = [gap_m(hand, "right", finger, kept[finger]) for finger in OPPOSING]
                    yield PersonRow(
                        name,
                        way,
                        person,
                        hand is fitted,
                        1000 * sum(gaps) / len(gaps),
                        _asked(name, side, CalibratedFingers(method, side, hand), own, tracked),
                    )


def _marks(
    name: str, side: Side, way: str, codec: Codec, asked: Exam, weights: Path | None
) -> Marks:
    from xlvla import catalog
    from xlvla_policy.latent.human_metrics import limits

    if way == "limit":
        return limits(catalog.hand(name), side, asked)
    return _asked(name, side, _method(name, side, way, codec, weights), asked, asked)


def _asked(name: str, side: Side, fingers: Fingers, own: Exam, seen: Exam) -> Marks:
    """Marks of what a method makes of what is seen of people, for what their own hands did."""
    from xlvla import catalog, human
    from xlvla_policy.latent.human_metrics import mark

    # The exam shows right hands.
    mirror = np.ones(3) if side == "right" else human.MIRROR
    took_s: list[float] = []
    pinches = _followed(fingers, seen.pinches * mirror, took_s)
    poses = _followed(fingers, seen.poses * mirror, took_s)
    gestures = _followed(fingers, seen.gestures * mirror, took_s)
    # Of a pinch or a pose only the end counts.
    answers = [pinches[:, -1], poses[:, -1], gestures]
    return mark(catalog.hand(name), side, own, answers, 1e6 * float(np.median(took_s)))


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
    from xlvla_drivers.teleop.fingers import CalibratedFingers, DexFingers

    inner = fingers.fingers if isinstance(fingers, CalibratedFingers) else fingers
    if isinstance(inner, DexFingers):
        inner.begin()
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


def people_table(rows: Sequence[PersonRow]) -> Table:
    """Means over people by hand and method, and how many of them came nearer."""
    from rich.box import SIMPLE
    from rich.table import Table

    made = Table(
        *("hand", "way", "operator", "tracked mm", "touching mm", "closed"),
        *("line deg", "line mm", "jerk", "nearer"),
        box=SIMPLE,
        title="distance of the robot's tips where a person's touch, mean over people and fingers",
    )
    for hand, way in dict.fromkeys((row.hand, row.way) for row in rows):
        both = [row for row in rows if (row.hand, row.way) == (hand, way)]
        before = [row for row in both if not row.calibrated]
        after = [row for row in both if row.calibrated]
        nearer = sum(b.touching_mm < a.touching_mm for a, b in zip(before, after, strict=True))
        for label, group in (("as tracked", before), ("calibrated", after)):
            marks = [row.marks for row in group]
            made.add_row(
                hand,
                way,
                label,
                f"{np.mean([row.tracked_mm for row in group]):.1f}",
                f"{np.mean([row.touching_mm for row in group]):.1f}",
                f"{np.mean([each.closed for each in marks]):.0%}",
                f"{np.mean([each.line_deg for each in marks]):.1f}",
                f"{np.mean([each.line_mm for each in marks]):.1f}",
                f"{np.mean([each.jerk for each in marks]):.2f}",
                f"{nearer} of {len(group)}" if group is after else "",
            )
    return made
