"""Pictures that a data set keeps in its tables of frames instead of in videos."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla_data import jpeg
from xlvla_data.lerobot import tables


@dataclass(frozen=True)
class EmbeddedClip:
    """Some pictures of an episode, decoded while they are iterated.

    Args:
        path: its table of frames.
        root: of the data set, in which pictures may lie that the table only names.
        key: the feature.
        episode: its number.
        frames: how many pictures.
        step: every n-th of them.
        skipped: how many pictures of the episode come before them.
    """

    path: Path
    root: Path
    key: str
    episode: int
    frames: int
    step: int = 1
    skipped: int = 0

    def part(self, first: int, last: int) -> EmbeddedClip:
        """The pictures from `first` to before `last`."""
        return replace(self, skipped=self.skipped + first, frames=last - first)

    def __len__(self) -> int:
        return -(-self.frames // self.step)

    def __iter__(self) -> Iterator[np.ndarray]:
        table = tables.of_episode(self.path, [self.key], self.episode)
        entries = table[self.key].slice(self.skipped, self.frames)
        if len(entries) < self.frames:
            raise XlvlaError(f"{self.path} has {len(entries)} of {self.frames} pictures")
        decode = jpeg.Decoder()
        for row in range(0, self.frames, self.step):
            try:
                yield decode(self._bytes(entries[row].as_py()))
            except XlvlaError as error:
                raise XlvlaError(f"{self.path}: '{self.key}', picture {row}: {error}") from None

    def __getitem__(self, chosen: slice) -> EmbeddedClip:
        if chosen.start or chosen.stop is not None:
            raise NotImplementedError("a clip is iterated from its beginning: clip[::step]")
        return replace(self, step=self.step * (chosen.step or 1))

    def _bytes(self, entry: Any) -> bytes:
        """A compressed picture: in the table itself, or in the file that the table names."""
        if isinstance(entry, dict):
            if not entry.get("bytes"):
                return self._file(entry.get("path"))
            entry = entry["bytes"]
        if not isinstance(entry, bytes):
            raise XlvlaError(f"is {plain(repr(entry), 60)}: a compressed picture is wanted")
        return entry

    def _file(self, name: Any) -> bytes:
        if not isinstance(name, str) or not name or "\0" in name:
            raise XlvlaError("is missing")
        # Not resolved: the files of a Hub's cache are links
        if Path(name).is_absolute() or ".." in Path(name).parts:
            raise XlvlaError(f"lies outside the data set: {plain(name, 100)}")
        try:
            return (self.root / name).read_bytes()
        except OSError as error:
            raise XlvlaError(f"{plain(name, 100)}: {error.strerror or error}") from None
