"""Whether a data set's statistics are those of its frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from xlvla_data.lerobot import layout, statistics
from xlvla_data.lerobot.reader import Dataset
from xlvla_data.lerobot.statistics import Stats

COMPARED = ("min", "max", "mean", "std")
OFF = 0.01
"""How far a statistic may be from what is found, in deviations."""

OFF_PICTURES = 0.5
"""The same of pictures, of which others may have been looked at than before; only means and
deviations then.
"""


class Totals:
    """Statistics of what was gone through, against those the data set tells."""

    def __init__(self, data: Dataset):
        self._data = data
        self._found: dict[str, list[Stats]] = {}

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """An episode's columns [F, ...]; those that are not finite were found elsewhere."""
        for key, values in columns.items():
            if np.isfinite(values).all():
                self._found.setdefault(key, []).append(statistics.of_vector(values))

    def look(self, key: str, glimpses: Sequence[np.ndarray]) -> None:
        """A camera's pictures of an episode."""
        self._found.setdefault(key, []).append(statistics.of_glimpses(glimpses))

    def findings(self) -> Iterator[str]:
        """A line for every feature whose statistics are missing or others; only of those all
        episodes of which were read.
        """
        try:
            stats = json.loads((self._data.root / layout.STATS).read_text())
        except (OSError, ValueError) as error:
            yield f"{layout.STATS} cannot be read: {error}"
            return
        for key, every in self._found.items():
            if len(every) == len(self._data) and (
                line := self._compared(key, stats.get(key), statistics.merged(every))
            ):
                yield line

    def _compared(self, key: str, stats: Mapping[str, object] | None, found: Stats) -> str | None:
        if stats is None or not set(COMPARED) <= set(stats):
            return f"{layout.STATS} says nothing of '{key}'"
        pictures = key in self._data.info.cameras.values()
        for word in COMPARED[2:] if pictures else COMPARED:
            error = np.abs(np.asarray(stats[word], float).reshape(-1) - found[word].reshape(-1)) / (
                found["std"].reshape(-1) + 1e-3
            )
            if not (error <= (OFF_PICTURES if pictures else OFF)).all():
                return f"{layout.STATS}: the {word} of '{key}' is not that of its frames"
        return None
