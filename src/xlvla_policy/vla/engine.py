"""How a network is run: it observes once, then denoises step by step."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from xlvla.errors import XlvlaError
from xlvla_policy.vla import flow
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.model import Inputs, Vla


class Engine(ABC):
    """One way to run a network.

    Tensors may come from any device and are moved to `device`; results lie there, in float32. Only
    reading a result waits for the device.
    """

    differentiable = False
    """Whether `denoise` has a gradient, which guided chunks need."""

    def __init__(self, config: VlaConfig, device: torch.device):
        self.config = config
        self.device = device
        steps = torch.arange(config.steps, device=device, dtype=torch.float32)
        times = 1 - steps / config.steps
        self.times = times[:, None, None].expand(-1, 1, config.action_tokens).contiguous()
        """Times of the Euler steps [steps, 1, tokens], on the device before the first chunk."""

    @abstractmethod
    def observe(self, inputs: Inputs) -> Any:
        """What the steps need of an observation; valid until the next one."""

    @abstractmethod
    def denoise(self, cache: Any, noisy: Tensor, t: Tensor) -> Tensor:
        """The head's output [B, tokens, numbers] for noisy tokens at times t [B, tokens]; see
        VlaConfig.prediction.
        """

    def euler_step(self, seen: Any, noisy: Tensor, index: int) -> Tensor:
        """`denoise` at the time of an Euler step."""
        times = self.times[index].expand(len(noisy), -1)
        return self.denoise(seen, noisy, times)

    @torch.inference_mode()
    def sample(self, inputs: Inputs, noise: Tensor) -> Tensor:
        """Chunks [B, T, frame_dim] from noise of that shape."""
        steps = self.config.steps
        seen = self.observe(inputs)
        x = self.tokens(noise)
        for index in range(steps):
            output = self.euler_step(seen, x, index)
            if self.config.prediction == "data":
                x = x + (output - x) / (steps - index)
            else:
                x = x - output / steps
        return self.frames(x)

    def tokens(self, frames: Tensor) -> Tensor:
        """Frames [B, T, frame_dim] as tokens [B, tokens, numbers] on the device."""
        frames = frames.to(self.device, torch.float32)
        return frames.unflatten(1, (self.config.action_tokens, -1)).flatten(2)

    def frames(self, tokens: Tensor) -> Tensor:
        """Tokens [B, tokens, numbers] as frames [B, T, frame_dim]."""
        return tokens.unflatten(-1, (self.config.frames_per_token, -1)).flatten(1, 2)


class Eager(Engine):
    """The model as it was trained, operation by operation."""

    differentiable = True

    def __init__(self, model: Vla, device: torch.device, dtype: torch.dtype = torch.float32):
        super().__init__(model.config, device)
        self.model = model.to(device, dtype).eval().requires_grad_(False)
        self.dtype = dtype

    def observe(self, inputs: Inputs) -> Any:
        moved = moved_to(self.device, inputs)
        past = moved.past.to(self.dtype)
        return self.model.observe(replace(moved, past=past))

    def denoise(self, cache: Any, noisy: Tensor, t: Tensor) -> Tensor:
        noisy = noisy.to(self.device, self.dtype)
        return self.model.denoise(cache, noisy, t.to(self.device)).float()


class Stepper(Engine):
    """An engine for one robot, with inputs of fixed shape, whose step takes the embedding of its
    times.
    """

    def __init__(self, config: VlaConfig, device: torch.device):
        super().__init__(config, device)
        self.embeddings = flow.time_embedding(self.times, config.action.dim)
        self._shapes = [field.shape for field in fields(blank(config))]

    @abstractmethod
    def step(self, seen: Any, noisy: Tensor, embedding: Tensor) -> Tensor:
        """`denoise` with the embedding [1, tokens, D] of its times."""

    def denoise(self, cache: Any, noisy: Tensor, t: Tensor) -> Tensor:
        embedding = flow.time_embedding(t.to(self.device), self.config.action.dim)
        return self.step(cache, noisy, embedding)

    def euler_step(self, seen: Any, noisy: Tensor, index: int) -> Tensor:
        return self.step(seen, noisy, self.embeddings[index])

    def fitted(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """The fields of one observation in the shapes of `blank`; raises XlvlaError where they
        don't fit.
        """
        missing = self.config.max_words - inputs.words.shape[1]
        fitted = replace(
            inputs,
            words=pad(inputs.words, (0, missing)),
            word_mask=pad(inputs.word_mask, (0, missing), value=False),
            past=inputs.past[:, -self.config.history_frames :].float(),
        )
        for field, shape in zip(fields(fitted), self._shapes, strict=True):
            if field.shape != shape:
                raise XlvlaError(
                    f"this engine was made for inputs of {list(shape)}, one is {list(field.shape)}"
                )
        return fields(fitted)


def fields(inputs: Inputs) -> tuple[Tensor, ...]:
    """Images, cameras, words, word mask and past, in this order."""
    return inputs.images, inputs.cameras, inputs.words, inputs.word_mask, inputs.past


def moved_to(device: torch.device, inputs: Inputs) -> Inputs:
    """The same inputs on a device."""
    return Inputs(
        images=inputs.images.to(device),
        cameras=inputs.cameras.to(device),
        words=inputs.words.to(device),
        word_mask=inputs.word_mask.to(device),
        past=inputs.past.to(device),
    )


def blank(config: VlaConfig) -> Inputs:
    """An empty observation in the fixed shapes: a sentence of `max_words`, and only the frames of
    the past that the model reads.
    """
    vision = config.vision
    cameras = len(config.cameras)
    return Inputs(
        images=torch.zeros(1, cameras, vision.height, vision.width, 3, dtype=torch.uint8),
        cameras=torch.ones(1, cameras, dtype=torch.bool),
        words=torch.zeros(1, config.max_words, dtype=torch.int64),
        word_mask=torch.ones(1, config.max_words, dtype=torch.bool),
        past=torch.zeros(1, config.history_frames, config.frame_dim),
    )
