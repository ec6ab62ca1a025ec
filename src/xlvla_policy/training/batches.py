"""From demonstrations to batches, augmented where the demonstrations are too easy.

Consecutive chunks overlap almost entirely, so a model finds the next one by continuing the last and
never looks at the image ("copycat"): perfect on held-out demonstrations, lost on the robot, where
its own past carries its own mistakes. So the history is augmented in training: half of the time
only its last pose remains, and it always has an error, by an offset and by noise, while the
chunk to be predicted stays right. Only the image can be relied on.

The latents of the history are augmented far more, half of the time: the same pose of another hand
is encoded somewhat differently, and a hand that was never demonstrated must not look strange.

All that is random about the k-th sample of a step follows from the seed, the step and k. So a batch
is the same however many processes share it, and a run that is resumed, by any number of them, goes
on as if it had never stopped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from xlvla_policy.training.dataset import Demonstrations
from xlvla_policy.training.recipe import Augmentation, Recipe
from xlvla_policy.vla import flow
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.engine import moved_to
from xlvla_policy.vla.model import Inputs
from xlvla_policy.vla.normalise import Statistics
from xlvla_policy.vla.tokenizer import Tokenizer

LEVELS = 256
"""Levels of a uint8 image."""


@dataclass(frozen=True)
class NoiseSamples:
    """All that is random about B samples of a step.

    Args:
        row: uniform [B], of which observation a sample is drawn.
        light: uniform [B, 2], contrast and brightness of its images.
        hold: uniform [B], whether its past is only the last pose.
        foreign: uniform [B], whether the latents of its past are another hand's.
        offset: normal [B, 1, frame_dim], error common to all frames of its past.
        frame_noise: normal [B, T, frame_dim], error of every frame of its past.
        noise: normal [B, K, T, frame_dim], where the flow starts.
        times: flow times [B, K].
        prefix_tokens: length [B, K] of the action prefixes.
    """

    row: Tensor
    light: Tensor
    hold: Tensor
    foreign: Tensor
    offset: Tensor
    frame_noise: Tensor
    noise: Tensor
    times: Tensor
    prefix_tokens: Tensor


@dataclass(frozen=True)
class Drawn:
    """Some samples of a batch, ready for `Vla.loss`.

    Args:
        chunk: action chunks [B, T, frame_dim], normalised.
        noise: [B * K, T, frame_dim].
        times: flow times [B * K], or [B * K, tokens].
    """

    inputs: Inputs
    chunk: Tensor
    noise: Tensor
    times: Tensor

    def to(self, device: torch.device) -> Drawn:
        """The same samples on a device."""
        return Drawn(
            moved_to(device, self.inputs),
            self.chunk.to(device),
            self.noise.to(device),
            self.times.to(device),
        )


@dataclass(frozen=True)
class Batches:
    """Observations and action chunks, normalised, of some demonstrations."""

    data: Demonstrations
    config: VlaConfig
    statistics: Statistics
    tokenizer: Tokenizer

    def draw(
        self, sampler: WeightedSampler, recipe: Recipe, step: int, numbers: Iterable[int]
    ) -> Drawn:
        """The samples of these numbers of a step's batch, augmented."""
        config = self.config
        augmentation = recipe.augmentation
        samples = draw_noise(config, recipe, step, numbers)
        rows = sampler.rows_at(samples.row.numpy())
        inputs, chunk = self.take(rows)
        augmented = replace(
            inputs,
            images=vary_brightness(inputs.images, augmentation, samples.light),
            past=augment_history(inputs.past, config.latent_columns, augmentation, samples),
        )
        times = samples.times.flatten()
        if recipe.committed:
            prefix_tokens = samples.prefix_tokens.flatten()
            times = flow.per_token(times, config.action_tokens, prefix_tokens)
        return Drawn(augmented, chunk, samples.noise.flatten(0, 1), times)

    def take(self, rows: np.ndarray) -> tuple[Inputs, Tensor]:
        """These observations without augmentation, and their action chunks."""
        frames = self.config.frames
        mean, scale = self._mean_and_scale(rows)
        windows = (self.data.windows(rows, frames) - mean) / scale
        windows = torch.from_numpy(windows.astype(np.float32))
        words, mask = self._words(rows)
        inputs = Inputs(
            images=torch.from_numpy(self.data.images[rows]),
            cameras=torch.from_numpy(self.data.seen[rows]),
            words=words,
            word_mask=mask,
            past=windows[:, :frames],
        )
        return inputs, windows[:, frames:]

    def undo(self, chunks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Raw chunks [B, T, frame_dim] of normalised ones of these observations."""
        mean, scale = self._mean_and_scale(rows)
        return chunks * scale + mean

    def _mean_and_scale(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What frames of these observations are normalised with [B, 1, frame_dim]."""
        mean, scale = self._normalisers
        kinds = self.data.kinds(rows)
        return mean[kinds][:, None], scale[kinds][:, None]

    @cached_property
    def _normalisers(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scale [data sets, frame_dim]."""
        normalisers = [self.statistics.normaliser(each.robot) for each in self.data.recorded]
        mean = np.stack([normaliser.mean for normaliser in normalisers])
        scale = np.stack([normaliser.scale for normaliser in normalisers])
        return mean, scale

    @cached_property
    def _sentences(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Ids and mask of every sentence, all as long as the longest: one shape for every batch."""
        encoded: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        longest = 0
        for sentence in self.data.instructions:
            ids, mask = self.tokenizer.encode(sentence)
            encoded[sentence] = ids, mask
            longest = max(longest, int(mask.sum()))
        return {
            sentence: (ids[:longest], mask[:longest]) for sentence, (ids, mask) in encoded.items()
        }

    def _words(self, rows: np.ndarray) -> tuple[Tensor, Tensor]:
        """Token ids and mask [B, L] of the sentences of these observations."""
        all_ids: list[np.ndarray] = []
        all_masks: list[np.ndarray] = []
        for sentence in self.data.told[rows]:
            ids, mask = self._sentences[self.data.instructions[sentence]]
            all_ids.append(ids)
            all_masks.append(mask)
        return torch.from_numpy(np.stack(all_ids)), torch.from_numpy(np.stack(all_masks))


class WeightedSampler:
    """Draws rows in proportion to their weights."""

    def __init__(self, rows: np.ndarray, weights: np.ndarray):
        self.rows = rows
        self._ends = np.cumsum(weights[rows])

    def rows_at(self, uniform: np.ndarray) -> np.ndarray:
        """The rows that numbers in [0, 1) fall on."""
        total = self._ends[-1]
        index = np.searchsorted(self._ends, uniform * total, side="right")
        # Rounding may lead past the last.
        index = np.minimum(index, len(self.rows) - 1)
        return self.rows[index]


def draw_noise(
    config: VlaConfig, recipe: Recipe, step: int, numbers: Iterable[int]
) -> NoiseSamples:
    """What is random about the samples with these numbers in a step."""
    generator = torch.Generator()
    samples: list[NoiseSamples] = []
    for number in numbers:
        sequence = np.random.SeedSequence([recipe.seed, step, number])
        (seed,) = sequence.generate_state(1, np.uint64)
        # torch's seeds are signed.
        generator.manual_seed(int(seed >> np.uint64(1)))
        samples.append(_noise_of_sample(config, recipe, generator))
    stacked: dict[str, Tensor] = {}
    for field in dataclasses.fields(NoiseSamples):
        stacked[field.name] = torch.stack([getattr(sample, field.name) for sample in samples])
    return NoiseSamples(**stacked)


def _noise_of_sample(config: VlaConfig, recipe: Recipe, generator: torch.Generator) -> NoiseSamples:
    """One sample's, without the first axis. The order of the draws decides what a seed means."""
    chunk = (config.frames, config.frame_dim)
    draws = recipe.draws
    longest = max(recipe.longest // config.frames_per_token, 1)
    tokens = torch.randint(1, longest + 1, (draws,), generator=generator)
    row = torch.rand((), dtype=torch.float64, generator=generator)
    light = torch.rand(2, generator=generator)
    hold = torch.rand((), generator=generator)
    foreign = torch.rand((), generator=generator)
    offset = torch.randn(1, config.frame_dim, generator=generator)
    frame_noise = torch.randn(chunk, generator=generator)
    noise = torch.randn((draws, *chunk), generator=generator)
    times = flow.draw_time((draws,), generator)
    has_prefix = torch.rand(draws, generator=generator) < recipe.committed
    return NoiseSamples(
        row=row,
        light=light,
        hold=hold,
        foreign=foreign,
        offset=offset,
        frame_noise=frame_noise,
        noise=noise,
        times=times,
        prefix_tokens=tokens * has_prefix,
    )


def augment_history(
    past: Tensor, latent: np.ndarray, augmentation: Augmentation, samples: NoiseSamples
) -> Tensor:
    """A past chunk [B, T, D] with the errors of `Augmentation`; `latent` [D] is True where a number
    is a latent.
    """
    is_held = samples.hold[:, None, None] < augmentation.hold
    is_foreign = samples.foreign[:, None, None] < augmentation.foreign
    past = torch.where(is_held, past[:, -1:], past)
    is_elsewhere = is_foreign & torch.from_numpy(latent)
    deviation = torch.where(is_elsewhere, augmentation.foreign_offset, augmentation.offset)
    return past + samples.offset * deviation + samples.frame_noise * augmentation.noise


def vary_brightness(images: Tensor, augmentation: Augmentation, light: Tensor) -> Tensor:
    """Images uint8 [B, ...] of other contrast and brightness, by uniform numbers [B, 2]."""
    gain, shift = (2 * light - 1).T[..., None]
    middle = (LEVELS - 1) / 2
    contrast = 1 + gain * augmentation.contrast
    brightness = (LEVELS - 1) * shift * augmentation.brightness
    levels = (torch.arange(LEVELS) - middle) * contrast + (middle + brightness)
    # By table: there are far fewer levels than pixels.
    tables = levels.clamp_(0, LEVELS - 1).to(torch.uint8).numpy()
    rows = images.flatten(1).numpy()
    varied: list[np.ndarray] = []
    for row, table in zip(rows, tables, strict=True):
        varied.append(cv2.LUT(row, table).ravel())
    return torch.from_numpy(np.stack(varied)).view(images.shape)
