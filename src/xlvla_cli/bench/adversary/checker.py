"""Looks at a path of commands from outside: distances, also between commands, and limits. Knows
nothing of how motion decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla_cli.bench.adversary.drive import Path
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.limits import Bounds

LOOK_M = 1e-4
"""Between two looks no distance that matters shrinks by more."""

PIECE_RAD = 0.02
"""A longer step is looked at in pieces in which no joint turns further, so that lever arms hardly
change in one.
"""

ROUNDING = {"position": 1e-9, "velocity": 1e-6, "acceleration": 1e-5, "jerk": 1e-3}
"""What differences of positions know no better, as a share of the limit; position in rad."""


@dataclass(frozen=True)
class Nearest:
    """The gap with the least room above its stop, and its distance [m]."""

    room_m: float
    distance_m: float
    gap: str


@dataclass(frozen=True)
class Breach:
    """The gap that came furthest below what it had to keep: its stop, or where it began if that is
    less.
    """

    below_m: float
    distance_m: float
    gap: str
    tick: int


class DistanceCheck:
    """Follows a path and keeps the nearest and the worst.

    Args:
        rows: the gaps that count; all where None.
    """

    def __init__(self, distances: Distances, rows: np.ndarray | None = None):
        self._distances = distances
        stop = np.array([gap.margin.stop_m for gap in distances.gaps])
        self._stop = stop
        if rows is not None:
            self._stop = np.full(len(stop), -np.inf)
            self._stop[rows] = stop[rows]

    def look(self, poses: Sequence[np.ndarray]) -> tuple[Nearest, Breach]:
        before = poses[0]
        now = self._distances.at(poses[0])
        self._floor = np.minimum(self._stop, now)
        self._nearest = self._room(now)
        self._breach = Breach(0.0, 0.0, "", 0)
        for tick, pose in enumerate(poses[1:], 1):
            if (pose != before).any():
                now = self._step(before, pose, now, tick)
            before = pose
        return self._nearest, self._breach

    def _step(
        self, first: np.ndarray, last: np.ndarray, before: np.ndarray, tick: int
    ) -> np.ndarray:
        """Looks along the straight step between two poses [N]; the distances [G] at its end."""
        pieces = max(1, int(np.ceil(np.abs(last - first).max() / PIECE_RAD)))
        for share in np.arange(1, pieces + 1) / pieces:
            pose = last if share == 1 else first + share * (last - first)
            now = self._distances.at(pose)
            self._note(now, np.arange(len(now)), tick)
            turned = np.abs(last - first) / pieces
            if (np.minimum(before, now) - self._floor).min() < self._crudely(turned):
                self._between(pose - (last - first) / pieces, pose, before, now, tick)
            before = now
        return before

    def _crudely(self, turned: np.ndarray) -> float:
        """No distance shrinks by more when joints turn that far [N]: nothing is further from an
        axis than two metres.
        """
        return 2.0 * float(turned.sum())

    def _between(
        self, first: np.ndarray, last: np.ndarray, before: np.ndarray, now: np.ndarray, tick: int
    ) -> None:
        """Looks between two poses, the second of which was looked at last, as finely as it takes to
        miss nothing that is worse so far.
        """
        turned = np.abs(last - first)
        levers = self._distances.levers()
        shrinks = levers @ turned
        shrinks = shrinks + shrinks * (
            self._distances.moved @ turned
        )  # a lever changes as far as what it carries moves
        rows = np.flatnonzero((before + now - shrinks) / 2 < self._floor - self._breach.below_m)
        if not rows.size:
            return
        looks = int(np.ceil(shrinks[rows].max() / LOOK_M))
        for share in np.arange(1, looks) / looks:
            self._note(self._distances.some(first + share * (last - first), rows), rows, tick)

    def _note(self, now: np.ndarray, rows: np.ndarray, tick: int) -> None:
        room = now - self._stop[rows]
        below = self._floor[rows] - now
        least = int(np.argmin(room))
        worst = int(np.argmax(below))
        if room[least] < self._nearest.room_m:
            self._nearest = Nearest(
                float(room[least]), float(now[least]), str(self._distances.gaps[rows[least]])
            )
        if below[worst] > self._breach.below_m:
            self._breach = Breach(
                float(below[worst]), float(now[worst]), str(self._distances.gaps[rows[worst]]), tick
            )

    def _room(self, now: np.ndarray) -> Nearest:
        least = int(np.argmin(now - self._stop))
        return Nearest(
            float(now[least] - self._stop[least]),
            float(now[least]),
            str(self._distances.gaps[least]),
        )


def limit_excess(path: Path, bounds: Sequence[Bounds]) -> dict[str, float]:
    """How far above its limit each of position [rad], velocity, acceleration and jerk [as a share]
    is at the worst; 0 where kept.

    By divided differences of the commands: whatever the intervals, k! times one of k + 1 commands
    is a mean of the k-th derivative of any curve through them, so that a curve within limits cannot
    exceed them.
    """
    lower, upper, *most = (
        np.concatenate([getattr(bound, name) for bound in bounds])
        for name in ("lower", "upper", "velocity", "acceleration", "jerk")
    )
    poses = np.array(path.poses)
    ticks = np.array([0.0, *path.ticks_s])
    moved = np.concatenate([[True], ticks[1:] > 0])
    beyond = max(float((poses - upper).max()), float((lower - poses).max()), 0.0)
    excess = {"position": beyond}
    times = np.cumsum(ticks)[moved]
    values = poses[moved]
    for order, (name, limit) in enumerate(
        zip(("velocity", "acceleration", "jerk"), most, strict=True), 1
    ):
        values = order * np.diff(values, axis=0) / (times[order:] - times[:-order])[:, None]
        excess[name] = float((np.abs(values) / limit).max(initial=0.0)) - 1
    return {name: value if value > ROUNDING[name] else 0.0 for name, value in excess.items()}
