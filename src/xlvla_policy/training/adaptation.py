"""Training a part of a model: parts that keep their weights, and low-rank adaptation (LoRA, arXiv
2106.09685).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xlvla.errors import XlvlaError, unknown
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla.model import Vla

PARTS: Mapping[str, tuple[str, ...]] = {
    "vision": ("vision.",),
    "language": ("language.", "joint.experts.language."),
    "action": ("joint.experts.action.",),
}
"""Beginnings of the names of a part's weights; the layers that read and write frames are in none,
they are always trained.
"""

PROJECTIONS: Mapping[str, frozenset[str]] = {
    "attention": frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "out_proj"}),
    "mlp": frozenset({"gate_proj", "up_proj", "down_proj", "fc1", "fc2"}),
}
UP = "lora_up"
DOWN = "lora_down"


class Adapted(nn.Linear):
    """A linear layer that keeps its weight [out, in] and learns what is added to it: scale * up
    [out, rank] @ down [rank, in].
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float):
        super().__init__(base.in_features, base.out_features, False, device="meta")
        self.weight = base.weight
        self.bias = base.bias
        self.scale = scale
        self.lora_down = nn.Parameter(
            torch.randn(rank, base.in_features, device=base.weight.device) / base.in_features**0.5
        )
        self.lora_up = nn.Parameter(torch.zeros(base.out_features, rank, device=base.weight.device))

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + self.scale * F.linear(
            F.linear(input, self.lora_down), self.lora_up
        )


def adapt(model: Vla, recipe: Recipe) -> None:
    """Leaves trainable what the recipe says."""
    _check(recipe)
    model.requires_grad_(True)
    for part in (*recipe.frozen, *recipe.lora):
        for name, parameter in model.named_parameters():
            if name.startswith(PARTS[part]):
                parameter.requires_grad_(False)
    for part, rank in recipe.lora.items():
        scale = 1.0 if recipe.lora_alpha is None else recipe.lora_alpha / rank
        _replace(
            model,
            part,
            rank,
            scale,
            frozenset().union(*(PROJECTIONS[kind] for kind in recipe.lora_on)),
        )


def scales(model: nn.Module) -> dict[str, float]:
    """Scale by name of every adapted weight."""
    return {
        f"{name}.weight": module.scale
        for name, module in model.named_modules()
        if isinstance(module, Adapted)
    }


def merged(weight: Tensor, up: Tensor, down: Tensor, scale: float) -> Tensor:
    """An adapted layer as one weight."""
    return weight + scale * (up @ down)


def factors(name: str) -> tuple[str, str]:
    """Names of what is learned beside the weight of that name."""
    layer = name.removesuffix("weight")
    return layer + UP, layer + DOWN


def _replace(model: Vla, part: str, rank: int, scale: float, projections: Iterable[str]) -> None:
    chosen = [
        (name, module)
        for name, module in model.named_modules()
        if name.startswith(PARTS[part])
        and name.rpartition(".")[2] in projections
        and isinstance(module, nn.Linear)
    ]
    for name, module in chosen:
        parent, _, own = name.rpartition(".")
        setattr(model.get_submodule(parent), own, Adapted(module, rank, scale))


def _check(recipe: Recipe) -> None:
    for part in (*recipe.frozen, *recipe.lora):
        if part not in PARTS:
            raise unknown("part of the model", part, PARTS)
    for kind in recipe.lora_on:
        if kind not in PROJECTIONS:
            raise unknown("kind of projection", kind, PROJECTIONS)
    if both := sorted(set(recipe.frozen) & set(recipe.lora)):
        raise XlvlaError(
            f"{both[0]} cannot be both frozen and adapted: leave it out of --freeze or of --lora"
        )
    if wrong := [part for part, rank in recipe.lora.items() if rank < 1]:
        raise XlvlaError(
            f"the rank of --lora {wrong[0]} must be at least 1, is {recipe.lora[wrong[0]]}"
        )
