"""Keeps one camera connected, from a thread of its own, and holds its newest picture."""

from __future__ import annotations

import threading
from collections import Counter

from xlvla.errors import XlvlaError
from xlvla.types import SECOND
from xlvla_drivers.cameras.camera import CameraDevice, ImageFrame
from xlvla_drivers.device import LinkLost

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 3.0
"""Between attempts to connect, doubled every time."""


class Watch:
    """One camera; what it saw is taken by another thread.

    Attributes:
        why: the reason why the camera is not there, '' while it is.
        failure: a mistake in the rig, which trying again does not mend.
        counts: pictures, dropped (never arrived), passed over (another was newer), attempts,
            connections, losses.
    """

    def __init__(self, camera: CameraDevice):
        self.camera = camera
        self.why = "connecting"
        self.failure: XlvlaError | None = None
        self.counts: Counter[str] = Counter()
        self._newest: ImageFrame | None = None
        self._number: int | None = None
        self._stamp_ns = 0
        self._seen = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep, name="camera", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            # A camera that hangs keeps its thread, which is a daemon.
            self._thread.join(timeout=2.0)

    def take(self, timeout_s: float) -> ImageFrame | None:
        """The newest picture not yet taken, waiting for one at most so long; raises the failure
        where there is one.
        """
        with self._seen:
            if self._newest is None and self.failure is None:
                self._seen.wait(timeout_s)
            if self.failure is not None:
                raise self.failure
            frame = self._newest
            self._newest = None
            return frame

    def _keep(self) -> None:
        pause_s = FIRST_PAUSE_S
        while not self._stop.is_set() and self.failure is None:
            before = self.counts["connections"]
            try:
                self._look()
            except (LinkLost, OSError) as error:
                self._lose(str(error), self.counts["connections"] > before)
            except XlvlaError as error:
                self._fail(error)
            finally:
                self.camera.disconnect()
            if self.counts["connections"] > before:
                pause_s = FIRST_PAUSE_S
            else:
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            self._stop.wait(pause_s)

    def _look(self) -> None:
        self.counts["attempts"] += 1
        self.camera.connect()
        self._number = None
        while not self._stop.is_set():
            frame = self.camera.read()
            if self._number is None:
                self.counts["connections"] += 1
            else:
                self.counts["dropped"] += self._missing(frame)
            self._number = frame.number or 0
            self._stamp_ns = frame.stamp_ns
            self.why = ""
            self._put(frame)

    def _missing(self, frame: ImageFrame) -> int:
        """How many pictures there must have been between the last one and this."""
        if frame.number is not None and self._number is not None:
            return max(frame.number - self._number - 1, 0)
        passed_s = (frame.stamp_ns - self._stamp_ns) / SECOND
        return max(round(passed_s * self.camera.rate_hz) - 1, 0)

    def _put(self, frame: ImageFrame) -> None:
        with self._seen:
            self.counts["pictures"] += 1
            self.counts["passed over"] += self._newest is not None
            self._newest = frame
            self._seen.notify()

    def _lose(self, why: str, was_there: bool) -> None:
        self.counts["losses"] += was_there
        self.why = why
        with self._seen:
            self._newest = None
            self._seen.notify()

    def _fail(self, error: XlvlaError) -> None:
        with self._seen:
            self.failure = error
            self._seen.notify()


class FrameSelector:
    """Which of a camera's pictures are published: all where it is not faster than wanted, else
    those nearest to the wanted times.
    """

    def __init__(self, wanted_hz: float):
        self._period_ns = SECOND / wanted_hz
        self._due_ns = 0.0

    def __call__(self, stamp_ns: int, camera_hz: float) -> bool:
        # A picture that comes up to half of a camera's period too early is the nearest one.
        half_period_ns = 0.5 * SECOND / max(camera_hz, 1.0)
        if stamp_ns < self._due_ns - half_period_ns:
            return False
        # After a gap the wanted times begin anew.
        last_ns = max(self._due_ns, stamp_ns - self._period_ns)
        self._due_ns = last_ns + self._period_ns
        return True
