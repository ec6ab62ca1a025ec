"""Addresses of devices as a rig says them: hosts of a network, and serial ports."""

from __future__ import annotations

import ipaddress
import os
import re

from xlvla.errors import XlvlaError

_HOST = re.compile(r"([^\s/:]+)(?::(\d{1,5}))?")
_NUMBERS = re.compile(r"[\d.]+")
_LARGEST_PORT = 65535


def host_and_port(address: str, port: int) -> tuple[str, int] | None:
    """Of `host` or `host:port`, one writing for every host; None for what is neither.

    Args:
        port: where the address says none.
    """
    found = _HOST.fullmatch(address)
    if found is None:
        return None
    host = found[1].lower()
    # A socket reads 192.168.1.010 as octal, 192.168.1.8, and 192.168.1 as 192.168.0.1
    if _NUMBERS.fullmatch(host) and not _is_network_address(host):
        return None
    chosen = int(found[2] or port)
    if not 0 < chosen <= _LARGEST_PORT:
        return None
    return ("127.0.0.1" if host == "localhost" else host), chosen


def _is_network_address(host: str) -> bool:
    """Whether it is four numbers without leading zeros."""
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def serial_port(address: str) -> str:
    """The device file of a serial port, whatever links lead to it; raises XlvlaError for an address
    that is no path.
    """
    if os.sep not in address:
        raise XlvlaError(f"'{address}' is no serial port: give its path, such as /dev/ttyUSB0")
    return os.path.realpath(address)
