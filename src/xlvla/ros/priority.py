"""Scheduling of a control loop's thread."""

from __future__ import annotations

import os

FIFO_PRIORITY = 40
"""Above ordinary work, below the kernel's own threads."""


def hasten() -> str:
    """Gives the calling thread real-time scheduling where the system permits it; says which scheduling it has.

    Permission comes with root, or with an `rtprio` limit in /etc/security/limits.conf.
    """
    if not hasattr(os, "sched_setscheduler"):
        return "ordinary"
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(FIFO_PRIORITY))
    except (PermissionError, OSError):
        return "ordinary"
    return f"real-time (FIFO {FIFO_PRIORITY})"
