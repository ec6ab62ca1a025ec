"""Time that a control loop did not live through: its process was stopped, or had no processor."""

from __future__ import annotations

import time

from xlvla_drivers.motion.passage import AHEAD_S


class LostTime:
    """How much of the clock's time was lost of late. What is lost in a moment takes as long to be
    forgotten.

    A clock that is set loses nothing, but for a simulation's, beside which there is no other.

    Args:
        rate_hz: of the loop.
        simulated: the loop counts a simulation's time.
        longest_s: what may be lost without being reported.
    """

    def __init__(self, rate_hz: float, simulated: bool, longest_s: float):
        self._period_s = 1 / rate_hz
        self._simulated = simulated
        self._longest_s = longest_s
        self._lost_s = 0.0
        self._steady_s = time.monotonic()

    def tick(self, missed: int, passed_s: float) -> float:
        """What was lost [s] where that is too much, else 0.

        Args:
            missed: ticks that were missed before this one.
            passed_s: the time for which this one moves things.
        """
        steady_s = time.monotonic()
        asked_s = (1 + missed) * self._period_s
        if not self._simulated:
            asked_s = min(asked_s, steady_s - self._steady_s + AHEAD_S)
        self._steady_s = steady_s
        lost_s = max(self._lost_s - passed_s, 0.0) + max(asked_s - passed_s, 0.0)
        too_much = lost_s > self._longest_s
        self._lost_s = 0.0 if too_much else lost_s
        return lost_s if too_much else 0.0
