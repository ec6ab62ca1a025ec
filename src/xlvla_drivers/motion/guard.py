"""How fast a rig may move on, given how near things are now and where its chunks lead."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.rig import Rig
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.pace import REACTION_S

AHEAD_S = (REACTION_S / 2, REACTION_S)
"""Where a chunk leads is looked at so much of its time ahead."""

SAME_M = 1e-5
"""A distance that shrinks less than this on the way ahead does not shrink."""


@dataclass(frozen=True)
class Verdict:
    """The pace allowed, the gap that decides it (the tightest one where none does) with its distance, and the processor time it took."""

    pace: float
    gap: str
    distance_m: float
    took_s: float


class Guard:
    """Slows what makes a small distance smaller; what makes it larger, or leaves it, goes on."""

    def __init__(self, rig: Rig):
        self.distances = Distances(rig)
        self._stop = np.array([gap.margin.stop_m for gap in self.distances.gaps])
        self._slow = np.array([gap.margin.slow_m for gap in self.distances.gaps])

    def look(self, here: np.ndarray, ahead: Sequence[np.ndarray], rate: float) -> Verdict:
        """Judges a pose [N] and those `AHEAD_S` of the chunks' time later, for a rig that plays at `rate`."""
        began = time.thread_time()
        now = self.distances.at(here)
        least = np.min([self.distances.at(pose) for pose in ahead], axis=0)
        then = now + rate * (least - now)  # a slower rig comes less far before it stands
        allowed = np.clip((then - self._stop) / (self._slow - self._stop), 0.0, 1.0)
        allowed[least > now - SAME_M] = 1.0
        tightest = int(np.argmin(allowed if (allowed < 1).any() else now - self._stop))
        gap = str(self.distances.gaps[tightest])
        return Verdict(float(allowed.min()), gap, float(now[tightest]), time.thread_time() - began)
