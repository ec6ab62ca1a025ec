"""What was executed: commands as they were in force, looked up by time."""

from __future__ import annotations

from collections import deque

import numpy as np

from xlvla.types import SECOND

_MARGIN_S = 2.0


class History:
    """Commands [J] rad of one part over the last `span_s` and a little more."""

    def __init__(self, span_s: float):
        self._kept_ns = round((span_s + _MARGIN_S) * SECOND)
        self._stamps: deque[int] = deque()
        self._commands: deque[np.ndarray] = deque()

    def add(self, stamp_ns: int, command: np.ndarray) -> None:
        """A command that came into force; one that is older than the newest is dropped."""
        if self._stamps and stamp_ns <= self._stamps[-1]:
            return
        self._stamps.append(stamp_ns)
        self._commands.append(command)
        while len(self._stamps) > 1 and self._stamps[1] < stamp_ns - self._kept_ns:
            self._stamps.popleft()
            self._commands.popleft()

    def clear(self) -> None:
        self._stamps.clear()
        self._commands.clear()

    def as_of(self, stamp_ns: int, frames: int, rate_hz: float, before: np.ndarray) -> np.ndarray:
        """Commands [T, J] in force at the last T = `frames` frames, the last of them at `stamp_ns`.

        Before the first command the robot stood still where that command starts; without any
        command at `before` [J], its measured pose.
        """
        if not self._stamps:
            return np.tile(before, (frames, 1))
        times = stamp_ns - (np.arange(frames - 1, -1, -1) * SECOND / rate_hz).astype(np.int64)
        index = np.searchsorted(np.array(self._stamps), times, side="right") - 1
        return np.array(self._commands)[np.maximum(index, 0)]
