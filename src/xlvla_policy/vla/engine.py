"""How a network is run: it looks once, then denoises as often as it is asked to."""

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

    Tensors that come in may lie anywhere and are taken to `device`; those that go out lie there, in
    float32. Nothing waits for the device but whoever reads the result.
    """

    differentiable = False
    """Whether a gradient can be asked through `denoise`, as guided chunks do."""

    def __init__(self, config: VlaConfig, device: torch.device):
        self.config = config
        self.device = device
        times = 1 - torch.arange(config.steps, device=device, dtype=torch.float32) / config.steps
        self.times = times[:, None, None].expand(-1, 1, config.action_tokens).contiguous()
        """Times of the Euler steps [steps, 1, tokens], on the device before anybody asks."""

    @abstractmethod
    def observe(self, inputs: Inputs) -> Any:
        """What the steps need of an observation; good until the next one."""

    @abstractmethod
    def denoise(self, cache: Any, noisy: Tensor, t: Tensor) -> Tensor:
        """The head's output [B, tokens, numbers] for noisy tokens at times t [B, tokens]; see
        VlaConfig.prediction.
        """

    def euler_step(self, seen: Any, noisy: Tensor, index: int) -> Tensor:
        """`denoise` at the time of an Euler step."""
        return self.denoise(seen, noisy, self.times[index].expand(len(noisy), -1))

    @torch.inference_mode()
    def sample(self, inputs: Inputs, noise: Tensor) -> Tensor:
        """Chunks [B, T, frame_dim] from noise of that shape."""
        steps = self.config.steps
        seen = self.observe(inputs)
        x = self.tokens(noise)
        for index in range(steps):
            output = self.euler_step(seen, x, index)
            x = (
                x + (output - x) / (steps - index)
                if self.config.prediction == "data"
                else x - output / steps
            )
        return self.frames(x)

    def tokens(self, frames: Tensor) -> Tensor:
        """Frames [B, T, frame_dim] as tokens [B, tokens, numbers] on the device."""
        return (
            frames.to(self.device, torch.float32)
            .unflatten(1, (self.config.action_tokens, -1))
            .flatten(2)
        )

    def frames(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.config.frames_per_token, -1)).flatten(1, 2)


class Eager(Engine):
    """The model as it was trained, operation by operation."""

    differentiable = True

    def __init__(self, model: Vla, device: torch.device, dtype: torch.dtype = torch.float32):
        super().__init__(model.config, device)
        self.model = model.to(device, dtype).eval().requires_grad_(False)
        self.dtype = dtype

    def observe(self, inputs: Inputs) -> Any:
        there = Inputs(*(field.to(self.device) for field in fields(inputs)))
        return self.model.observe(replace(there, past=there.past.to(self.dtype)))

    def denoise(self, cache: Any, noisy: Tensor, t: Tensor) -> Tensor:
        return self.model.denoise(
            cache, noisy.to(self.device, self.dtype), t.to(self.device)
        ).float()


class Stepper(Engine):
    """An engine of one robot, made for one shape of everything, whose step is told the embedding of
    its times.
    """

    def __init__(self, config: VlaConfig, device: torch.device):
        super().__init__(config, device)
        self.embeddings = flow.time_embedding(self.times, config.action.dim)

    @abstractmethod
    def step(self, seen: Any, noisy: Tensor, embedding: Tensor) -> Tensor:
        """`denoise` with the embedding [1, tokens, D] of the times at hand."""

    def denoise(self, cache: Any, noisy: Tensor, t: Tensor) -> Tensor:
        return self.step(
            cache, noisy, flow.time_embedding(t.to(self.device), self.config.action.dim)
        )

    def euler_step(self, seen: Any, noisy: Tensor, index: int) -> Tensor:
        return self.step(seen, noisy, self.embeddings[index])

    def fitted(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """The fields of one observation in the shapes of `blank`; raises XlvlaError where they
        don't fit.
        """
        short = self.config.max_words - inputs.words.shape[1]
        made = replace(
            inputs,
            words=pad(inputs.words, (0, short)),
            word_mask=pad(inputs.word_mask, (0, short), value=False),
        )
        padded = replace(made, past=made.past[:, -self.config.history_frames :].float())
        for found, wanted in zip(fields(padded), fields(blank(self.config)), strict=True):
            if found.shape != wanted.shape:
                raise XlvlaError(
                    f"this engine was made for inputs of {list(wanted.shape)}, one is "
                    f"{list(found.shape)}"
                )
        return fields(padded)


def fields(inputs: Inputs) -> tuple[Tensor, ...]:
    """Images, cameras, words, word mask and past, in this order."""
    return inputs.images, inputs.cameras, inputs.words, inputs.word_mask, inputs.past


def blank(config: VlaConfig) -> Inputs:
    """One observation of nothing, in the fixed shapes: a sentence of `max_words`, and only the
    frames that are told.
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
