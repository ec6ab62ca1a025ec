"""The training loop: AdamW, warm-up and cosine, averaged weights, on one device or shared by
several.
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
from torch import Tensor, nn
from torch.optim import swa_utils
from torch.utils.checkpoint import checkpoint

from xlvla.errors import XlvlaError
from xlvla_policy.training import adaptation, parallel
from xlvla_policy.training.batches import Batches, Drawn, WeightedSampler
from xlvla_policy.training.parallel import Group
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.stream import Entry

ALONE = Group()
BETAS = (0.9, 0.95)
"""AdamW's, openpi's for pi0."""
AVERAGE_FROM = 10
"""Steps over which the average of weights begins: it must not remember the first weights."""


@dataclass(frozen=True)
class Progress:
    """Report of a step.

    Args:
        seconds: of training so far.
        share: of the run that is over.
        rate: learning rate.
        size: norm of the gradient before it was clipped.
        took: seconds this step took.
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
        self.learned: dict[str, nn.Parameter] = {}
        self.average: dict[str, Tensor] = {}
        matrices: list[nn.Parameter] = []
        vectors: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            if not parameter.requires_grad:
                continue
            self.learned[name] = parameter
            self.average[name] = parallel.local(parameter).clone()
            if parameter.ndim > 1:
                matrices.append(parameter)
            else:
                vectors.append(parameter)
        # Biases and scales of norms do not decay.
        groups = [
            {"params": matrices, "weight_decay": recipe.decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, recipe.rate, BETAS, fused=True)
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
        seconds_before = self.seconds
        rate = self.recipe.learning_rate(self.step, self.seconds)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self.loss(self.draw())
        (total,) = self.group.total([float(loss.detach())])
        mean_loss = total / self.group.size
        if not np.isfinite(mean_loss):
            raise XlvlaError(
                f"the loss is not finite at step {self.step}: lower the learning rate (now "
                f"{rate:.1e}), or check the data"
            )
        loss.backward()
        size = self.update()
        self._agree(time.perf_counter() - began)
        return Progress(
            step=self.step,
            seconds=self.seconds,
            share=self.share,
            loss=mean_loss,
            rate=rate,
            size=size,
            took=self.seconds - seconds_before,
        )

    def draw(self) -> Drawn:
        """This process's samples of this step; with `ahead`, those of the next step are drawn while
        the device computes.
        """
        if not self.ahead:
            return self._draw(self.step).to(self.group.device)
        drawn = self._ahead.pop(self.step, None)
        if drawn is None:
            drawn = self._pool.submit(self._draw, self.step)
        following = self.step + 1
        self._ahead = {following: self._pool.submit(self._draw, following)}
        return drawn.result().to(self.group.device)

    def loss(self, drawn: Drawn) -> Tensor:
        """The loss of some samples, in bfloat16 where the recipe says so."""
        with torch.autocast(self.group.device.type, torch.bfloat16, enabled=self.recipe.bf16):
            return self.model.loss(drawn.inputs, drawn.chunk, drawn.noise, drawn.times)

    def update(self) -> float:
        """Updates weights and their average by the gradient and deletes it; its norm."""
        norm = nn.utils.clip_grad_norm_(self.learned.values(), self.recipe.clip, foreach=True)
        size = float(parallel.whole(norm))
        if not np.isfinite(size):
            raise XlvlaError(
                f"the gradient is not finite at step {self.step}: lower the learning rate, or "
                "check the data"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        keep = min(self.recipe.average, self.step / (self.step + AVERAGE_FROM))
        averages = list(self.average.values())
        learned = [parallel.local(self.learned[name]) for name in self.average]
        swa_utils.get_ema_multi_avg_fn(keep)(averages, learned, 0)
        return size

    def run(self, on_step: Callable[[Progress], None]) -> None:
        """Steps until the recipe is done, or `stopping` is set in some process."""
        self.model.train()
        while self.share < 1 and not self.stopping:
            on_step(self.advance())

    def reseed(self, seed: int) -> None:
        """Continues with the samples of a run with this seed."""
        self.recipe = replace(self.recipe, seed=seed)
        self._ahead = {}

    def weights(self, dtype: torch.dtype) -> list[Entry]:
        """Every averaged weight of the plain model, whole and with adaptations merged; all
        processes must fetch all, in order.
        """
        scales = adaptation.scales(self.model)
        entries: list[Entry] = []
        for name, value in self.model.named_parameters():
            if name.endswith((adaptation.UP, adaptation.DOWN)):
                continue
            fetch = partial(self._merged, name, scales.get(name))
            entries.append(Entry(name, tuple(value.shape), dtype, fetch))
        return entries

    def averaged(self, name: str) -> Tensor:
        """The average of a learned weight on the CPU, whole; every process must call it."""
        average = parallel.like(self.average[name], self.learned[name])
        return parallel.whole(average)

    def _merged(self, name: str, scale: float | None) -> Tensor:
        """A weight, averaged where it is learned, with its adaptation where it has one."""
        if name in self.average:
            weight = self.averaged(name)
        else:
            weight = parallel.whole(self.model.get_parameter(name))
        if scale is None:
            return weight
        up_name, down_name = adaptation.factors(name)
        up = self.averaged(up_name)
        down = self.averaged(down_name)
        return adaptation.merged(weight, up, down, scale)

    def _draw(self, step: int) -> Drawn:
        return self.batches.draw(self.sampler, self.recipe, step, self.numbers)

    def _agree(self, seconds: float) -> None:
        """Takes over the first process's time, and stops all processes where one must stop."""
        own = seconds if self.group.first else 0.0
        took, stopping = self.group.total([own, float(self.stopping)])
        self.seconds += took
        self.stopping = stopping > 0


def _prepare(model: Vla, recipe: Recipe) -> None:
    """Compiles layers and makes them recompute, as the recipe says; names of weights stay."""
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
