"""The training loop: AdamW, warm-up and cosine, averaged weights, on one device or shared by
many.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from xlvla.errors import XlvlaError
from xlvla_policy.training import adaptation, parallel
from xlvla_policy.training.batches import Batches, Drawn, WeightedSampler
from xlvla_policy.training.parallel import Group
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.stream import Entry

ALONE = Group()


@dataclass(frozen=True)
class Progress:
    """What a step reports; `seconds` of training so far, `took` of this step, `size` of the
    gradient before it was clipped.
    """

    step: int
    seconds: float
    share: float
    loss: float
    rate: float
    size: float
    took: float


class Trainer:
    """A model being trained. What it does in a step depends on recipe and step alone, not on how
    many processes do it.

    Args:
        rows: the observations to train on.
        group: the processes that share the work; every one must call every method.
    """

    def __init__(
        self, model: Vla, batches: Batches, rows: np.ndarray, recipe: Recipe, group: Group = ALONE
    ):
        recipe.check(model.config)
        self.model = model
        self.batches = batches
        self.recipe = recipe
        self.group = group
        self.sampler = WeightedSampler(rows, batches.data.weights)
        self.numbers = group.numbers(recipe.batch)
        adaptation.adapt(model, recipe)
        _prepare(model, recipe)
        if group.size > 1:
            parallel.shard(model, group, bf16=recipe.bf16)
        self.learned = {
            name: parameter
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }
        self.average = {
            name: parallel.local(parameter).clone() for name, parameter in self.learned.items()
        }
        groups = [
            {
                "params": [p for p in self.learned.values() if p.ndim > 1],
                "weight_decay": recipe.decay,
            },
            {"params": [p for p in self.learned.values() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, recipe.rate, (0.9, 0.95), fused=True)
        self.step = 0
        self.seconds = 0.0
        self.stopping = False
        self.ahead = group.device.type != "cpu"
        self._pool = ThreadPoolExecutor(1)
        self._ahead = dict[int, Future[Drawn]]()

    @property
    def share(self) -> float:
        return self.recipe.progress(self.step, self.seconds)

    def advance(self) -> Progress:
        """One step."""
        began = time.perf_counter()
        recipe = self.recipe
        before = self.seconds
        rate = recipe.learning_rate(self.step, self.seconds)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss(self.draw())
        value = self.group.total([float(loss.detach())])[0] / self.group.size
        if not np.isfinite(value):
            raise XlvlaError(
                f"the loss is not finite at step {self.step}: lower the learning rate (now "
                f"{rate:.1e}), or check the data"
            )
        loss.backward()
        size = self.update()
        self._agree(time.perf_counter() - began)
        return Progress(
            self.step, self.seconds, self.share, value, rate, size, self.seconds - before
        )

    def draw(self) -> Drawn:
        """This process's samples of this step; `ahead`, those of the next are drawn while a device
        is at work.
        """
        if not self.ahead:
            return self._draw(self.step).to(self.group.device)
        drawn = self._ahead.pop(self.step, None) or self._pool.submit(self._draw, self.step)
        self._ahead = {self.step + 1: self._pool.submit(self._draw, self.step + 1)}
        return drawn.result().to(self.group.device)

    def loss(self, drawn: Drawn) -> Tensor:
        with torch.autocast(self.group.device.type, torch.bfloat16, enabled=self.recipe.bf16):
            return self.model.loss(drawn.inputs, drawn.chunk, drawn.noise, drawn.times)

    def update(self) -> float:
        """Weights and their average follow the gradient, which is spent; how large it was."""
        size = float(
            parallel.whole(
                torch.nn.utils.clip_grad_norm_(
                    self.learned.values(), self.recipe.clip, foreach=True
                )
            )
        )
        if not np.isfinite(size):
            raise XlvlaError(
                f"the gradient is not finite at step {self.step}: lower the learning rate, or "
                "check the data"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(self.recipe.average, self.step / (self.step + 10))
        for name, average in self.average.items():
            average.lerp_(parallel.local(self.learned[name]), 1 - keep)
        return size

    def run(self, on_step: Callable[[Progress], None]) -> None:
        """Steps until the recipe is done, or `stopping` is set in some process."""
        self.model.train()
        while self.share < 1 and not self.stopping:
            on_step(self.advance())

    def reseed(self, seed: int) -> None:
        """Draws on as a run with this seed does."""
        self.recipe = replace(self.recipe, seed=seed)
        self._ahead = {}

    def weights(self, dtype: torch.dtype) -> list[Entry]:
        """Every averaged weight of the plain model, whole and with adaptations merged; all
        processes must fetch all, in order.
        """
        scales = adaptation.scales(self.model)
        wanted = {
            name: value
            for name, value in self.model.named_parameters()
            if not name.endswith((adaptation.UP, adaptation.DOWN))
        }
        return [
            Entry(name, tuple(value.shape), dtype, partial(self._averaged, name, scales.get(name)))
            for name, value in wanted.items()
        ]

    def averaged(self, name: str) -> Tensor:
        """The average of a learned weight on the CPU, whole; every process must ask."""
        return parallel.whole(parallel.like(self.average[name], self.learned[name]))

    def _averaged(self, name: str, scale: float | None) -> Tensor:
        weight = (
            self.averaged(name)
            if name in self.average
            else parallel.whole(self.model.get_parameter(name))
        )
        if scale is None:
            return weight
        up, down = (self.averaged(factor) for factor in adaptation.factors(name))
        return adaptation.merged(weight, up, down, scale)

    def _draw(self, step: int) -> Drawn:
        return self.batches.draw(self.sampler, self.recipe, step, self.numbers)

    def _agree(self, seconds: float) -> None:
        """Time is the first process's, and where one must stop, all stop."""
        took, stopping = self.group.total(
            [seconds if self.group.first else 0.0, float(self.stopping)]
        )
        self.seconds += took
        self.stopping = stopping > 0


def _prepare(model: Vla, recipe: Recipe) -> None:
    """Compiled layers and recomputed ones, if so asked; names of weights stay."""
    layer: Any = model.joint.layer
    if recipe.compile:
        layer = torch.compile(layer, dynamic=False)
        for each in model.vision.layers:
            each.compile(dynamic=False)
    if recipe.recompute:
        layer = partial(checkpoint, layer, use_reentrant=False)
        for each in model.vision.layers:
            each.forward = partial(checkpoint, each.forward, use_reentrant=False)
    model.joint.layer = layer
