"""Demonstrations' pictures at the model's size, decoded once into memory or into a mapped file."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xlvla.errors import XlvlaError
from xlvla.files import replacing
from xlvla_data.store import Stored
from xlvla_policy.vla import images
from xlvla_policy.vla.config import VlaConfig

KEY_LENGTH = 16


class Pictures:
    """The pictures of several data sets one after the other; rows [B] give uint8
    [B, C, H, W, 3].
    """

    def __init__(self, arrays: Sequence[np.ndarray]):
        lengths = [len(array) for array in arrays]
        self._arrays = list(arrays)
        self._ends = np.cumsum(lengths)
        self._starts = self._ends - lengths

    def __len__(self) -> int:
        return int(self._ends[-1])

    @property
    def nbytes(self) -> int:
        return sum(array.nbytes for array in self._arrays)

    def on(self, device: torch.device) -> Tensor:
        """All of them on a device."""
        shape = (len(self), *self._arrays[0].shape[1:])
        whole = torch.empty(shape, dtype=torch.uint8, device=device)
        for array, start, end in zip(self._arrays, self._starts, self._ends, strict=True):
            # Copied first: a cache is mapped for reading alone.
            whole[start:end] = torch.from_numpy(np.array(array))
        return whole

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        data_sets = np.searchsorted(self._ends, rows, side="right")
        pictures: list[np.ndarray] = []
        for index, row in zip(data_sets, rows, strict=True):
            pictures.append(self._arrays[index][row - self._starts[index]])
        return np.stack(pictures)


def observed(stored: Stored, stride: int) -> int:
    """Number of frames of an episode that are observations."""
    return len(range(0, stored.row.length, stride))


def decoded(
    stored: Sequence[Stored], config: VlaConfig, stride: int, cache: Path | None
) -> np.ndarray:
    """Pictures uint8 [N, C, H, W, 3] of every `stride`-th frame of a data set's episodes.

    Args:
        cache: folder that keeps them for the next run; None keeps them in memory.
    """
    vision = config.vision
    count = sum(observed(each, stride) for each in stored)
    shape = (count, len(config.cameras), vision.height, vision.width, 3)
    if cache is None:
        return _fill(np.empty(shape, np.uint8), stored, config, stride)
    file = cache / f"frames-{_key(stored, config, stride)}.npy"
    try:
        if not file.is_file():
            _keep(file, shape, stored, config, stride)
        return np.load(file, mmap_mode="r")
    except ValueError:
        raise XlvlaError(
            f"{file} is no longer whole: delete it, and its pictures are decoded again"
        ) from None
    except OSError as error:
        size_gb = np.prod(shape) / 1e9
        raise XlvlaError(
            f"{size_gb:.1f} GB of decoded pictures cannot be kept in {cache}: {error}; choose "
            "another --cache"
        ) from None


def _key(stored: Sequence[Stored], config: VlaConfig, stride: int) -> str:
    """Hash of everything that decoded pictures depend on."""
    vision = config.vision
    facts = [
        [each.mark for each in stored],
        vision.height,
        vision.width,
        vision.crop,
        config.cameras,
        stride,
    ]
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()[:KEY_LENGTH]


def _keep(
    file: Path, shape: tuple[int, ...], stored: Sequence[Stored], config: VlaConfig, stride: int
) -> None:
    """Writes pictures atomically, a picture at a time."""
    with replacing(file) as fresh:
        mapped = np.lib.format.open_memmap(fresh, "w+", np.uint8, shape)
        _fill(mapped, stored, config, stride)


def _fill(
    pictures: np.ndarray, stored: Sequence[Stored], config: VlaConfig, stride: int
) -> np.ndarray:
    """Decodes episodes into the array, several at a time."""
    threads = min(len(stored), os.cpu_count() or 1)
    pool = ThreadPoolExecutor(threads)
    decoding: list[Future[None]] = []
    start = 0
    try:
        for each in stored:
            end = start + observed(each, stride)
            decoding.append(pool.submit(_decode, pictures[start:end], each, config, stride))
            start = end
        for future in decoding:
            future.result()
    finally:
        # After an error or Ctrl-C the episodes still waiting are not decoded.
        pool.shutdown(cancel_futures=True)
    return pictures


def _decode(pictures: np.ndarray, stored: Stored, config: VlaConfig, stride: int) -> None:
    """An episode's pictures."""
    by_camera = stored.read().pictures
    for index, camera in enumerate(config.cameras):
        if camera not in by_camera:
            # Black; the model masks this camera.
            pictures[:, index] = 0
            continue
        for row, picture in enumerate(by_camera[camera][::stride]):
            pictures[row, index] = images.fit(picture, config.vision, camera)
