"""What a feature's numbers are like: LeRobot's `stats`, per episode and over all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}

EVERY = 4
"""Every which row and column of a picture is looked at."""

Stats = dict[str, np.ndarray]
"""min, max, mean, std and quantiles, each of the feature's shape (pictures: [3, 1, 1] in 0..1), and
count [1].
"""


def of_vector(values: np.ndarray) -> Stats:
    """Statistics over the frames of [F, ...]."""
    values = values.reshape(len(values), -1).astype(np.float64)
    plain = {
        "min": values.min(0),
        "max": values.max(0),
        "mean": values.mean(0),
        "std": values.std(0),
    }
    quantiles = np.quantile(values, list(QUANTILES.values()), axis=0)
    return plain | dict(zip(QUANTILES, quantiles, strict=True)) | {"count": np.array([len(values)])}


class Glimpses:
    """Pictures that are gone through once; `seen` keeps every `EVERY`-th pixel of each [H / 4, W /
    4, 3].
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
    chosen = seen[:: max(1, len(seen) // most)]
    stats = of_vector(np.concatenate([glimpse.reshape(-1, 3) for glimpse in chosen]) / 255.0)
    return {key: value.reshape(3, 1, 1) for key, value in stats.items() if key != "count"} | {
        "count": np.array([len(chosen)])
    }


def merged(many: Iterable[Stats]) -> Stats:
    """Statistics over several episodes together; quantiles are means weighted by length, as
    LeRobot's are.
    """
    many = list(many)
    counts = np.array([stats["count"][0] for stats in many], dtype=np.float64)
    shape = (-1,) + (1,) * many[0]["mean"].ndim
    weights = (counts / counts.sum()).reshape(shape)
    stacked = {key: np.stack([stats[key] for stats in many]) for key in many[0] if key != "count"}
    mean = (weights * stacked["mean"]).sum(0)
    variance = (weights * (stacked["std"] ** 2 + (stacked["mean"] - mean) ** 2)).sum(0)
    result = {
        "min": stacked["min"].min(0),
        "max": stacked["max"].max(0),
        "mean": mean,
        "std": np.sqrt(variance),
    }
    return (
        result
        | {key: (weights * stacked[key]).sum(0) for key in QUANTILES}
        | {"count": np.array([int(counts.sum())])}
    )
