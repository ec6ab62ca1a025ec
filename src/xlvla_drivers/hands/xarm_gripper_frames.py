"""What an xArm Gripper is told and asked over its arm's controller: Modbus requests to a slave at
the end of the arm, each in a request of the controller's own protocol (`xarm7_frames`).

UFACTORY's gripper manual and xarm-python-sdk 1.18.4; registers hold 16 bits, high byte first, and
the controller takes care of the checksum.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

RS485 = 124
"""Register of the controller that passes a Modbus request on."""
END_MODULE = 128
"""Register of the controller that reads a setting of the module at the end of the arm."""

HOST = 9
"""The module at the end of the arm; first byte of what is passed on and of what comes back."""
SLAVE = 8
READ = 0x03
WRITE = 0x10
REFUSED = 0x80
"""Is added to the function of a request that the slave refuses."""

STATUS = 0x0000
ERROR = 0x000F
ENABLE = 0x0100
MODE = 0x0101
CLEAR_ERROR = 0x0109
SPEED = 0x0303
TARGET = 0x0700
POSITION = 0x0702
"""Registers; a target and a position [pulses] take two. The status is 1 in motion, else 0."""

POSITION_MODE = 0

BAUD = 0x0A0B
BAUDS = (
    *(4800, 9600, 19200, 38400, 57600, 115200, 230400),
    *(460800, 921600, 1000000, 1500000, 2000000, 2500000),
)
GRIPPER_BAUD = 2000000
"""Setting of the end module's line by its number in `BAUDS`, and the one a gripper needs."""

OPEN = 850
"""Pulses of an open gripper; 0 is closed."""
PULSES_PER_RAD = 1000
"""Of the angle by which the description's knuckles turn, 0 when open, as in the vendor's driver."""
FASTEST_RPM = 5000

ERRORS = {
    9: "current measurement failed",
    11: "current beyond its limit",
    12: "speed beyond its limit",
    14: "commanded position beyond its limit",
    15: "memory failed",
    20: "motor driver failed",
    21: "motor driver not initialised",
    23: "does not follow: blocked or overloaded",
    25: "command beyond the software limit",
    26: "position beyond the software limit",
    33: "driver overloaded",
    34: "motor overloaded",
    36: "wrong driver type",
}


def pulses(angle: float) -> int:
    """Of an angle [rad] of the drive joint."""
    return round(OPEN - PULSES_PER_RAD * angle)


def angle(pulses: int) -> float:
    """Angle [rad] of the drive joint."""
    return (OPEN - pulses) / PULSES_PER_RAD


def read_request(register: int, count: int) -> bytes:
    """What asks for `count` registers from one on; payload of `RS485`."""
    return struct.pack(">BBBHH", HOST, SLAVE, READ, register, count)


def write_request(register: int, words: Sequence[int]) -> bytes:
    """What sets registers from one on; payload of `RS485`."""
    head = struct.pack(">BBBHHB", HOST, SLAVE, WRITE, register, len(words), 2 * len(words))
    return head + struct.pack(f">{len(words)}H", *words)


def long_words(value: int) -> tuple[int, int]:
    """A signed number in two registers."""
    high, low = struct.unpack(">HH", struct.pack(">i", value))
    return high, low


def long_value(words: Sequence[int]) -> int:
    """The signed number in two registers."""
    return struct.unpack(">i", struct.pack(">HH", *words))[0]


def read_words(payload: bytes, count: int) -> tuple[int, ...] | None:
    """The registers in the answer to a `read_request`; None where it is none."""
    head = bytes([HOST, SLAVE, READ, 2 * count])
    if len(payload) != len(head) + 2 * count or not payload.startswith(head):
        return None
    return struct.unpack_from(f">{count}H", payload, len(head))


def is_written(payload: bytes, register: int, count: int) -> bool:
    """Whether this answers a `write_request`."""
    return payload == struct.pack(">BBBHH", HOST, SLAVE, WRITE, register, count)


@dataclass(frozen=True)
class SlaveRequest:
    """What arrives at the slave: to read `count` registers, or to write `words`."""

    register: int
    count: int
    words: tuple[int, ...] = ()

    @property
    def writes(self) -> bool:
        return bool(self.words)

    @staticmethod
    def decode(payload: bytes) -> SlaveRequest | None:
        """Of the payload of `RS485`; None where it is none that this slave understands."""
        if len(payload) < 7 or payload[0] != HOST or payload[1] != SLAVE:
            return None
        register, count = struct.unpack_from(">HH", payload, 3)
        if payload[2] == READ and len(payload) == 7:
            return SlaveRequest(register, count)
        written = payload[2] == WRITE and len(payload) == 8 + 2 * count and count > 0
        if not written or payload[7] != 2 * count:
            return None
        return SlaveRequest(register, count, struct.unpack_from(f">{count}H", payload, 8))

    def answer(self, words: Sequence[int] = ()) -> bytes:
        """What the slave answers: the registers that were read, or that all is written."""
        if self.writes:
            return struct.pack(">BBBHH", HOST, SLAVE, WRITE, self.register, self.count)
        head = bytes([HOST, SLAVE, READ, 2 * len(words)])
        return head + struct.pack(f">{len(words)}H", *words)

    def refusal(self) -> bytes:
        """What the slave answers where it knows no such register."""
        illegal_address = 2
        function = WRITE if self.writes else READ
        return bytes([HOST, SLAVE, function | REFUSED, illegal_address])
