"""Training a part of a model: parts that keep their weights, and low-rank adaptation (LoRA, arXiv
2106.09685).
"""

from __future__ import annotations

from collections.abc import Mapping, Set

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
"""Prefixes of the names of a part's weights. The layers that read and write frames are in none, and
always trained.
"""

PROJECTIONS: Mapping[str, frozenset[str]] = {
    "attention": frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "out_proj"}),
    "mlp": frozenset({"gate_proj", "up_proj", "down_proj", "fc1", "fc2"}),
}
UP = "lora_up"
DOWN = "lora_down"


class Adapted(nn.Linear):
    """A linear layer that keeps its weight [out, in] and learns a product added to it: scale * up
    [out, rank] @ down [rank, in].
    """

    def __init__(self, base: nn.Linear, rank: int, scale: float):
        # On the meta device: the weights are the base's.
        super().__init__(base.in_features, base.out_features, False, device="meta")
        device = base.weight.device
        down = torch.randn(rank, base.in_features, device=device) / base.in_features**0.5
        up = torch.zeros(base.out_features, rank, device=device)
        self.weight = base.weight
        self.bias = base.bias
        self.scale = scale
        self.lora_down = nn.Parameter(down)
        self.lora_up = nn.Parameter(up)

    def forward(self, input: Tensor) -> Tensor:
        kept = super().forward(input)
        low_rank = F.linear(input, self.lora_down)
        return kept + self.scale * F.linear(low_rank, self.lora_up)


def adapt(model: Vla, recipe: Recipe) -> None:
    """Freezes and adapts parts of a model as the recipe says; the rest stays trainable."""
    _check(recipe)
    model.requires_grad_(True)
    for part in (*recipe.frozen, *recipe.lora):
        for name, parameter in model.named_parameters():
            if name.startswith(PARTS[part]):
                parameter.requires_grad_(False)
    projections: set[str] = set()
    for kind in recipe.lora_on:
        projections |= PROJECTIONS[kind]
    for part, rank in recipe.lora.items():
        scale = 1.0
        if recipe.lora_alpha is not None:
            scale = recipe.lora_alpha / rank
        for name, module in _projections(model, part, projections):
            parent, _, own_name = name.rpartition(".")
            adapted = Adapted(module, rank, scale)
            setattr(model.get_submodule(parent), own_name, adapted)


def scales(model: nn.Module) -> dict[str, float]:
    """Scale by name of every adapted weight."""
    by_name: dict[str, float] = {}
    for name, module in model.named_modules():
        if isinstance(module, Adapted):
            by_name[f"{name}.weight"] = module.scale
    return by_name


def merged(weight: Tensor, up: Tensor, down: Tensor, scale: float) -> Tensor:
    """An adapted layer as one weight."""
    return weight + scale * (up @ down)


def factors(name: str) -> tuple[str, str]:
    """Names of the up and down factors of the weight of that name."""
    layer = name.removesuffix("weight")
    return layer + UP, layer + DOWN


def _projections(model: Vla, part: str, own_names: Set[str]) -> list[tuple[str, nn.Linear]]:
    """The linear layers of a part whose own names are among these, with their full names."""
    layers: list[tuple[str, nn.Linear]] = []
    for name, module in model.named_modules():
        if not name.startswith(PARTS[part]) or not isinstance(module, nn.Linear):
            continue
        _, _, own_name = name.rpartition(".")
        if own_name in own_names:
            layers.append((name, module))
    return layers


def _check(recipe: Recipe) -> None:
    """Refuses unknown parts and projections, a part named twice, and ranks below 1."""
    for part in (*recipe.frozen, *recipe.lora):
        if part not in PARTS:
            raise unknown("part of the model", part, PARTS)
    for kind in recipe.lora_on:
        if kind not in PROJECTIONS:
            raise unknown("kind of projection", kind, PROJECTIONS)
    for part, rank in sorted(recipe.lora.items()):
        if part in recipe.frozen:
            raise XlvlaError(
                f"{part} cannot be both frozen and adapted: leave it out of --freeze or of --lora"
            )
        if rank < 1:
            raise XlvlaError(f"the rank of --lora {part} must be at least 1, is {rank}")
