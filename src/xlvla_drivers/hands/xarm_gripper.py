"""UFACTORY xArm Gripper (the one with pulses, not the G2) over the controller of its arm.

The driver has a line of its own to the controller, beside that of the arm's. It speaks the
controller's protocol itself: the vendor's SDK asks for the gripper's error after every question and
waits for the arm before every command.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.hands.xarm_gripper import HAND
from xlvla.ranges import Range
from xlvla.types import Side
from xlvla_drivers import thread_clock
from xlvla_drivers.arms import xarm7_frames as arm_wire
from xlvla_drivers.arms.xarm7 import split_address
from xlvla_drivers.device import LINK_TIMEOUT_S, DeviceState, Fault, LinkLost
from xlvla_drivers.hands import xarm_gripper_frames as wire

CONNECT_S = 1.0
"""For the controller to take the line."""
HEALTH_S = 0.1
"""How often the gripper is asked for its error."""
TRIES = 3
"""How often a question with an unsound answer is asked."""

_END_SILENT = (19, 28)
"""Errors of the controller: what is at the end of the arm does not answer."""


@dataclass(frozen=True)
class Options:
    """What a rig may say of an xArm Gripper.

    Args:
        speed_rpm: of its motor; how fast the fingers then are is not published.
        rate_hz: how often it is asked and told at most; the line to the end of the arm is shared
            with what else is there. What it can do is UNCONFIRMED.
    """

    speed_rpm: Annotated[int, Range(1, wire.FASTEST_RPM)] = wire.FASTEST_RPM
    rate_hz: Annotated[float, Range(20, 200)] = 50.0


def claim(address: str, side: Side, options: Options) -> str:
    """A gripper is reached through the controller of the arm that bears it."""
    host, port = split_address(address)
    return f"{host}:{port}, gripper"


class Driver:
    """One gripper. After `disconnect` it goes on holding where it was told to be.

    Args:
        address: of the arm's controller, as the arm's driver has it.
    """

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = HAND.joint_names(side)
        self.counts: Counter[str] = Counter()
        self.host, self.port = split_address(address)
        self._options = options
        self._line = ControllerLine(self.host, self.port, self.counts)
        self._state: DeviceState | None = None
        self._error = 0
        self._sent: int | None = None
        self._read_s = self._health_s = self._written_s = 0.0

    def connect(self) -> None:
        self.disconnect()
        self._state = None
        self._sent = None
        self._line.open()
        try:
            self._require_baud()
            self._error = self._ask(wire.ERROR, 1)[0]
            if not self._error:
                self._enable()
            self.read()
        except Exception:
            self.disconnect()
            raise

    def read(self) -> DeviceState:
        now_s = time.monotonic()
        if self._state is not None and now_s - self._read_s < 1 / self._options.rate_hz:
            return self._state
        position = wire.long_value(self._ask(wire.POSITION, 2))
        stamp_ns = time.time_ns()
        if now_s - self._health_s >= HEALTH_S:
            self._error = self._ask(wire.ERROR, 1)[0]
            self._health_s = now_s
        self._read_s = now_s
        self._state = DeviceState(
            stamp_ns, position=np.array([wire.angle(position)]), faults=self._faults()
        )
        return self._state

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        """Nothing is sent, and the result is empty, while the gripper reports an error."""
        if self._error:
            return {}
        (joint,) = self.joints
        wanted = int(np.clip(wire.pulses(target[joint]), 0, wire.OPEN))
        now_s = time.monotonic()
        due = self._sent is None or now_s - self._written_s >= 1 / self._options.rate_hz
        if due and wanted != self._sent:
            self._tell(wire.TARGET, wire.long_words(wanted))
            self._sent = wanted
            self._written_s = now_s
        return {joint: wire.angle(wanted if self._sent is None else self._sent)}

    def recover(self) -> str:
        """Clears the gripper's error and enables it; it is told to stay where it is."""
        error = self._ask(wire.ERROR, 1)[0]
        if error:
            self._tell(wire.CLEAR_ERROR, (1,))
        position = wire.long_value(self._ask(wire.POSITION, 2))
        self._enable()
        self._tell(wire.TARGET, wire.long_words(int(np.clip(position, 0, wire.OPEN))))
        self._error = self._ask(wire.ERROR, 1)[0]
        self._state = None
        self._sent = None
        if self._error:
            raise XlvlaError(
                f"xArm Gripper at {self.host}: G{self._error} ({_meaning(self._error)}) remains "
                "after clearing"
            )
        return f"cleared G{error} ({_meaning(error)}), enabled" if error else "enabled"

    def disconnect(self) -> None:
        self._line.close()

    def _enable(self) -> None:
        """In position mode, at the options' speed; it does not move before it is told where to."""
        self._tell(wire.MODE, (wire.POSITION_MODE,))
        self._tell(wire.ENABLE, (1,))
        self._tell(wire.SPEED, (self._options.speed_rpm,))

    def _require_baud(self) -> None:
        """The gripper hears the module at the end of the arm at one rate only."""
        register = wire.BAUD.to_bytes(2, "big")
        answer = self._line.ask(wire.END_MODULE, bytes([wire.HOST]) + register)
        number = int.from_bytes(answer[:4], "big")
        if len(answer) != 4 or number >= len(wire.BAUDS):
            raise LinkLost(f"xArm at {self.host}: the module at the end of the arm is silent")
        if wire.BAUDS[number] != wire.GRIPPER_BAUD:
            raise XlvlaError(
                f"xArm at {self.host}: the line at the end of the arm runs at "
                f"{wire.BAUDS[number]} baud, the gripper needs {wire.GRIPPER_BAUD}: set it in "
                "UFACTORY Studio"
            )

    def _faults(self) -> tuple[Fault, ...]:
        if not self._error:
            return ()
        return (Fault(f"G{self._error}", _meaning(self._error), self.joints[0]),)

    def _ask(self, register: int, count: int) -> tuple[int, ...]:
        """Registers of the gripper from one on."""
        for _ in range(TRIES):
            answer = self._line.ask(wire.RS485, wire.read_request(register, count))
            words = wire.read_words(answer, count)
            if words is not None:
                return words
            self._count_bad(answer)
        raise self._silent()

    def _tell(self, register: int, words: tuple[int, ...]) -> None:
        """Sets registers of the gripper from one on."""
        for _ in range(TRIES):
            answer = self._line.ask(wire.RS485, wire.write_request(register, words))
            if wire.is_written(answer, register, len(words)):
                return
            self._count_bad(answer)
        raise self._silent()

    def _count_bad(self, answer: bytes) -> None:
        """An empty answer has been counted where it arrived."""
        self.counts["corrupt"] += bool(answer)
        self.counts["retries"] += 1

    def _silent(self) -> LinkLost:
        """Why the gripper does not answer although the controller does."""
        error = self._line.ask(arm_wire.GET_ERROR, b"")[:1]
        known = f" (C{error[0]})" if error and error[0] in _END_SILENT else ""
        return LinkLost(
            f"xArm at {self.host}: the gripper does not answer{known}: is one connected to the end "
            "of the arm?"
        )


class ControllerLine:
    """A connection to an xArm's controller: one question, one answer."""

    def __init__(self, host: str, port: int, counts: Counter[str]):
        self._host = host
        self._port = port
        self._counts = counts
        self._socket: socket.socket | None = None
        self._buffer = bytearray()
        self._transaction = 0

    def open(self) -> None:
        """Connects; LinkLost where no controller is there."""
        self._buffer.clear()
        try:
            made = socket.create_connection((self._host, self._port), timeout=CONNECT_S)
        except OSError as error:
            raise LinkLost(
                f"no xArm answers at {self._host}:{self._port}: {error.strerror or error}"
            ) from None
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = made
        version = self.ask(arm_wire.GET_VERSION, b"")
        if b"v" not in version:
            self.close()
            raise LinkLost(f"{self._host}:{self._port} is no xArm controller")

    def close(self) -> None:
        made = self._socket
        self._socket = None
        if made is not None:
            with contextlib.suppress(OSError):
                made.close()

    def ask(self, register: int, payload: bytes) -> bytes:
        """What the controller answers, without its state; empty where that is unsound.

        Raises:
            LinkLost: no answer within `LINK_TIMEOUT_S`.
        """
        if self._socket is None:
            raise LinkLost(f"xArm at {self._host} is not connected")
        self._transaction = self._transaction % 0xFFFF + 1
        request = arm_wire.Request(self._transaction, arm_wire.PRIVATE_PROTOCOL, register, payload)
        until_s = thread_clock.now_s() + LINK_TIMEOUT_S
        try:
            self._socket.sendall(request.encode())
            while True:
                reply = self._take(request)
                if reply is not None:
                    return reply
                if not thread_clock.wait([self._socket], until_s):
                    raise LinkLost(
                        f"xArm at {self._host} does not answer for {1e3 * LINK_TIMEOUT_S:.0f} ms"
                    )
                data = self._socket.recv(4096)
                if not data:
                    raise LinkLost(f"xArm at {self._host} hung up")
                self._buffer += data
        except OSError as error:
            raise LinkLost(f"xArm at {self._host}: {error.strerror or error}") from None

    def _take(self, request: arm_wire.Request) -> bytes | None:
        """The answer to a request from what has arrived; others are skipped and counted."""
        for found in arm_wire.requests(self._buffer):
            if found.transaction != request.transaction:
                # It came too late, or twice.
                self._counts["unexpected"] += 1
            elif found.register != request.register:
                self._counts["corrupt"] += 1
                return b""
            else:
                self._counts["truncated"] += not found.payload
                return found.payload[1:]
        return None


def _meaning(error: int) -> str:
    return wire.ERRORS.get(error, "an error of the gripper")
