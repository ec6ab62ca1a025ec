"""What a node owes the process that started it: to say when it is ready, and not to outlive it.

Readiness uses the protocol of systemd's sd_notify, so a node also runs as a `Type=notify` service. Without a
supervisor both functions do nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket

PARENT = "XLVLA_SUPERVISOR_PID"
"""Environment variable that holds the pid of the process a node must not outlive."""

_PR_SET_PDEATHSIG = 1


def follow_parent() -> None:
    """Asks the kernel to end this process when its supervisor dies, even by SIGKILL."""
    parent = os.environ.get(PARENT)
    if parent is None or not hasattr(signal, "SIGKILL"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):  # it died before the kernel was asked
        os._exit(1)


def ready() -> None:
    """Says that this process is up."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.sendto(f"READY=1\nMAINPID={os.getpid()}".encode(), "\0" + address[1:] if address.startswith("@") else address)
