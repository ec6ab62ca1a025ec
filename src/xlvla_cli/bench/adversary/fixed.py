"""A few scenarios that are always the same, with what motion made of them before it looked at how
it can stop.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla import rig_file
from xlvla.rig import Rig
from xlvla.types import CHUNK_FRAMES, CHUNK_HZ, SIDES, Side
from xlvla_cli.bench.adversary.checker import DistanceCheck
from xlvla_cli.bench.adversary.drive import Unwatched
from xlvla_drivers.motion.chunk import Refused
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.rig_motion import RigMotion
from xlvla_drivers.motion.speed_scaling import SpeedScaling

RIG = "bimanual"
LASTS_S = 3.0


@dataclass(frozen=True)
class Fixed:
    """Arms of the rig `bimanual` that turn one joint.

    Args:
        moving: the sides that do.
        joint: number of the joint of an arm.
        turn_rad: how far; of joint1 inwards.
        frames: within so many frames of one chunk, or 0: each chunk asks for as much from where the
            command is.
        every_s: time between chunks, 0 for one only.
        beside_rad: how far the right arm's joint1 is turned in from home where it stands.
        margin: whose distances count.
    """

    name: str
    moving: tuple[Side, ...]
    joint: int
    turn_rad: float
    frames: int
    every_s: float = 0.0
    beside_rad: float = 0.0
    margin: str = "between"

    def starts(self, rig: Rig) -> dict[Side, np.ndarray]:
        """Where the sides begin [N] rad."""
        poses: dict[Side, np.ndarray] = {
            side: np.array(list(rig.start(side).values())) for side in SIDES
        }
        poses["right"][0] += self.beside_rad
        return poses

    def points(
        self, side: Side, here: np.ndarray, limits: tuple[np.ndarray, np.ndarray]
    ) -> np.ndarray:
        """The chunk [T, N] rad of a side whose command is `here`, at `CHUNK_HZ`, inside lower and
        upper limits.
        """
        # Only joint1 turns the left arm inwards by a negative angle.
        inwards = -1.0 if self.joint == 0 and side == "left" else 1.0
        if self.frames:
            share = np.minimum(np.arange(1, CHUNK_FRAMES + 1) / self.frames, 1.0)
        else:
            share = np.ones(20)
        turn = np.zeros(len(here))
        turn[self.joint] = inwards * self.turn_rad
        lower, upper = limits
        return np.clip(here + share[:, None] * turn, lower, upper)


def _inwards(frames: int) -> Fixed:
    return Fixed(f"both joint1 inwards by 1.5 rad in {frames} frames", SIDES, 0, 1.5, frames)


def _to_the_table(frames: int) -> Fixed:
    name = f"left joint2 by 1 rad to the table in {frames} frames"
    return Fixed(name, ("left",), 1, 1.0, frames, margin="touch")


FIXED = (
    _inwards(1),
    _inwards(4),
    _inwards(7),
    _inwards(10),
    _inwards(12),
    _inwards(14),
    _inwards(16),
    Fixed(
        "left joint1 inwards by 1.5 rad in 10 frames, towards a resting arm",
        ("left",),
        0,
        1.5,
        10,
        beside_rad=1.2,
    ),
    _to_the_table(1),
    _to_the_table(4),
    _to_the_table(10),
    Fixed(
        "every 100 ms 0.49 rad further to the table",
        ("left",),
        1,
        0.49,
        0,
        every_s=0.1,
        margin="touch",
    ),
    Fixed(
        "every 5 ms 0.49 rad further to the other arm",
        ("left",),
        0,
        0.49,
        0,
        every_s=0.005,
        beside_rad=1.2,
    ),
)

COMMIT = "7ba45e8"
_MM = (-12.8, -19.3, 17.5, -19.3, -17.7, -17.7, -13.9, -0.1, -21.2, -21.0, -21.6, -229.1, -44.4)
BEFORE: dict[str, float] = dict(zip((entry.name for entry in FIXED), _MM, strict=True))
"""The smallest commanded distance [mm] of that build, by name: its players, speed scaling and guard
tick by tick; distances were computed at 50 Hz and used one period late.
"""


def play_all(watched: bool = True) -> list[dict[str, Any]]:
    """Figures of all of them, as plain data: name, smallest distance on the commanded path and its
    stop [m], chunks accepted and refused.
    """
    rig = rig_file.load(RIG)
    motion = RigMotion(rig) if watched else Unwatched(rig)
    distances = Distances(rig)
    return [_play(entry, motion, distances, rig) for entry in FIXED]


def _play(entry: Fixed, motion: RigMotion, distances: Distances, rig: Rig) -> dict[str, Any]:
    motion.release()
    motion.pace = SpeedScaling()
    for player in motion.players.values():
        player.counts.clear()
    starts = entry.starts(rig)
    period_s = 1 / rig.motion.rate_hz
    poses = [np.concatenate(list(starts.values()))]
    for tick in range(1, round(LASTS_S / period_s)):
        now_s = tick * period_s
        again = entry.every_s and tick % round(entry.every_s / period_s) == 0
        if tick == 1 or again:
            _offer(entry, motion, starts, now_s)
        commands = motion.step(now_s, period_s, starts)
        poses.append(np.concatenate([commands.get(side, starts[side]) for side in starts]))
    margin = getattr(rig.motion, entry.margin)
    rows = np.array([row for row, gap in enumerate(distances.gaps) if gap.margin is margin])
    nearest, _ = DistanceCheck(distances, rows).look(poses)
    refused = 0
    accepted = 0
    for player in motion.players.values():
        accepted += player.counts["accepted"]
        for name, count in player.counts.items():
            if name.startswith("refused"):
                refused += count
    return {
        "name": entry.name,
        "distance_m": nearest.distance_m,
        "stop_m": margin.stop_m,
        "accepted": accepted,
        "refused": refused,
    }


def _offer(
    entry: Fixed, motion: RigMotion, starts: Mapping[Side, np.ndarray], now_s: float
) -> None:
    for side in entry.moving:
        player = motion.players[side]
        here = player.position if player.started else starts[side]
        points = entry.points(side, here, (player.bounds.lower, player.bounds.upper))
        with suppress(Refused):
            player.offer(points, player.joints, now_s, CHUNK_HZ, now_s, measured=starts[side])
