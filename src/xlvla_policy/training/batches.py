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
on as if it had never stopped. On a GPU, other numbers are drawn than on the processor.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
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

CPU = torch.device("cpu")
PICTURES_SHARE = 0.5
"""Largest share of a GPU's free memory that pictures may fill."""
LEVELS = 256
"""Levels of a uint8 image."""


@dataclass(frozen=True)
class NoiseSamples:
    """All that is random about B samples of a step.

    Args:
        light: uniform [B, 2], contrast and brightness of its images.
        hold: uniform [B], whether its past is only the last pose.
        foreign: uniform [B], whether the latents of its past are another hand's.
        offset: normal [B, 1, frame_dim], error common to all frames of its past.
        frame_noise: normal [B, T, frame_dim], error of every frame of its past.
        noise: normal [B, K, T, frame_dim], where the flow starts.
        times: flow times [B, K].
        prefix_tokens: length [B, K] of the action prefixes.
    """

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
    """Observations and action chunks, normalised, of some demonstrations.

    Args:
        device: where samples are drawn, and where pictures are kept if they fit.
    """

    data: Demonstrations
    config: VlaConfig
    statistics: Statistics
    tokenizer: Tokenizer
    device: torch.device = CPU

    def draw(
        self, sampler: WeightedSampler, recipe: Recipe, step: int, numbers: Sequence[int]
    ) -> Drawn:
        """The samples of these numbers of a step's batch, augmented."""
        config = self.config
        augmentation = recipe.augmentation
        rows = sampler.rows_at(draw_uniform(recipe, step, numbers))
        samples = draw_noise(config, recipe, step, numbers, self.device)
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
        arrays = self._arrays
        chosen = torch.from_numpy(rows).to(self.device)
        kinds = arrays.kind[chosen]
        command_rows = arrays.start[chosen, None] + torch.arange(2 * frames, device=self.device)
        past = arrays.executed[command_rows[:, :frames]]
        wanted = arrays.commands[command_rows[:, frames:]]
        windows = torch.cat([past, wanted], 1) - arrays.mean[kinds, None]
        windows = (windows / arrays.scale[kinds, None]).to(torch.float32)
        told = arrays.told[chosen]
        inputs = Inputs(
            images=self._images(rows, chosen),
            cameras=arrays.seen[chosen],
            words=arrays.words[told],
            word_mask=arrays.word_mask[told],
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
    def _arrays(self) -> _Arrays:
        data = self.data
        mean, scale = self._normalisers
        words, word_mask = self._sentences()
        arrays = {
            "start": data.start,
            "kind": data.kind[data.source],
            "commands": data.commands,
            "executed": data.executed,
            "seen": data.seen,
            "told": data.told,
            "mean": mean,
            "scale": scale,
            "words": words,
            "word_mask": word_mask,
        }
        return _Arrays(
            **{name: torch.from_numpy(array).to(self.device) for name, array in arrays.items()}
        )

    def _sentences(self) -> tuple[np.ndarray, np.ndarray]:
        """Ids and mask [sentences, L] of every sentence, all as long as the longest: one shape for
        every batch.
        """
        encoded = [self.tokenizer.encode(sentence) for sentence in self.data.instructions]
        words = np.stack([ids for ids, _ in encoded])
        mask = np.stack([valid for _, valid in encoded])
        longest = int(mask.sum(1).max())
        return words[:, :longest], mask[:, :longest]

    def _images(self, rows: np.ndarray, chosen: Tensor) -> Tensor:
        """Pictures of observations, by their rows here and on the device."""
        if self._pictures is None:
            return torch.from_numpy(self.data.images[rows]).to(self.device)
        return self._pictures[chosen]

    @cached_property
    def _pictures(self) -> Tensor | None:
        """All pictures, on the device; None where they stay where they are."""
        if self.device.type == "cpu":
            return None
        free, _ = torch.cuda.mem_get_info(self.device)
        if self.data.images.nbytes > PICTURES_SHARE * free:
            return None
        return self.data.images.on(self.device)


@dataclass(frozen=True)
class _Arrays:
    """What samples are taken from, on the device.

    Args:
        start: row of `commands` where an observation's past begins [N].
        kind: its data set [N].
        commands: raw frames [M, frame_dim].
        executed: the same of what was executed; pasts are of these.
        seen: which cameras it has [N, C].
        told: its sentence [N].
        mean, scale: what frames are normalised with [data sets, frame_dim].
        words, word_mask: token ids of the sentences, and where they are valid [sentences, L].
    """

    start: Tensor
    kind: Tensor
    commands: Tensor
    executed: Tensor
    seen: Tensor
    told: Tensor
    mean: Tensor
    scale: Tensor
    words: Tensor
    word_mask: Tensor


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


def draw_uniform(recipe: Recipe, step: int, numbers: Sequence[int]) -> np.ndarray:
    """Numbers [B] in [0, 1) that decide which observations these samples are of."""
    generator = np.random.default_rng([recipe.seed, step])
    return generator.random(recipe.batch)[_indices(recipe, numbers)]


def draw_noise(
    config: VlaConfig,
    recipe: Recipe,
    step: int,
    numbers: Sequence[int],
    device: torch.device = CPU,
) -> NoiseSamples:
    """What is random about the samples with these numbers in a step."""
    sequence = np.random.SeedSequence([recipe.seed, step, 1])
    (seed,) = sequence.generate_state(1, np.uint64)
    # torch's seeds are signed.
    generator = torch.Generator(device).manual_seed(int(seed >> np.uint64(1)))
    whole = _noise_of_batch(config, recipe, generator)
    chosen = torch.tensor(_indices(recipe, numbers), device=device)
    taken: dict[str, Tensor] = {}
    for field in dataclasses.fields(NoiseSamples):
        taken[field.name] = getattr(whole, field.name)[chosen]
    return NoiseSamples(**taken)


def _indices(recipe: Recipe, numbers: Sequence[int]) -> list[int]:
    """The numbers as a list; they are those of samples of the recipe's batch."""
    indices = list(numbers)
    assert max(indices) < recipe.batch
    return indices


def _noise_of_batch(config: VlaConfig, recipe: Recipe, generator: torch.Generator) -> NoiseSamples:
    """A whole batch's. The order of the draws decides what a seed means."""
    batch = recipe.batch
    chunk = (config.frames, config.frame_dim)
    draws = recipe.draws
    longest = max(recipe.longest // config.frames_per_token, 1)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator, device=generator.device)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=generator.device)

    light = uniform(batch, 2)
    hold = uniform(batch)
    foreign = uniform(batch)
    offset = normal(batch, 1, config.frame_dim)
    frame_noise = normal(batch, *chunk)
    noise = normal(batch, draws, *chunk)
    times = flow.draw_time((batch, draws), generator)
    has_prefix = uniform(batch, draws) < recipe.committed
    tokens = 1 + (longest * uniform(batch, draws)).long()
    return NoiseSamples(
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
    is_elsewhere = is_foreign & torch.from_numpy(latent).to(past.device)
    deviation = torch.where(is_elsewhere, augmentation.foreign_offset, augmentation.offset)
    return past + samples.offset * deviation + samples.frame_noise * augmentation.noise


def vary_brightness(images: Tensor, augmentation: Augmentation, light: Tensor) -> Tensor:
    """Images uint8 [B, ...] of other contrast and brightness, by uniform numbers [B, 2]."""
    if images.device.type != "cpu":
        return relit(images, augmentation, light)
    # By table: there are far fewer levels than pixels.
    levels = torch.arange(LEVELS, dtype=torch.uint8).expand(len(images), -1)
    tables = relit(levels, augmentation, light).numpy()
    varied: list[np.ndarray] = []
    for row, table in zip(images.flatten(1).numpy(), tables, strict=True):
        varied.append(cv2.LUT(row, table).ravel())
    return torch.from_numpy(np.stack(varied)).view(images.shape)


def relit(images: Tensor, augmentation: Augmentation, light: Tensor) -> Tensor:
    """`vary_brightness`, every pixel computed."""
    gain, shift = (2 * light - 1).T[..., None]
    middle = (LEVELS - 1) / 2
    contrast = 1 + gain * augmentation.contrast
    brightness = middle + (LEVELS - 1) * shift * augmentation.brightness
    levels = (images.flatten(1) - middle) * contrast + brightness
    return levels.clamp_(0, LEVELS - 1).to(torch.uint8).view(images.shape)
