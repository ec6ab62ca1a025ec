"""Access to the WebXR server: only for clients that know its key, and from no page but ours."""

from __future__ import annotations

from typing import Any

from xlvla.errors import XlvlaError
from xlvla_drivers.server_access import is_key, is_loopback, own_key
from xlvla_drivers.teleop import webxr_frames as wire

HERE = f"127.0.0.1:{wire.PORT}"
"""Where the server is by default. What reaches it may try to move the robot, so only this machine
does unless a rig says otherwise.
"""

PAGE = "https://vuer.ai"


def place(address: str, *, secure: bool) -> tuple[str, int]:
    """Host and port of an address; refuses to let the key cross a network in the clear."""
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise XlvlaError(f"teleop.address: '{address}' is no host:port")
    if not secure and not is_loopback(host):
        raise XlvlaError(
            f"teleop.address: other machines reach '{address}', so it needs `options: "
            f"{{certificate: ..., key: ...}}`; without, stay at {HERE} and bring the headset's "
            f"port here with `adb reverse tcp:{port} tcp:{port}`"
        )
    return host.strip("[]"), int(port)


def refusal(request: Any, key: str, page: str) -> str:
    """Why a client is refused; '' for one that is accepted."""
    path, _, _ = request.path.partition("?")
    if not is_key(path.strip("/"), key):
        return "its address does not end with this server's key"
    # Only browsers send an origin: the page that opens the connection.
    host = request.headers.get("Host", "")
    allowed = (page.rstrip("/"), f"http://{host}", f"https://{host}")
    for origin in request.headers.get_all("Origin"):
        if origin not in allowed:
            return f"its page is {origin[:60]!r}, not {page}"
    return ""


def key(port: int) -> str:
    """The key of this user's server at a port; an emulated headset on this machine finds it."""
    return own_key(f"webxr-{port}")
