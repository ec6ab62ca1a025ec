"""Access to the WebXR server: clients that know its key, from our page or without a browser."""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import secrets
import socket
import string
from pathlib import Path
from typing import Any

from xlvla.errors import XlvlaError
from xlvla.files import write_text
from xlvla_drivers.own_folder import own_folder
from xlvla_drivers.teleop import webxr_frames as wire

HERE = f"127.0.0.1:{wire.PORT}"
"""Whoever reaches the server may try to move the robot: only this machine does, unless a rig says
otherwise.
"""

PAGE = "https://vuer.ai"

LETTERS = string.ascii_lowercase + string.digits
KEY_LENGTH = 14
"""Some 72 bits, and still to be typed on a headset."""


def place(address: str, *, secure: bool) -> tuple[str, int]:
    """Host and port of an address; refuses to let the key cross a network in the clear."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise XlvlaError(f"teleop.address: '{address}' is no host:port")
    if not secure and not _is_loopback(host):
        raise XlvlaError(
            f"teleop.address: other machines reach '{address}', so it needs `options: "
            f"{{certificate: ..., key: ...}}`;"
            f" without, stay at {HERE} and bring the headset's port here with `adb reverse "
            f"tcp:{port} tcp:{port}`"
        )
    return host.strip("[]"), int(port)


def refusal(request: Any, key: str, page: str) -> str:
    """Why a client is sent away; '' for one that may come in."""
    given_key = request.path.partition("?")[0].strip("/")
    origins = request.headers.get_all("Origin")
    host = request.headers.get("Host", "")
    if not hmac.compare_digest(given_key.encode(errors="replace"), key.encode()):
        return "its address does not end with this server's key"
    strange = [
        origin
        for origin in origins
        if origin not in (page.rstrip("/"), f"http://{host}", f"https://{host}")
    ]
    return f"its page is {strange[0][:60]!r}, not {page}" if strange else ""


def key(port: int) -> str:
    """The key of this user's server at a port; the same until the folder for temporary files is
    cleared, so that a bookmark works.

    It lies in a file that only this user reads: an emulated headset on this machine finds it there.
    """
    path = _key_file(port)
    with contextlib.suppress(OSError):
        known = path.read_text()
        if len(known) == KEY_LENGTH and set(known) <= set(LETTERS):
            return known
    made = "".join(secrets.choice(LETTERS) for _ in range(KEY_LENGTH))
    write_text(path, made)
    path.chmod(0o600)
    return made


def _key_file(port: int) -> Path:
    return own_folder() / f"webxr-{port}.key"


def called(host: str) -> str:
    """What a headset calls the machine that serves at a host."""
    return (
        "localhost"
        if _is_loopback(host)
        else socket.gethostname()
        if host in ("", "0.0.0.0", "::")
        else host
    )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
