"""From demonstrations to batches, made harder where the demonstrations are too easy.

Consecutive chunks overlap almost entirely, so a model finds the next one by continuing the last and never looks at the
image ("copycat"): perfect on held-out demonstrations, lost on the robot, where its own past carries its own mistakes.
So the past is spoilt in training: half of the time nothing but its last pose remains, and it is always a little wrong,
by an offset and by noise, while the chunk to be predicted stays right. What remains sure is the image.

The latents of the past are spoilt far more, half of the time: the same pose of another hand encodes somewhat elsewhere, and
a hand that was never demonstrated must not look strange.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xlvla_policy.training.dataset import Demonstrations
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.model import Inputs
from xlvla_policy.vla.normalise import Normaliser
from xlvla_policy.vla.tokenizer import Tokenizer


@dataclass(frozen=True)
class Augmentation:
    """How observations are spoilt; offsets and noise are in units of the normalised frame, light in shares.

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


@dataclass(frozen=True)
class Batches:
    """Draws (inputs, action chunk) pairs; everything random comes from the generator that the caller passes."""

    data: Demonstrations
    config: VlaConfig
    normaliser: Normaliser
    tokenizer: Tokenizer

    def draw(self, size: int, rows: np.ndarray, augmentation: Augmentation, generator: torch.Generator) -> tuple[Inputs, Tensor]:
        """A batch of observations among `rows`, spoilt."""
        chosen = np.sort(rows[torch.randint(len(rows), (size,), generator=generator).numpy()])
        inputs, chunk = self.take(chosen)
        images = lit(inputs.images, augmentation, generator)
        past = spoilt(inputs.past, self.config.latent_columns, augmentation, generator)
        return Inputs(images, inputs.cameras, inputs.words, inputs.word_mask, past), chunk

    def take(self, rows: np.ndarray) -> tuple[Inputs, Tensor]:
        """These observations as they are."""
        windows = torch.from_numpy(self.normaliser.apply(self.data.windows(rows, self.config.frames)))
        words, mask = self._words([self.data.instructions[index] for index in self.data.source[rows]])
        images, seen = torch.from_numpy(np.asarray(self.data.images[rows])), torch.from_numpy(self.data.seen[rows])
        return Inputs(images, seen, words, mask, windows[:, : self.config.frames]), windows[:, self.config.frames :]

    def _words(self, sentences: list[str]) -> tuple[Tensor, Tensor]:
        known = {sentence: self.tokenizer.encode(sentence) for sentence in set(sentences)}
        words, mask = (torch.from_numpy(np.stack(values)) for values in zip(*(known[sentence] for sentence in sentences), strict=True))
        longest = int(mask.sum(1).max())
        return words[:, :longest], mask[:, :longest]


def spoilt(past: Tensor, latent: np.ndarray, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """A past chunk [B, T, D] with the errors of `Augmentation`; `latent` [D] says which numbers are latents."""
    batch, _, numbers = past.shape
    held = torch.rand(batch, 1, 1, generator=generator) < augmentation.hold
    past = torch.where(held, past[:, -1:], past)
    foreign = (torch.rand(batch, 1, 1, generator=generator) < augmentation.foreign) & torch.from_numpy(latent)
    deviation = torch.where(foreign, augmentation.foreign_offset, augmentation.offset)
    offset = torch.randn(batch, 1, numbers, generator=generator) * deviation
    return past + offset + torch.randn(past.shape, generator=generator) * augmentation.noise


def lit(images: Tensor, augmentation: Augmentation, generator: torch.Generator) -> Tensor:
    """Images [B, ...] uint8 in other light."""
    shape = (len(images), *[1] * (images.ndim - 1))
    gain = 1 + (2 * torch.rand(shape, generator=generator) - 1) * augmentation.contrast
    shift = 255 * (2 * torch.rand(shape, generator=generator) - 1) * augmentation.brightness
    return ((images - 127.5) * gain + (127.5 + shift)).clamp_(0, 255).to(torch.uint8)
