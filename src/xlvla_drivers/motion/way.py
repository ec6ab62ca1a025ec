"""The path a rig is about to take, and the distances that are measured along it."""

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
        stops: what follows the next command, of one side's joints after the other; together N
            joints.
    """

    start: np.ndarray
    stops: Sequence[Braking | AtRest]

    def at(self, seconds: float) -> np.ndarray:
        """Where the rig is [N] rad, this many seconds after the next command."""
        return np.concatenate([stop.at(seconds).position for stop in self.stops])

    @property
    def duration_s(self) -> float:
        """Of the stop."""
        return max(stop.duration_s for stop in self.stops)

    def box(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest position of every joint [N] rad on the way."""
        low = np.concatenate([stop.start + stop.low for stop in self.stops])
        high = np.concatenate([stop.start + stop.high for stop in self.stops])
        return np.minimum(self.start, low), np.maximum(self.start, high)


@dataclass(frozen=True)
class Look:
    """A pose [N] rad, and the distances [R] m of some gaps there."""

    pose: np.ndarray
    distances: np.ndarray

    def of(self, some: np.ndarray) -> Look:
        """The same pose with some of the distances only."""
        return Look(self.pose, self.distances[some])


@dataclass(frozen=True)
class Piece:
    """A piece of a way between two times of the stop, with a look at the gaps `rows` [R] at its
    ends.

    The straight piece to the next command takes no time: it begins and ends at 0.
    """

    rows: np.ndarray
    begin_s: float
    end_s: float
    first: Look
    last: Look


class Looks:
    """Measures distances along a way.

    Attributes:
        count: how many poses have been looked at.
    """

    def __init__(self, way: Way, distances: Distances):
        self._way = way
        self._distances = distances
        self.count = 0

    def start(self, rows: np.ndarray) -> Look:
        """Where the way begins, at the gaps `rows` [R]."""
        return self._look(self._way.start, rows)

    def at(self, seconds: float, rows: np.ndarray) -> Look:
        """At a time [s] of the stop."""
        return self._look(self._way.at(seconds), rows)

    def halves(self, piece: Piece, some: np.ndarray) -> list[Piece]:
        """The two halves of a piece, for some of its rows."""
        rows = piece.rows[some]
        middle_s = (piece.begin_s + piece.end_s) / 2
        if piece.begin_s < piece.end_s:
            middle = self.at(middle_s, rows)
        else:
            middle = self._look((piece.first.pose + piece.last.pose) / 2, rows)
        return [
            Piece(rows, middle_s, piece.end_s, middle, piece.last.of(some)),
            Piece(rows, piece.begin_s, middle_s, piece.first.of(some), middle),
        ]

    def _look(self, pose: np.ndarray, rows: np.ndarray) -> Look:
        self.count += 1
        return Look(pose, self._distances.some(pose, rows))
