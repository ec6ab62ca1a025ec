"""Flow matching with openpi's sign: t = 1 is noise, t = 0 is data, the velocity points from data to
noise.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

SMALLEST_TIME = 0.001
SHORTEST_PERIOD = 0.004
LONGEST_PERIOD = 4.0


def draw_time(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Times from Beta(1.5, 1) scaled into [0.001, 1]; most of them near the noise."""
    uniform = torch.rand(shape, generator=generator, device=generator.device)
    # The inverse of the distribution function t^1.5 turns uniform numbers into Beta(1.5, 1).
    beta = uniform ** (1 / 1.5)
    return beta * (1 - SMALLEST_TIME) + SMALLEST_TIME


def mix(data: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """The point at times t [B, tokens] between data and noise, both [B, tokens, numbers]."""
    t = t[..., None]
    return t * noise + (1 - t) * data


def per_token(t: Tensor, tokens: int, prefix_tokens: Tensor) -> Tensor:
    """Times [B, tokens]: t [B] for every token of a row but its first `prefix_tokens` [B], which
    are data already, at time 0.
    """
    is_prefix = torch.arange(tokens, device=t.device) < prefix_tokens[:, None]
    return torch.where(is_prefix, 0.0, t[:, None])


def time_embedding(t: Tensor, dim: int) -> Tensor:
    """Sine and cosine [..., dim] of t over periods from 0.004 to 4."""
    fraction = torch.linspace(0, 1, dim // 2, dtype=torch.float64, device=t.device)
    period = SHORTEST_PERIOD * (LONGEST_PERIOD / SHORTEST_PERIOD) ** fraction
    angle = t[..., None].to(torch.float64) * 2 * torch.pi / period
    embedding = torch.cat([angle.sin(), angle.cos()], -1)
    return embedding.to(torch.float32)


def euler(velocity: Callable[[Tensor, float], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Follows the velocity from noise at t = 1 to data at t = 0 in equal steps."""
    x = noise
    for step in range(steps):
        time = 1 - step / steps
        x = x - velocity(x, time) / steps
    return x
