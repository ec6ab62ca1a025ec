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
"""Between two samples no distance that matters shrinks by more."""

PIECE_RAD = 0.02
"""A longer step is sampled in pieces in which no joint turns further, so that lever arms hardly
change in one.
"""

REACH_M = 2.0
"""Nothing on a rig is further from an axis of it."""

DERIVATIVES = ("velocity", "acceleration", "jerk")

ROUNDING = {"position": 1e-9, "velocity": 1e-6, "acceleration": 1e-5, "jerk": 1e-3}
"""Rounding errors of differences of positions, as a share of the limit; position in rad."""


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
    """Follows a path and keeps the nearest gap and the worst breach.

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
        self._floor = self._stop
        self._nearest = Nearest(np.inf, np.inf, "")
        self._breach = Breach(0.0, 0.0, "", 0)

    def look(self, poses: Sequence[np.ndarray]) -> tuple[Nearest, Breach]:
        """The nearest gap and the worst breach along poses [N] rad and straight between them."""
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
        """Samples the straight step between two poses [N]; the distances [G] at its end."""
        change = last - first
        pieces = max(1, int(np.ceil(np.abs(change).max() / PIECE_RAD)))
        for share in np.arange(1, pieces + 1) / pieces:
            pose = last if share == 1 else first + share * change
            now = self._distances.at(pose)
            self._note(now, np.arange(len(now)), tick)
            # First the crude bound, which costs nothing: most steps are far from everything.
            shrinks_m = REACH_M * float((np.abs(change) / pieces).sum())
            room_m = (np.minimum(before, now) - self._floor).min()
            if room_m < shrinks_m:
                self._between(pose - change / pieces, pose, before, now, tick)
            before = now
        return before

    def _between(
        self, first: np.ndarray, last: np.ndarray, before: np.ndarray, now: np.ndarray, tick: int
    ) -> None:
        """Samples between two poses, whose distances are `before` and `now`, as finely as it takes
        to miss nothing that is worse so far.
        """
        turned = np.abs(last - first)
        levers = self._distances.levers()
        shrinks = levers @ turned
        # A lever changes as far as what it carries moves.
        shrinks = shrinks + shrinks * (self._distances.moved @ turned)
        least = (before + now - shrinks) / 2
        rows = np.flatnonzero(least < self._floor - self._breach.below_m)
        if not rows.size:
            return
        looks = int(np.ceil(shrinks[rows].max() / LOOK_M))
        for share in np.arange(1, looks) / looks:
            pose = first + share * (last - first)
            self._note(self._distances.some(pose, rows), rows, tick)

    def _note(self, now: np.ndarray, rows: np.ndarray, tick: int) -> None:
        """Keeps what is nearer or worse than before among the distances [R] of some gaps."""
        room = now - self._stop[rows]
        least = int(np.argmin(room))
        if room[least] < self._nearest.room_m:
            gap = self._distances.gaps[rows[least]]
            self._nearest = Nearest(float(room[least]), float(now[least]), str(gap))
        below = self._floor[rows] - now
        worst = int(np.argmax(below))
        if below[worst] > self._breach.below_m:
            gap = self._distances.gaps[rows[worst]]
            self._breach = Breach(float(below[worst]), float(now[worst]), str(gap), tick)

    def _room(self, now: np.ndarray) -> Nearest:
        room = now - self._stop
        least = int(np.argmin(room))
        gap = self._distances.gaps[least]
        return Nearest(float(room[least]), float(now[least]), str(gap))


def limit_excess(path: Path, bounds: Sequence[Bounds]) -> dict[str, float]:
    """How far above its limit each of position [rad], velocity, acceleration and jerk [as a share]
    is at the worst; 0 where kept.

    By divided differences of the commands: whatever the intervals, k! times one of k + 1 commands
    is a mean of the k-th derivative of any curve through them, so that a curve within limits cannot
    exceed them.
    """
    poses = np.array(path.poses)
    above = float((poses - _limit(bounds, "upper")).max())
    below = float((_limit(bounds, "lower") - poses).max())
    excess = {"position": max(above, below, 0.0)}
    ticks = np.array([0.0, *path.ticks_s])
    moved = ticks > 0
    moved[0] = True
    times = np.cumsum(ticks)[moved]
    values = poses[moved]
    for order, name in enumerate(DERIVATIVES, 1):
        intervals = times[order:] - times[:-order]
        values = order * np.diff(values, axis=0) / intervals[:, None]
        share = np.abs(values) / _limit(bounds, name)
        excess[name] = float(share.max(initial=0.0)) - 1
    return {name: _rounded(name, value) for name, value in excess.items()}


def _limit(bounds: Sequence[Bounds], name: str) -> np.ndarray:
    """One limit of all sides [N]."""
    return np.concatenate([getattr(bound, name) for bound in bounds])


def _rounded(name: str, excess: float) -> float:
    return excess if excess > ROUNDING[name] else 0.0
