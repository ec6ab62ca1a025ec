"""Executed commands, looked up by the time at which they were in force."""

from __future__ import annotations

from collections import deque

import numpy as np

from xlvla.types import SECOND

_MARGIN_S = 2.0
"""Commands older than a chunk are kept this much longer, for observations that come late."""


class History:
    """Commands [J] rad of one part over the last `span_s` and a margin."""

    def __init__(self, span_s: float):
        self._kept_ns = round((span_s + _MARGIN_S) * SECOND)
        self._stamps: deque[int] = deque()
        self._commands: deque[np.ndarray] = deque()

    def __len__(self) -> int:
        """How many commands are kept."""
        return len(self._stamps)

    @property
    def newest_ns(self) -> int:
        """Stamp of the newest command; 0 where there is none."""
        return self._stamps[-1] if self._stamps else 0

    def add(self, stamp_ns: int, command: np.ndarray) -> None:
        """Adds a command that came into force; one that is older than the newest is discarded."""
        if self._stamps and stamp_ns <= self._stamps[-1]:
            return
        self._stamps.append(stamp_ns)
        self._commands.append(command)
        oldest_ns = stamp_ns - self._kept_ns
        # The last command before the span is still in force at its begin.
        while len(self._stamps) > 1 and self._stamps[1] < oldest_ns:
            self._stamps.popleft()
            self._commands.popleft()

    def clear(self) -> None:
        """Forgets all commands."""
        self._stamps.clear()
        self._commands.clear()

    def as_of(self, stamp_ns: int, frames: int, rate_hz: float, before: np.ndarray) -> np.ndarray:
        """Commands [T, J] in force at the last T = `frames` frames, the last of them at `stamp_ns`.

        Before the first command the robot is taken to stand at that command; without any command at
        `before` [J], its measured pose.
        """
        if not self._stamps:
            return np.tile(before, (frames, 1))
        ages_ns = np.arange(frames - 1, -1, -1) * SECOND / rate_hz
        times_ns = stamp_ns - ages_ns.astype(np.int64)
        index = np.searchsorted(np.array(self._stamps), times_ns, side="right") - 1
        index = np.maximum(index, 0)
        return np.array(self._commands)[index]
