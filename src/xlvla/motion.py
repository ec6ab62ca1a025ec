"""How a rig says what motion may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from xlvla.ranges import Range
from xlvla.types import Side

MOST_PRESSED_M = 0.02
"""No rig may let a command press further into the table."""

Coordinate = Annotated[float, Range(-10, 10)]
"""A place in the world of a rig [m]."""
Position = tuple[Coordinate, Coordinate, Coordinate]


@dataclass(frozen=True)
class Margin:
    """A distance [m] below `slow_m` slows what makes it smaller, more and more, to a stop at
    `stop_m`.
    """

    stop_m: Annotated[float, Range(-MOST_PRESSED_M, 0.5)]
    slow_m: Annotated[float, Range(-MOST_PRESSED_M, 1)]


@dataclass(frozen=True)
class Box:
    """A box along the world's axes [m]."""

    lower: Position
    upper: Position


@dataclass(frozen=True)
class MotionConfig:
    """How chunks become commands.

    Args:
        rate_hz: commands per second.
        stale_s: age of its observation from which a chunk is refused, and of a measured pose from
            which it is not known.
        horizon_s: how long after its observation a chunk is still played.
        taper_s: the last part of a chunk, in which it slows to rest.
        blend_s: time in which the offset between robot and chunk fades, and in which a robot just
            engaged joins.
        speed_scale: share of the speed limits that is used.
        jerk_s: time in which a joint may reach its full acceleration; no data sheet of a hand gives
            a jerk.
        teleport_rad: how far from an arm a chunk may begin.
        guard_hz: how often distances are looked at.
        between: distance of one side's arm and hand to the other's; `itself` of a side's arm and
            hand to its own arm.
        table: distance of arms to the table, whose top is at the height `table_m`; None: there is
            none.
        touch: the same of hands, which work on tables: below 0 is how far a command may press.
        workspace: where each side's flange and fingertips may be, `edge` their distance to its
            faces; a side not named may be anywhere.
        dry_run: commands go to other topics, which no driver hears: everything is published and
            nothing moves.
    """

    rate_hz: Annotated[float, Range(20, 1000)] = 200.0
    stale_s: Annotated[float, Range(0.02, 5)] = 0.5
    horizon_s: Annotated[float, Range(0.1, 30)] = 2.0
    taper_s: Annotated[float, Range(0.01, 5)] = 0.4
    blend_s: Annotated[float, Range(0.01, 10)] = 1.0
    speed_scale: Annotated[float, Range(0.01, 1)] = 1.0
    jerk_s: Annotated[float, Range(0.005, 1)] = 0.04
    teleport_rad: Annotated[float, Range(0.01, 1)] = 0.5
    guard_hz: Annotated[float, Range(5, 1000)] = 50.0
    between: Margin = Margin(0.02, 0.06)
    itself: Margin = Margin(0.01, 0.03)
    table: Margin = Margin(0.002, 0.02)
    touch: Margin = Margin(-0.006, 0.0)
    edge: Margin = Margin(0.0, 0.03)
    table_m: Annotated[float, Range(-2, 3)] | None = 0.0
    workspace: Mapping[Side, Box] = field(default_factory=dict[Side, Box])
    dry_run: bool = False

    def faults(self, sides: Sequence[Side]) -> list[str]:
        """Everything impossible in it, for a rig with these sides."""
        faults: list[str] = []
        margins = {key: value for key, value in vars(self).items() if isinstance(value, Margin)}
        lowest = {"touch": -MOST_PRESSED_M}
        for key, margin in margins.items():
            if not lowest.get(key, 0.0) <= margin.stop_m < margin.slow_m:
                faults.append(f"motion.{key}: needs {lowest.get(key, 0):g} <= stop_m < slow_m")
        for side, box in self.workspace.items():
            if side not in sides:
                faults.append(f"motion.workspace: the rig has no {side} side")
            if not all(low < high for low, high in zip(box.lower, box.upper, strict=True)):
                faults.append(
                    f"motion.workspace.{side}: every lower bound must be below the upper one"
                )
        return faults
