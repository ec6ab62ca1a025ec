"""Listens to what an xArm controller pushes: motion at 100 to 200 Hz, health at 5 Hz, each in the
newest version.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections import Counter

import numpy as np

from xlvla_drivers import thread_clock
from xlvla_drivers.arms import xarm7_frames as wire
from xlvla_drivers.device import LinkLost
from xlvla_drivers.punctuality import Punctuality

CONNECT_S = 1.0


class Reports:
    """What has arrived; filled by a thread of its own from `open` to `close`.

    Attributes:
        motion: (arrival [ns, system clock], report) of the real-time port, None before the first.
        silent_s: for how long this thread has listened in vain for the next.
        health: the newest report of the rich port, None before the first.
    """

    def __init__(self, host: str, counts: Counter[str]):
        self.host = host
        self.counts = counts
        self.motion: tuple[int, np.void] | None = None
        self.silent_s = 0.0
        self._received_s = 0.0
        self.health: np.void | None = None
        self._punctuality = Punctuality()
        self._open = False
        self._thread: threading.Thread | None = None

    def open(self) -> None:
        """Connects; a controller older than firmware 2.1 has no port 30000 and is heard at 30003,
        without velocities.
        """
        try:
            motion = self._connect(wire.REALTIME_PORT)
            port = wire.REALTIME_PORT
        except LinkLost:
            motion = self._connect(wire.REAL_PORT)
            port = wire.REAL_PORT
        lines = {motion: port}
        with contextlib.suppress(LinkLost):
            lines[self._connect(wire.RICH_PORT)] = wire.RICH_PORT
        self._open = True
        self._thread = threading.Thread(
            target=self._listen, args=(lines,), name=f"xArm reports {self.host}", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._open = False
        if self._thread is not None:
            self._thread.join()
        self._thread = None

    def _connect(self, port: int) -> socket.socket:
        try:
            return socket.create_connection((self.host, port), timeout=CONNECT_S)
        except OSError as error:
            raise LinkLost(
                f"xArm at {self.host} does not open its report port {port}: "
                f"{error.strerror or error}"
            ) from None

    def _listen(self, lines: dict[socket.socket, int]) -> None:
        try:
            self._receive_reports(lines)
        finally:
            self.silent_s = math.inf
            for line in lines:
                line.close()

    def _receive_reports(self, lines: dict[socket.socket, int]) -> None:
        """Until it is closed, or every line has ended."""
        buffers = {line: bytearray() for line in lines}
        while self._open and lines:
            ready = thread_clock.wait(list(lines), thread_clock.now_s() + thread_clock.SLICE_S)
            self.silent_s = thread_clock.now_s() - self._received_s
            for line in ready:
                data = b""
                with contextlib.suppress(OSError):
                    data = line.recv(8192)
                if not data:
                    # The controller has closed it.
                    lines.pop(line)
                    line.close()
                    continue
                buffers[line] += data
                for report in wire.reports(buffers[line], lines[line], self.counts):
                    self._take(lines[line], report)

    def _take(self, port: int, report: np.void) -> None:
        if port == wire.RICH_PORT:
            self.health = report
        elif port == wire.REAL_PORT or self._is_new(report):
            self.motion = (time.time_ns(), report)
            self._received_s = thread_clock.now_s()
            self.silent_s = 0.0

    def _is_new(self, report: np.void) -> bool:
        """Counts reports that come again, late or out of order; only one that is newer than all
        before counts.
        """
        sent_us = int(report["stamp_us"])
        last_us = -1
        if self.motion is not None:
            _, last = self.motion
            last_us = int(last["stamp_us"])
        if sent_us <= last_us:
            self.counts["duplicated" if sent_us == last_us else "unexpected"] += 1
            return False
        self.counts["late"] += self._punctuality.is_late(1e-6 * sent_us, time.monotonic())
        return True
