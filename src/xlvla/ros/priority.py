"""Scheduling of a process with a control loop."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

FIFO_PRIORITY = 40
"""Above ordinary work, below the kernel's own threads."""

PROCESSORS = 4
"""With fewer there is no real-time scheduling of devices: the loops of a bimanual rig could then
fill every processor.

What waits for one meanwhile is ordinary work, such as the kernel's workers that carry the bytes of
serial lines, for 200 ms at a time, and links are lost.
"""

PROCESSORS_OF_ONE = 2
"""As many do for one real-time loop that fills less than half of one of them, and the rest stays
for ordinary work.
"""

URGENT = -12
"""Nice value of an urgent process: it is scheduled first, and no other process starves."""

DEVICE = -18
"""How nice the stand-in of a device is, which has no processor of its own as the device has."""

GIVEN_WAY = 10
"""How much nicer a process is that gives way."""

_SESSION = Path("/proc/self/autogroup")
"""Where Linux keeps how nice a session is: with autogroups, on by default, niceness ranks only
threads of the same session.
"""


def hasten(nice: int = URGENT, processors: int = PROCESSORS) -> str:
    """Lets every thread of this process run before others, as far as the system permits; says which
    scheduling it has.

    `nice` is for where there are fewer processors than this.

    Every one, because they share locks: the interpreter's, and those of the middleware, whose
    threads are there before any of ours. An ordinary thread that waits for a processor while it
    holds a lock stops whoever needs it. Threads made from now on inherit it.

    Permission comes with root, or with `rtprio` and `nice` limits in /etc/security/limits.conf.
    """
    if not hasattr(os, "sched_setscheduler"):
        return "ordinary"
    real_time = len(os.sched_getaffinity(0)) >= processors
    try:
        for thread in sorted(int(task.name) for task in Path("/proc/self/task").iterdir()):
            _hasten(thread, None if real_time else nice)
    except OSError:
        return "ordinary"
    if real_time:
        return f"real-time (FIFO {FIFO_PRIORITY})"
    _rank_session(nice)
    return f"urgent (nice {nice})"


def give_way() -> None:
    """Lets this process wait for others: what thinks or draws must not delay what talks to devices,
    the kernel's own threads included.
    """
    _rank_session(os.nice(GIVEN_WAY))


def _hasten(thread: int, nice: int | None) -> None:
    """Urgent, or real-time where `nice` is None."""
    try:
        if nice is None:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
        else:
            os.setpriority(os.PRIO_PROCESS, thread, nice)
    except ProcessLookupError:  # it has ended since
        return


def _rank_session(nice: int) -> None:
    """Gives the session of this process its niceness, where it leads one; a session it shares is
    not its to rank.
    """
    if os.getsid(0) == os.getpid() and _SESSION.exists():
        with contextlib.suppress(OSError):
            _SESSION.write_text(str(nice))
