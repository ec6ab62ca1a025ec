"""Errors of a known size of where an expert brings its hands: what a task forgives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from xlvla.types import Side
from xlvla_sim.task import Segment, WayPoint

STAYS_M = 1e-3
"""A side whose segment begins so near to where the last one ended stays there, with its error."""


class Miss:
    """Leads every hand beside where a plan wants it, by `size_m` [m] level with the table.

    Each time a hand is sent elsewhere the direction is drawn anew: a plan looks at a held thing
    before it puts it down, and would make up for an error that stays the same. So both places are
    missed by this much, the one where a thing is taken and the one where it is put.
    """

    def __init__(self, size_m: float, rng: np.random.Generator):
        self._size_m = size_m
        self._rng = rng
        self._errors: dict[Side, np.ndarray] = {}
        self._ends: dict[Side, np.ndarray] = {}

    def off(self, segment: Segment) -> Segment:
        """The next segment of a plan, beside where it should be."""
        return {side: self._beside(side, points) for side, points in segment.items()}

    def _beside(self, side: Side, points: Sequence[WayPoint]) -> Sequence[WayPoint]:
        if not points:
            return points
        begin = points[0].wrist[:3]
        stays = side in self._ends and np.linalg.norm(begin - self._ends[side]) < STAYS_M
        if not stays:
            angle = self._rng.uniform(-np.pi, np.pi)
            level = np.array([np.cos(angle), np.sin(angle), 0, 0, 0, 0])
            self._errors[side] = self._size_m * level
        self._ends[side] = points[-1].wrist[:3]
        error = self._errors[side]
        return [replace(point, wrist=point.wrist + error) for point in points]
