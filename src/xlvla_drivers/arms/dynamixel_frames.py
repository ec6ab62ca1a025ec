"""Dynamixel protocol 2.0: packets with a CRC-16, byte stuffing, and the control table of X-series
servos (ROBOTIS e-manual).

A body here is what a packet says: id, instruction, parameters; of a status packet the first
parameter is its error.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import pi

BROADCAST = 0xFE
PING = 0x01
READ = 0x02
WRITE = 0x03
REG_WRITE = 0x04
ACTION = 0x05
FACTORY_RESET = 0x06
REBOOT = 0x08
CLEAR = 0x10
STATUS = 0x55
SYNC_READ = 0x82
SYNC_WRITE = 0x83
BULK_READ = 0x92
BULK_WRITE = 0x93
ALERT = 0x80
RESULT_FAIL = 1
INSTRUCTION_ERROR = 2
CRC_ERROR = 3
RANGE_ERROR = 4
LENGTH_ERROR = 5
LIMIT_ERROR = 6
ACCESS_ERROR = 7

RAD_PER_COUNT = 2 * pi / 4096
CENTRE = 2048
"""The position of 0 rad."""
RAD_S_PER_COUNT = 0.229 * 2 * pi / 60
CURRENT_POSITION_MODE = 5

_HEADER = b"\xff\xff\xfd\x00"
_LONGEST = 1024


@dataclass(frozen=True)
class Field:
    """An entry of the control table; `form` as `struct` writes it."""

    address: int
    form: str

    @property
    def size(self) -> int:
        return struct.calcsize("<" + self.form)

    def pack(self, value: int) -> bytes:
        return struct.pack("<" + self.form, value)

    def unpack(self, table: bytes | bytearray, first: int = 0) -> int:
        """Its value in a piece of a control table that begins at address `first`."""
        return struct.unpack_from("<" + self.form, table, self.address - first)[0]


MODEL = Field(0, "H")
FIRMWARE = Field(6, "B")
ID = Field(7, "B")
BAUD = Field(8, "B")
RETURN_DELAY = Field(9, "B")
OPERATING_MODE = Field(11, "B")
MAX_POSITION = Field(48, "i")
MIN_POSITION = Field(52, "i")
TORQUE = Field(64, "B")
RETURN_LEVEL = Field(68, "B")
HARDWARE_ERROR = Field(70, "B")
GOAL_CURRENT = Field(102, "h")
GOAL_POSITION = Field(116, "i")
CURRENT = Field(126, "h")
VELOCITY = Field(128, "i")
POSITION = Field(132, "i")
VOLTAGE = Field(144, "H")
TEMPERATURE = Field(146, "B")
EEPROM_END = 64
TABLE_SIZE = 256

HARDWARE_ERRORS = {
    0x01: "input voltage",
    0x04: "overheating",
    0x08: "encoder",
    0x10: "electrical shock",
    0x20: "overload",
}


@dataclass(frozen=True)
class Model:
    """A type of servo; `counts_per_newton_metre` None where nobody published it."""

    name: str
    milliamperes_per_count: float
    counts_per_newton_metre: float | None = None


MODELS: Mapping[int, Model] = {
    1190: Model("XL330-M077", 1.0),
    1200: Model("XL330-M288", 1.0),
    1220: Model("XC330-T288", 1.0, 1158.73),
    1020: Model("XM430-W350", 2.69),
    1030: Model("XM430-W210", 2.69, 371.7),
}


def packet(servo: int, instruction: int, parameters: bytes = b"") -> bytes:
    """A packet as it goes over the wire."""
    body = _stuff(bytes([instruction]) + parameters)
    head = _HEADER + bytes([servo]) + struct.pack("<H", len(body) + 2) + body
    return head + struct.pack("<H", crc(head))


def status(servo: int, error: int = 0, data: bytes = b"") -> bytes:
    return packet(servo, STATUS, bytes([error]) + data)


def sync_read(address: int, size: int, servos: Sequence[int]) -> bytes:
    return packet(BROADCAST, SYNC_READ, struct.pack("<HH", address, size) + bytes(servos))


def sync_write(entry: Field, values: Mapping[int, int]) -> bytes:
    """Writes one entry of several servos at once; nobody answers."""
    parameters = struct.pack("<HH", entry.address, entry.size)
    for servo, value in values.items():
        parameters += bytes([servo]) + entry.pack(value)
    return packet(BROADCAST, SYNC_WRITE, parameters)


def cut(buffer: bytearray, counts: Counter[str]) -> bytes | None:
    """The body of the first sound packet; what it skips is counted as truncated or corrupt."""
    while True:
        start = buffer.find(_HEADER)
        if start:
            # Noise; the last three bytes may be the beginning of a header.
            noise = max(len(buffer) - 3 if start < 0 else start, 0)
            counts["corrupt"] += any(buffer[:noise])
            del buffer[:noise]
        if start < 0 or len(buffer) < 7:
            return None
        size = 7 + int.from_bytes(buffer[5:7], "little")
        possible = size <= _LONGEST
        if possible and len(buffer) < size and buffer.find(_HEADER, 4) < 0:
            return None
        whole = bytes(buffer[:size])
        if possible and len(whole) == size and _is_sound(whole):
            del buffer[:size]
            return whole[4:5] + _unstuff(whole[7:-2])
        following = buffer.find(_HEADER, 4, size)
        if following >= 0:
            # Another packet begins within this one, so that its end is missing.
            counts["truncated"] += 1
            del buffer[:following]
        else:
            counts["corrupt"] += 1
            del buffer[: size if possible and len(whole) == size else 4]


def _is_sound(whole: bytes) -> bool:
    if len(whole) < 10:
        return False
    return crc(whole[:-2]) == int.from_bytes(whole[-2:], "little")


def crc(data: bytes) -> int:
    """CRC-16 with polynomial 0x8005, not reflected."""
    value = 0
    for byte in data:
        row = value >> 8 ^ byte
        value = (value << 8 & 0xFFFF) ^ _CRC[row]
    return value


def _crc_entry(byte: int) -> int:
    value = byte << 8
    for _ in range(8):
        carry = value & 0x8000
        value = value << 1 & 0xFFFF
        if carry:
            value ^= 0x8005
    return value


_CRC = tuple(_crc_entry(byte) for byte in range(256))


def _stuff(body: bytes) -> bytes:
    return body.replace(b"\xff\xff\xfd", b"\xff\xff\xfd\xfd")


def _unstuff(body: bytes) -> bytes:
    return body.replace(b"\xff\xff\xfd\xfd", b"\xff\xff\xfd")
