"""What a node knows about itself: rates, latencies, counts, and whether all is well."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from xlvla.ros.convert import stamp

_KEPT = 512
"""How many of the newest intervals and durations a figure is made of."""


class Health:
    """Collects figures from any thread; `message` is what goes to /diagnostics."""

    def __init__(self, name: str):
        self.name = name
        self.counts: Counter[str] = Counter()
        self._ticks: dict[str, deque[float]] = {}
        self._durations_ms: dict[str, deque[float]] = {}
        self._facts: dict[str, str] = {}
        self._level = DiagnosticStatus.OK
        self._summary = "starting"
        self._lock = threading.Lock()

    def tick(self, what: str) -> None:
        """Something periodic happened now."""
        with self._lock:
            self._ticks.setdefault(what, deque(maxlen=_KEPT)).append(time.monotonic())

    def took(self, what: str, seconds: float) -> None:
        with self._lock:
            self._durations_ms.setdefault(what, deque(maxlen=_KEPT)).append(1e3 * seconds)

    def fact(self, what: str, value: object) -> None:
        with self._lock:
            self._facts[what] = str(value)

    def ok(self, summary: str) -> None:
        self._level = DiagnosticStatus.OK
        self._summary = summary

    def warn(self, summary: str) -> None:
        self._level = DiagnosticStatus.WARN
        self._summary = summary

    def error(self, summary: str) -> None:
        self._level = DiagnosticStatus.ERROR
        self._summary = summary

    def figures(self) -> dict[str, str]:
        with self._lock:
            figures = dict(self._facts)
            for what, times in self._ticks.items():
                figures[f"{what} [Hz]"] = f"{_rate_hz(times):.1f}"
            for what, durations in self._durations_ms.items():
                p50, p99 = np.percentile(durations, [50, 99])
                figures[f"{what} p50 [ms]"] = f"{p50:.2f}"
                figures[f"{what} p99 [ms]"] = f"{p99:.2f}"
            # A copy: counts are added to without the lock.
            for what, count in dict(self.counts).items():
                if count:
                    figures[what] = str(count)
            return figures

    def message(self, now_ns: int) -> DiagnosticArray:
        values = [KeyValue(key=key, value=value) for key, value in self.figures().items()]
        status = DiagnosticStatus(
            level=self._level, name=self.name, message=self._summary, hardware_id="", values=values
        )
        array = DiagnosticArray(status=[status])
        array.header.stamp = stamp(now_ns)
        return array


def _rate_hz(times: deque[float]) -> float:
    """Events per second over the last seconds; 0 when they have stopped."""
    since = time.monotonic() - 3.0
    recent = [time_s for time_s in times if time_s > since]
    if len(recent) < 2:
        return 0.0
    return (len(recent) - 1) / (recent[-1] - recent[0])
