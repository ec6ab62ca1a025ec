"""A clock of each thread that stands still while the thread could not run: a machine that froze is
not taken for a silent device.

Whoever waits for a device looks at it before, while and after; of a longer time between two looks
only `LONGEST_S` counts.
"""

from __future__ import annotations

import select
import threading
import time
from collections.abc import Sequence
from typing import Any

SLICE_S = 0.01
"""A wait looks at the clock this often."""

NOW = -1.0
"""A moment that has passed: what is there is taken, nothing is waited for."""

LONGEST_S = 0.025
"""A thread that runs looks at least this often: a third of what a device may be silent."""


class _Clock(threading.local):
    def __init__(self):
        self.s = 0.0
        self.looked_s = time.monotonic()


_clock = _Clock()


def now_s() -> float:
    """Of the calling thread, since some moment of its own [s]: for differences within one thread
    only.
    """
    looked_s = time.monotonic()
    _clock.s += min(looked_s - _clock.looked_s, LONGEST_S)
    _clock.looked_s = looked_s
    return _clock.s


def wait(lines: Sequence[Any], until_s: float) -> list[Any]:
    """The lines that have something to read, waiting for one until then by this clock; looks once
    where that has passed.
    """
    while True:
        left_s = until_s - now_s()
        ready = select.select(lines, [], [], min(max(left_s, 0.0), SLICE_S))[0]
        if ready or left_s <= 0:
            return ready
