"""Keeps simulated time in step with real time."""

from __future__ import annotations

import threading
import time
from collections import deque

from xlvla.types import SECOND

_FORGIVEN_S = 0.2
"""A simulation further behind than this does not catch up: it goes on from where it is."""


class Pacer:
    """Sleeps so that a simulation runs at `speed` simulated seconds per second; 0 never sleeps.

    Attributes:
        factor: simulated seconds per second, over about the last second.
    """

    def __init__(self, speed: float):
        self._speed = speed
        self._start_s = time.monotonic()
        self._passed_s = 0.0
        self._marks: deque[tuple[float, float]] = deque([(self._start_s, 0.0)])
        self._total_s = 0.0
        self.factor = 0.0

    def passed(self, simulated_s: float, stop: threading.Event) -> None:
        """That much time was simulated since the last call; sleeps until reality is as far."""
        self._passed_s += simulated_s
        self._total_s += simulated_s
        self._measure()
        if not self._speed:
            return
        due_s = self._start_s + self._passed_s / self._speed
        ahead_s = due_s - time.monotonic()
        if ahead_s > 0.5:
            stop.wait(ahead_s)
        elif ahead_s > 0:
            # Cheaper than to wait for an event, and the end need not be noticed within that time.
            time.sleep(ahead_s)
        elif ahead_s < -_FORGIVEN_S:
            self._start_s = time.monotonic()
            self._passed_s = 0.0

    def _measure(self) -> None:
        now = time.monotonic()
        if now - self._marks[-1][0] < 0.1:
            return
        self._marks.append((now, self._total_s))
        if len(self._marks) > 11:
            self._marks.popleft()
        began_s, before_s = self._marks[0]
        self.factor = (self._total_s - before_s) / (now - began_s)


class Due:
    """What happens at rates of its own, each once per period."""

    def __init__(self) -> None:
        self._periods: dict[str, int] = {}

    def __call__(self, what: str, rate_hz: float, now_ns: int) -> bool:
        # A stamp of whole nanoseconds may fall just short of its period's beginning.
        period = int(now_ns * rate_hz / SECOND + 1e-6)
        due = self._periods.get(what) != period
        self._periods[what] = period
        return due
