"""An emulated Apple Vision Pro with the VisionProTeleop app: a gRPC server that streams a person's
hands.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Side
from xlvla_drivers.emulators.headset import HeadsetEmulator
from xlvla_drivers.teleop import vision_pro_frames as wire
from xlvla_drivers.teleop.vision_pro import EMULATED, HAND, Options

ADDRESS = EMULATED
LOOK_S = 0.02
SEEN_HZ = 90.0
"""The headset's own rate; its app repeats what it saw last."""


class Emulator(HeadsetEmulator):
    """Serves any client at its address, both hands and the head; `side` means nothing to it."""

    def __init__(self, address: str, side: Side, options: Options):
        super().__init__()
        self.address = address
        self._server: Any = None
        self._stopping = False

    def start(self) -> None:
        import grpc

        self._stopping = False
        self._server = grpc.server(ThreadPoolExecutor(8))
        handler = grpc.unary_stream_rpc_method_handler(self._stream)
        service, method = wire.METHOD.strip("/").split("/")
        handlers = grpc.method_handlers_generic_handler(service, {method: handler})
        self._server.add_generic_rpc_handlers((handlers,))
        try:
            bound = self._server.add_insecure_port(self.address)
        except RuntimeError:
            bound = 0
        if not bound:
            raise XlvlaError(f"cannot emulate a headset at {self.address}: is the port taken?")
        self._server.start()

    def stop(self) -> None:
        self._stopping = True
        if self._server is not None:
            self._server.stop(grace=0.2).wait()
            self._server = None

    def _stream(self, request: bytes, context: Any) -> Iterator[bytes]:
        """What one client is told until it goes; unplugged, nothing."""
        head = wire.update(request).head
        if head is None or head[0, 0] != wire.DISCOVERY:
            return
        message = self._message()
        seen_s = time.monotonic()
        due_s = time.monotonic()
        while context.is_active() and not self._stopping:
            if "unplug" in self.faults:
                time.sleep(LOOK_S)
                continue
            if time.monotonic() >= seen_s + 1 / SEEN_HZ:
                message = self._message()
                seen_s = max(seen_s + 1 / SEEN_HZ, time.monotonic() - 0.1)
            yield message
            due_s = max(due_s + 1 / wire.RATE_HZ, time.monotonic() - 0.1)
            time.sleep(max(due_s - time.monotonic(), 0.0))

    def _message(self) -> bytes:
        hands: dict[Side, wire.TrackedHand] = {}
        for side, (wrist, keypoints) in self.hands(HAND).items():
            hands[side] = wire.TrackedHand(wrist, joints(keypoints))
        update = wire.Update(hands.get("left"), hands.get("right"), self.head)
        return wire.update_bytes(update)


def joints(keypoints: np.ndarray) -> np.ndarray:
    """The headset's joints [27, 4, 4] of keypoints [21, 3] m: metacarpals lie between wrist and
    knuckle, the forearm behind.
    """
    made = np.tile(np.eye(4), (wire.JOINTS, 1, 1))
    made[list(wire.KEPT), :3, 3] = keypoints
    for metacarpal, knuckle in ((5, 6), (10, 11), (15, 16), (20, 21)):
        made[metacarpal, :3, 3] = 0.3 * made[knuckle, :3, 3]
    made[26, :3, 3] = -2.5 * keypoints[9]
    return made
