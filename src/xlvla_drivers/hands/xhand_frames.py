"""Bytes of the XHand1 on RS485. The vendor publishes none: the layout is that of two independent
drivers, one tried on a hand.

One exchange carries targets one way and the whole state back; there is no reading alone.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections import Counter
from dataclasses import dataclass

import numpy as np

JOINTS = 12
FINGERS = ("thumb", "index", "middle", "ring", "little")
TAXELS = 120
BAUD = 3_000_000

PC = 0xFE
HAND = 0x80
EVERY_HAND = 0xFF
EXCHANGE = 0x02
VERSION = 0x13
PASSIVE = 0
POSITION = 3
POWERFUL = 5

COMMAND = np.dtype(
    [
        ("id", "<u2"),
        ("kp", "<i2"),
        ("ki", "<i2"),
        ("kd", "<i2"),
        ("position", "<f4"),
        ("tor_max", "<u2"),
        ("mode", "<u2"),
        ("reserved", "<u2", 4),
    ]
)
"""One joint's target: position [rad], tor_max [mA]."""

_FORCE = np.dtype([("x", "i1"), ("y", "i1"), ("z", "u1")])

STATE = np.dtype(
    [
        (
            "joints",
            [
                ("id", "u1"),
                ("sensor_id", "u1"),
                ("position", "<f4"),
                ("torque", "<i2"),
                ("raw_position", "<u2"),
                ("temperature", "<u2"),
                ("commboard_err", "<u2"),
                ("jointboard_err", "<u2"),
                ("tipboard_err", "<u2"),
                ("reserved", "<u2", 3),
            ],
            JOINTS,
        ),
        (
            "tips",
            [
                ("force", _FORCE),
                ("taxels", _FORCE, TAXELS),
                ("temperatures", "u1", 20),
                ("temperature", "u1"),
            ],
            len(FINGERS),
        ),
    ]
)
"""All a hand says: position [rad]; torque [mA], its sign UNCONFIRMED; temperature deg C in the low
byte. The normal force z of a fingertip is taken for unsigned as in the vendor's SDK, UNCONFIRMED.
"""

_HEADER = b"\x55\xaa"
_HEAD = 7
_CRC = 2
REQUEST_BYTES = _HEAD + COMMAND.itemsize * JOINTS + _CRC
REPLY_BYTES = _HEAD + STATE.itemsize + _CRC
EXCHANGE_S = (REQUEST_BYTES + REPLY_BYTES) * 10 / BAUD
"""An exchange on the wire, ten bits to a byte."""


def frame(source: int, destination: int, command: int, payload: bytes = b"") -> bytes:
    body = (
        _HEADER
        + bytes([source, destination, command])
        + len(payload).to_bytes(2, "little")
        + payload
    )
    return body + crc_hqx(body, 0).to_bytes(2, "little")


@dataclass(frozen=True)
class XHandFrame:
    """A sound frame, taken apart."""

    source: int
    destination: int
    command: int
    payload: bytes


def parse(data: bytes) -> XHandFrame:
    return XHandFrame(data[2], data[3], data[4], data[_HEAD:-_CRC])


def cut(buffer: bytearray, counts: Counter[str], longest: int = STATE.itemsize) -> bytes | None:
    """The first sound frame off the front of a buffer, with what precedes it; None when more bytes
    are needed.
    """
    while True:
        begin = buffer.find(_HEADER)
        if begin < 0:
            # The last byte may be the first of a header.
            del buffer[: len(buffer) - buffer.endswith(_HEADER[:1])]
            return None
        del buffer[:begin]
        payload = int.from_bytes(buffer[5:7], "little")
        length = _HEAD + payload + _CRC
        possible = payload <= longest
        if possible and (len(buffer) < _HEAD or len(buffer) < length):
            return None
        data = bytes(buffer[:length])
        crc = int.from_bytes(data[-_CRC:], "little")
        if possible and crc_hqx(data[:-_CRC], 0) == crc:
            del buffer[:length]
            return data
        counts["truncated" if possible and _begins_again(data) else "corrupt"] += 1
        del buffer[: len(_HEADER)]


def _begins_again(data: bytes) -> bool:
    """Another frame's head lies within this one."""
    return data.find(_HEADER + data[2:5], len(_HEADER)) > 0


def state(payload: bytes) -> np.ndarray:
    """A reply's payload, scalar of `STATE`."""
    return np.frombuffer(payload, STATE)[0]


def forces(tip: np.ndarray) -> np.ndarray:
    """Raw forces [..., 3] of a record with x, y and z."""
    return np.stack([tip[axis].astype(float) for axis in ("x", "y", "z")], axis=-1)
