"""What is wrong with a data set, a line each: its files, numbers, pictures and statistics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_data import store
from xlvla_data.bodies import ranges
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.reader import Dataset, EpisodeRow
from xlvla_data.lerobot.video import Clip
from xlvla_data.validation import numbers, pictures, structure
from xlvla_data.validation.totals import Totals


class Inspection:
    """A data set checked once, episode by episode.

    Args:
        looked: every picture is decoded, too.

    Raises:
        XlvlaError: it cannot be opened at all.
    """

    def __init__(self, root: Path, *, looked: bool = True):
        self.data = Dataset(root)
        self._looked = looked
        own = self.data.info.own
        self._ranges = ranges(own.get("hands", {}), own.get("joints", {}))
        self._totals = Totals(self.data)
        # Numbers of the episodes by the hash of their contents
        self._alike: dict[str, list[int]] = {}

    @property
    def episodes(self) -> list[EpisodeRow]:
        return self.data.episodes

    def before(self) -> Iterator[str]:
        """What is wrong with the data set as a whole, without its episodes' data."""
        yield from structure.findings(self.data)

    def of(self, row: EpisodeRow) -> Iterator[str]:
        """What is wrong with an episode."""
        info = self.data.info
        try:
            columns = self.data.columns(row, *info.vectors, *layout.INDICES)
        except XlvlaError as error:
            yield str(error)
            return
        yield from structure.indices(self.data, row, columns)
        yield from numbers.findings(info, self._ranges, columns)
        vectors = {key: columns[key] for key in info.vectors}
        self._totals.add(vectors)
        self._alike.setdefault(store.digest(vectors, row.sentence), []).append(row.index)
        if self._looked:
            for camera in info.cameras:
                yield from self._look(row, camera, columns)

    def _look(
        self, row: EpisodeRow, camera: str, columns: Mapping[str, np.ndarray]
    ) -> Iterator[str]:
        """What is wrong with a camera's pictures of an episode."""
        info = self.data.info
        glimpses: list[np.ndarray] = []
        try:
            clip = self.data.clip(row, camera)
            stamps, _ = self.data.shots(row, camera)
            if len(stamps) > row.length:
                yield (
                    f"camera {camera}: {len(stamps)} pictures in the time of {row.length} "
                    "frames: a reader that counts them is late"
                )
                return
            yield from pictures.findings(camera, clip, info, columns, glimpses)
            # Ours have a video per episode; those of others may hold several
            shared = not info.own or self.data.inferred or row.row.get(layout.SHARED)
            if isinstance(clip, Clip) and not shared:
                yield from pictures.too_many(camera, clip)
        except XlvlaError as error:
            yield str(error)
        else:
            self._totals.look(info.cameras[camera], glimpses)

    def after(self) -> Iterator[str]:
        """What is wrong with the data set, by all its episodes."""
        for same in self._alike.values():
            if len(same) > 1:
                yield f"episodes {', '.join(map(str, same))} are the same one, number for number"
        yield from self._totals.findings()
