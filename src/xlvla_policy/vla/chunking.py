"""Ways to decide on a chunk while the previous one is being executed.

    plain     from noise, without regard to the previous chunk (as pi0 does)
    prefix    its frames that will have been executed meanwhile are given as data, at flow time 0;
              needs weights trained for it (training-time real-time chunking, arXiv 2512.05964)
    guided    the flow is pulled towards the rest of it, with decreasing weight (real-time
              chunking, arXiv 2506.07339)
    ensemble  plain, then the mean with what earlier chunks predict for the same time steps (ACT,
              arXiv 2304.13705)

They need two things of an engine: an observation and a denoising step; `guided` also its gradient.
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
"""Share by which a prediction weighs less than one that was made a frame earlier."""


@torch.no_grad()
def prefix(engine: Engine, inputs: Inputs, noise: Tensor, before: Overlap, longest: int) -> Tensor:
    """Chunks [B, T, D] that begin as `before` does, with at most `longest` frames of it, in whole
    tokens.
    """
    config = engine.config
    per_token = config.frames_per_token
    wanted = math.ceil(before.prefix_frames / per_token)
    available = int(before.known[-1]) // per_token
    count = min(wanted, available, longest // per_token)
    is_prefix = (torch.arange(config.action_tokens) < count).to(engine.device)[None]
    prefix_tokens = engine.tokens(_ahead(before, noise))
    x = engine.tokens(noise)
    seen = engine.observe(inputs)
    for step in range(config.steps):
        time = 1 - step / config.steps
        times = torch.where(is_prefix, 0.0, time).expand(len(x), -1)
        x = torch.where(is_prefix[..., None], prefix_tokens, x)
        clean = _clean(engine, seen, x, time, times)
        x = x - (x - clean) / (time * config.steps)
    x = torch.where(is_prefix[..., None], prefix_tokens, x)
    return engine.frames(x)


@torch.inference_mode(mode=False)
def guided(engine: Engine, inputs: Inputs, noise: Tensor, before: Overlap) -> Tensor:
    """Chunks [B, T, D] pulled towards what is left of the newest chunk, by the gradient through
    each denoising step.
    """
    config = engine.config
    known = int(before.known[-1])
    by_frame = torch.from_numpy(pull(before.prefix_frames, known, config.frames)).float()
    weights = engine.tokens(by_frame[None, :, None].expand(1, -1, config.frame_dim))
    prefix_tokens = engine.tokens(_ahead(before, noise))
    x = engine.tokens(noise)
    seen = engine.observe(inputs)
    for step in range(config.steps):
        time = 1 - step / config.steps
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            times = torch.full(x.shape[:2], time, device=engine.device)
            clean = _clean(engine, seen, x, time, times)
            error = weights * (prefix_tokens - clean.detach())
            (correction,) = torch.autograd.grad(clean, x, error)
        x = x.detach()
        velocity = (x - clean.detach()) / time - strength(time) * correction
        x = x - velocity / config.steps
    return engine.frames(x)


def mean(frames: np.ndarray, before: Overlap) -> np.ndarray:
    """Mean [T, D] of a new chunk and what earlier ones predict for the same time steps; the oldest
    weighs most.
    """
    predictions = np.concatenate([before.frames, frames[None]])
    age = np.append(before.age, 0.0)
    known = np.append(before.known, len(frames))
    predicts = np.arange(len(frames)) < known[:, None]
    weights = np.exp(FORGETTING * age)[:, None] * predicts
    weights = weights[..., None]
    return (predictions * weights).sum(0) / weights.sum(0)


def pull(prefix_frames: int, known: int, frames: int) -> np.ndarray:
    """Weights [T] of the rest of the previous chunk: 1 while it is executed, then decreasing to 0
    where it ends.
    """
    frame = np.arange(frames)
    # Real-time chunking's exponential decay, c * (e^c - 1) / (e - 1).
    c = np.clip((known - frame) / (known - prefix_frames + 1), 0, 1)
    decreasing = c * np.expm1(c) / math.expm1(1)
    return np.where(frame < prefix_frames, 1.0, decreasing)


def strength(time: float) -> float:
    """Weight of the guidance at a flow time, from 1 (noise) to 0 (data)."""
    # The formula's denominator is 0 there.
    if time >= 1:
        return PULL
    weight = ((1 - time) ** 2 + time**2) / ((1 - time) * time)
    return min(PULL, weight)


def _clean(engine: Engine, seen: Any, noisy: Tensor, time: float, t: Tensor) -> Tensor:
    """The chunk that a step expects at the end of the flow, in tokens."""
    output = engine.denoise(seen, noisy, t)
    if engine.config.prediction == "data":
        return output
    return noisy - time * output


def _ahead(before: Overlap, like: Tensor) -> Tensor:
    """Where the newest chunk leads, in the shape of a chunk."""
    ahead = torch.from_numpy(before.ahead.astype(np.float32))
    return ahead[None].expand(like.shape)
