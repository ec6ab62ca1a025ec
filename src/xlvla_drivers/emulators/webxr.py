"""An emulated headset with a browser: a client that comes to the server and streams a person's
hands.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import msgpack
import numpy as np

from xlvla.types import SIDES, Side
from xlvla_drivers.emulators.headset import HeadsetEmulator
from xlvla_drivers.emulators.vision_pro import joints
from xlvla_drivers.teleop import webxr_frames as wire
from xlvla_drivers.teleop.webxr import HAND, Options
from xlvla_drivers.teleop.webxr_door import HERE
from xlvla_drivers.teleop.webxr_door import key as server_key

ADDRESS = HERE
RATE_HZ = 90.0
HEAD_EVERY = 9
PAUSE_S = 0.2


class Emulator(HeadsetEmulator):
    """Comes to the server at its address, again and again; `side` means nothing to it.

    An address without the server's key, `host:port/key`, is that of a server of this user on this
    machine.

    Attributes:
        old: speaks the layout of vuer before 0.0.40.
        pictures: how many it was shown.
    """

    def __init__(self, address: str, side: Side, options: Options):
        super().__init__()
        self.address = address
        self.old = False
        self.pictures = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop.clear()
        self._thread = threading.Thread(target=self._keep, name="headset", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _keep(self) -> None:
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        while not self._stop.wait(PAUSE_S):
            if "unplug" in self.faults:
                continue
            try:
                with connect(self._uri(), close_timeout=1) as connection:
                    connection.send(wire.event(wire.INIT, {}, _now_ms()))
                    self._stream(connection)
            except (OSError, WebSocketException):
                continue

    def _uri(self) -> str:
        place, _, key = self.address.partition("/")
        if not key:
            _, _, port = place.rpartition(":")
            key = server_key(int(port))
        return f"ws://{place}/{key}"

    def _stream(self, connection: Any) -> None:
        number = 0
        due_s = time.monotonic()
        while "unplug" not in self.faults:
            if number % HEAD_EVERY == 0:
                value = {"camera": {"matrix": self.head.T.ravel().tolist(), "aspect": 1.0}}
                connection.send(wire.event(wire.CAMERA_MOVE, value, _now_ms()))
            connection.send(wire.event(wire.HAND_MOVE, self._hand_move(), _now_ms()))
            self._look(connection)
            number += 1
            due_s = max(due_s + 1 / RATE_HZ, time.monotonic() - 0.1)
            if self._stop.wait(max(due_s - time.monotonic(), 0.0)):
                return

    def _look(self, connection: Any) -> None:
        """Looks at everything that came: the scene, and pictures."""
        with contextlib.suppress(TimeoutError):
            while True:
                event = msgpack.unpackb(connection.recv(timeout=0))
                self.pictures += event["etype"] == wire.PICTURE

    def _hand_move(self) -> dict[str, Any]:
        value: dict[str, Any] = {}
        seen = self.hands(dict.fromkeys(SIDES, HAND))
        for side, (wrist, keypoints) in seen.items():
            placed = wrist @ joints(keypoints)[: wire.JOINTS]
            if self.old:
                value[f"{side}Hand"] = wrist.T.ravel().tolist()
                value[f"{side}Landmarks"] = placed[:, :3, 3].tolist()
            else:
                # Matrices column by column, as WebXR has them.
                value[side] = placed.transpose(0, 2, 1).ravel().tolist()
                pinch = float(np.linalg.norm(keypoints[4] - keypoints[8]))
                value[f"{side}State"] = {
                    "pinch": pinch < 0.015,
                    "squeeze": False,
                    "tap": False,
                    "pinchValue": max(0.0, 1 - pinch / 0.1),
                }
        return value


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
