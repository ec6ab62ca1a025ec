"""Stands in for pyspacemouse and the device behind it: reports wait in the kernel's queue, and each
`read` takes the oldest of them, as in both generations of the package.
"""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace

KEPT = 64
"""Reports that Linux keeps of a HID device; the oldest go first."""

STILL = {"x": 0.0, "y": 0.0, "z": 0.0, "roll": 0.0, "pitch": 0.0, "yaw": 0.0}


class Device:
    def __init__(self) -> None:
        self.queue: deque[dict[str, object]] = deque(maxlen=KEPT)
        self._state = SimpleNamespace(t=-1.0, buttons=[0, 0], **STILL)
        self._reports = 0
        self.gone = False

    def send(self, **changes: object) -> None:
        """A report of the device: how far the cap is pushed, which buttons are pressed."""
        self.queue.append(changes)

    def read(self) -> SimpleNamespace:
        if self.gone:
            raise OSError("No such device")
        if self.queue:
            self._reports += 1
            vars(self._state).update(self.queue.popleft(), t=float(self._reports))
        return self._state

    def close(self) -> None:
        self.queue.clear()


def first_generation(device: Device) -> SimpleNamespace:
    """pyspacemouse 1: a path is an argument of `open`."""

    def open_(path: str | None = None) -> Device:
        return device

    return SimpleNamespace(open=open_)


def second_generation(device: Device) -> SimpleNamespace:
    """pyspacemouse 2: a path has a function of its own."""

    def open_() -> Device:
        return device

    def open_by_path(path: str) -> Device:
        return device

    return SimpleNamespace(open=open_, open_by_path=open_by_path)
