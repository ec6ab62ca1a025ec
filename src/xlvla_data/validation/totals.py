"""Whether a data set's statistics are those of its frames."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from xlvla.text import plain
from xlvla_data.lerobot import layout, statistics
from xlvla_data.lerobot.reader import Dataset
from xlvla_data.lerobot.statistics import Stats

COMPARED = ("min", "max", "mean", "std")
COMPARED_OF_PICTURES = ("mean", "std")
LARGEST_ERROR = 0.01
"""How far a statistic may be from that of the frames, in standard deviations."""

LARGEST_ERROR_OF_PICTURES = 0.5
"""The same for pictures, of which others may have been sampled."""


class Totals:
    """Statistics of the episodes read, compared with those in the data set's `stats.json`."""

    def __init__(self, data: Dataset):
        self._data = data
        self._found: dict[str, list[Stats]] = {}
        vectors = data.info.vectors
        self._grids = {key for key, feature in vectors.items() if len(feature.shape) > 1}

    def add(self, columns: Mapping[str, np.ndarray]) -> None:
        """An episode's columns [F, ...]; those that are not finite were found elsewhere."""
        for key, values in columns.items():
            if np.isfinite(values).all():
                self._found.setdefault(key, []).append(statistics.of_vector(values))

    def look(self, key: str, glimpses: Sequence[np.ndarray]) -> None:
        """A camera's pictures of an episode."""
        self._found.setdefault(key, []).append(statistics.of_glimpses(glimpses))

    def findings(self) -> Iterator[str]:
        """A line for every feature whose statistics are missing or wrong. A feature that could not
        be read in all episodes is left out.
        """
        try:
            stats = json.loads((self._data.root / layout.STATS).read_text())
        except (OSError, ValueError, RecursionError) as error:
            yield f"{layout.STATS} cannot be read: {plain(error, 120)}"
            return
        if not isinstance(stats, dict):
            yield f"{layout.STATS} holds {plain(repr(stats), 80)}: a mapping is wanted"
            return
        for key, episodes in self._found.items():
            if len(episodes) == len(self._data):
                yield from self._compared(key, stats.get(key), statistics.merged(episodes))

    def _compared(self, key: str, stats: object, expected: Stats) -> Iterator[str]:
        """A line where a feature's statistics are not those of its frames."""
        if not isinstance(stats, dict) or not set(COMPARED) <= set(stats):
            yield f"{layout.STATS} says nothing of '{key}'"
            return
        names = COMPARED
        largest = LARGEST_ERROR
        if key in self._data.info.cameras.values():
            names = COMPARED_OF_PICTURES
            largest = LARGEST_ERROR_OF_PICTURES
        # A number that is always the same has no deviation
        deviation = expected["std"].reshape(-1) + 1e-3
        for name in names:
            right = expected[name].reshape(-1)
            try:
                stated = np.asarray(stats[name], float).reshape(-1)
            except (TypeError, ValueError, OverflowError):
                stated = np.full(right.shape, np.nan)
            same_size = stated.shape == right.shape
            # LeRobot has one statistic for several numbers of a grid
            if not same_size and key in self._grids:
                continue
            # Not `>`: NaN is wrong, too
            if not same_size or not (np.abs(stated - right) / deviation <= largest).all():
                yield f"{layout.STATS}: the {name} of '{key}' is not that of its frames"
                return
