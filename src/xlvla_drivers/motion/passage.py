"""How much time passes between ticks, whatever is done to the clock that stamps are compared in."""

from __future__ import annotations

import time

from xlvla_drivers.motion.player import LONGEST_STEP_S

AHEAD_S = 0.02
"""Ticks may be ahead of monotonic time by this much: a loop that was kept waiting catches up."""

JUMP_S = 0.25
"""A clock that is set by more than this while a chunk is played ends the chunk: it is unknown when
its frames are due.
"""

STANDSTILL_S = 1.0
"""A simulation's clock that moves on by more than this at once was set, or stood still for longer
than a chunk is of use.
"""


class Passage:
    """The time between ticks, which is never negative and never long.

    Args:
        rate_hz: of the ticks.
        simulated: ticks count a simulation's time, which has no steady clock beside it.
    """

    def __init__(self, rate_hz: float, simulated: bool):
        self._period_s = 1 / rate_hz
        self._simulated = simulated
        self._last_s = -1.0
        self._steady_s = time.monotonic()
        # Real time that has passed and was not counted: a loop that loses its processor after it
        # has read the clock counts it at its next tick. Below zero is what was counted ahead.
        self._uncounted_s = 0.0

    def tick(self, now_s: float, missed: int) -> tuple[float, str]:
        """The time that passes at a tick.

        Args:
            now_s: time of the tick in the clock of the stamps.
            missed: ticks that were missed before it; below 0 where the clock went back.

        Returns:
            how much time has passed [s], and a line about how the clock was set, '' where it was
            not.
        """
        due_s = max(1 + missed, 0) * self._period_s
        elapsed_s = now_s - self._last_s
        steady_s = time.monotonic() - self._steady_s
        first = self._last_s < 0
        self._last_s = now_s
        self._steady_s = self._steady_s + steady_s
        if first:
            return self._period_s, ""
        set_by_s = self._set_by_s(elapsed_s, steady_s)
        if set_by_s:
            self._uncounted_s = 0.0
            direction = "back" if set_by_s < 0 else "forward"
            return self._period_s, f"the clock was set {direction} by {abs(set_by_s):.2f} s"
        # Never more than really passed, however the clock was corrected, but for `AHEAD_S` in all.
        real_s = self._uncounted_s + steady_s
        if not self._simulated:
            due_s = min(due_s, real_s + AHEAD_S)
        passed_s = min(due_s, LONGEST_STEP_S)
        left_s = real_s - passed_s
        self._uncounted_s = min(max(left_s, -AHEAD_S), LONGEST_STEP_S)
        return passed_s, ""

    def _set_by_s(self, elapsed_s: float, steady_s: float) -> float:
        """By how much the clock was set [s]; 0 where it was not."""
        if self._simulated:
            was_set = elapsed_s < 0 or elapsed_s > STANDSTILL_S
            return elapsed_s if was_set else 0.0
        difference_s = elapsed_s - steady_s
        return difference_s if abs(difference_s) > JUMP_S else 0.0
