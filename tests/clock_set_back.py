"""The system's clock set back by an hour while a loop runs in this process."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator

import pytest

from xlvla.ros.convert import SECOND

PATIENCE_S = 20.0
HOUR_NS = 3600 * SECOND


@contextlib.contextmanager
def running(loop: Callable[[threading.Event], None]) -> Generator[None]:
    """Runs a loop that ends with the event it is given."""
    end = threading.Event()
    thread = threading.Thread(target=loop, args=(end,))
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()


def stamps_follow(monkeypatch: pytest.MonkeyPatch, newest_ns: Callable[[], int | None]) -> None:
    """Waits for a stamp of now, sets the clock back, and waits for a stamp of the new time.

    Args:
        newest_ns: publishes what the loop needs; the newest stamp [ns] it made, None for none.
    """

    def until_within(since_ns: int, to_ns: int) -> None:
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < give_up_s, "nothing has a stamp of that time"
            stamp_ns = newest_ns()
            if stamp_ns is not None and since_ns <= stamp_ns <= to_ns:
                return

    began_ns = time.time_ns()
    until_within(began_ns, began_ns + HOUR_NS)
    really_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: really_ns() - HOUR_NS)
    until_within(began_ns - HOUR_NS, began_ns - HOUR_NS // 2)
