"""One demonstration: pictures, commands and measurements at 20 Hz, and its description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from xlvla.types import Part, Side


class Pictures(Protocol):
    """RGB uint8 [H, W, 3] in order: a list in memory, or a video that is decoded while it is
    iterated.
    """

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[np.ndarray]: ...

    def __getitem__(self, chosen: slice, /) -> Pictures:
        """Every n-th of them: `pictures[::step]`."""
        ...


@dataclass(frozen=True)
class EpisodeInfo:
    """Description of an episode.

    Args:
        hands: by side.
        joints: names by side and part, in the order of the columns.
        rate_hz: frames per second.
        seed: of a simulated episode; -1 where there was none.
        success: None where it was not marked.
        verdict: green, yellow or red, as recorded; '' where there is none.
        session: of the recording it was made from; '' where it was made from none.
        recording: name of that recording in its session.
        source: hash of the data it was made from; '' where it is unknown.
        disturbed: what was disturbed of a demonstration, in words; '' where nothing was, None where
            it is not said.
    """

    task: str
    instruction: str
    hands: Mapping[Side, str]
    joints: Mapping[Side, Mapping[Part, Sequence[str]]]
    rate_hz: float
    seed: int
    success: bool | None
    codec: str
    verdict: str = ""
    session: str = ""
    recording: str = ""
    source: str = ""
    disturbed: str | None = None


@dataclass(frozen=True)
class Column:
    """Further numbers of every frame: [F, n], with a name for each of the n."""

    values: np.ndarray
    names: tuple[str, ...]


@dataclass(frozen=True)
class Episode:
    """F frames of a demonstration.

    Args:
        pictures: F of each camera.
        action: commanded positions [F, J] rad by side and part; action[f] is in force after
            observation f, where nothing else was executed.
        measured: measured positions [F, J] rad by side and part at the time of observation f.
        latent: latent of each hand's action [F, 32] by side.
        others: further columns by feature: forces, the operator's hands, stamps.
        executed: the positions [F, J] rad by side and part that were in force instead of `action`;
            empty where those were.
    """

    info: EpisodeInfo
    pictures: Mapping[str, Pictures]
    action: Mapping[Side, Mapping[Part, np.ndarray]]
    measured: Mapping[Side, Mapping[Part, np.ndarray]]
    latent: Mapping[Side, np.ndarray]
    others: Mapping[str, Column] = field(default_factory=dict[str, Column])
    executed: Mapping[Side, Mapping[Part, np.ndarray]] = field(
        default_factory=dict[Side, Mapping[Part, np.ndarray]]
    )

    @property
    def frames(self) -> int:
        parts = next(iter(self.action.values()))
        return len(next(iter(parts.values())))
