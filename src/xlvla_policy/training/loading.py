"""Rates at which training gets its samples: from videos, later from cached pictures."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
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
    """Samples per second.

    Args:
        decoded: with pictures decoded from videos into the cache.
        opened: with pictures that are in the cache.
        taken: random samples of the cache, with their chunks and words.
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
    """Loads data sets twice, with a cache that is empty at first, then draws samples for `seconds`
    without and with augmentation.
    """
    torch.set_num_threads(threads)
    codec = Codec.load()
    recorded = [dataset.read(source, config, codec) for source in sources.find(data)]
    _, decoded_s = _loaded(recorded, config, cache)
    demonstrations, opened_s = _loaded(recorded, config, cache)
    statistics = dataset.statistics(recorded)
    words = tokenizer.load(config.max_words)
    batches = Batches(demonstrations, config, statistics, words)
    recipe = replace(recipe, batch=BATCH)
    sampler = WeightedSampler(np.arange(len(demonstrations)), demonstrations.weights)
    rng = np.random.default_rng(0)

    def take(step: int) -> object:
        return batches.take(sampler.rows_at(rng.random(BATCH)))

    def draw(step: int) -> object:
        return batches.draw(sampler, recipe, step, range(BATCH))

    samples = len(demonstrations)
    return Rates(
        decoded=samples / decoded_s,
        opened=samples / opened_s,
        taken=_rate(take, seconds),
        drawn=_rate(draw, seconds),
    )


def _loaded(
    recorded: Sequence[Recorded], config: VlaConfig, cache: Path
) -> tuple[Demonstrations, float]:
    """Demonstrations and how long they took [s]."""
    began = time.perf_counter()
    demonstrations = dataset.load(recorded, config, stride=1, cache=cache)
    return demonstrations, time.perf_counter() - began


def _rate(draw: Callable[[int], object], seconds: float) -> float:
    """Samples per second of drawing batches for `seconds`."""
    # The first is discarded: it fills caches.
    draw(0)
    began = time.perf_counter()
    step = 0
    spent = 0.0
    while spent < seconds:
        step += 1
        draw(step)
        spent = time.perf_counter() - began
    return step * BATCH / spent
