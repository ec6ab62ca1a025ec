"""Whether a rig keeps its distances on the way it is about to take, and how fast it may go near things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.rig import Rig
from xlvla_drivers.motion.braking import Braking, Standing
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.pace import REACTION_S

AHEAD_S = (REACTION_S / 2, REACTION_S)
"""Where a chunk leads is looked at so much of its time ahead."""

SAME_M = 2e-4
"""A distance that shrinks less than this on the way ahead does not shrink."""

HOLDS = 0.5
"""With which acceleration [m/s^2] a hand is held that presses as far as it may; arms can ten times that."""

SLACK_M = 0.00025
"""By at most so much may a distance be below its stop between two looked-at poses: a bound, from joint angles and lever arms."""

NOISE_M = 2e-5
"""By at most so much may a distance be below its stop where it was looked at; distances are exact to a tenth of this.

Less than `SLACK_M`: from where a rig has come to rest there is always room to judge the first of its way back.
"""

DRIFT_M = 0.03
"""Distances are measured anew where a pair that matters may have changed by more than this since they were."""

MOST_POSES = 96
"""A way that takes more looks than this to judge counts as one that does not keep its distances."""


@dataclass(frozen=True)
class Verdict:
    """The pace allowed, and the gap that decides it (the tightest one where none does) with its distance."""

    pace: float
    gap: str
    distance_m: float


@dataclass(frozen=True)
class Way:
    """From the last command [N] straight to the next, and the stop from there.

    Args:
        start: the last command, or where a side is that has none yet.
        stops: what follows, of one part of the joints after the other; together N joints.
    """

    start: np.ndarray
    stops: Sequence[Braking | Standing]

    def at(self, seconds: float) -> np.ndarray:
        """Where the rig is [N], so long after the next command."""
        return np.concatenate([stop.at(seconds).position for stop in self.stops])

    @property
    def duration_s(self) -> float:
        return max(stop.duration_s for stop in self.stops)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest of every joint [N] on the way."""
        low = np.concatenate([stop.start + stop.low for stop in self.stops])
        high = np.concatenate([stop.start + stop.high for stop in self.stops])
        return np.minimum(self.start, low), np.maximum(self.start, high)


@dataclass(frozen=True)
class Piece:
    """A piece of a way between two times [s], with the poses [N] and the distances [R] of the gaps `rows` at its ends."""

    rows: np.ndarray
    times: tuple[float, float]
    poses: tuple[np.ndarray, np.ndarray]
    distances: tuple[np.ndarray, np.ndarray]


class Clearance:
    """Judges ways by bounds where those suffice and by exact distances where not.

    A distance shrinks at most by the angles that joints turn times their lever arms, so one measurement of everything is
    good for all poses near it. Pairs for which it is not are measured along the way, at poses so close to each other that
    in between nothing can go below its stop by more than `SLACK_M`.

    What is nearer than its stop from the beginning may only get further away, and not nearer again.
    """

    def __init__(self, rig: Rig):
        self.distances = Distances(rig)
        self._stop = np.array([gap.margin.stop_m for gap in self.distances.gaps])
        self._slow = np.array([gap.margin.slow_m for gap in self.distances.gaps])
        self._touches = np.array([gap.margin is rig.motion.touch for gap in self.distances.gaps])
        self._floor = self._stop

    def begin(self, pose: np.ndarray) -> None:
        """The rig is at a pose [N]; what is too near there is so through no command."""
        self._measure(pose)
        self._floor = np.minimum(self._stop, self._known)

    def carried(self, before: np.ndarray, after: np.ndarray) -> None:
        """Somebody else has moved the rig from a pose [N] to another: what came nearer by that is nobody's command."""
        nearer = np.minimum(self.distances.at(after) - self.distances.at(before), 0.0)
        self._floor = np.minimum(self._stop, self._floor + nearer)
        self._measure(after)

    def passes(self, way: Way) -> bool:
        """Whether the whole way keeps every distance."""
        low, high = way.box()
        if (low == high).all():
            return True
        near = self._near(low, high, self._floor)
        if near.size and self._drifted(way.start, near):
            self._measure(way.start)
            near = self._near(low, high, self._floor)
        return not near.size or self._keeps(way, near)

    def look(self, here: np.ndarray, ahead: Sequence[np.ndarray], rate: float) -> Verdict:
        """The pace at a pose [N] of a rig that plays at `rate`, whose chunks want those poses `AHEAD_S` of their time later.

        Slows what makes a small distance smaller; what makes it larger, or leaves it, goes on.
        """
        poses = [here, *ahead]
        near = self._near(np.min(poses, axis=0), np.max(poses, axis=0), self._slow)
        if near.size and self._drifted(here, near):
            self._measure(here)
            near = self._near(np.min(poses, axis=0), np.max(poses, axis=0), self._slow)
        if not near.size:
            tightest = int(np.argmin(self._known - self._stop))
            return Verdict(1.0, str(self.distances.gaps[tightest]), float(self._known[tightest]))
        now = self.distances.some(here, near)
        least = np.min([self.distances.some(pose, near) for pose in ahead], axis=0)
        allowed = np.where(self._touches[near], self._presses(near, now, least), self._nears(near, now, least, rate))
        allowed[least > now - SAME_M] = 1.0
        tightest = int(np.argmin(allowed if (allowed < 1).any() else now - self._stop[near]))
        return Verdict(float(allowed.min()), str(self.distances.gaps[near[tightest]]), float(now[tightest]))

    def _nears(self, rows: np.ndarray, now: np.ndarray, least: np.ndarray, rate: float) -> np.ndarray:
        """The paces [R] at which distances go gently to their stops, which at `rate` come down from `now` towards `least` [R] m."""
        then = now + rate * (least - now)  # a slower rig comes less far before it stands
        return np.clip((then - self._stop[rows]) / (self._slow[rows] - self._stop[rows]), 0.0, 1.0)

    def _presses(self, rows: np.ndarray, now: np.ndarray, least: np.ndarray) -> np.ndarray:
        """The paces [R] at which hands that press on the table can be held at the stop: work there is not slowed any more than that."""
        speed = np.maximum(now - least, SAME_M) / AHEAD_S[-1]
        return np.clip(np.sqrt(2 * HOLDS * np.maximum(now - self._stop[rows], 0.0)) / speed, 0.0, 1.0)

    def _measure(self, pose: np.ndarray) -> None:
        """Everything, at a pose the rig is at."""
        self._known, self._levers, self._pose = self.distances.at(pose), self.distances.levers(), pose
        self._floor = np.maximum(self._floor, np.minimum(self._stop, self._known))

    def _drifted(self, pose: np.ndarray, rows: np.ndarray) -> bool:
        return bool((_shrinks(self._levers[rows], np.abs(pose - self._pose)) > DRIFT_M).any())

    def _near(self, low: np.ndarray, high: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Rows of the gaps that may be below `least` [G] somewhere between two poses [N]."""
        turned = np.maximum(np.abs(low - self._pose), np.abs(high - self._pose))
        return np.flatnonzero(self._known - _shrinks(self._levers, turned) < least)

    def _keeps(self, way: Way, rows: np.ndarray) -> bool:
        """Whether the gaps `rows` keep their floors: pieces that may not are halved."""
        looks = _Looks(way, self.distances)
        begin, step = looks.at(None, rows), looks.at(0.0, rows)
        pieces = [Piece(rows, (0.0, 0.0), (begin[0], step[0]), (begin[1], step[1]))]
        if way.duration_s > 0:
            end = looks.at(way.duration_s, rows)
            pieces.append(Piece(rows, (0.0, way.duration_s), (step[0], end[0]), (step[1], end[1])))
        wiggle = np.concatenate([stop.wiggle for stop in way.stops])
        while pieces:
            piece = pieces.pop()
            floor = self._floor[piece.rows]
            if min((distances - floor).min() for distances in piece.distances) < -NOISE_M:
                return False
            length_s = piece.times[1] - piece.times[0]
            open_ = np.flatnonzero(sum(piece.distances) - self._shrinks(piece, wiggle * length_s**2) < 2 * (floor - SLACK_M))
            if not open_.size:
                continue
            if looks.count >= MOST_POSES:
                return False
            pieces += looks.halves(piece, open_)
        return True

    def _shrinks(self, piece: Piece, wiggle: np.ndarray) -> np.ndarray:
        """By how much the distances may shrink from one end of a piece, and from the other, together [R]."""
        levers, (first, last) = self._levers[piece.rows], piece.poses
        turned = np.abs(last - first) + wiggle
        away = levers @ (np.maximum(np.abs(first - self._pose), np.abs(last - self._pose)) + wiggle)
        return levers @ turned + away * (
            self.distances.moved[piece.rows] @ turned
        )  # a lever has changed by no more than what it carries has moved


def _shrinks(levers: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """By how much distances [R] m may shrink whose levers are [R, N] m/rad while joints turn by so much [N] rad.

    Not `@`: for so many numbers a library would start threads, which a control loop would have to wait for.
    """
    return np.einsum("rn,n->r", levers, turned)


class _Looks:
    """Distances along a way, counted."""

    def __init__(self, way: Way, distances: Distances):
        self._way, self._distances, self.count = way, distances, 0

    def at(self, seconds: float | None, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pose [N] and distances [R] at a time; None is where the way begins."""
        self.count += 1
        pose = self._way.start if seconds is None else self._way.at(seconds)
        return pose, self._distances.some(pose, rows)

    def halves(self, piece: Piece, some: np.ndarray) -> list[Piece]:
        """The two halves of a piece, for some of its rows."""
        rows, (begin, end) = piece.rows[some], piece.times
        first, last = (distances[some] for distances in piece.distances)
        middle_s = (begin + end) / 2
        pose, middle = self._middle(piece, middle_s, rows)
        return [
            Piece(rows, (middle_s, end), (pose, piece.poses[1]), (middle, last)),
            Piece(rows, (begin, middle_s), (piece.poses[0], pose), (first, middle)),
        ]

    def _middle(self, piece: Piece, seconds: float, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if piece.times[0] < piece.times[1]:
            return self.at(seconds, rows)
        self.count += 1  # the straight piece to the next command takes no time of the stop
        pose = (piece.poses[0] + piece.poses[1]) / 2
        return pose, self._distances.some(pose, rows)
