"""How large a compressed picture says it is, read from its head: looked at before anybody makes room for it."""

from __future__ import annotations

import struct

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG = b"\xff\xd8"
_FRAMES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
"""JPEG's markers that begin a frame, which says the size."""

_SEGMENT, _SIZE, _PNG_SIZE = struct.Struct(">HH"), struct.Struct(">HH"), struct.Struct(">II")


def pixels(data: bytes) -> int:
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
