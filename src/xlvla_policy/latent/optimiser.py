"""AdamW for small tensors, and orthogonalised momentum (Muon) for the hidden layers' matrices."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from xlvla_policy.latent.precision import coarse_dtype

SMALLEST = 64
"""Matrices with a shorter side count as small."""
MOMENTUM = 0.95
ROUNDS = 5
"""Of Newton-Schulz."""
QUINTIC = (3.4445, -4.7750, 2.0315)
"""Newton-Schulz coefficients that bring singular values near one fastest."""


class Optimiser:
    """One learning rate for both; a step of Muon is as long, in root mean square, as a typical one
    of AdamW.
    """

    def __init__(self, parameters: Iterable[Parameter], rate: float, orthogonal: bool):
        small: list[Parameter] = []
        self._matrices: dict[tuple[int, ...], list[Parameter]] = defaultdict(list)
        for parameter in parameters:
            hidden = parameter.ndim == 2 and min(parameter.shape) >= SMALLEST
            if orthogonal and hidden:
                self._matrices[tuple(parameter.shape)].append(parameter)
            else:
                small.append(parameter)
        self._adam = torch.optim.AdamW(small, lr=rate, fused=True)
        self._momentum: dict[tuple[int, ...], Tensor] = {}
        for shape, same in self._matrices.items():
            self._momentum[shape] = torch.zeros(len(same), *shape)

    def set_rate(self, rate: float) -> None:
        for group in self._adam.param_groups:
            group["lr"] = rate

    def zero_grad(self) -> None:
        self._adam.zero_grad(set_to_none=True)
        for same in self._matrices.values():
            for parameter in same:
                parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        self._adam.step()
        rate = self._adam.param_groups[0]["lr"]
        for shape, same in self._matrices.items():
            gradient = torch.stack([_gradient(parameter) for parameter in same])
            momentum = self._momentum[shape].lerp_(gradient, 1 - MOMENTUM)
            directions = orthogonal(gradient.lerp(momentum, MOMENTUM))
            # As long, in root mean square, as a typical step of AdamW.
            length = -0.2 * rate * max(shape) ** 0.5
            for parameter, direction in zip(same, directions, strict=True):
                parameter.add_(direction, alpha=length)

    def state_dict(self) -> dict[str, Any]:
        return {"adam": self._adam.state_dict(), "momentum": list(self._momentum.values())}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._adam.load_state_dict(state["adam"])
        for momentum, saved in zip(self._momentum.values(), state["momentum"], strict=True):
            momentum.copy_(saved)


def _gradient(parameter: Parameter) -> Tensor:
    if parameter.grad is None:
        return torch.zeros_like(parameter)
    return parameter.grad


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices [N, R, C] with their singular values brought near one by Newton-Schulz; coarse
    precision is enough for a direction.
    """
    upright = matrices.shape[1] > matrices.shape[2]
    x = matrices.mT if upright else matrices
    norm = x.flatten(1).norm(dim=1)[:, None, None]
    x = (x / (norm + 1e-7)).to(coarse_dtype()).contiguous()
    a, b, c = QUINTIC
    for _ in range(ROUNDS):
        # x <- a x + (b S + c S^2) x with S = x x^T
        square = x @ x.mT
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    if upright:
        x = x.mT
    return x.float()
