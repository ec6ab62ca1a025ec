"""How a policy is trained; every default of training lives here."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from xlvla.errors import XlvlaError, unknown
from xlvla_policy.vla.config import VlaConfig


@dataclass(frozen=True)
class Augmentation:
    """How observations are augmented; offsets and noise are in units of the normalised frame,
    brightness and contrast as shares.

    Args:
        hold: probability that the past is only its last pose, repeated.
        offset: deviation of an error common to all frames of a past, per number.
        noise: deviation of an error of every frame.
        foreign: probability that latents are offset by as much as another hand's would be.
        foreign_offset: deviation of that offset.
        brightness: largest change of brightness, as a share of white.
        contrast: largest relative change of contrast.
    """

    hold: float = 0.5
    offset: float = 0.06
    noise: float = 0.02
    foreign: float = 0.5
    foreign_offset: float = 0.7
    brightness: float = 0.08
    contrast: float = 0.15


AT_LEAST_ONE = {"min": 1}
A_SHARE = {"min": 0.0, "max": 1.0}
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True)
class Recipe:
    """How long and how to train; ends after `steps` or `minutes` of training, whichever comes
    first.

    Args:
        steps: training steps.
        minutes: minutes of training.
        batch: observations per step, of all processes together.
        draws: noise samples per observation; they share its costly image tokens.
        rate: highest learning rate.
        final_rate: learning rate at the end.
        warm_up: steps until the highest learning rate is reached.
        decay: weight decay.
        clip: longest gradient of a step; longer ones are shortened to it.
        average: share of the old average kept per step (less in the first steps).
        bf16: matrix products in bfloat16. At toy size its conversions cost more than the products
            save.
        recompute: keep a layer's inputs only and compute the rest again for the gradient: a third
            more work, far less memory.
        compile: compile the larger modules.
        committed: share of the noise samples whose chunk begins with a given action prefix of up to
            `longest` frames: what weights need in order to continue a chunk that is being executed
            (`chunking: prefix` of a rig).
        longest: frames of the longest such prefix.
        frozen: parts that keep their weights: vision, language, action.
        lora: rank by part whose weights are kept and adapted by products of two thin matrices
            instead, such as language=16,action=32.
        lora_on: which projections are so adapted: attention, mlp.
        lora_alpha: such a product counts lora_alpha / rank; 1, as in openpi, if not given.
        seed: random seed.
    """

    steps: int | None = field(default=None, metadata=AT_LEAST_ONE)
    minutes: float | None = field(default=40.0, metadata={"min": 0.01})
    batch: int = field(default=64, metadata=AT_LEAST_ONE)
    draws: int = field(default=2, metadata=AT_LEAST_ONE)
    rate: float = field(default=2e-3, metadata={"min": 0.0})
    final_rate: float = field(default=1e-5, metadata={"min": 0.0})
    warm_up: int = field(default=200, metadata=AT_LEAST_ONE)
    decay: float = field(default=0.01, metadata={"min": 0.0})
    clip: float = field(default=1.0, metadata={"min": 0.0})
    average: float = field(default=0.999, metadata=A_SHARE)
    bf16: bool = False
    recompute: bool = False
    compile: bool = False
    committed: float = field(default=0.0, metadata=A_SHARE)
    longest: int = field(default=16, metadata=AT_LEAST_ONE)
    frozen: tuple[str, ...] = field(default=(), metadata={"options": ("--freeze",)})
    lora: Mapping[str, int] = field(default_factory=dict[str, int])
    lora_on: tuple[str, ...] = ("attention", "mlp")
    lora_alpha: float | None = None
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
        return min(1.0, (step + 1) / self.warm_up) * (
            self.final_rate + (self.rate - self.final_rate) * cosine
        )

    def check(self, config: VlaConfig) -> None:
        """Refuses what cannot be trained."""
        if not 0 <= self.committed <= 1:
            raise XlvlaError(
                "the share of noise samples with an action prefix must be from 0 to 1, is "
                f"{self.committed}"
            )
        if self.committed and not config.frames_per_token <= self.longest < config.frames:
            raise XlvlaError(
                f"the longest action prefix must be from {config.frames_per_token} to "
                f"{config.frames - 1} frames, is {self.longest}"
            )


FULL_SIZE = Recipe(
    batch=32,
    draws=1,
    rate=2.5e-5,
    final_rate=2.5e-6,
    warm_up=1000,
    decay=1e-10,
    average=0.99,
    bf16=True,
    recompute=True,
    minutes=None,
    steps=30_000,
)
"""openpi's for fine-tuning pi0 (30,000 steps there)."""

RECIPES: Mapping[str, Recipe] = {"pi0": FULL_SIZE, "pi0_base": FULL_SIZE}


def usual(preset: str) -> Recipe:
    """The recipe a preset is trained with by default."""
    return RECIPES.get(preset, Recipe())


def changed(base: Recipe, changes: Mapping[str, Any], precision: str = "") -> Recipe:
    """A recipe with some of its fields changed; whichever end is given replaces both.

    Args:
        precision: of matrix products: float32, bfloat16; '' keeps the recipe's.
    """
    changes = dict(changes)
    if "steps" in changes or "minutes" in changes:
        changes = {"steps": None, "minutes": None, **changes}
    if precision:
        if precision not in PRECISIONS:
            raise unknown("precision", precision, PRECISIONS)
        changes["bf16"] = precision == "bfloat16"
    return replace(base, **changes)
