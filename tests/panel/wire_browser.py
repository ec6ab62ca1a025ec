"""A browser on viser's wire: what a page shows, and presses of its buttons, without a browser."""

from __future__ import annotations

import contextlib
import struct
import threading
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import viser
import zstandard
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

CAMERA = {
    "type": "ViewerCameraMessage",
    "wxyz": (1.0, 0.0, 0.0, 0.0),
    "position": (0.0, 0.0, 1.0),
    "fov": 1.0,
    "near": 0.1,
    "far": 10.0,
    "image_height": 480,
    "image_width": 640,
    "look_at": (0.0, 0.0, 0.0),
    "up_direction": (0.0, 0.0, 1.0),
}
"""A page counts as connected with the first of these."""

WAIT_S = 20.0


class WireBrowser:
    """Context manager; connected when entered.

    Attributes:
        elements: properties of the elements of the page, by their identifiers.
        notes: title, text of every notification.
    """

    def __init__(self, address: str):
        place = urlsplit(address)
        self._uri = f"ws://127.0.0.1:{place.port}{place.path}"
        self.elements: dict[str, dict[str, Any]] = {}
        self.notes: list[tuple[str, str]] = []

    def __enter__(self) -> WireBrowser:
        version = f"viser-v{viser.__version__}"
        self._socket = connect(self._uri, subprotocols=[version], proxy=None, max_size=None)
        threading.Thread(target=self._listen, daemon=True).start()
        self._send(CAMERA)
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def close(self) -> None:
        """The page is closed."""
        self._socket.close()

    def click(self, label: str) -> None:
        """Presses a button, also one that is grey."""
        message = {"type": "GuiUpdateMessage", "updates": {"value": True}}
        self._send(message | {"uuid": self._find("label", label)})

    def type(self, label: str, text: str) -> None:
        message = {"type": "GuiUpdateMessage", "updates": {"value": text}}
        self._send(message | {"uuid": self._find("label", label)})

    def press_space(self) -> None:
        uuid = self._find("hotkey", "space")
        self._send({"type": "CommandTriggerMessage", "uuid": uuid})

    def property(self, label: str, name: str) -> Any:
        return self.elements[self._find("label", label)][name]

    def until_text(self, words: str) -> str:
        """Waits until a text of the page has these words; that text."""

        def found() -> str:
            for properties in list(self.elements.values()):
                if words in str(properties.get("content", "")):
                    return properties["content"]
            return ""

        return self.until(found, f"the page does not say '{words}'")

    def until_note(self, words: str) -> None:
        self.until(
            lambda: any(words in f"{title}: {text}" for title, text in self.notes),
            f"no note says '{words}'",
        )

    def until(self, true: Callable[[], Any], otherwise: str) -> Any:
        give_up_s = time.monotonic() + WAIT_S
        while not (value := true()):
            shown = [str(each.get("content", ""))[:200] for each in self.elements.values()]
            assert time.monotonic() < give_up_s, f"{otherwise}: {shown}, {self.notes}"
            time.sleep(0.02)
        return value

    def _find(self, name: str, value: str) -> str:
        def found() -> str:
            for uuid, properties in list(self.elements.items()):
                if properties.get(name) == value:
                    return uuid
            return ""

        return self.until(found, f"nothing on the page has {name} '{value}'")

    def _send(self, message: dict[str, Any]) -> None:
        self._socket.send(msgspec.msgpack.encode(message))

    def _listen(self) -> None:
        unpack = zstandard.ZstdDecompressor()
        with contextlib.suppress(ConnectionClosed):
            for frame in self._socket:
                size, packed = struct.unpack_from("<QQ", frame)
                body = unpack.decompress(frame[16 : 16 + packed], max_output_size=size)
                for message in msgspec.msgpack.decode(body)["messages"]:
                    self._take(message)

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "NotificationShowMessage":
            self.notes.append((message["props"]["title"], message["props"]["body"]))
        elif kind.startswith(("Gui", "RegisterCommand")) and "props" in message:
            # A text field's value stands beside its properties.
            self.elements[message["uuid"]] = {**message["props"], "value": message.get("value")}
        elif kind == "GuiUpdateMessage" and message["uuid"] in self.elements:
            self.elements[message["uuid"]].update(message["updates"])
