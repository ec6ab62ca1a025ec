"""An episode as recorded, before resampling: every stream at its own rate, with its own stamps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Part, Side
from xlvla_data.episode import EpisodeInfo


@dataclass(frozen=True)
class SampledStream:
    """N samples of J numbers: `stamps` [N] int64 ns, `values` [N, J], `names` of the numbers."""

    stamps: np.ndarray
    values: np.ndarray
    names: tuple[str, ...]

    def ordered(self, name: str, wanted: Iterable[str]) -> np.ndarray:
        """The values of the numbers wanted [N, K]; raises XlvlaError where one is not there."""
        wanted = tuple(wanted)
        missing = [number for number in wanted if number not in self.names]
        if missing:
            listing = ", ".join(self.names) or "nothing"
            raise XlvlaError(f"{name} lacks {', '.join(missing)}: it has {listing}")
        columns = [self.names.index(number) for number in wanted]
        return self.values[:, columns]


Bodies = Mapping[Side, Mapping[Part, SampledStream]]
"""Joints' streams by side and part."""


@dataclass(frozen=True)
class CameraStream:
    """A camera's pictures: `stamps` [N] int64 ns, and N items, each of which `decode` turns into an
    RGB picture uint8 [H, W, 3].
    """

    stamps: np.ndarray
    items: Iterable[Any]
    decode: Callable[[Any], np.ndarray]


@dataclass(frozen=True)
class SelectedImages:
    """Pictures of a camera in order, by their numbers `index` [F], which may repeat; decoded while
    they are iterated.
    """

    stream: CameraStream
    index: np.ndarray

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, chosen: slice) -> SelectedImages:
        return replace(self, index=self.index[chosen])

    def __iter__(self) -> Iterator[np.ndarray]:
        wanted = self.index.tolist()
        frame = 0
        for number, item in enumerate(self.stream.items):
            if frame == len(wanted):
                return
            if wanted[frame] != number:
                continue
            picture = self.stream.decode(item)
            while frame < len(wanted) and wanted[frame] == number:
                yield picture
                frame += 1


@dataclass(frozen=True)
class RecordedEpisode:
    """Streams of one episode; `info.rate_hz` is the rate it is to have.

    Args:
        state: measured positions [rad] by side and part.
        command: commanded positions [rad] by side and part.
        others: streams that not every recording has, by feature: forces, the operator's hands.
        carried: numbers of data sets of others that mean nothing to us, by feature; they are kept
            as they are, whatever their type.
    """

    info: EpisodeInfo
    cameras: Mapping[str, CameraStream]
    state: Bodies
    command: Bodies
    others: Mapping[str, SampledStream] = field(default_factory=dict[str, SampledStream])
    carried: Mapping[str, SampledStream] = field(default_factory=dict[str, SampledStream])
