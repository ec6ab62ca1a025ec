"""Compressed pictures, JPEG or PNG: how large one says it is is looked at before anybody makes room
for it.
"""

from __future__ import annotations

import contextlib
import struct

import numpy as np
from sensor_msgs.msg import CompressedImage

from xlvla.errors import XlvlaError

MOST_PIXELS = 1 << 25
"""A few bytes may claim to be gigabytes."""

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""JPEG's markers that begin a frame, which says the size."""

_SEGMENT = struct.Struct(">HH")
_SIZE = struct.Struct(">HH")
_PNG_SIZE = struct.Struct(">II")


def pixels(message: CompressedImage) -> np.ndarray:
    """RGB uint8 [H, W, 3] of a message; refuses what cannot be read."""
    import cv2

    data = np.frombuffer(message.data, np.uint8)
    found = None
    if 0 < size(data.tobytes()) <= MOST_PIXELS:
        with contextlib.suppress(cv2.error):
            found = cv2.imdecode(data, cv2.IMREAD_COLOR)
    if found is None:
        raise XlvlaError(
            f"a compressed image of {len(data)} bytes ('{message.format}') cannot be read"
        )
    return cv2.cvtColor(found, cv2.COLOR_BGR2RGB)


def size(data: bytes) -> int:
    """Width times height of a JPEG or PNG; 0 of what is neither."""
    try:
        if data.startswith(_PNG):
            width, height = _PNG_SIZE.unpack_from(data, 16)
            return width * height
        return _of_jpeg(data) if data.startswith(_JPEG) else 0
    except struct.error:
        return 0


def _of_jpeg(data: bytes) -> int:
    at = len(_JPEG)
    while True:
        marker, length = _SEGMENT.unpack_from(data, at)
        if marker >> 8 != 0xFF:
            return 0
        if marker & 0xFF in _FRAMES:
            height, width = _SIZE.unpack_from(data, at + _SEGMENT.size + 1)
            return width * height
        at += 2 + length
