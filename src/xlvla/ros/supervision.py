"""What a node owes the process that started it: to say when it is ready, and not to outlive it.

Readiness uses the protocol of systemd's sd_notify, so a node also runs as a `Type=notify` service.
Without a supervisor these functions do nothing.

The rule: a node ends with the process that `PARENT` names in its environment, and with no other.
`xlvla run` and the launch files name themselves there. Whoever starts a node by hand, with nohup or
setsid or from a shell that is closed later, has named nobody: such a node runs until it is stopped.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import select
import signal
import socket
import sys
import threading
import time

PARENT = "XLVLA_SUPERVISOR_PID"
"""Environment variable that holds the pid of the process a node must not outlive."""

LEAVE_S = 4.0
"""How long a node may take to end in order once its supervisor is gone."""

_PR_SET_PDEATHSIG = 1


def follow_parent() -> None:
    """Ends this process when its supervisor ends, however that ends: in order (SIGTERM), after
    `LEAVE_S` in any case.

    A thread waits for the supervisor's end. While the process starts, much of which is spent in
    native code that lets no thread run, the kernel kills it instead; `started` ends that.
    """
    named = os.environ.get(PARENT, "")
    if not named.isdigit() or sys.platform != "linux":
        return
    parent = int(named)
    if (
        os.getppid() == parent
    ):  # there may be a debugger or a shell between them, whose death means nothing
        _when_the_parent_dies(signal.SIGKILL)
    try:
        died = os.pidfd_open(parent)
    except ProcessLookupError:  # it died before anybody could watch it
        os._exit(1)
    threading.Thread(target=_end_with, args=(died,), name="follow parent", daemon=True).start()


def started() -> None:
    """From now on this process can end in order by itself: the kernel no longer kills it with its
    supervisor.
    """
    if os.environ.get(PARENT) and sys.platform == "linux":
        _when_the_parent_dies(0)


def ready() -> None:
    """Says that this process is up."""
    _notify("READY=1")


def busy_with(what: str) -> None:
    """Says what this process does while it starts, for whoever waits for it."""
    _notify(
        f"STATUS={what}", socket.MSG_DONTWAIT
    )  # better unsaid than that a node waits for its listener


def _notify(state: str, flags: int = 0) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    path = "\0" + address[1:] if address.startswith("@") else address
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
    ):  # perhaps nobody listens any more
        notify.sendto(f"{state}\nMAINPID={os.getpid()}".encode(), flags, path)


def _end_with(died: int) -> None:
    """Waits for the end of the process behind a pidfd, then ends this one."""
    select.select([died], [], [])
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LEAVE_S)
    os.kill(os.getpid(), signal.SIGKILL)


def _when_the_parent_dies(number: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)
