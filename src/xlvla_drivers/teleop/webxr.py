"""Any headset with a browser that tracks hands (WebXR): it comes to a WebSocket server of ours and
speaks vuer's events.

The page is vuer's. It is opened as `https://vuer.ai?ws=ws://localhost:8012/KEY` on a headset whose
port was brought here over USB (`adb reverse tcp:8012 tcp:8012`), or with `wss://` and a certificate
over the network; the whole address, with this server's key, is printed when the source starts.
Clients without the key, and pages of other sites, are refused.
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
from xlvla_drivers.teleop import webxr_door as door
from xlvla_drivers.teleop import webxr_frames as wire
from xlvla_drivers.teleop.gestures import Gestures
from xlvla_drivers.teleop.operator import GONE_S, Mailbox, Sample, TrackedSide, installed
from xlvla_drivers.teleop.worlds import Facing

MOST_BYTES = 1 << 16
"""Of one event; both hands take some 8,000."""

HANDSHAKE_S = 3.0
PING_S = 5.0
CLOSE_S = 1.0
"""For a client to say what it wants; between questions whether it still lives, and for its answer;
for its goodbye.
"""

HAND = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""Axes of the hand frame in that of a WebXR wrist, whose -z goes to the fingers and whose y leaves
the back of the hand.
"""


@dataclass(frozen=True)
class Options:
    """What a rig may say about it.

    Args:
        gestures: thumb to little finger closes and opens the clutch, thumb to ring finger begins
            and ends an episode.
        certificate, key: PEM files with which it serves `wss://`; needed at an address that other
            machines reach.
        page: the site whose page headsets open; a browser on a page of any other is sent away.
    """

    gestures: bool = True
    certificate: str = ""
    key: str = ""
    page: str = door.PAGE


class Driver:
    """Serves one headset at a time at `host:port`.

    A headset that said nothing for `GONE_S` gives way to the next that comes: one that fell asleep,
    too, comes back as a next one.
    """

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Any):
        self.address = address or door.HERE
        self._sides = sides
        self._options = options
        self._node = node
        self._facing = Facing()
        self._mailbox = Mailbox()
        self._server: Any = None
        self._seat = threading.Condition()
        self._driving: Any = None
        self._received_s = 0.0
        self._key = ""
        self._announced = False
        self._begin()

    def open(self) -> None:
        installed("websockets", "'xlvla[teleop]'")
        from websockets.sync.server import serve

        self.close()
        self._mailbox.clear()
        secure = self._secure()
        host, port = door.place(self.address, secure=secure is not None)
        self._key = door.key(port)
        try:
            self._server = serve(
                self._serve,
                host,
                port,
                ssl=secure,
                process_request=self._admit,
                max_size=MOST_BYTES,
                compression=None,
                open_timeout=HANDSHAKE_S,
                ping_interval=PING_S,
                ping_timeout=PING_S,
                close_timeout=CLOSE_S,
            )
        except OSError as error:
            raise XlvlaError(f"teleop.address: cannot serve at '{self.address}': {error}") from None
        threading.Thread(target=self._server.serve_forever, name="webxr", daemon=True).start()
        self._tell(f"{'wss' if secure else 'ws'}://{door.called(host)}:{port}/{self._key}")

    def read(self, timeout_s: float) -> Sample | None:
        return self._mailbox.take(timeout_s)

    def close(self) -> None:
        if self._server is not None:
            with contextlib.suppress(Exception):
                self._server.shutdown()
            self._server = None
        with self._seat:
            self._dismiss()

    def _secure(self) -> ssl.SSLContext | None:
        if not self._options.certificate:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:
            context.load_cert_chain(self._options.certificate, self._options.key or None)
        except (OSError, ssl.SSLError) as error:
            raise XlvlaError(
                f"teleop.options.certificate: {self._options.certificate} cannot be used: {error}"
            ) from None
        return context

    def _tell(self, server: str) -> None:
        """Once, at the terminal: topics are recorded, and the key is nobody else's."""
        if not self._announced:
            print(f"open {self._options.page}?ws={server} on the headset", flush=True)
        self._announced = True

    def _admit(self, connection: Any, request: Any) -> Any:
        """None if the client is accepted, else the response that refuses it."""
        why = door.refusal(request, self._key, self._options.page)
        if not why:
            return None
        if self._node is not None:
            self._node.warn(f"a client at {connection.remote_address[0]} was refused: {why}")
        return connection.respond(403, f"{why}\n")

    def _serve(self, connection: Any) -> None:
        """In a thread of the connection's own, until it ends."""
        from websockets.exceptions import ConnectionClosed

        if not self._sit(connection):
            connection.close(1013, "another headset drives")
            return
        try:
            for frame in connection:
                self._on_frame(frame, connection)
        except ConnectionClosed:
            pass
        except XlvlaError as error:
            self._fail(connection, f"the headset is not understood: {error}")
        finally:
            self._fail(connection, "the headset left")

    def _sit(self, connection: Any) -> bool:
        """Whether a connection is the one that drives now; it waits for as long as another may be
        silent.
        """
        give_up_s = time.monotonic() + GONE_S + 0.1
        with self._seat:
            while self._driving is not None and time.monotonic() - self._received_s < GONE_S:
                if time.monotonic() > give_up_s:
                    return False
                self._seat.wait(0.05)
            self._dismiss()
            self._driving = connection
            self._received_s = time.monotonic()
            self._begin()
        return True

    def _begin(self) -> None:
        """A headset's world is its own."""
        self._facing.begin()
        self._gestures = Gestures() if self._options.gestures else None

    def _dismiss(self) -> None:
        """Lets the headset that drives go, without waiting for it: it may be asleep."""
        if self._driving is not None:
            threading.Thread(
                target=self._driving.close,
                args=(1001, "another headset drives"),
                name="goodbye",
                daemon=True,
            ).start()
        self._driving = None

    def _fail(self, connection: Any, why: str) -> None:
        with self._seat:
            if self._driving is connection:
                self._dismiss()
                self._mailbox.fail(LinkLost(why))

    def _on_frame(self, frame: bytes | str, connection: Any) -> None:
        kind, stamp_s, value = wire.read(frame)
        with self._seat:
            if self._driving is not connection:
                return
            self._received_s = time.monotonic()
            if kind == wire.CAMERA_MOVE and (head := wire.head(value)) is not None:
                self._facing.head(head)
            elif kind == wire.HAND_MOVE:
                self._mailbox.put(self._sample(value, stamp_s))
        if kind == wire.INIT:
            connection.send(wire.scene(time.time_ns() // 1_000_000))

    def _sample(self, value: Any, stamp_s: float) -> Sample:
        seen: dict[Side, tuple[np.ndarray, np.ndarray]] = {
            side: hand for side, hand in wire.hands(value).items() if side in self._sides
        }
        sides: dict[Side, TrackedSide] = {
            side: TrackedSide(self._facing.pose(wrist, HAND), keypoints)
            for side, (wrist, keypoints) in seen.items()
        }
        hands: dict[Side, np.ndarray] = {side: keypoints for side, (_, keypoints) in seen.items()}
        buttons = self._gestures(hands, time.monotonic()) if self._gestures else ()
        return Sample(sides, stamp_s=stamp_s or None, buttons=buttons)
