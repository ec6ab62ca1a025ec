"""Any headset with a browser that tracks hands (WebXR): it connects to a WebSocket server of ours
and sends vuer's events.

The page is vuer's. It is opened as `https://vuer.ai?ws=ws://localhost:8012/KEY` on a headset whose
port was brought here over USB (`adb reverse tcp:8012 tcp:8012`), or with `wss://` and a certificate
over the network; the whole address, with this server's key, is printed when the source starts.
Clients without the key, and pages of other sites, are refused.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import ssl
import sys
import termios
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Side
from xlvla_drivers.device import LinkLost
from xlvla_drivers.optional import installed
from xlvla_drivers.server_access import called, certified
from xlvla_drivers.teleop import webxr_door as door
from xlvla_drivers.teleop import webxr_frames as wire
from xlvla_drivers.teleop.gestures import Gestures
from xlvla_drivers.teleop.operator import GONE_S, Mailbox, Sample, TrackedSide
from xlvla_drivers.teleop.worlds import Facing

MOST_BYTES = 1 << 16
"""The largest event that is accepted; both hands take some 8,000."""

HANDSHAKE_S = 3.0
"""How long the opening of a connection may take."""

PING_S = 5.0
"""Between pings, and until a pong must have come."""

CLOSE_S = 1.0
"""How long the closing of a connection may take."""

WAIT_S = GONE_S + 0.1
"""How long a headset waits for the one that drives to be gone."""

LARGEST_PICTURE = 100_000
"""Bytes of a picture; more might not fit into what the kernel keeps of a connection."""

SEND_BUFFER = 4 * LARGEST_PICTURE
"""Asked of the kernel for what is not yet sent; it gives at least twice a picture."""

HAND = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
"""Axes of the hand frame in that of a WebXR wrist, whose -z goes to the fingers and whose y leaves
the back of the hand.
"""


@dataclass(frozen=True)
class Options:
    """Options in a rig's file.

    Args:
        gestures: thumb to little finger closes and opens the clutch, thumb to ring finger begins
            and ends an episode.
        certificate, key: PEM files with which it serves `wss://`; needed at an address that other
            machines reach.
        page: the site whose page headsets open; a browser on a page of any other is refused.
    """

    gestures: bool = True
    certificate: str = ""
    key: str = ""
    page: str = door.PAGE


class Driver:
    """Serves one headset at a time at `host:port`.

    A headset that was silent for `GONE_S` is replaced by the next that connects; one that fell
    asleep comes back as a new one, too.
    """

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Any):
        self.address = address or door.HERE
        self._sides = sides
        self._options = options
        self._node = node
        self._facing = Facing()
        self._gestures: Gestures | None = None
        self._mailbox = Mailbox()
        self._server: Any = None
        # Guards the connection of the headset that drives and what belongs to it.
        self._changed = threading.Condition()
        self._driving: Any = None
        self._received_s = 0.0
        # The connection whose page has its scene, to which pictures are added.
        self._set: Any = None
        self._key = ""
        self._announced = False
        self._begin()

    def open(self) -> None:
        installed("websockets", "pip install 'xlvla[teleop]'")
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
        scheme = "ws" if secure is None else "wss"
        self._announce(f"{scheme}://{called(host)}:{port}/{self._key}")

    def read(self, timeout_s: float) -> Sample | None:
        return self._mailbox.take(timeout_s)

    def close(self) -> None:
        if self._server is not None:
            with contextlib.suppress(Exception):
                self._server.shutdown()
            self._server = None
        with self._changed:
            self._dismiss()

    def show(self, jpeg: bytes, aspect: float) -> bool:
        """Shows a picture on the page, from any thread; whether it was sent.

        Never waits: while anything else is on its way, or no page is there, a picture is left out.
        The library holds a lock while it sends, without which it receives nothing either: what does
        not fit into the kernel's buffer would keep the hands from coming.
        """
        with self._changed:
            connection = self._set if self._set is self._driving else None
        if connection is None or len(jpeg) > LARGEST_PICTURE:
            return False
        from websockets.exceptions import ConnectionClosed

        try:
            if _unsent(connection.socket):
                return False
            connection.send(wire.picture(jpeg, aspect, time.time_ns() // 1_000_000))
        # A socket that is closed has no number to be asked by. Who receives notices it, too.
        except (OSError, ValueError, ConnectionClosed):
            return False
        return True

    def _secure(self) -> ssl.SSLContext | None:
        """The certificate of a server that has one."""
        if not self._options.certificate:
            return None
        return certified(self._options.certificate, self._options.key, "teleop.options.certificate")

    def _announce(self, server: str) -> None:
        """Prints the address once, at the terminal only: topics are recorded, and the key is
        secret.
        """
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
        """Receives events, in a thread of the connection's own, until it ends."""
        from websockets.exceptions import ConnectionClosed

        # One that has left already is noticed below.
        with contextlib.suppress(OSError):
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if not self._takes_over(connection):
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

    def _takes_over(self, connection: Any) -> bool:
        """Whether a connection is the one that drives now; it waits for as long as another may be
        silent.
        """
        give_up_s = time.monotonic() + WAIT_S
        with self._changed:
            while self._driving is not None and time.monotonic() - self._received_s < GONE_S:
                if time.monotonic() > give_up_s:
                    return False
                self._changed.wait(0.05)
            self._dismiss()
            self._driving = connection
            self._received_s = time.monotonic()
            self._begin()
        return True

    def _begin(self) -> None:
        """Every headset has a world of its own."""
        self._facing.begin()
        self._gestures = Gestures() if self._options.gestures else None

    def _dismiss(self) -> None:
        """Disconnects the headset that drives, without waiting for it: it may be asleep."""
        if self._driving is not None:
            goodbye = threading.Thread(
                target=self._driving.close,
                args=(1001, "another headset drives"),
                name="goodbye",
                daemon=True,
            )
            goodbye.start()
        self._driving = None

    def _fail(self, connection: Any, why: str) -> None:
        """Ends a connection, if it is the one that drives."""
        with self._changed:
            if self._driving is connection:
                self._dismiss()
                self._mailbox.fail(LinkLost(why))

    def _on_frame(self, frame: bytes | str, connection: Any) -> None:
        kind, stamp_s, value = wire.read(frame)
        with self._changed:
            if self._driving is not connection:
                return
            self._received_s = time.monotonic()
            if kind == wire.CAMERA_MOVE:
                head = wire.head(value)
                if head is not None:
                    self._facing.head(head)
            elif kind == wire.HAND_MOVE:
                self._mailbox.put(self._sample(value, stamp_s))
        if kind == wire.INIT:
            connection.send(wire.scene(time.time_ns() // 1_000_000))
            with self._changed:
                self._set = connection

    def _sample(self, value: Any, stamp_s: float) -> Sample:
        sides: dict[Side, TrackedSide] = {}
        hands: dict[Side, np.ndarray] = {}
        for side, (wrist, keypoints) in wire.hands(value).items():
            if side in self._sides:
                sides[side] = TrackedSide(self._facing.pose(wrist, HAND), keypoints)
                hands[side] = keypoints
        buttons: tuple[str, ...] = ()
        if self._gestures is not None:
            buttons = self._gestures(hands, time.monotonic())
        # A stamp of 0 is that of a client which gives none.
        return Sample(sides, stamp_s=stamp_s or None, buttons=buttons)


def _unsent(connection: socket.socket) -> int:
    """Bytes that the other side has not yet confirmed (tcp(7), SIOCOUTQ)."""
    count = bytearray(4)
    fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, count)
    return int.from_bytes(count, sys.byteorder)
