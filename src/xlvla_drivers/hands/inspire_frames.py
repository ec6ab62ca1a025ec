"""Bytes of the Inspire RH56 hands: register map A, the private serial frames, and taxels.

Source: user manual PRJ-02-TS-U-001 V1.0.0 (RH56DFTP). Numbers of more than one byte are
little-endian in the map. Modbus shows the two bytes from any byte address on as one register; which
byte of a register is the first of two one-byte values is UNCONFIRMED, the vendor's own program
takes the high one.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

JOINTS = (
    "pinky_proximal_joint",
    "ring_proximal_joint",
    "middle_proximal_joint",
    "index_proximal_joint",
    "thumb_proximal_pitch_joint",
    "thumb_proximal_yaw_joint",
)
"""The order of every group of registers."""

PARTS = ("little", "ring", "middle", "index", "thumb_bend", "thumb_rotation")
"""The manual's names of the same six."""

HAND_ID = 1000
BUS_RATE = 1002
CLEAR_ERROR = 1004
SAVE = 1005
FACTORY = 1006
SETTINGS_END = 1020
"""Before it, every register has one byte."""
DEFAULT_SPEED = 1032
DEFAULT_FORCE = 1044
VOLTAGE = 1472
"""Of the later manual of the hands without taxels; its unit is UNCONFIRMED."""
POS_SET = 1474
ANGLE_SET = 1486
FORCE_SET = 1498
SPEED_SET = 1522
POS_ACT = 1534
ANGLE_ACT = 1546
FORCE_ACT = 1582
CURRENT = 1594
ERROR = 1606
STATUS = 1612
TEMP = 1618
SHORTS = 12
OCTETS = 6
"""Bytes of a group of six numbers."""
HEALTH = FORCE_ACT
HEALTH_SIZE = 42
"""Force, current, error, status and temperature lie side by side."""
ANGLE_FULL = 1000
"""0 is closed, 1000 open."""
STROKE_FULL = 2000
"""An actuator's travel: 0 is open."""
LEAVE_ALONE = -1
TAXELS_BEGIN = 3000
MAP_END = 5124

ERRORS = ("stall", "over-temperature", "over-current", "motor fault", "communication fault")
"""By bit."""

TCP_PORT = 6000
READ = 0x11
WRITE = 0x12
_REQUEST = b"\xeb\x90"
_REPLY = b"\x90\xeb"
_HEAD = 4
"""Two bytes of header, the hand's id, the length."""


@dataclass(frozen=True)
class Field:
    """A field of taxels: where its int16 values begin, and its rows and columns."""

    address: int
    rows: int
    columns: int

    @property
    def size(self) -> int:
        return 2 * self.rows * self.columns


def _fields() -> dict[str, Field]:
    fields: dict[str, Field] = {}
    for finger, address in (("little", 3000), ("ring", 3370), ("middle", 3740), ("index", 4110)):
        fields[f"{finger}_tip"] = Field(address, 3, 3)
        fields[f"{finger}_top"] = Field(address + 18, 12, 8)
        fields[f"{finger}_pad"] = Field(address + 210, 10, 8)
    fields["thumb_tip"] = Field(4480, 3, 3)
    fields["thumb_top"] = Field(4498, 12, 8)
    fields["thumb_middle"] = Field(4690, 3, 3)
    fields["thumb_pad"] = Field(4708, 12, 8)
    fields["palm"] = Field(4900, 8, 14)
    return fields


FIELDS = _fields()
"""The 17 fields of taxels of an FTP hand."""


def taxels(name: str, data: bytes) -> np.ndarray:
    """Raw values [rows, columns] of a field. The palm is sent column by column, each from its last
    row up.
    """
    field = FIELDS[name]
    values = np.frombuffer(data, dtype="<i2")
    if name == "palm":
        return values.reshape(field.columns, field.rows)[:, ::-1].T
    return values.reshape(field.rows, field.columns)


def shorts(values: Iterable[int]) -> bytes:
    return b"".join(struct.pack("<h", value) for value in values)


def from_shorts(data: bytes) -> tuple[int, ...]:
    return struct.unpack(f"<{len(data) // 2}h", data)


def _has_octets(address: int) -> bool:
    """Whether a byte address is one of the groups of one-byte numbers."""
    return ERROR <= address < TEMP + OCTETS


def to_registers(address: int, data: bytes, high_first: bool = True) -> list[int]:
    """Bytes of the map as Modbus registers."""
    registers: list[int] = []
    for offset in range(0, len(data), 2):
        order = _order(address + offset, high_first)
        registers.append(int.from_bytes(data[offset : offset + 2], order))
    return registers


def from_registers(address: int, registers: Sequence[int], high_first: bool = True) -> bytes:
    """Modbus registers as bytes of the map."""
    data = b""
    for number, value in enumerate(registers):
        data += value.to_bytes(2, _order(address + 2 * number, high_first))
    return data


def _order(address: int, high_first: bool) -> Literal["big", "little"]:
    if high_first and _has_octets(address):
        return "big"
    return "little"


def read_request(hand_id: int, address: int, size: int) -> bytes:
    return _frame(_REQUEST, hand_id, READ, address, bytes([size]))


def write_request(hand_id: int, address: int, data: bytes) -> bytes:
    return _frame(_REQUEST, hand_id, WRITE, address, data)


def reply(hand_id: int, command: int, address: int, data: bytes) -> bytes:
    return _frame(_REPLY, hand_id, command, address, data)


def _frame(header: bytes, hand_id: int, command: int, address: int, data: bytes) -> bytes:
    body = bytes([hand_id, len(data) + 3, command]) + address.to_bytes(2, "little") + data
    return header + body + bytes([sum(body) & 0xFF])


@dataclass(frozen=True)
class InspireFrame:
    """A sound frame, taken apart."""

    hand_id: int
    command: int
    address: int
    data: bytes


def parse(frame: bytes) -> InspireFrame:
    return InspireFrame(frame[2], frame[4], int.from_bytes(frame[5:7], "little"), frame[7:-1])


def cut_request(buffer: bytearray, counts: Counter[str]) -> bytes | None:
    return _cut(buffer, _REQUEST, counts)


def cut_reply(buffer: bytearray, counts: Counter[str]) -> bytes | None:
    return _cut(buffer, _REPLY, counts)


def _cut(buffer: bytearray, header: bytes, counts: Counter[str]) -> bytes | None:
    """The first sound frame off the front of a buffer, with what precedes it; None when more bytes
    are needed.
    """
    while True:
        begin = buffer.find(header)
        if begin < 0:
            # The last byte may be the first of a header.
            del buffer[: len(buffer) - buffer.endswith(header[:1])]
            return None
        del buffer[:begin]
        if len(buffer) < _HEAD:
            return None
        size = buffer[3]
        length = _HEAD + size + 1
        if len(buffer) < length:
            return None
        frame = bytes(buffer[:length])
        sound = sum(frame[2:-1]) & 0xFF == frame[-1]
        if size >= 3 and sound:
            del buffer[:length]
            return frame
        # Where another frame begins within this one, its end is missing.
        counts["truncated" if header in frame[2:] else "corrupt"] += 1
        del buffer[: len(header)]
