"""Access to the WebXR server: only for clients that know its key, and from no page but ours."""

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
"""Where the server is by default. What reaches it may try to move the robot, so only this machine
does unless a rig says otherwise.
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
            f"{{certificate: ..., key: ...}}`; without, stay at {HERE} and bring the headset's "
            f"port here with `adb reverse tcp:{port} tcp:{port}`"
        )
    return host.strip("[]"), int(port)


def refusal(request: Any, key: str, page: str) -> str:
    """Why a client is refused; '' for one that is accepted."""
    path, _, _ = request.path.partition("?")
    given_key = path.strip("/")
    if not hmac.compare_digest(given_key.encode(errors="replace"), key.encode()):
        return "its address does not end with this server's key"
    # Only browsers send an origin: the page that opens the connection.
    host = request.headers.get("Host", "")
    allowed = (page.rstrip("/"), f"http://{host}", f"https://{host}")
    for origin in request.headers.get_all("Origin"):
        if origin not in allowed:
            return f"its page is {origin[:60]!r}, not {page}"
    return ""


def key(port: int) -> str:
    """The key of this user's server at a port; the same until the folder for temporary files is
    cleared, so that a bookmark works.

    Its file can only be read by this user; an emulated headset on this machine finds it there.
    """
    path = _key_file(port)
    with contextlib.suppress(OSError):
        stored = path.read_text()
        if len(stored) == KEY_LENGTH and set(stored) <= set(LETTERS):
            return stored
    new = "".join(secrets.choice(LETTERS) for _ in range(KEY_LENGTH))
    write_text(path, new)
    path.chmod(0o600)
    return new


def _key_file(port: int) -> Path:
    return own_folder() / f"webxr-{port}.key"


def called(host: str) -> str:
    """The name by which a headset reaches the machine that serves at a host."""
    if _is_loopback(host):
        return "localhost"
    if host in ("", "0.0.0.0", "::"):
        return socket.gethostname()
    return host


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
