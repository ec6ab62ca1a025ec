"""Demonstrations' pictures at the model's size, decoded once: in memory, or in a file that is
mapped, not read.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.files import replacing
from xlvla_data.store import Stored
from xlvla_policy.vla import images
from xlvla_policy.vla.config import VlaConfig

DECODERS = 4
"""Threads that decode videos."""


class Pictures:
    """The pictures of several data sets on end; rows [B] give uint8 [B, C, H, W, 3]."""

    def __init__(self, arrays: Sequence[np.ndarray]):
        self._arrays = list(arrays)
        self._ends = np.cumsum([len(array) for array in arrays])

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        which = np.searchsorted(self._ends, rows, side="right")
        first = np.concatenate([[0], self._ends[:-1]])
        return np.stack(
            [
                self._arrays[index][row - first[index]]
                for index, row in zip(which, rows, strict=True)
            ]
        )


def observed(stored: Stored, stride: int) -> int:
    """How many frames of an episode are observations."""
    return len(range(0, stored.row.length, stride))


def decoded(
    stored: Sequence[Stored], config: VlaConfig, stride: int, cache: Path | None
) -> np.ndarray:
    """Pictures uint8 [N, C, H, W, 3] of every `stride`-th frame of a data set's episodes.

    Args:
        cache: folder that keeps them for the next run; None keeps them in memory.
    """
    vision = config.vision
    shape = (
        sum(observed(each, stride) for each in stored),
        len(config.cameras),
        vision.height,
        vision.width,
        3,
    )
    if cache is None:
        return _fill(np.empty(shape, np.uint8), stored, config, stride)
    facts = json.dumps(
        [
            [each.mark for each in stored],
            vision.height,
            vision.width,
            vision.crop,
            config.cameras,
            stride,
        ]
    )
    file = cache / f"frames-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.npy"
    try:
        if not file.is_file():
            _keep(file, shape, stored, config, stride)
        return np.load(file, mmap_mode="r")
    except ValueError:
        raise XlvlaError(
            f"{file} is no longer whole: delete it, and its pictures are decoded again"
        ) from None
    except OSError as error:
        size = f"{np.prod(shape) / 1e9:.1f} GB of decoded pictures"
        raise XlvlaError(
            f"{size} cannot be kept in {cache}: {error}; choose another --cache"
        ) from None


def _keep(
    file: Path, shape: tuple[int, ...], stored: Sequence[Stored], config: VlaConfig, stride: int
) -> None:
    """Writes pictures atomically, a picture at a time."""
    with replacing(file) as fresh:
        _fill(np.lib.format.open_memmap(fresh, "w+", np.uint8, shape), stored, config, stride)


def _fill(
    pictures: np.ndarray, stored: Sequence[Stored], config: VlaConfig, stride: int
) -> np.ndarray:
    ends = np.cumsum([observed(each, stride) for each in stored])
    parts = [
        pictures[end - observed(each, stride) : end] for each, end in zip(stored, ends, strict=True)
    ]
    pool = ThreadPoolExecutor(min(len(stored), DECODERS, os.cpu_count() or 1))
    try:
        for _ in pool.map(lambda each, part: _decode(part, each, config, stride), stored, parts):
            pass
    finally:
        pool.shutdown(cancel_futures=True)
    return pictures


def _decode(pictures: np.ndarray, stored: Stored, config: VlaConfig, stride: int) -> None:
    """An episode's pictures."""
    there = stored.read().pictures
    for index, camera in enumerate(config.cameras):
        if camera not in there:
            pictures[:, index] = 0  # black, and masked
            continue
        for row, picture in enumerate(there[camera][::stride]):
            pictures[row, index] = images.fit(picture, config.vision, camera)
