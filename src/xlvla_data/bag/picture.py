"""Serialised raw pictures as serialised compressed ones: cameras that publish no JPEG are recorded
as JPEG.
"""

from __future__ import annotations

import struct

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_data.bag.decode import START, read_text

KIND = "sensor_msgs/msg/CompressedImage"
RAW_KIND = "sensor_msgs/msg/Image"
QUALITY = 95
FORMAT = b"rgb8; jpeg compressed bgr8\0"
"""As image_transport writes it."""

STAMP_BYTES = 8
LARGE_BYTES = 100_000
"""From this size on a picture is fingerprinted by some of its bytes."""

_SIZE = struct.Struct("<II")
_LENGTH = struct.Struct("<I")
_ENCODINGS = ("rgb8", "bgr8")


def pixels(data: bytes) -> tuple[np.ndarray, str]:
    """The pixels uint8 [H, W, 3] of a serialised Image, without a copy, and their encoding, rgb8 or
    bgr8.
    """
    _, at = read_text(data, START + STAMP_BYTES)
    at += -at % 4
    height, width = _SIZE.unpack_from(data, at)
    encoding, at = read_text(data, at + _SIZE.size)
    if encoding not in _ENCODINGS:
        raise XlvlaError(
            f"pictures with encoding '{encoding}' are not recorded: {' and '.join(_ENCODINGS)} are"
        )
    # is_bigendian is one byte
    at += 1
    at += -at % 4
    step, length = _SIZE.unpack_from(data, at)
    begin = at + _SIZE.size
    empty = not width * height
    rows_fit = step >= 3 * width and length == height * step
    cut_off = begin + length > len(data)
    if empty or not rows_fit or cut_off:
        raise XlvlaError(
            f"a picture of {width}x{height} with rows of {step} bytes cannot have {length} bytes"
        )
    rows = np.frombuffer(data, np.uint8, length, begin).reshape(height, step)
    return rows[:, : 3 * width].reshape(height, width, 3), encoding


def compressed(data: bytes, quality: int = QUALITY) -> bytes:
    """A serialised Image as a serialised CompressedImage with the same header."""
    import cv2

    picture, encoding = pixels(data)
    # cv2 expects BGR
    if encoding == "rgb8":
        picture = picture[..., ::-1]
    _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, quality))
    _, header_end = read_text(data, START + STAMP_BYTES)
    message = bytearray(data[:header_end])
    for field in (FORMAT, jpeg.tobytes()):
        message += bytes(-len(message) % 4)
        message += _LENGTH.pack(len(field))
        message += field
    return bytes(message)


def fingerprint(data: bytes) -> int:
    """A number that is the same for the same picture."""
    import zlib

    # Of a large picture some bytes are enough: noise changes all of it from one to the next
    if len(data) >= LARGE_BYTES:
        data = np.frombuffer(data, np.uint8)[64::31].tobytes()
    return zlib.crc32(data)
