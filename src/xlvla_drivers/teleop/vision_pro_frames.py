"""The messages of the VisionProTeleop app on an Apple Vision Pro (avp-stream 2.51): protobuf with
4x4 matrices, row by row.
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
"""The first number of a client's head matrix: this is a request, and the next numbers are its
address.
"""

HEADERS = (666.0, 777.0)
"""The first number of a matrix after the joints: markers or a stylus follow."""

JOINTS = 27
"""Wrist; thumb: knuckle, two phalanges, tip; four fingers: metacarpal, knuckle, two phalanges, tip;
forearm: two. Old apps send 25.
"""

KEPT = (0, 1, 2, 3, 4, 6, 7, 8, 9, 11, 12, 13, 14, 16, 17, 18, 19, 21, 22, 23, 24)
"""The joints that are the 21 keypoints, in order: all but the metacarpals."""

MESSAGE = 2
FLOAT = 5
"""Wire types of protobuf."""

FIELD_BYTES = 5
"""Of a float in a message: one byte of tag, four of value."""

# A matrix is a message of 16 floats without those that are zero. Nearly all are of two kinds, which
# are unpacked in one go: rigid bodies, whose last row is 0 0 0 1, and dense ones. The tag of the
# 16th float takes two bytes.
_RIGID = struct.Struct("<" + "xf" * 12 + "xxf")
_DENSE = struct.Struct("<" + "xf" * 15 + "xxf")
_TAGS = bytes(number << 3 | FLOAT for number in range(1, 16))
_LAST = bytes((16 << 3 & 0x7F | FLOAT | 0x80, 1))


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
    head[0, 0] = DISCOVERY
    head[3, 0] = VERSION
    head.flat[1:5] = [float(byte) for byte in ip.split(".")]
    return _field(3, matrix_bytes(head))


def update_bytes(update: Update) -> bytes:
    """The message of an update."""
    message = b""
    if update.left is not None:
        message += _field(1, _hand_bytes(update.left))
    if update.right is not None:
        message += _field(2, _hand_bytes(update.right))
    if update.head is not None:
        message += _field(3, matrix_bytes(update.head))
    return message


def update(message: bytes) -> Update:
    """The update of a message; XlvlaError where it cannot be read."""
    try:
        parts = dict(_fields(message))
        left = _hand(parts.get(1))
        right = _hand(parts.get(2))
        head = _matrix(parts[3]) if 3 in parts else None
        return Update(left, right, head)
    except (IndexError, struct.error) as error:
        raise XlvlaError(f"a hand update of {len(message)} bytes cannot be read: {error}") from None


def matrix_bytes(matrix: np.ndarray) -> bytes:
    """A matrix as protobuf writes it: zeros are left out."""
    message = b""
    for number, value in enumerate(np.asarray(matrix, dtype="<f4").ravel(), 1):
        if value != 0:
            message += _varint(number << 3 | FLOAT) + value.tobytes()
    return message


def _hand_bytes(hand: TrackedHand) -> bytes:
    message = _field(1, matrix_bytes(hand.wrist))
    if len(hand.joints):
        skeleton = b"".join(_field(1, matrix_bytes(joint)) for joint in hand.joints)
        message += _field(2, skeleton)
    return message


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
    """A matrix [4, 4]."""
    if len(data) == _RIGID.size and _has_tags(data, 12):
        values: Sequence[float] = _RIGID.unpack(data)
        return np.array([*values[:12], 0.0, 0.0, 0.0, values[12]]).reshape(4, 4)
    if len(data) == _DENSE.size and _has_tags(data, 15):
        return np.array(_DENSE.unpack(data)).reshape(4, 4)
    matrix = np.zeros(16)
    for number, value in _fields(data):
        if 1 <= number <= 16:
            matrix[number - 1] = struct.unpack("<f", value)[0]
    return matrix.reshape(4, 4)


def _has_tags(data: bytes, count: int) -> bool:
    """Whether a message holds its first `count` floats and then the 16th."""
    end = count * FIELD_BYTES
    return data[:end:FIELD_BYTES] == _TAGS[:count] and data[end : end + 2] == _LAST


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and contents of a message's fields, which are messages and floats."""
    at = 0
    while at < len(data):
        tag, at = _number(data, at)
        kind = tag & 7
        if kind == MESSAGE:
            size, at = _number(data, at)
        elif kind == FLOAT:
            size = 4
        else:
            raise IndexError(f"wire type {kind}")
        if at + size > len(data):
            raise IndexError("it is cut off")
        yield tag >> 3, data[at : at + size]
        at += size


def _number(data: bytes, at: int) -> tuple[int, int]:
    """The varint that begins at a byte, and where it ends."""
    value = 0
    shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at += 1
        shift += 7
        if byte < 0x80:
            return value, at


def _field(number: int, content: bytes) -> bytes:
    """A field that is a message."""
    return _varint(number << 3 | MESSAGE) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first; the eighth bit says that more follow."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
