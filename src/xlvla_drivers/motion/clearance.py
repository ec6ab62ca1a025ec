"""Whether a rig keeps its distances on the way it is about to take, and how fast it may go near
obstacles.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.rig import Rig
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.speed_scaling import REACTION_S
from xlvla_drivers.motion.way import Look, Looks, Piece, Way

AHEAD_S = (REACTION_S / 2, REACTION_S)
"""Where a chunk leads is looked at this many seconds of its time ahead."""

SAME_M = 2e-4
"""A distance that shrinks less than this on the way ahead does not shrink."""

HOLDS = 0.5
"""The acceleration [m/s^2] with which a hand that presses as far as it may is stopped; arms can do
ten times that.
"""

SLACK_M = 0.00025
"""The most that a distance may be below its stop between two poses that were looked at: a bound,
from joint angles and lever arms.
"""

NOISE_M = 2e-5
"""The most that a distance may be below its stop where it was looked at; distances are exact to a
tenth of this.

It is less than `SLACK_M`, so that from where a rig has come to rest there is always room to judge
the first of its way back.
"""

DRIFT_M = 0.03
"""Distances are measured anew when that of a near pair may have changed by more than this since the
last measurement.
"""

MOST_POSES = 96
"""A way that takes more looks than this to judge counts as one that does not keep its distances."""


@dataclass(frozen=True)
class Verdict:
    """The pace allowed, and the gap that decides it (the tightest one where none does) with its
    distance.
    """

    pace: float
    gap: str
    distance_m: float


NOTHING_WATCHED = Verdict(1.0, "nothing is watched", math.inf)
"""Of a rig without distances to keep, as of a hand on a bench without a table."""


@dataclass(frozen=True)
class Measurement:
    """The distances [G] m and their levers [G, N] m/rad, of all gaps at one pose [N] rad."""

    pose: np.ndarray
    distances: np.ndarray
    levers: np.ndarray


class Clearance:
    """Judges ways by bounds where those suffice and by exact distances where not.

    A distance shrinks at most by the angles that joints turn times their lever arms, so one
    measurement of everything is good for all poses near it. Pairs for which it is not are measured
    along the way, at poses so close to each other that in between nothing can go below its stop by
    more than `SLACK_M`.

    What is nearer than its stop from the beginning may only get further away, and not nearer again.
    """

    def __init__(self, rig: Rig):
        self.distances = Distances(rig)
        gaps = self.distances.gaps
        self._stop = np.array([gap.margin.stop_m for gap in gaps])
        self._slow = np.array([gap.margin.slow_m for gap in gaps])
        self._touches = np.array([gap.margin is rig.motion.touch for gap in gaps])
        self._moved = self.distances.moved.astype(float)
        # What each gap has to keep: its stop, or less where the rig began nearer.
        self._floor = self._stop
        # None until `begin`: without a measurement nothing is judged.
        self._measurement: Measurement | None = None

    def begin(self, pose: np.ndarray) -> None:
        """The rig is at a pose [N]; what is too near there is so through no command."""
        self._measure(pose)
        self._floor = np.minimum(self._stop, self._last.distances)

    def carried(self, before: np.ndarray, after: np.ndarray) -> None:
        """The rig was moved externally from a pose [N] to another: what came nearer by that was not
        commanded.
        """
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
        if not near.size:
            return True
        return self._keeps(way, near)

    def look(self, here: np.ndarray, ahead: Sequence[np.ndarray], rate: float) -> Verdict:
        """The pace that is allowed, and the gap that decides it.

        Slows what makes a small distance smaller; what makes it larger, or leaves it, goes on.

        Args:
            here: the pose [N] of the rig.
            ahead: the poses [N] that its chunks want `AHEAD_S` of their time later.
            rate: the pace at which it plays.
        """
        if not self.distances.gaps:
            return NOTHING_WATCHED
        poses = [here, *ahead]
        low = np.min(poses, axis=0)
        high = np.max(poses, axis=0)
        near = self._near(low, high, self._slow)
        if near.size and self._drifted(here, near):
            self._measure(here)
            near = self._near(low, high, self._slow)
        if not near.size:
            distances = self._last.distances
            tightest = int(np.argmin(distances - self._stop))
            return self._verdict(1.0, tightest, distances[tightest])
        now = self.distances.some(here, near)
        # Which of them can be below their slow distance soon, by bounds.
        turned = np.max([np.abs(pose - here) for pose in ahead], axis=0)
        away = turned + self._away(here)
        soon = np.flatnonzero(now - self._shrinks(near, turned, away) < self._slow[near])
        if not soon.size:
            tightest = int(np.argmin(now - self._stop[near]))
            return self._verdict(1.0, near[tightest], now[tightest])
        near = near[soon]
        now = now[soon]
        least = np.min([self.distances.some(pose, near) for pose in ahead], axis=0)
        pressing = self._pressing_pace(near, now, least)
        approaching = self._approaching_pace(near, now, least, rate)
        allowed = np.where(self._touches[near], pressing, approaching)
        allowed[least > now - SAME_M] = 1.0
        if (allowed < 1).any():
            tightest = int(np.argmin(allowed))
        else:
            tightest = int(np.argmin(now - self._stop[near]))
        return self._verdict(float(allowed.min()), near[tightest], now[tightest])

    def _verdict(self, pace: float, row: int, distance_m: float) -> Verdict:
        return Verdict(pace, str(self.distances.gaps[row]), float(distance_m))

    def _approaching_pace(
        self, rows: np.ndarray, now: np.ndarray, least: np.ndarray, rate: float
    ) -> np.ndarray:
        """The paces [R] at which distances go gently to their stops, when at `rate` they come down
        from `now` towards `least` [R] m.
        """
        # A slower rig goes less far before it stands still.
        then = now + rate * (least - now)
        stop = self._stop[rows]
        return np.clip((then - stop) / (self._slow[rows] - stop), 0.0, 1.0)

    def _pressing_pace(self, rows: np.ndarray, now: np.ndarray, least: np.ndarray) -> np.ndarray:
        """The paces [R] at which hands that press on the table can be held at the stop: work there
        is not slowed any more than that.
        """
        speed = np.maximum(now - least, SAME_M) / AHEAD_S[-1]
        room = np.maximum(now - self._stop[rows], 0.0)
        stoppable = np.sqrt(2 * HOLDS * room)
        return np.clip(stoppable / speed, 0.0, 1.0)

    @property
    def _last(self) -> Measurement:
        assert self._measurement is not None
        return self._measurement

    def _measure(self, pose: np.ndarray) -> None:
        """Measures everything, at a pose the rig is at."""
        distances = self.distances.at(pose)
        # The levers are those of the pose that was looked at last, so they come second.
        levers = self.distances.levers()
        self._measurement = Measurement(pose, distances, levers)
        # What has got away from a floor below its stop may not come as near again.
        self._floor = np.maximum(self._floor, np.minimum(self._stop, distances))

    def _drifted(self, pose: np.ndarray, rows: np.ndarray) -> bool:
        """Whether the last measurement is too far away to judge the gaps `rows` [R] by."""
        changed = _shrinks(self._last.levers[rows], self._away(pose))
        return bool((changed > DRIFT_M).any())

    def _near(self, low: np.ndarray, high: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Rows of the gaps that may be below `least` [G] somewhere between two poses [N]."""
        turned = np.maximum(self._away(low), self._away(high))
        shrinks = _shrinks(self._last.levers, turned)
        return np.flatnonzero(self._last.distances - shrinks < least)

    def _keeps(self, way: Way, rows: np.ndarray) -> bool:
        """Whether the gaps `rows` keep their floors: pieces that may not are halved.

        What others have brought nearer than that where the way begins may not get nearer still.
        """
        looks = Looks(way, self.distances)
        start = looks.start(rows)
        least = np.full(len(self._floor), -np.inf)
        least[rows] = np.minimum(self._floor[rows] - NOISE_M, start.distances)
        surely = start.distances - self._shrinks_on(way, rows)
        doubtful = np.flatnonzero(surely < least[rows])
        if not doubtful.size:
            return True
        rows = rows[doubtful]
        pieces = _pieces(way, looks, rows, start.of(doubtful))
        wiggle = np.concatenate([stop.wiggle for stop in way.stops])
        while pieces:
            piece = pieces.pop()
            allowed = least[piece.rows]
            first = piece.first.distances
            last = piece.last.distances
            if (first < allowed).any() or (last < allowed).any():
                return False
            length_s = piece.end_s - piece.begin_s
            # The least distance in between is at least half of what is left of both ends.
            left = first + last - self._shrinks_within(piece, wiggle * length_s**2)
            undecided = np.flatnonzero(left < 2 * (allowed - SLACK_M))
            if not undecided.size:
                continue
            if looks.count >= MOST_POSES:
                return False
            pieces += looks.halves(piece, undecided)
        return True

    def _shrinks_on(self, way: Way, rows: np.ndarray) -> np.ndarray:
        """By how much the distances [R] may be less anywhere on a way than where it begins."""
        low, high = way.box()
        turned = np.maximum(way.start - low, high - way.start)
        away = np.maximum(self._away(low), self._away(high))
        return self._shrinks(rows, turned, away)

    def _shrinks_within(self, piece: Piece, wiggle: np.ndarray) -> np.ndarray:
        """By how much the distances [R] may be less within a piece than at one of its ends and at
        the other, together; joints turn by at most `wiggle` [N] rad more than between its ends.
        """
        first = piece.first.pose
        last = piece.last.pose
        turned = np.abs(last - first) + wiggle
        away = np.maximum(self._away(first), self._away(last)) + wiggle
        return self._shrinks(piece.rows, turned, away)

    def _away(self, pose: np.ndarray) -> np.ndarray:
        """How far joints [N] rad are from where the last measurement was made."""
        return np.abs(pose - self._last.pose)

    def _shrinks(self, rows: np.ndarray, turned: np.ndarray, away: np.ndarray) -> np.ndarray:
        """By how much distances [R] shrink at most while joints turn by `turned` [N] rad, at most
        `away` [N] from where they were measured.

        A lever is longer there by no more than what it carries has moved.
        """
        levers = self._last.levers[rows]
        by_levers = _shrinks(levers, turned)
        longer = _shrinks(levers, away)
        return by_levers + longer * _shrinks(self._moved[rows], turned)


def _pieces(way: Way, looks: Looks, rows: np.ndarray, start: Look) -> list[Piece]:
    """The straight piece to the next command, and the stop from there as one piece."""
    command = looks.at(0.0, rows)
    pieces = [Piece(rows, 0.0, 0.0, start, command)]
    duration_s = way.duration_s
    if duration_s > 0:
        end = looks.at(duration_s, rows)
        pieces.append(Piece(rows, 0.0, duration_s, command, end))
    return pieces


def _shrinks(levers: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """By how much distances [R] m may shrink whose levers are [R, N] m/rad while joints turn by
    `turned` [N] rad.
    """
    # Not `@`: with this many numbers a BLAS library would start threads, and a control loop would
    # have to wait for them.
    return np.einsum("rn,n->r", levers, turned)
