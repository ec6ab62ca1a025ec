"""Scheduling of a process with a control loop."""

from __future__ import annotations

import os
from pathlib import Path

FIFO_PRIORITY = 40
"""Above ordinary work, below the kernel's own threads."""

PROCESSORS = 4
"""With fewer there is no real-time scheduling: the loops of a bimanual rig could then fill every processor.

What waits for one meanwhile is ordinary work, such as the kernel's workers that carry the bytes of serial lines, for 200 ms at a
time, and links are lost. On two processors urgent loops miss fewer deadlines than real-time ones (`xlvla bench devices`).
"""

URGENT = -12
"""How nice an urgent process is: it is served first, and nobody starves."""

GIVEN_WAY = 10
"""How much nicer a process is that gives way."""


def hasten() -> str:
    """Lets every thread of this process run before others, as far as the system permits; says which scheduling it has.

    Every one, because they share locks: the interpreter's, and those of the middleware, whose threads are there before any of
    ours. An ordinary thread that waits for a processor while it holds a lock stops whoever needs it. Threads made from now on
    inherit it.

    Permission comes with root, or with `rtprio` and `nice` limits in /etc/security/limits.conf.
    """
    if not hasattr(os, "sched_setscheduler"):
        return "ordinary"
    real_time = len(os.sched_getaffinity(0)) >= PROCESSORS
    try:
        for thread in sorted(int(task.name) for task in Path("/proc/self/task").iterdir()):
            _hasten(thread, real_time)
    except OSError:
        return "ordinary"
    return f"real-time (FIFO {FIFO_PRIORITY})" if real_time else f"urgent (nice {URGENT})"


def give_way() -> None:
    """Lets this process wait for others: what thinks or draws must not delay what talks to devices, the kernel's own threads included."""
    os.nice(GIVEN_WAY)


def _hasten(thread: int, real_time: bool) -> None:
    try:
        if real_time:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
        else:
            os.setpriority(os.PRIO_PROCESS, thread, URGENT)
    except ProcessLookupError:  # it has ended since
        return
