"""How fast training gets its samples: from videos the first time, then from the pictures that were
kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from xlvla.codec import Codec
from xlvla_policy.training import dataset, sources
from xlvla_policy.training.batches import Batches, WeightedSampler
from xlvla_policy.training.dataset import Demonstrations, Recorded
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import tokenizer
from xlvla_policy.vla.config import VlaConfig

BATCH = 64


@dataclass(frozen=True)
class Rates:
    """Samples a second.

    Args:
        decoded: whose picture is decoded from a video and kept.
        opened: found kept.
        taken: a random one of those kept, with its chunks and words.
        drawn: the same, augmented as in training.
    """

    decoded: float
    opened: float
    taken: float
    drawn: float


def measure(
    data: Sequence[str],
    config: VlaConfig,
    recipe: Recipe,
    cache: Path,
    *,
    seconds: float,
    threads: int,
) -> Rates:
    """Loads data sets twice, with a cache that is empty at first, then draws samples for so many
    seconds each way.
    """
    torch.set_num_threads(threads)
    codec = Codec.load()
    recorded = [dataset.read(source, config, codec) for source in sources.find(data)]
    _, decoded_s = _loaded(recorded, config, cache)
    demonstrations, opened_s = _loaded(recorded, config, cache)
    batches = Batches(
        demonstrations, config, dataset.statistics(recorded), tokenizer.load(config.max_words)
    )
    sampler = WeightedSampler(np.arange(len(demonstrations)), demonstrations.weights)
    rng = np.random.default_rng(0)
    taken = _rate(lambda step: batches.take(sampler.rows_at(rng.random(BATCH))), seconds)
    drawn = _rate(lambda step: batches.draw(sampler, recipe, step, range(BATCH)), seconds)
    return Rates(len(demonstrations) / decoded_s, len(demonstrations) / opened_s, taken, drawn)


def _loaded(
    recorded: Sequence[Recorded], config: VlaConfig, cache: Path
) -> tuple[Demonstrations, float]:
    """Demonstrations and how long they took [s]."""
    began = time.perf_counter()
    return dataset.load(recorded, config, stride=1, cache=cache), time.perf_counter() - began


def _rate(draw: Callable[[int], object], seconds: float) -> float:
    draw(0)
    began = time.perf_counter()
    step = 0
    spent = 0.0
    while spent < seconds:
        step += 1
        draw(step)
        spent = time.perf_counter() - began
    return step * BATCH / spent
