"""What an Apple Vision Pro with the VisionProTeleop app says (avp-stream 2.51): protobuf messages
of 4x4 matrices, row by row.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError

METHOD = "/handtracking.HandTrackingService/StreamHandUpdates"
PORT = 12345
RATE_HZ = 200.0
VERSION = 25000
"""Of the library that a client pretends to be, 2.50.0: new apps refuse old ones."""

DISCOVERY = 888.0
"""In the first corner of a client's head: this is a request, and the numbers beside are its
address.
"""

HEADERS = (666.0, 777.0)
"""In the first corner of a matrix after the joints: markers or a stylus follow."""

JOINTS = 27
"""Wrist; thumb: knuckle, two phalanges, tip; four fingers: metacarpal, knuckle, two phalanges, tip;
forearm: two. Old apps send 25.
"""

KEPT = (0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24)
"""The joints that are the 21 keypoints, in order: all but the metacarpals."""

_RIGID = struct.Struct("<" + "xf" * 12 + "xxf")
_DENSE = struct.Struct("<" + "xf" * 15 + "xxf")
_TAGS = bytes(number << 3 | 5 for number in range(1, 16))
_LAST = bytes((16 << 3 & 0x7F | 5 | 0x80, 1))


@dataclass(frozen=True)
class TrackedHand:
    """A wrist [4, 4] in the world, whose y is up, and joints [K, 4, 4] in the wrist's frame."""

    wrist: np.ndarray
    joints: np.ndarray


@dataclass(frozen=True)
class Update:
    """One message; None is what it does not hold."""

    left: TrackedHand | None = None
    right: TrackedHand | None = None
    head: np.ndarray | None = None


def request(ip: str) -> bytes:
    """The discovery message of a client at an IPv4 address."""
    head = np.zeros((4, 4))
    head[0, 0], head[3, 0] = DISCOVERY, VERSION
    head.flat[1:5] = [float(byte) for byte in ip.split(".")]
    return _field(3, matrix_bytes(head))


def update_bytes(update: Update) -> bytes:
    """The message of an update."""
    hands = b"".join(
        _field(number, _hand_bytes(hand))
        for number, hand in ((1, update.left), (2, update.right))
        if hand is not None
    )
    return hands + (b"" if update.head is None else _field(3, matrix_bytes(update.head)))


def update(message: bytes) -> Update:
    """What a message says; XlvlaError where it is none."""
    try:
        parts = dict(_fields(message))
        return Update(
            _hand(parts.get(1)), _hand(parts.get(2)), _matrix(parts[3]) if 3 in parts else None
        )
    except (IndexError, struct.error) as error:
        raise XlvlaError(f"a hand update of {len(message)} bytes cannot be read: {error}") from None


def matrix_bytes(matrix: np.ndarray) -> bytes:
    """A matrix as protobuf writes it: zeros are left out."""
    values = np.asarray(matrix, dtype="<f4").ravel()
    return b"".join(
        _varint(number << 3 | 5) + value.tobytes()
        for number, value in enumerate(values, 1)
        if value != 0
    )


def _hand_bytes(hand: TrackedHand) -> bytes:
    skeleton = b"".join(_field(1, matrix_bytes(joint)) for joint in hand.joints)
    return _field(1, matrix_bytes(hand.wrist)) + (_field(2, skeleton) if len(hand.joints) else b"")


def _hand(data: bytes | None) -> TrackedHand | None:
    if data is None:
        return None
    parts = dict(_fields(data))
    if 1 not in parts:
        return None
    joints: list[np.ndarray] = []
    for _, entry in _fields(parts.get(2, b"")):
        joint = _matrix(entry)
        if joint[0, 0] in HEADERS:
            break
        joints.append(joint)
    return TrackedHand(_matrix(parts[1]), np.array(joints).reshape(-1, 4, 4))


def _matrix(data: bytes) -> np.ndarray:
    """A matrix [4, 4]; the usual ones, of rigid bodies and dense ones, in one go."""
    if len(data) == _RIGID.size and data[:60:5] == _TAGS[:12] and data[60:62] == _LAST:
        values: Sequence[float] = _RIGID.unpack(data)
        return np.array([*values[:12], 0.0, 0.0, 0.0, values[12]]).reshape(4, 4)
    if len(data) == _DENSE.size and data[:75:5] == _TAGS and data[75:77] == _LAST:
        return np.array(_DENSE.unpack(data)).reshape(4, 4)
    matrix = np.zeros(16)
    for number, value in _fields(data):
        if 1 <= number <= 16:
            matrix[number - 1] = struct.unpack("<f", value)[0]
    return matrix.reshape(4, 4)


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and contents of a message's fields: messages and floats are all there is."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        kind = tag & 7
        if kind == 2:
            size, at = _number(data, at)
        elif kind == 5:
            size = 4
        else:
            raise IndexError(f"wire type {kind}")
        if at + size > len(data):
            raise IndexError("it is cut off")
        yield tag >> 3, data[at : at + size]
        at += size


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at = at + 1
        shift = shift + 7
        if byte < 0x80:
            return value, at


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    made.append(value)
    return bytes(made)
