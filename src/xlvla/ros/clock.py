"""ROS time for loops: the system's clock, or the simulation's, smooth between its messages.

Stamps and deadlines of a node come from one `Clock`. With a simulation that is the simulation's
time, so a control loop at 100 Hz runs 100 times per simulated second, however fast that second
passes.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator

from rclpy.clock import (
    ClockType,  # pyright: ignore[reportPrivateImportUsage]
    ROSClock,
)
from rclpy.node import Node
from rclpy.time import Time
from rclpy.time_source import TimeSource

from xlvla.ros import forms, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.reader import Reader


class Clock:
    """The system's clock."""

    def now_ns(self) -> int:
        return time.time_ns()

    @property
    def running(self) -> bool:
        """Time is known."""
        return True

    def pause_s(self, until_ns: int) -> float:
        """How long to sleep [s] before looking again whether `until_ns` has come."""
        return (until_ns - self.now_ns()) / SECOND

    def ticks(self, rate_hz: float, stop: threading.Event) -> Iterator[tuple[int, int]]:
        """(deadline [ns], deadlines missed before it) `rate_hz` times a second until stopped;
        deadlines are whole periods of the clock.
        """
        period = round(SECOND / rate_hz)
        while not self.running and not stop.wait(0.01):
            pass
        due = self._next(period)
        while not stop.is_set():
            now = self.now_ns()
            if due - now > 2 * period:  # time went back: another simulation began
                due = self._next(period)
            elif now < due:
                self._rest(due, stop)
            else:
                missed = (now - due) // period
                due += missed * period
                yield due, missed
                due += period

    def _next(self, period: int) -> int:
        return (self.now_ns() // period + 1) * period

    def _rest(self, until_ns: int, stop: threading.Event) -> None:
        """Sleeps at most until then, and not so long that a stop or a change of the clock goes
        unnoticed.
        """
        pause_s = self.pause_s(until_ns)
        if pause_s > 0.05:
            stop.wait(0.05)
        else:
            time.sleep(max(pause_s, 0.0002))


LEAP_NS = 10 * SECOND
BACK_NS = SECOND // 10
"""The clock is not believed at once where it goes on, or back, by more than this in one message."""


class SimClock(Clock):
    """The simulation's clock from `/clock`, made smooth between and across its messages.

    A message can be late but never early, so real time is set against the promptest of the last
    second; otherwise each late message would stop the clock for as long. The clock is at most
    `LONGEST_NS` ahead of the newest message: a simulation that stops stops it.

    With the parameter `use_sim_time` the node's clock in rclpy gets its time from here, instead of
    from a subscription of its own: each message would wake the executor, which costs 6 % of a core.

    Args:
        speed: simulated seconds per second; 0 when it runs as fast as it can, then only messages
            move the clock.
    """

    LONGEST_NS = SECOND // 25

    def __init__(self, node: Node, speed: float):
        self._of_rclpy = node.get_clock()
        for subscription in list(node.subscriptions):
            if getattr(subscription.callback, "__module__", "") == TimeSource.__module__:
                node.destroy_subscription(subscription)
        self._reader = Reader(node, topics.CLOCK, forms.CLOCK)
        self._speed = speed
        self._leapt_ns: int | None = None
        self._lock = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        self._sim_ns = self._latest_ns = -1
        self._delays: deque[float] = deque(maxlen=100)
        self._promptest = 0.0

    @property
    def running(self) -> bool:
        return self.now_ns() >= 0

    def now_ns(self) -> int:
        with self._lock:
            sim_ns = self._reader.newest()
            if sim_ns is not None:
                self._on_clock(sim_ns)
            if self._sim_ns >= 0:
                self._latest_ns = max(self._latest_ns, self._smooth_ns())
            return self._latest_ns

    def _on_clock(self, sim_ns: int) -> None:
        if self._latest_ns >= 0 and not -BACK_NS <= sim_ns - self._latest_ns <= LEAP_NS:
            if not self._confirmed(sim_ns):
                return
            if sim_ns < self._latest_ns:  # another simulation: its time counts from now on
                self._begin()
        self._leapt_ns = None
        self._sim_ns = sim_ns
        if isinstance(self._of_rclpy, ROSClock) and self._of_rclpy.ros_time_is_active:
            self._of_rclpy.set_ros_time_override(
                Time(nanoseconds=sim_ns, clock_type=ClockType.ROS_TIME)
            )
        if self._speed:
            self._delays.append(time.monotonic_ns() - sim_ns / self._speed)
            self._promptest = min(self._delays)

    def _confirmed(self, sim_ns: int) -> bool:
        """Whether the message before leapt there, too: time that leaps once is a stray message."""
        before_ns = self._leapt_ns
        self._leapt_ns = sim_ns
        if before_ns is not None and 0 <= sim_ns - before_ns <= LEAP_NS:
            return True
        self._reader.refuse(
            f"time leaps from {self._latest_ns / SECOND:.1f} s to {sim_ns / SECOND:.1f} s: "
            "believed once it goes on there"
        )
        return False

    def _smooth_ns(self) -> int:
        if not self._speed:
            return self._sim_ns
        expected_ns = round((time.monotonic_ns() - self._promptest) * self._speed)
        return min(max(expected_ns, self._sim_ns), self._sim_ns + self.LONGEST_NS)

    def pause_s(self, until_ns: int) -> float:
        if self._sim_ns < 0:
            return 0.01
        ahead_s = (until_ns - self._latest_ns) / SECOND
        return ahead_s / self._speed if self._speed and ahead_s > 0 else 0.001
