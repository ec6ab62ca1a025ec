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
from xlvla_drivers.addresses import serial_port
from xlvla_drivers.device import LINK_TIMEOUT_S, DeviceState, Fault, LinkLost
from xlvla_drivers.hands import ability_frames as wire
from xlvla_drivers.serial_link import SerialLink

REPLY_LENGTHS = tuple(wire.REPLY_LENGTH.values())

_KEEP_ALIVE_S = wire.API_TIMEOUT_S / 4
_TRIES = 4
_SILENT = 2
"""After a retry the line is silent once nothing came for as long as so many exchanges take."""
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


def claim(address: str, side: Side, options: Options) -> str:
    """A serial port has one hand."""
    return serial_port(address)


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
        # Time on the wire of a request and its answer.
        wire_bits = (19 + max(REPLY_LENGTHS)) * _BITS_PER_BYTE
        self._wire_ns = round(wire_bits / options.baud * SECOND)
        self._variants = itertools.cycle(_VARIANTS[options.reply])
        # Whether two answers in a row are never the same.
        self._alternates = len(_VARIANTS[options.reply]) > 1
        self._lock = threading.Lock()
        # Commands whose answers have not come, those given up since the line was last silent, and
        # when the last of all was sent.
        self._asked = 0
        self._given_up = 0
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
            # Each variant twice: the first answers of a hand in its fast mode are old.
            for _ in range(4):
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
        address = self._options.hand_address
        with self._lock:
            self._ask(wire.command(address, wire.POSITION, next(self._variants), words))
        sent = wire.RAD_PER_COUNT * words[_FROM_WIRE]
        return dict(zip(self.joints, sent.tolist(), strict=True))

    def recover(self) -> str:
        hot = ", ".join(fault.joint for fault in self.read().faults)
        if hot:
            raise XlvlaError(
                f"{hot}: too hot, and weak until cooled down; nothing but waiting helps"
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
        header = wire.READ_ONLY + next(self._variants) - 1
        return wire.request(self._options.hand_address, header)

    def _ask(self, request: bytes) -> None:
        """Sends a command; what is already there answers earlier ones."""
        while self._take(thread_clock.NOW):
            pass
        self._link.send(request)
        self._asked += 1
        self._asked_ns = time.time_ns()

    def _await(self) -> None:
        """Takes in the answers to all that was asked; asks again when none comes, and gives up
        after `LINK_TIMEOUT_S`.
        """
        for attempt in range(_TRIES):
            if attempt:
                self.counts["retries"] += 1
                self._given_up += self._asked
                self._asked = 0
                self._last_body = b""
                self._ask(self._read_request())
            until_s = thread_clock.now_s() + LINK_TIMEOUT_S / _TRIES
            while self._asked and self._take(until_s):
                pass
            if not self._asked:
                if attempt:
                    self._settle()
                return
        self._asked = 0
        raise LinkLost(
            f"{self._link.address}: the hand does not answer; is it switched on and set up for "
            "this line and rate?"
        )

    def _settle(self) -> None:
        """Waits until the line is silent: the answer may have been one that was given up before,
        and the right one would then be taken for the next command's.
        """
        give_up_s = thread_clock.now_s() + LINK_TIMEOUT_S
        while (now_s := thread_clock.now_s()) < give_up_s:
            if not self._take(now_s + _SILENT * self._wire_ns / SECOND):
                break
        self._given_up = 0

    def _take(self, until_s: float) -> bool:
        """Takes in one frame, waiting until then; False when none came."""
        body = self._link.frame(self._cut, until_s)
        if body is None:
            return False
        reply = wire.read_reply(body)
        if reply is None:
            self.counts["unexpected"] += 1
            return True
        if self._alternates and body == self._last_body:
            # Taken for an answer, it would put all later ones off by one: ever older poses.
            self.counts["duplicated"] += 1
            return True
        if not self._asked:
            self._count_unasked(body)
        self._asked = max(self._asked - 1, 0)
        self._last_body = body
        self._hot = reply.hot
        self._newest["position"] = reply.position
        # What this variant does not have stays as an earlier one said.
        if reply.current is not None:
            self._newest["current"] = reply.current
        if reply.velocity is not None:
            self._newest["velocity"] = reply.velocity
        if reply.touch is not None:
            self._newest["touch"] = reply.touch
        return True

    def _cut(self, buffer: bytearray) -> bytes | None:
        return wire.cut(buffer, self.counts, REPLY_LENGTHS)

    def _count_unasked(self, body: bytes) -> None:
        if self._given_up:
            self._given_up -= 1
            self.counts["late"] += 1
        elif body == self._last_body:
            self.counts["duplicated"] += 1
        else:
            self.counts["late"] += 1

    def _state(self) -> DeviceState:
        newest = self._newest
        velocity = None
        effort = None
        if "velocity" in newest:
            rotor = newest["velocity"] * wire.ROTOR_RAD_S_PER_COUNT
            velocity = (rotor / wire.GEAR)[_FROM_WIRE]
        if "current" in newest:
            amperes = newest["current"] / self._options.counts_per_ampere
            effort = (amperes * wire.TORQUE_PER_AMPERE * wire.GEAR)[_FROM_WIRE]
        return DeviceState(
            # A reply that has been waiting here arrived when its last bit did.
            stamp_ns=min(time.time_ns(), self._asked_ns + self._wire_ns),
            position=(wire.RAD_PER_COUNT * newest["position"])[_FROM_WIRE],
            velocity=velocity,
            effort=effort,
            tactile=self._tactile(),
            faults=self._faults(),
        )

    def _faults(self) -> tuple[Fault, ...]:
        faults: list[Fault] = []
        for bit, row in enumerate(_TO_WIRE):
            if self._hot >> bit & 1:
                joint = self.joints[row]
                faults.append(Fault(f"hot/cold bit {bit}", "thermal limiting", joint, stops=False))
        return tuple(faults)

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
