"""Statistics of a feature's numbers, LeRobot's `stats`, per episode and over all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from xlvla_data.episode import Pictures

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}

EVERY = 4
"""Every n-th row and column of a picture counts."""

Stats = dict[str, np.ndarray]
"""min, max, mean, std and quantiles, each of the feature's shape (pictures: [3, 1, 1] in 0..1), and
count [1].
"""


def of_vector(values: np.ndarray) -> Stats:
    """Statistics over the frames of [F, ...]."""
    values = values.reshape(len(values), -1).astype(np.float64)
    stats: Stats = {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
    }
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    for name, quantile in zip(QUANTILES, quantiles, strict=True):
        stats[name] = quantile
    stats["count"] = np.array([len(values)])
    return stats


class Glimpses:
    """Pictures, of which a few pixels are kept while they are iterated.

    Attributes:
        seen: every `EVERY`-th pixel of each picture [H / 4, W / 4, 3].
    """

    def __init__(self, pictures: Iterable[np.ndarray]):
        self._pictures = pictures
        self.seen = list[np.ndarray]()

    def __iter__(self) -> Iterator[np.ndarray]:
        self.seen = []
        for picture in self._pictures:
            self.seen.append(picture[::EVERY, ::EVERY].copy())
            yield picture


def of_glimpses(seen: Sequence[np.ndarray], most: int = 40) -> Stats:
    """Statistics per channel over some of the pictures."""
    sampled = seen[:: max(1, len(seen) // most)]
    pixels = np.concatenate([glimpse.reshape(-1, 3) for glimpse in sampled]) / 255.0
    stats = of_vector(pixels)
    for name in stats:
        if name != "count":
            stats[name] = stats[name].reshape(3, 1, 1)
    # Pictures, not pixels
    stats["count"] = np.array([len(sampled)])
    return stats


def of_pictures(pictures: Pictures, most: int = 40) -> Stats:
    """Statistics per channel over some of the pictures, of which only these are decoded where that
    can be.
    """
    step = max(1, len(pictures) // most)
    return of_glimpses([picture[::EVERY, ::EVERY].copy() for picture in pictures[::step]], most)


def of_row(row: Mapping[str, Any], key: str) -> Stats | None:
    """The statistics of a feature in a row of the table of episodes; None where one is missing or
    no number.
    """
    stats: Stats = {}
    for name in ("min", "max", "mean", "std", "count", *QUANTILES):
        try:
            values = np.array(row.get(f"stats/{key}/{name}"), np.float64)
        except (TypeError, ValueError):
            return None
        if not values.size or not np.isfinite(values).all():
            return None
        stats[name] = np.atleast_1d(values)
    if any(stats[name].shape != stats["mean"].shape for name in stats if name != "count"):
        return None
    stats["count"] = stats["count"].astype(np.int64)
    return stats if stats["count"].shape == (1,) and stats["count"][0] > 0 else None


def merged(many: Iterable[Stats]) -> Stats:
    """Statistics over several episodes together; quantiles are means weighted by length, as
    LeRobot's are.
    """
    many = list(many)
    counts = np.array([stats["count"][0] for stats in many], dtype=np.float64)
    # One weight per episode, broadcast over the feature's shape
    shape = (-1,) + (1,) * many[0]["mean"].ndim
    weights = (counts / counts.sum()).reshape(shape)
    stacked: Stats = {}
    for name in many[0]:
        if name != "count":
            stacked[name] = np.stack([stats[name] for stats in many])
    mean = (weights * stacked["mean"]).sum(0)
    # Within the episodes, and between their means
    variance = (weights * (stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2)).sum(0)
    stats: Stats = {
        "min": stacked["min"].min(0),
        "max": stacked["max"].max(0),
        "mean": mean,
        "std": np.sqrt(variance),
    }
    for name in QUANTILES:
        stats[name] = (weights * stacked[name]).sum(0)
    stats["count"] = np.array([int(counts.sum())])
    return stats
