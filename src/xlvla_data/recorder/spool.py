"""Writes messages to a bag in its own thread, so that a slow or full disk delays no other
thread.
"""

from __future__ import annotations

import contextlib
import os
import queue
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla_data.bag.picture import compressed
from xlvla_data.bag.writer import BagWriter

FLUSH_S = 0.5
"""How often a bag is flushed to the disk: a killed process loses no more than that and its queue.
"""

MOST_BYTES = 128 << 20
"""Most that may wait for a slow disk."""

NICENESS = 10
"""Of the writing thread, so that the subscribing threads go first."""


@dataclass(frozen=True)
class Item:
    """A serialised message for a topic of the bag.

    Args:
        raw_picture: it is compressed on the way.
    """

    topic: str
    data: bytes
    log_ns: int
    sent_ns: int
    sequence: int
    raw_picture: bool = False


class Spool:
    """A bag's writer in a thread.

    Args:
        derived: what is written beside a message because of it; it raises ValueError or
            struct.error where the message cannot be read.

    Attributes:
        fault: why nothing is written any more; '' while all is well.
        dropped: messages that were not written.
        unreadable: by topic, what was wrong with the first message that could not be read.
        written: bytes on the disk.
    """

    def __init__(
        self,
        writer: BagWriter,
        least_free_bytes: float,
        most_bytes: int = MOST_BYTES,
        derived: Callable[[Item], Iterable[Item]] = lambda item: (),
    ):
        self.fault = ""
        self.dropped = 0
        self.written = 0
        self.unreadable: dict[str, str] = {}
        self._writer = writer
        self._least_free = least_free_bytes
        self._most = most_bytes
        self._derived = derived
        self._queue: queue.SimpleQueue[Sequence[Item] | None] = queue.SimpleQueue()
        self._waiting = 0
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._work, name="bag", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> float:
        """Share of what may wait for the disk that waits now."""
        return self._waiting / self._most

    def put(self, items: Sequence[Item]) -> None:
        """Takes messages; never waits. Where too much waits already, they are dropped and it is the
        disk's `fault`.
        """
        if self.waiting > 1:
            self._fail(f"the disk is too slow: {self._waiting >> 20} MB wait for it")
        if self.fault:
            self.dropped += len(items)
            return
        self._account(sum(len(item.data) for item in items))
        self._queue.put(items)

    def close(self, timeout_s: float) -> bool:
        """Ends the bag; returns whether it ended in time. A disk that hangs is left to itself."""
        self._queue.put(None)
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _fail(self, fault: str) -> None:
        """The first fault counts."""
        if not self.fault:
            self.fault = fault

    def _account(self, size: int) -> None:
        with self._lock:
            self._waiting += size

    def _work(self) -> None:
        """Writes until the queue ends; flushes every `FLUSH_S`, also when nothing comes."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        due = time.monotonic() + FLUSH_S
        while True:
            with contextlib.suppress(queue.Empty):
                items = self._queue.get(timeout=max(due - time.monotonic(), 0.0))
                if items is None:
                    break
                self._take(items)
            if time.monotonic() >= due:
                self._try(self._flush)
                due = time.monotonic() + FLUSH_S
        self._try(self._flush)
        self._try(self._writer.close)

    def _take(self, items: Sequence[Item]) -> None:
        for item in items:
            if self.fault:
                self.dropped += 1
            else:
                self._add(item)
        self._account(-sum(len(item.data) for item in items))

    def _add(self, item: Item) -> None:
        data = item.data
        try:
            if item.raw_picture:
                data = compressed(data)
            more = list(self._derived(item))
        # The picture has another encoding, or the message is cut off
        except (XlvlaError, struct.error, ValueError) as error:
            self.unreadable.setdefault(item.topic, plain(error))
            self.dropped += 1
            return
        self._writer.add(item.topic, data, item.log_ns, item.sent_ns, item.sequence)
        for other in more:
            self._writer.add(other.topic, other.data, other.log_ns, other.sent_ns, other.sequence)

    def _flush(self) -> None:
        self._writer.flush()
        self.written = self._writer.file.end
        free = shutil.disk_usage(self._writer.folder).free
        if free < self._least_free:
            self._fail(
                f"the disk is nearly full: {free / 1e9:.2f} GB are left, "
                f"recorder.least_free_gb is {self._least_free / 1e9:g}"
            )

    def _try(self, do: Callable[[], None]) -> None:
        """A failure of the disk ends the episode, not the recorder."""
        try:
            do()
        except OSError as error:
            self._fail(f"the disk failed: {error.strerror}")
