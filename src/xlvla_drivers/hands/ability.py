"""PSYONIC Ability hand on its serial port.

The hand must have been set up once, over Bluetooth, for the serial line with byte stuffing both
ways (`We16`, `We46`, `We47`); a line faster than 460800 needs its RS485 transceiver (`We35`). It
answers every command with its state and leaves the serial interface when it hears nothing for 300
ms.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.hands.ability import HAND
from xlvla.ranges import Range
from xlvla.types import SECOND, Side
from xlvla_drivers import thread_clock
from xlvla_drivers.device import LINK_TIMEOUT_S, DeviceState, Fault, LinkLost
from xlvla_drivers.hands import ability_frames as wire
from xlvla_drivers.serial_link import SerialLink

REPLY_LENGTHS = tuple(wire.REPLY_LENGTH.values())

_KEEP_ALIVE_S = wire.API_TIMEOUT_S / 4
_TRIES = 4
_BITS_PER_BYTE = 10
_FROM_WIRE = [wire.WIRE_JOINTS.index(joint) for joint in HAND.joints]
_TO_WIRE = [HAND.joints.index(joint) for joint in wire.WIRE_JOINTS]
_VARIANTS = {"effort_touch": (1,), "velocity_touch": (2,), "effort_velocity": (3,), "all": (1, 2)}


@dataclass(frozen=True)
class Options:
    """What a rig may say about an Ability hand.

    Args:
        baud: as the hand is configured; 460800 is the vendor's default.
        reply: what the hand says beside positions; 'all' asks for effort and velocity in turns,
            with touch each time.
        hand_address: as the hand is configured.
        counts_per_ampere: differs by hardware revision (Bluetooth command `Rv` prints it); the
            default is the vendor's client's.
        tare: forces count from what the sensors say at the first connection, when nothing may touch
            them.
    """

    baud: Annotated[int, Range(9600, 4000000)] = 460800
    reply: Literal["effort_touch", "velocity_touch", "effort_velocity", "all"] = "all"
    hand_address: Annotated[int, Range(0, 255)] = 0x50
    counts_per_ampere: Annotated[float, Range(1, 1000000.0)] = 620.606079
    tare: bool = True


class Driver:
    """One hand. Effort is the motor's torque times its gear's ratio: friction, a good part of it,
    is not taken off.

    A thread of its own asks for the state when nobody did for a while, so that the hand stays on
    the line while its user is busy.
    """

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = HAND.joint_names(side)
        self.counts: Counter[str] = Counter()
        self._options = options
        self._link = SerialLink(address, options.baud, self.counts)
        self._wire_ns = round((19 + max(REPLY_LENGTHS)) * _BITS_PER_BYTE / options.baud * SECOND)
        self._variants = itertools.cycle(_VARIANTS[options.reply])
        self._lock = threading.Lock()
        self._asked = 0
        self._asked_ns = 0
        self._last_body = b""
        self._newest: dict[str, np.ndarray] = {}
        self._hot = 0
        self._rest: np.ndarray | None = None
        self._done = threading.Event()
        self._keeper: threading.Thread | None = None

    def connect(self) -> None:
        self.disconnect()
        with self._lock:
            self._link.open()
            self._newest.clear()
            for _ in range(
                4
            ):  # each variant twice: the first answers of a hand in its fast mode are old
                self._ask(self._read_request())
                self._await()
            if self._options.tare and self._rest is None:
                self._rest = self._newest.get("touch")
        self._done.clear()
        self._keeper = threading.Thread(
            target=self._keep_alive, name="ability keep-alive", daemon=True
        )
        self._keeper.start()

    def read(self) -> DeviceState:
        with self._lock:
            if not self._asked:
                self._ask(self._read_request())
            self._await()
            return self._state()

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        angles = np.array([target[joint] for joint in self.joints])
        words = wire.position_words(angles[_TO_WIRE])
        with self._lock:
            self._ask(
                wire.command(self._options.hand_address, wire.POSITION, next(self._variants), words)
            )
        sent = wire.RAD_PER_COUNT * words[_FROM_WIRE]
        return dict(zip(self.joints, sent.tolist(), strict=True))

    def recover(self) -> str:
        hot = [fault.joint for fault in self.read().faults]
        if hot:
            raise XlvlaError(
                f"{', '.join(hot)}: too hot, and weak until cooled down; nothing but waiting helps"
            )
        return "nothing to clear"

    def disconnect(self) -> None:
        """Hands the fingers back to the hand's own control, which keeps them where they are."""
        self._done.set()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None
        with self._lock:
            if self._link.is_open:
                with contextlib.suppress(LinkLost):
                    self._link.send(wire.request(self._options.hand_address, wire.LEAVE_API))
            self._link.close()
            self._asked = 0

    def _read_request(self) -> bytes:
        return wire.request(self._options.hand_address, wire.READ_ONLY + next(self._variants) - 1)

    def _ask(self, request: bytes) -> None:
        """Sends a command; what is already there answers earlier ones."""
        while self._take(thread_clock.NOW):
            pass
        self._link.send(request)
        self._asked = self._asked + 1
        self._asked_ns = time.time_ns()

    def _await(self) -> None:
        """Takes in the answers to all that was asked; asks again when none comes, and gives up
        after `LINK_TIMEOUT_S`.
        """
        for attempt in range(_TRIES):
            if attempt:
                self.counts["retries"] += 1
                self._asked = 0
                self._ask(self._read_request())
            until_s = thread_clock.now_s() + LINK_TIMEOUT_S / _TRIES
            while self._asked and self._take(until_s):
                pass
            if not self._asked:
                return
        self._asked = 0
        raise LinkLost(
            f"{self._link.address}: the hand does not answer; is it switched on and set up for "
            "this line and rate?"
        )

    def _take(self, until_s: float) -> bool:
        """Takes in one frame, waiting until then; False when none came."""
        body = self._link.frame(
            lambda buffer: wire.cut(buffer, self.counts, REPLY_LENGTHS), until_s
        )
        if body is None:
            return False
        reply = wire.read_reply(body)
        if reply is None:
            self.counts["unexpected"] += 1
            return True
        if not self._asked:
            self.counts["duplicated" if body == self._last_body else "late"] += 1
        self._asked = max(self._asked - 1, 0)
        self._last_body = body
        self._hot = reply.hot
        fields = {
            "position": reply.position,
            "current": reply.current,
            "velocity": reply.velocity,
            "touch": reply.touch,
        }
        self._newest |= {name: value for name, value in fields.items() if value is not None}
        return True

    def _state(self) -> DeviceState:
        newest = self._newest
        amperes = (
            newest["current"] / self._options.counts_per_ampere if "current" in newest else None
        )
        velocity = (
            newest["velocity"] * wire.ROTOR_RAD_S_PER_COUNT / wire.GEAR
            if "velocity" in newest
            else None
        )
        return DeviceState(
            # a reply that has been waiting here arrived when its last bit did
            stamp_ns=min(time.time_ns(), self._asked_ns + self._wire_ns),
            position=(wire.RAD_PER_COUNT * newest["position"])[_FROM_WIRE],
            velocity=velocity[_FROM_WIRE] if velocity is not None else None,
            effort=(amperes * wire.TORQUE_PER_AMPERE * wire.GEAR)[_FROM_WIRE]
            if amperes is not None
            else None,
            tactile=self._tactile(),
            faults=tuple(_hot(i, self.joints[_TO_WIRE[i]]) for i in range(6) if self._hot >> i & 1),
        )

    def _tactile(self) -> dict[str, np.ndarray]:
        """Force [6] N of every finger's sites; never below 0."""
        if "touch" not in self._newest:
            return {}
        forces = wire.newtons(self._newest["touch"])
        if self._rest is not None:
            forces = np.maximum(forces - wire.newtons(self._rest), 0.0)
        return dict(zip(wire.WIRE_FINGERS, forces.reshape(-1, wire.SITES), strict=True))

    def _keep_alive(self) -> None:
        while not self._done.wait(_KEEP_ALIVE_S):
            with self._lock, contextlib.suppress(LinkLost):
                if self._link.is_open and time.time_ns() - self._asked_ns > _KEEP_ALIVE_S * SECOND:
                    self._ask(self._read_request())


def _hot(bit: int, joint: str) -> Fault:
    return Fault(f"hot/cold bit {bit}", "thermal limiting", joint, stops=False)
