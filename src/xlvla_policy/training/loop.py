"""The training loop: AdamW, warm-up and cosine, averaged weights, checkpoints one can resume to the bit."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from xlvla.errors import XlvlaError
from xlvla_policy.training.batches import Augmentation, Batches
from xlvla_policy.vla import flow
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.model import Vla


@dataclass(frozen=True)
class Recipe:
    """How long and how to train; ends after `steps` or `minutes` of training, whichever comes first.

    Args:
        batch: observations per step.
        draws: noise draws per observation; they share its costly image tokens.
        average: share of the old average kept per step (less in the first steps).
        bf16: matrix products in bfloat16. At toy size its conversions cost more than the products save.
        committed: share of the draws whose chunk begins with frames that are told, up to `longest` of them: what weights
            need in order to continue a chunk that is being executed (`chunking: prefix` of a rig).
    """

    steps: int | None = None
    minutes: float | None = 45.0
    batch: int = 64
    draws: int = 2
    rate: float = 2e-3
    final_rate: float = 1e-5
    warm_up: int = 200
    decay: float = 0.01
    clip: float = 1.0
    average: float = 0.999
    bf16: bool = False
    committed: float = 0.0
    longest: int = 16
    seed: int = 0
    augmentation: Augmentation = field(default_factory=Augmentation)

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is over."""
        shares = [0.0]
        if self.steps is not None:
            shares.append(step / max(self.steps, 1))
        if self.minutes is not None:
            shares.append(seconds / (60 * self.minutes))
        return min(1.0, max(shares))

    def learning_rate(self, step: int, seconds: float) -> float:
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.progress(step, seconds))
        return min(1.0, (step + 1) / self.warm_up) * (self.final_rate + (self.rate - self.final_rate) * cosine)


@dataclass(frozen=True)
class Progress:
    """What a step reports; `seconds` of training so far."""

    step: int
    seconds: float
    share: float
    loss: float
    rate: float


class Trainer:
    """A model being trained; its whole state can be saved and resumed."""

    def __init__(self, model: Vla, batches: Batches, rows: np.ndarray, recipe: Recipe):
        _continues(recipe, model.config)
        self.model, self.batches, self.rows, self.recipe = model, batches, rows, recipe
        self.average = {name: value.detach().clone() for name, value in model.state_dict().items()}
        groups = [
            {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": recipe.decay},
            {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, recipe.rate, (0.9, 0.95), fused=True)
        self.generator = torch.Generator().manual_seed(recipe.seed)
        self.step, self.seconds = 0, 0.0

    @property
    def share(self) -> float:
        return self.recipe.progress(self.step, self.seconds)

    def advance(self) -> Progress:
        """One step."""
        began, recipe = time.perf_counter(), self.recipe
        rate = recipe.learning_rate(self.step, self.seconds)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss = self._loss()
        if not torch.isfinite(loss):
            raise XlvlaError(f"the loss is not finite at step {self.step}: lower the learning rate (now {rate:.1e}), or check the data")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), recipe.clip, foreach=True)
        self.optimizer.step()
        self.step += 1
        self._average()
        self.seconds += time.perf_counter() - began
        return Progress(self.step, self.seconds, self.share, float(loss.detach()), rate)

    def run(self, on_step: Callable[[Progress], None]) -> None:
        """Steps until the recipe is done."""
        self.model.train()
        while self.share < 1:
            on_step(self.advance())

    def save(self, path: Path) -> None:
        """Writes the whole state atomically."""
        state = {
            "model": self.model.state_dict(),
            "average": self.average,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def resume(self, path: Path) -> None:
        """Takes over the state that `save` wrote; the run goes on as if it had never stopped."""
        try:
            state = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
        except FileNotFoundError:
            raise XlvlaError(f"nothing to resume at {path}: start without --resume") from None
        except Exception as error:
            raise XlvlaError(f"{path} cannot be resumed with this configuration: {' '.join(str(error).split())[:200]}") from None
        self.average, self.step, self.seconds = state["average"], state["step"], state["seconds"]
        self.generator.set_state(state["generator"])

    def _loss(self) -> Tensor:
        recipe, config = self.recipe, self.model.config
        inputs, chunk = self.batches.draw(recipe.batch, self.rows, recipe.augmentation, self.generator)
        noise = torch.randn(recipe.batch * recipe.draws, config.frames, config.frame_dim, generator=self.generator)
        times = self._times(len(noise))
        with torch.autocast("cpu", torch.bfloat16, enabled=recipe.bf16):
            return self.model.loss(inputs, chunk, noise, times)

    def _times(self, count: int) -> Tensor:
        """Flow times [count], or [count, tokens] where some draws begin with a committed prefix."""
        recipe, config = self.recipe, self.model.config
        times = flow.draw_time((count,), self.generator)
        if not recipe.committed:
            return times
        chosen = torch.rand(count, generator=self.generator) < recipe.committed
        tokens = torch.randint(1, recipe.longest // config.frames_per_token + 1, (count,), generator=self.generator)
        return flow.per_token(times, config.action_tokens, tokens * chosen)

    def _average(self) -> None:
        keep = min(self.recipe.average, self.step / (self.step + 10))
        for average, value in zip(self.average.values(), self.model.state_dict().values(), strict=True):
            average.lerp_(value, 1 - keep)


def _continues(recipe: Recipe, config: VlaConfig) -> None:
    """Refuses a committed prefix that cannot be drawn."""
    if not 0 <= recipe.committed <= 1:
        raise XlvlaError(f"the share of draws with a committed prefix must be from 0 to 1, is {recipe.committed}")
    if recipe.committed and not config.frames_per_token <= recipe.longest < config.frames:
        raise XlvlaError(
            f"the longest committed prefix must be from {config.frames_per_token} to {config.frames - 1} frames, is {recipe.longest}"
        )
