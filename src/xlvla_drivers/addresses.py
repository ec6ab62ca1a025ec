"""Addresses of devices as a rig says them: hosts of a network, and serial ports."""

from __future__ import annotations

import os
import re

from xlvla.errors import XlvlaError

_HOST = re.compile(r"([^\s/:]+)(?::(\d{1,5}))?")
_LARGEST_PORT = 65535


def host_and_port(address: str, port: int) -> tuple[str, int] | None:
    """Of `host` or `host:port`; None for what is neither.

    Args:
        port: where the address says none.
    """
    found = _HOST.fullmatch(address)
    if found is None:
        return None
    chosen = int(found[2] or port)
    if not 0 < chosen <= _LARGEST_PORT:
        return None
    return found[1], chosen


def serial_port(address: str) -> str:
    """The device file of a serial port, whatever links lead to it; raises XlvlaError for an address
    that is no path.
    """
    if os.sep not in address:
        raise XlvlaError(f"'{address}' is no serial port: give its path, such as /dev/ttyUSB0")
    return os.path.realpath(address)
