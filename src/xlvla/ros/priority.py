"""Scheduling of a process with a control loop."""

from __future__ import annotations

import os
from pathlib import Path

FIFO_PRIORITY = 40
"""Above ordinary work, below the kernel's own threads."""

GIVEN_WAY = 10
"""How much nicer a process is that gives way."""


def hasten() -> str:
    """Gives every thread of this process real-time scheduling where the system permits it; says which scheduling it has.

    Every one, because they share locks: the interpreter's, and those of the middleware, whose threads are there before any of
    ours. An ordinary thread that waits for a processor while it holds a lock stops whoever needs it. Threads made from now on
    inherit it.

    Permission comes with root, or with an `rtprio` limit in /etc/security/limits.conf.
    """
    if not hasattr(os, "sched_setscheduler"):
        return "ordinary"
    try:
        for thread in sorted(int(task.name) for task in Path("/proc/self/task").iterdir()):
            _hasten(thread)
    except OSError:
        return "ordinary"
    return f"real-time (FIFO {FIFO_PRIORITY})"


def give_way() -> None:
    """Lets this process wait for others: what thinks or draws must not delay what talks to devices, the kernel's own threads included."""
    os.nice(GIVEN_WAY)


def _hasten(thread: int) -> None:
    try:
        os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except ProcessLookupError:  # it has ended since
        return
