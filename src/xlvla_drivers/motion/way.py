"""The way a rig is about to take, and what is looked at along it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla_drivers.motion.braking import AtRest, Braking
from xlvla_drivers.motion.distance import Distances


@dataclass(frozen=True)
class Way:
    """From the last command [N] straight to the next, and the stop from there.

    Args:
        start: the last command, or where a side is that has none yet.
        stops: what follows, of one part of the joints after the other; together N joints.
    """

    start: np.ndarray
    stops: Sequence[Braking | AtRest]

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
    """A piece of a way between two times [s], with the poses [N] and the distances [R] of the gaps
    `rows` at its ends.
    """

    rows: np.ndarray
    times: tuple[float, float]
    poses: tuple[np.ndarray, np.ndarray]
    distances: tuple[np.ndarray, np.ndarray]


class Looks:
    """Distances along a way, counted."""

    def __init__(self, way: Way, distances: Distances):
        self._way = way
        self._distances = distances
        self.count = 0

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

    def _middle(
        self, piece: Piece, seconds: float, rows: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        if piece.times[0] < piece.times[1]:
            return self.at(seconds, rows)
        self.count += 1  # the straight piece to the next command takes no time of the stop
        pose = (piece.poses[0] + piece.poses[1]) / 2
        return pose, self._distances.some(pose, rows)
