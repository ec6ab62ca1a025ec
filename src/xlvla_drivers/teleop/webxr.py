"""Any headset with a browser that tracks hands (WebXR): it comes to a WebSocket server of ours and speaks vuer's events.

The page is vuer's: `https://vuer.ai?ws=ws://localhost:8012` on a headset whose port was brought here over USB
(`adb reverse tcp:8012 tcp:8012`), or `wss://` with a certificate.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Side
from xlvla_drivers.device import LinkLost
from xlvla_drivers.teleop import webxr_frames as wire
from xlvla_drivers.teleop.gestures import Gestures
from xlvla_drivers.teleop.operator import Mailbox, Sample, Tracked, installed
from xlvla_drivers.teleop.worlds import Facing

HERE = f"127.0.0.1:{wire.PORT}"
"""Whoever reaches the server moves the robot: only this machine does, unless a rig says otherwise."""

HAND = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""Axes of the hand frame in that of a WebXR wrist, whose -z goes to the fingers and whose y leaves the back of the hand."""


@dataclass(frozen=True)
class Options:
    """What a rig may say about it.

    Args:
        gestures: thumb to little finger closes and opens the clutch, thumb to ring finger begins and ends an episode.
        certificate, key: PEM files with which it serves `wss://`.
    """

    gestures: bool = True
    certificate: str = ""
    key: str = ""


class Driver:
    """Serves one headset at a time at `host:port`."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Any):
        self.address = address or HERE
        self._sides, self._options = sides, options
        self._gestures = Gestures() if options.gestures else None
        self._facing, self._mailbox = Facing(), Mailbox()
        self._server: Any = None
        self._taken = threading.Lock()

    def open(self) -> None:
        installed("websockets", "'xlvla[teleop]'")
        from websockets.sync.server import serve

        self.close()
        self._mailbox.clear()
        self._facing.begin()
        host, _, port = self.address.rpartition(":")
        try:
            self._server = serve(self._serve, host, int(port), ssl=self._secure(), max_size=1 << 20)
        except (OSError, ValueError) as error:
            raise XlvlaError(f"teleop.address: cannot serve at '{self.address}': {error}") from None
        threading.Thread(target=self._server.serve_forever, name="webxr", daemon=True).start()

    def read(self, timeout_s: float) -> Sample | None:
        return self._mailbox.take(timeout_s)

    def close(self) -> None:
        if self._server is not None:
            with contextlib.suppress(Exception):
                self._server.shutdown()
            self._server = None

    def _secure(self) -> ssl.SSLContext | None:
        if not self._options.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._options.certificate, self._options.key or None)
        except (OSError, ssl.SSLError) as error:
            raise XlvlaError(f"teleop.options.certificate: {self._options.certificate} cannot be used: {error}") from None
        return context

    def _serve(self, connection: Any) -> None:
        """In a thread of the connection's own, until it ends; a second headset is sent away."""
        from websockets.exceptions import ConnectionClosed

        if not self._taken.acquire(blocking=False):
            connection.close(1013, "another headset drives")
            return
        try:
            for frame in connection:
                self._hear(frame, connection)
        except ConnectionClosed:
            pass
        except XlvlaError as error:
            self._mailbox.fail(LinkLost(f"the headset is not understood: {error}"))
        finally:
            self._taken.release()
            self._mailbox.fail(LinkLost("the headset left"))

    def _hear(self, frame: bytes | str, connection: Any) -> None:
        kind, stamp_s, value = wire.read(frame)
        if kind == wire.INIT:
            connection.send(wire.scene(time.time_ns() // 1_000_000))
        elif kind == wire.CAMERA_MOVE and (head := wire.head(value)) is not None:
            self._facing.head(head)
        elif kind == wire.HAND_MOVE:
            self._mailbox.put(self._sample(value, stamp_s))

    def _sample(self, value: Any, stamp_s: float) -> Sample:
        seen: dict[Side, tuple[np.ndarray, np.ndarray]] = {side: hand for side, hand in wire.hands(value).items() if side in self._sides}
        sides: dict[Side, Tracked] = {side: Tracked(self._facing.pose(wrist, HAND), keypoints) for side, (wrist, keypoints) in seen.items()}
        hands: dict[Side, np.ndarray] = {side: keypoints for side, (_, keypoints) in seen.items()}
        buttons = self._gestures(hands, time.monotonic()) if self._gestures else ()
        return Sample(sides, stamp_s=stamp_s or None, buttons=buttons)
