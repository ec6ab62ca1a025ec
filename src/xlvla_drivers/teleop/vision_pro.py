"""Apple Vision Pro with the VisionProTeleop app: a gRPC server on the headset that streams both
hands and the head.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import SIDES, Side
from xlvla_drivers.device import LinkLost
from xlvla_drivers.optional import installed
from xlvla_drivers.teleop import vision_pro_frames as wire
from xlvla_drivers.teleop.gestures import Gestures
from xlvla_drivers.teleop.operator import GONE_S, Mailbox, Sample, TrackedSide
from xlvla_drivers.teleop.worlds import Facing

EMULATED = f"127.0.0.1:{wire.PORT}"
"""Where the emulator is."""

CONNECT_S = 2.0

FEWEST_JOINTS = 25
"""Old apps send this many; fewer are no hand."""

HAND: dict[Side, np.ndarray] = {
    "right": np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
    "left": np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]),
}
"""Axes of the hand frame in that of the headset's wrist."""


@dataclass(frozen=True)
class Options:
    """Options in a rig's file.

    Args:
        gestures: thumb to little finger closes and opens the clutch, thumb to ring finger begins
            and ends an episode.
    """

    gestures: bool = True


class Driver:
    """Connects to the address that the headset's app shows; without one, to the emulator."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Any):
        if not address:
            self.address = EMULATED
        elif ":" in address:
            self.address = address
        else:
            self.address = f"{address}:{wire.PORT}"
        self._sides = sides
        self._gestures = Gestures() if options.gestures else None
        self._facing = Facing()
        self._mailbox = Mailbox()
        # The wrists [4, 4] of the last update.
        self._wrists: dict[Side, np.ndarray] = {}
        self._channel: Any = None

    def open(self) -> None:
        installed("grpc", "pip install 'xlvla[teleop]'")
        import grpc

        self.close()
        self._mailbox.clear()
        self._facing.begin()
        self._channel = grpc.insecure_channel(self.address)
        try:
            grpc.channel_ready_future(self._channel).result(timeout=CONNECT_S)
        except grpc.FutureTimeoutError:
            raise LinkLost(
                f"no headset at {self.address}: is its app open and is it on this network?"
            ) from None
        call = self._channel.unary_stream(wire.METHOD)(wire.request(_own_ip(self.address)))
        threading.Thread(target=self._listen, args=(call,), name="vision_pro", daemon=True).start()
        if not self._mailbox.await_first(CONNECT_S):
            raise LinkLost(f"the headset at {self.address} sends nothing")

    def read(self, timeout_s: float) -> Sample | None:
        sample = self._mailbox.take(timeout_s)
        if self._mailbox.silent_s > GONE_S:
            raise LinkLost(f"the headset at {self.address} sends nothing")
        return sample

    def close(self) -> None:
        if self._channel is not None:
            with contextlib.suppress(Exception):
                self._channel.close()
            self._channel = None

    def _listen(self, call: Any) -> None:
        """Receives updates, in a thread of its own, until the stream ends."""
        import grpc

        mailbox = self._mailbox
        try:
            for message in call:
                mailbox.put(self._sample(wire.update(message)))
            mailbox.fail(LinkLost(f"the headset at {self.address} ended its stream"))
        except grpc.RpcError as error:
            why = error.code().name if isinstance(error, grpc.Call) else error
            mailbox.fail(LinkLost(f"the headset at {self.address} is gone: {why}"))
        except XlvlaError as error:
            mailbox.fail(LinkLost(f"the headset at {self.address} is not understood: {error}"))

    def _sample(self, update: wire.Update) -> Sample:
        if update.head is not None:
            self._facing.head(update.head)
        sides: dict[Side, TrackedSide] = {}
        hands: dict[Side, np.ndarray] = {}
        for side in SIDES:
            hand = update.left if side == "left" else update.right
            if side not in self._sides or hand is None or len(hand.joints) < FEWEST_JOINTS:
                continue
            # A wrist that is exactly where it was is one that the headset does not see.
            if self._is_still(side, hand.wrist):
                continue
            wrist = self._facing.pose(hand.wrist, HAND[side])
            keypoints = hand.joints[list(wire.KEPT), :3, 3]
            sides[side] = TrackedSide(wrist, keypoints)
            hands[side] = keypoints
        buttons: tuple[str, ...] = ()
        if self._gestures is not None:
            buttons = self._gestures(hands, time.monotonic())
        return Sample(sides, buttons=buttons)

    def _is_still(self, side: Side, wrist: np.ndarray) -> bool:
        before = self._wrists.get(side)
        self._wrists[side] = wrist
        return before is not None and np.array_equal(before, wrist)


def _own_ip(address: str) -> str:
    """The address of this machine in the network of another; sends nothing."""
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, int(port)))
        except (OSError, ValueError) as error:
            raise LinkLost(f"no way to {address}: {error}") from None
        return probe.getsockname()[0]
