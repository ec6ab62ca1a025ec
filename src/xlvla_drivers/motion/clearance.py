"""Whether a rig keeps its distances on the way it is about to take, and how fast it may go near
things.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.rig import Rig
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.speed_scaling import REACTION_S
from xlvla_drivers.motion.way import Looks, Piece, Way

AHEAD_S = (REACTION_S / 2, REACTION_S)
"""Where a chunk leads is looked at so much of its time ahead."""

SAME_M = 2e-4
"""A distance that shrinks less than this on the way ahead does not shrink."""

HOLDS = 0.5
"""With which acceleration [m/s^2] a hand is held that presses as far as it may; arms can ten times
that.
"""

SLACK_M = 0.00025
"""By at most so much may a distance be below its stop between two looked-at poses: a bound, from
joint angles and lever arms.
"""

NOISE_M = 2e-5
"""By at most so much may a distance be below its stop where it was looked at; distances are exact
to a tenth of this.

Less than `SLACK_M`: from where a rig has come to rest there is always room to judge the first of
its way back.
"""

DRIFT_M = 0.03
"""Distances are measured anew where a pair that matters may have changed by more than this since
they were.
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
        self._stop = np.array([gap.margin.stop_m for gap in self.distances.gaps])
        self._slow = np.array([gap.margin.slow_m for gap in self.distances.gaps])
        self._touches = np.array([gap.margin is rig.motion.touch for gap in self.distances.gaps])
        self._floor, self._moved = self._stop, self.distances.moved.astype(float)

    def begin(self, pose: np.ndarray) -> None:
        """The rig is at a pose [N]; what is too near there is so through no command."""
        self._measure(pose)
        self._floor = np.minimum(self._stop, self._known)

    def carried(self, before: np.ndarray, after: np.ndarray) -> None:
        """The rig was moved externally from a pose [N] to another: distances that shrank by that
        were not commanded.
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
        return not near.size or self._keeps(way, near)

    def look(self, here: np.ndarray, ahead: Sequence[np.ndarray], rate: float) -> Verdict:
        """The pace at a pose [N] of a rig that plays at `rate`, whose chunks want those poses
        `AHEAD_S` of their time later.

        Slows what makes a small distance smaller; what makes it larger, or leaves it, goes on.
        """
        poses = [here, *ahead]
        near = self._near(np.min(poses, axis=0), np.max(poses, axis=0), self._slow)
        if near.size and self._drifted(here, near):
            self._measure(here)
            near = self._near(np.min(poses, axis=0), np.max(poses, axis=0), self._slow)
        if not near.size:
            tightest = int(np.argmin(self._known - self._stop))
            return self._verdict(1.0, tightest, self._known[tightest])
        now = self.distances.some(here, near)
        turned = np.max([np.abs(pose - here) for pose in ahead], axis=0)
        soon = np.flatnonzero(
            now - self._shrinks(near, turned, turned + np.abs(here - self._pose)) < self._slow[near]
        )
        tightest = int(np.argmin(now - self._stop[near]))
        if not soon.size:
            return self._verdict(1.0, near[tightest], now[tightest])
        near = near[soon]
        now = now[soon]
        least = np.min([self.distances.some(pose, near) for pose in ahead], axis=0)
        allowed = np.where(
            self._touches[near],
            self._presses(near, now, least),
            self._nears(near, now, least, rate),
        )
        allowed[least > now - SAME_M] = 1.0
        tightest = int(np.argmin(allowed if (allowed < 1).any() else now - self._stop[near]))
        return self._verdict(float(allowed.min()), near[tightest], now[tightest])

    def _verdict(self, pace: float, row: int, distance_m: float) -> Verdict:
        return Verdict(pace, str(self.distances.gaps[row]), float(distance_m))

    def _nears(
        self, rows: np.ndarray, now: np.ndarray, least: np.ndarray, rate: float
    ) -> np.ndarray:
        """The paces [R] at which distances go gently to their stops, which at `rate` come down from
        `now` towards `least` [R] m.
        """
        then = now + rate * (least - now)  # a slower rig comes less far before it stands
        return np.clip((then - self._stop[rows]) / (self._slow[rows] - self._stop[rows]), 0.0, 1.0)

    def _presses(self, rows: np.ndarray, now: np.ndarray, least: np.ndarray) -> np.ndarray:
        """The paces [R] at which hands that press on the table can be held at the stop: work there
        is not slowed any more than that.
        """
        speed = np.maximum(now - least, SAME_M) / AHEAD_S[-1]
        return np.clip(
            np.sqrt(2 * HOLDS * np.maximum(now - self._stop[rows], 0.0)) / speed, 0.0, 1.0
        )

    def _measure(self, pose: np.ndarray) -> None:
        """Everything, at a pose the rig is at."""
        self._known, self._levers, self._pose = (
            self.distances.at(pose),
            self.distances.levers(),
            pose,
        )
        self._floor = np.maximum(self._floor, np.minimum(self._stop, self._known))

    def _drifted(self, pose: np.ndarray, rows: np.ndarray) -> bool:
        return bool((_shrinks(self._levers[rows], np.abs(pose - self._pose)) > DRIFT_M).any())

    def _near(self, low: np.ndarray, high: np.ndarray, least: np.ndarray) -> np.ndarray:
        """Rows of the gaps that may be below `least` [G] somewhere between two poses [N]."""
        turned = np.maximum(np.abs(low - self._pose), np.abs(high - self._pose))
        return np.flatnonzero(self._known - _shrinks(self._levers, turned) < least)

    def _keeps(self, way: Way, rows: np.ndarray) -> bool:
        """Whether the gaps `rows` keep their floors: pieces that may not are halved.

        What others have brought nearer than that where the way begins may not get nearer still.
        """
        looks = Looks(way, self.distances)
        start, here = looks.at(None, rows)
        least = np.full(len(self._floor), -np.inf)
        least[rows] = np.minimum(self._floor[rows] - NOISE_M, here)
        doubtful = np.flatnonzero(here - self._from_start(way, rows) < least[rows])
        if not doubtful.size:
            return True
        rows = rows[doubtful]
        here = here[doubtful]
        step = looks.at(0.0, rows)
        pieces = [Piece(rows, (0.0, 0.0), (start, step[0]), (here, step[1]))]
        if way.duration_s > 0:
            end = looks.at(way.duration_s, rows)
            pieces.append(Piece(rows, (0.0, way.duration_s), (step[0], end[0]), (step[1], end[1])))
        wiggle = np.concatenate([stop.wiggle for stop in way.stops])
        while pieces:
            piece = pieces.pop()
            allowed = least[piece.rows]
            if any((distances < allowed).any() for distances in piece.distances):
                return False
            length_s = piece.times[1] - piece.times[0]
            open_ = np.flatnonzero(
                sum(piece.distances) - self._between(piece, wiggle * length_s**2)
                < 2 * (allowed - SLACK_M)
            )
            if not open_.size:
                continue
            if looks.count >= MOST_POSES:
                return False
            pieces += looks.halves(piece, open_)
        return True

    def _from_start(self, way: Way, rows: np.ndarray) -> np.ndarray:
        """By how much the distances [R] may be less anywhere on a way than where it begins."""
        low, high = way.box()
        away = np.maximum(np.abs(low - self._pose), np.abs(high - self._pose))
        return self._shrinks(rows, np.maximum(way.start - low, high - way.start), away)

    def _between(self, piece: Piece, wiggle: np.ndarray) -> np.ndarray:
        """By how much the distances [R] may be less within a piece than at one of its ends and at
        the other, together.
        """
        first, last = piece.poses
        away = np.maximum(np.abs(first - self._pose), np.abs(last - self._pose)) + wiggle
        return self._shrinks(piece.rows, np.abs(last - first) + wiggle, away)

    def _shrinks(self, rows: np.ndarray, turned: np.ndarray, away: np.ndarray) -> np.ndarray:
        """By how much distances [R] shrink at most while joints turn by `turned` [N] rad, at most
        `away` [N] from where they were measured.

        A lever is longer there by no more than what it carries has moved.
        """
        levers = self._levers[rows]
        return _shrinks(levers, turned) + _shrinks(levers, away) * _shrinks(
            self._moved[rows], turned
        )


def _shrinks(levers: np.ndarray, turned: np.ndarray) -> np.ndarray:
    """By how much distances [R] m may shrink whose levers are [R, N] m/rad while joints turn by so
    much [N] rad.

    Not `@`: for so many numbers a library would start threads, which a control loop would have to
    wait for.
    """
    return np.einsum("rn,n->r", levers, turned)
