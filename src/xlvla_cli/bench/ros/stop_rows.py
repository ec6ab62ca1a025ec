"""Ways to stop a running rig, and what became of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from xlvla.types import CHUNK_FRAMES, Part
from xlvla_cli.bench.ros.running_rig import RunningRig

Moving = Literal["slow", "fast", "both", "hands"]


@dataclass(frozen=True)
class Stop:
    """A way to stop a rig.

    Args:
        do: stops the rig while it moves; where something stood still for a while, when it goes on
            [s].
        ends: how the commands of motion end: at rest, wherever they were (motion is dead or
            silent), or in a new scene.
        lasts_s: how long is watched afterwards.
        frames: of the chunk that moves it.
        binds: a rogue node that commands afterwards must move nothing.
        lost: the part of the first side whose device is lost: what was commanded to it ends
            wherever it was.
        goes_on: everything stood still together and goes on afterwards.
        after: undoes the stop.
    """

    name: str
    do: Callable[[RunningRig], float | None]
    ends: Literal["rest", "anyhow", "elsewhere"] = "rest"
    lasts_s: float = 0.7
    frames: int = CHUNK_FRAMES
    binds: bool = True
    lost: Part | None = None
    goes_on: bool = False
    after: Callable[[RunningRig], None] = lambda running: None


@dataclass
class Row:
    """What became of a stop, the largest of all parts; shares are of limits.

    Args:
        stop, what, who: its name, what moved, and whether a rogue node commanded, too.
        last_speed: of motion's last command [rad/s].
        acceleration, jerk: shares of the commands.
        commands, rest_s: that still moved after the stop, and how long; None where there were none.
        measured: share of the measured acceleration.
        moved_rad: measured, after the stop.
        return_rad_s: the fastest once what stood still went on; None where nothing did.
        reported: lines of status and log.
        faults: what is not as it should be.
    """

    stop: str
    what: str
    who: str
    last_speed: float = 0.0
    acceleration: float = 0.0
    jerk: float = 0.0
    commands: int | None = None
    rest_s: float | None = None
    measured: float = 0.0
    moved_rad: float = 0.0
    return_rad_s: float | None = None
    reported: list[str] = field(default_factory=list[str])
    faults: list[str] = field(default_factory=list[str])
