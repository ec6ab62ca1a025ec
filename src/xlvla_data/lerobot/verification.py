"""Whether what was written is what is read: every number to the bit, every picture within what its
codec loses.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_data.lerobot import tables, video
from xlvla_data.lerobot.statistics import EVERY

LOSS = 12.0
"""Mean absolute difference of a picture's channels, of 255, above which it is another picture or a
corrupted one.
"""


def same_numbers(path: Path, *expected: Mapping[str, np.ndarray]) -> None:
    """Compares a table of frames with the columns [F, ...] it was made of; raises XlvlaError where
    they differ.
    """
    table = tables.read(path)
    for columns in expected:
        for key, given in columns.items():
            _same_column(path, key, tables.values(table, key), given)


def _same_column(path: Path, key: str, read: np.ndarray, given: np.ndarray) -> None:
    if len(read) != len(given):
        raise XlvlaError(f"{path} was written with {len(given)} frames but holds {len(read)}")
    rows = read.reshape(len(read), -1)
    expected = given.reshape(len(given), -1).astype(read.dtype)
    if not np.array_equal(rows, expected):
        raise XlvlaError(f"{path}: '{key}' is read back other than it was written")


def same_pictures(path: Path, seen: Sequence[np.ndarray]) -> None:
    """Compares a video with glimpses of its pictures; raises XlvlaError where one is missing, too
    many or another.
    """
    for frame, (read, given) in enumerate(zip_longest(video.read(path), seen)):
        if read is None:
            raise XlvlaError(f"{path} was written with {len(seen)} pictures but holds fewer")
        if given is None:
            raise XlvlaError(f"{path} was written with {len(seen)} pictures but holds more")
        loss = difference(read[::EVERY, ::EVERY], given)
        if loss > LOSS:
            raise XlvlaError(
                f"{path}: picture {frame} is read back other than it was written, by {loss:.0f} of "
                "255"
            )


def difference(one: np.ndarray, other: np.ndarray) -> float:
    """Mean absolute difference of two pictures of the same size."""
    return float(np.abs(one.astype(np.int16) - other).mean())
