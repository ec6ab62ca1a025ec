"""Messages of openpi's websocket: msgpack maps with numpy arrays, of which each is a map of its own
with keys of bytes (openpi-client 0.1.2, msgpack_numpy.py).

    {b"__ndarray__": True, b"data": C-ordered bytes, b"dtype": "<f4", b"shape": [50, 14]}
    {b"__npgeneric__": True, b"data": 0.5, b"dtype": "<f8"}

Only numbers and truth values are arrays here: nothing is unpickled. What a message takes in memory
is bounded by its own size: an array lies in the message's bytes, and lists and maps are counted.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import msgpack
import numpy as np

from xlvla.errors import XlvlaError
from xlvla.text import plain

ANSWER_BYTES = 16 << 20
"""Largest answer of a server: a chunk takes kilobytes, what else it says may take more."""
REQUEST_BYTES = 32 << 20
"""Largest request: five pictures of 1920x1080 pixels."""

MOST_ENTRIES = 4096
"""Of a list or a map."""
MOST_CONTAINERS = 1024
"""Lists and maps of a message: rows of a chunk may be lists of numbers."""
LONGEST_TEXT = 1 << 16
MOST_AXES = 8

_ARRAY = b"__ndarray__"
_SCALAR = b"__npgeneric__"
_DTYPE = re.compile(r"[<>|=]?(b1|[iu][1248]|f[248])")

_MALFORMED = (
    ValueError,
    KeyError,
    TypeError,
    OverflowError,
    RecursionError,
    msgpack.exceptions.UnpackException,
)
"""What reading bytes that are no message raises."""


def packed(message: Mapping[str, Any]) -> bytes:
    """A message of text, numbers, truth values, lists, maps and arrays as bytes."""
    data = msgpack.packb(message, default=_plain)
    assert data is not None
    return data


def unpacked(frame: bytes | str) -> dict[str, Any]:
    """The message in a frame; its arrays are read-only and lie in the frame.

    Raises:
        XlvlaError: it is no map in openpi's form, or holds more than a message may.
    """
    if isinstance(frame, str):
        raise XlvlaError(f"a text of {len(frame)} characters is no message: they are binary")
    try:
        message = _read(frame)
    except _MALFORMED as error:
        reason = plain(error, 100) or type(error).__name__
        raise XlvlaError(f"{len(frame)} bytes are no message of openpi: {reason}") from None
    if not isinstance(message, dict):
        raise XlvlaError(f"a message is a map, this is of type {type(message).__name__}")
    return message


def _read(frame: bytes) -> Any:
    count = 0

    def counted(content: Any) -> Any:
        nonlocal count
        count += 1
        if count > MOST_CONTAINERS:
            raise ValueError(f"more than {MOST_CONTAINERS} lists and maps")
        return content

    return msgpack.unpackb(
        frame,
        object_hook=lambda entries: _array(counted(entries)),
        list_hook=counted,
        max_array_len=MOST_ENTRIES,
        max_map_len=MOST_ENTRIES,
        max_str_len=LONGEST_TEXT,
        max_ext_len=0,
    )


def _plain(value: Any) -> Any:
    """An array or a number of numpy's as a map."""
    if isinstance(value, np.ndarray):
        return {
            _ARRAY: True,
            b"data": value.tobytes(),
            b"dtype": _dtype(value.dtype.str).str,
            b"shape": value.shape,
        }
    if isinstance(value, np.generic):
        return {_SCALAR: True, b"data": value.item(), b"dtype": _dtype(value.dtype.str).str}
    raise TypeError(f"{type(value).__name__} cannot be sent")


def _array(entries: dict[Any, Any]) -> Any:
    """The array or number that a map stands for; any other map as it is."""
    if _ARRAY in entries:
        dtype = _dtype(entries[b"dtype"])
        shape = entries[b"shape"]
        if len(shape) > MOST_AXES or not all(type(n) is int and n >= 0 for n in shape):
            raise ValueError("an array's shape is a list of at most 8 whole numbers from 0")
        data = entries[b"data"]
        if not isinstance(data, bytes) or math.prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"an array's bytes are not those of {dtype} {shape}")
        return np.frombuffer(data, dtype).reshape(shape)
    if _SCALAR in entries:
        value = entries[b"data"]
        if not isinstance(value, (bool, int, float)):
            raise ValueError("a number of numpy's is no number")
        return _dtype(entries[b"dtype"]).type(value)
    return entries


def _dtype(name: Any) -> np.dtype[Any]:
    """The dtype of that name, of numbers or truth values."""
    if not isinstance(name, str) or not _DTYPE.fullmatch(name):
        raise ValueError(f"arrays of dtype {plain(name, 40)} are not taken")
    return np.dtype(name)
