"""What is wrong with a data set, one line for everything: its files, its numbers, its pictures, its
statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from xlvla.errors import XlvlaError
from xlvla_data import store
from xlvla_data.bodies import ranges
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.reader import Dataset, EpisodeRow
from xlvla_data.validation import numbers, pictures, structure
from xlvla_data.validation.totals import Totals


class Inspection:
    """A data set gone through once, episode by episode; `looked` also decodes every picture.

    Raises:
        XlvlaError: it cannot be opened at all.
    """

    def __init__(self, root: Path, *, looked: bool = True):
        self.data = Dataset(root)
        self._looked = looked
        self._ranges = ranges(
            self.data.info.own.get("hands", {}), self.data.info.own.get("joints", {})
        )
        self._totals = Totals(self.data)
        self._alike: dict[str, list[int]] = {}

    @property
    def episodes(self) -> list[EpisodeRow]:
        return self.data.episodes

    def before(self) -> Iterator[str]:
        """What can be said without an episode."""
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
        for camera in info.cameras if self._looked else ():
            clip = self.data.clip(row, camera)
            glimpses = []
            try:
                stamps, _ = self.data.shots(row, camera)
                if len(stamps) > row.length:
                    yield (
                        f"camera {camera}: {len(stamps)} pictures in the time of {row.length} "
                        "frames: a reader that counts them is late"
                    )
                yield from pictures.findings(camera, clip, info, columns, glimpses)
            except XlvlaError as error:
                yield str(error)
            else:
                self._totals.look(info.cameras[camera], glimpses)

    def after(self) -> Iterator[str]:
        """What can be said once all episodes were gone through."""
        for same in self._alike.values():
            if len(same) > 1:
                yield f"episodes {', '.join(map(str, same))} are the same one, number for number"
        yield from self._totals.findings()
