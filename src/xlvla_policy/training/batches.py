"""From demonstrations to batches, made harder where the demonstrations are too easy.

Consecutive chunks overlap almost entirely, so a model finds the next one by continuing the last and
never looks at the image ("copycat"): perfect on held-out demonstrations, lost on the robot, where
its own past carries its own mistakes. So the history is augmented in training: half of the time
only its last pose remains, and it always has an error, by an offset and by noise, while the
chunk to be predicted stays right. What remains sure is the image.

The latents of the history are augmented far more, half of the time: the same pose of another hand
encodes
somewhat elsewhere, and a hand that was never demonstrated must not look strange.

All that is random about the k-th sample of a step follows from the seed, the step and k. So a batch
is the same however many processes share it, and a run that is resumed, with as many or others, goes
on as if it had never stopped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from xlvla_policy.training.dataset import Demonstrations
from xlvla_policy.training.recipe import Augmentation, Recipe
from xlvla_policy.vla import flow
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.model import Inputs
from xlvla_policy.vla.normalise import Statistics
from xlvla_policy.vla.tokenizer import Tokenizer

NoiseSamples = dict[str, Tensor]
"""What is random about samples, by name, each [B, ...]."""


@dataclass(frozen=True)
class Drawn:
    """Some samples of a batch, ready for the model: what `Vla.loss` takes.

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
        return Drawn(
            _moved(self.inputs, device),
            *(value.to(device) for value in (self.chunk, self.noise, self.times)),
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
        samples = draw_noise(self.config, recipe, step, numbers)
        clear, chunk = self.take(sampler.rows_at(samples["row"].numpy()))
        past = augment_history(clear.past, self.config.latent_columns, recipe.augmentation, samples)
        images = vary_brightness(clear.images, recipe.augmentation, samples)
        times = samples["times"].flatten()
        if recipe.committed:
            times = flow.per_token(times, self.config.action_tokens, samples["committed"].flatten())
        return Drawn(
            Inputs(images, clear.cameras, clear.words, clear.word_mask, past),
            chunk,
            samples["noise"].flatten(0, 1),
            times,
        )

    def take(self, rows: np.ndarray) -> tuple[Inputs, Tensor]:
        """These observations as they are, and their action chunks."""
        mean, scale = (values[self.data.kinds(rows)] for values in self._normalisers)
        windows = self.data.windows(rows, self.config.frames)
        windows = torch.from_numpy(((windows - mean[:, None]) / scale[:, None]).astype(np.float32))
        words, mask = self._words(
            [self.data.instructions[index] for index in self.data.source[rows]]
        )
        images = torch.from_numpy(self.data.images[rows])
        seen = torch.from_numpy(self.data.seen[rows])
        return Inputs(images, seen, words, mask, windows[:, : self.config.frames]), windows[
            :, self.config.frames :
        ]

    def undo(self, chunks: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Raw chunks [B, T, frame_dim] of normalised ones of these observations."""
        mean, scale = (values[self.data.kinds(rows)][:, None] for values in self._normalisers)
        return chunks * scale + mean

    @cached_property
    def _normalisers(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and scale [data sets, frame_dim]."""
        every = [self.statistics.normaliser(each.robot) for each in self.data.recorded]
        return np.stack([each.mean for each in every]), np.stack([each.scale for each in every])

    @cached_property
    def _sentences(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Ids and mask of every sentence, all as long as the longest: one shape for every batch."""
        every = {
            sentence: self.tokenizer.encode(sentence)
            for sentence in dict.fromkeys(self.data.instructions)
        }
        longest = max(int(mask.sum()) for _, mask in every.values())
        return {
            sentence: (ids[:longest], mask[:longest]) for sentence, (ids, mask) in every.items()
        }

    def _words(self, sentences: list[str]) -> tuple[Tensor, Tensor]:
        ids, mask = (
            np.stack(values)
            for values in zip(*(self._sentences[sentence] for sentence in sentences), strict=True)
        )
        return torch.from_numpy(ids), torch.from_numpy(mask)


class WeightedSampler:
    """Draws rows in proportion to their weights."""

    def __init__(self, rows: np.ndarray, weights: np.ndarray):
        self.rows = rows
        self._ends = np.cumsum(weights[rows])

    def rows_at(self, uniform: np.ndarray) -> np.ndarray:
        """The rows that numbers in [0, 1) fall on."""
        found = np.searchsorted(self._ends, uniform * self._ends[-1], side="right")
        return self.rows[np.minimum(found, len(self.rows) - 1)]


def draw_noise(
    config: VlaConfig, recipe: Recipe, step: int, numbers: Iterable[int]
) -> NoiseSamples:
    """What is random about these samples of a step."""
    generator = torch.Generator()
    every = list[NoiseSamples]()
    for number in numbers:
        (seed,) = np.random.SeedSequence([recipe.seed, step, number]).generate_state(1, np.uint64)
        generator.manual_seed(int(seed >> np.uint64(1)))
        every.append(_noise_of_sample(config, recipe, generator))
    return {key: torch.stack([samples[key] for samples in every]) for key in every[0]}


def _noise_of_sample(config: VlaConfig, recipe: Recipe, generator: torch.Generator) -> NoiseSamples:
    shape = (config.frames, config.frame_dim)
    draws = recipe.draws
    tokens = torch.randint(
        1, max(recipe.longest // config.frames_per_token, 1) + 1, (draws,), generator=generator
    )
    return {
        "row": torch.rand((), dtype=torch.float64, generator=generator),
        "light": torch.rand(2, generator=generator),
        "hold": torch.rand((), generator=generator),
        "foreign": torch.rand((), generator=generator),
        "offset": torch.randn(1, config.frame_dim, generator=generator),
        "wrong": torch.randn(shape, generator=generator),
        "noise": torch.randn((draws, *shape), generator=generator),
        "times": flow.draw_time((draws,), generator),
        "committed": tokens * (torch.rand(draws, generator=generator) < recipe.committed),
    }


def augment_history(
    past: Tensor, latent: np.ndarray, augmentation: Augmentation, samples: NoiseSamples
) -> Tensor:
    """A past chunk [B, T, D] with the errors of `Augmentation`; `latent` [D] says which numbers are
    latents.
    """
    hold, foreign = (samples[key][:, None, None] for key in ("hold", "foreign"))
    past = torch.where(hold < augmentation.hold, past[:, -1:], past)
    elsewhere = (foreign < augmentation.foreign) & torch.from_numpy(latent)
    deviation = torch.where(elsewhere, augmentation.foreign_offset, augmentation.offset)
    return past + samples["offset"] * deviation + samples["wrong"] * augmentation.noise


def vary_brightness(images: Tensor, augmentation: Augmentation, samples: NoiseSamples) -> Tensor:
    """Images [B, ...] uint8 in other light."""
    gain, shift = (2 * samples["light"] - 1).T[..., None]
    levels = torch.arange(256) - 127.5
    levels = levels * (1 + gain * augmentation.contrast) + (
        127.5 + 255 * shift * augmentation.brightness
    )
    tables = (
        levels.clamp_(0, 255).to(torch.uint8).numpy()
    )  # what becomes of each of the 256 levels, far fewer than there are pixels
    rows = images.flatten(1).numpy()
    return torch.from_numpy(
        np.stack([cv2.LUT(row, table).ravel() for row, table in zip(rows, tables, strict=True)])
    ).view(images.shape)


def _moved(inputs: Inputs, device: torch.device) -> Inputs:
    return Inputs(
        *(
            getattr(inputs, name).to(device)
            for name in ("images", "cameras", "words", "word_mask", "past")
        )
    )
