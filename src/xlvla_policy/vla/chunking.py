"""Ways to decide on a chunk while the one before is being executed.

    plain      from noise, knowing nothing of it (as pi0 does)
    prefix     its frames that will have been executed meanwhile are told as data, at flow time 0;
    needs weights trained for
               it (training-time real-time chunking, arXiv 2512.05964)
    guided     the flow is pulled towards all that is left of it, less and less (real-time chunking,
    arXiv 2506.07339) ensemble   plain, then the mean with what earlier chunks said of the same
    instants (ACT, arXiv 2304.13705)

They need no more of an engine than what it makes of an observation and one denoising step; `guided`
its gradient, too.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xlvla_policy.overlap import Overlap
from xlvla_policy.vla.engine import Engine
from xlvla_policy.vla.model import Inputs

PULL = 5.0
"""Largest weight of the guidance."""

FORGETTING = 0.01
"""By what share a prediction counts less than one that was made a frame earlier."""


@torch.no_grad()
def prefix(engine: Engine, inputs: Inputs, noise: Tensor, before: Overlap, longest: int) -> Tensor:
    """Chunks [B, T, D] that begin as `before` does, with at most `longest` frames of it, in whole
    tokens.
    """
    config = engine.config
    per_token = engine.config.frames_per_token
    count = min(
        math.ceil(before.prefix_frames / per_token),
        int(before.known[-1]) // per_token,
        longest // per_token,
    )
    held = (torch.arange(config.action_tokens) < count).to(engine.device)[None]
    prefix_tokens = engine.tokens(_ahead(before, noise))
    x = engine.tokens(noise)
    seen = engine.observe(inputs)
    for step in range(config.steps):
        time = 1 - step / config.steps
        x = torch.where(held[..., None], prefix_tokens, x)
        clean = _clean(engine, seen, x, time, torch.where(held, 0.0, time).expand(len(x), -1))
        x = x - (x - clean) / (time * config.steps)
    return engine.frames(torch.where(held[..., None], prefix_tokens, x))


@torch.inference_mode(mode=False)
def guided(engine: Engine, inputs: Inputs, noise: Tensor, before: Overlap) -> Tensor:
    """Chunks [B, T, D] pulled towards what is left of the newest chunk, by the gradient through
    each denoising step.
    """
    config = engine.config
    weights = torch.from_numpy(
        pull(before.prefix_frames, int(before.known[-1]), config.frames)
    ).float()
    weights = engine.tokens(weights[None, :, None].expand(1, -1, config.frame_dim))
    prefix_tokens = engine.tokens(_ahead(before, noise))
    x = engine.tokens(noise)
    seen = engine.observe(inputs)
    for step in range(config.steps):
        time = 1 - step / config.steps
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            clean = _clean(
                engine, seen, x, time, torch.full(x.shape[:2], time, device=engine.device)
            )
            (pulled,) = torch.autograd.grad(clean, x, weights * (prefix_tokens - clean.detach()))
        velocity = (x.detach() - clean.detach()) / time - strength(time) * pulled
        x = x.detach() - velocity / config.steps
    return engine.frames(x)


def mean(frames: np.ndarray, before: Overlap) -> np.ndarray:
    """Mean [T, D] of a new chunk and what earlier ones said of the same instants; the oldest counts
    most.
    """
    every = np.concatenate([before.frames, frames[None]])
    age = np.append(before.age, 0.0)
    speaks = np.arange(len(frames)) < np.append(before.known, len(frames))[:, None]
    weights = (np.exp(FORGETTING * age)[:, None] * speaks)[..., None]
    return (every * weights).sum(0) / weights.sum(0)


def pull(prefix_frames: int, known: int, frames: int) -> np.ndarray:
    """Weights [T] of what is left of the chunk before: 1 while it is executed, then less and less,
    0 where it ends.
    """
    c = np.clip((known - np.arange(frames)) / (known - prefix_frames + 1), 0, 1)
    return np.where(np.arange(frames) < prefix_frames, 1.0, c * np.expm1(c) / math.expm1(1))


def strength(time: float) -> float:
    """Weight of the guidance at a flow time, from 1 (noise) to 0 (data)."""
    if time >= 1:
        return PULL
    return min(PULL, ((1 - time) ** 2 + time**2) / ((1 - time) * time))


def _clean(engine: Engine, seen: Any, noisy: Tensor, time: float, t: Tensor) -> Tensor:
    """The chunk that a step expects at the end of the flow, in tokens."""
    output = engine.denoise(seen, noisy, t)
    return output if engine.config.prediction == "data" else noisy - time * output


def _ahead(before: Overlap, like: Tensor) -> Tensor:
    return torch.from_numpy(before.ahead.astype(np.float32))[None].expand(like.shape)
