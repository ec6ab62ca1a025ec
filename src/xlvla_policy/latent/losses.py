"""The codec's losses (paper, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xlvla.types import FINGERS, Finger
from xlvla_policy.latent.recipe import Recipe

OPPOSING = FINGERS[1:]
"""The fingers a thumb pinches against, in the order of every [B, 4, 3] below."""


def pinches(tips: Tensor, fingers: Sequence[Finger]) -> Tensor:
    """Vectors [B, 4, 3] m from thumb tip to the other tips [B, F, 3]; zero where the hand lacks the finger."""
    thumb = tips[:, fingers.index("thumb")]
    zero = torch.zeros_like(thumb)
    return torch.stack([tips[:, fingers.index(f)] - thumb if f in fingers else zero for f in OPPOSING], dim=1)


def shared(source: Sequence[Finger], target: Sequence[Finger]) -> Tensor:
    """[4] 1 for every opposing finger that both hands have."""
    return torch.tensor([float(f in source and f in target) for f in OPPOSING])


def pinch_weight(distance: Tensor, recipe: Recipe) -> Tensor:
    """How much a pinch of that distance [m] counts: tight ones most."""
    return torch.exp(-recipe.reach * distance) + recipe.tight * torch.exp(-recipe.tight_reach * distance)


def retargeting(source: Tensor, target: Tensor, mask: Tensor, recipe: Recipe) -> Tensor:
    """L2: lengths and directions of the pinches [B, 4, 3] of target against source; mask [B, 4]."""
    # A millimetre in the norm keeps the direction's gradient finite where tips meet.
    long, wide = (torch.sqrt(d.square().sum(-1) + 1e-6) for d in (source, target))
    cosine = (source * target).sum(-1) / (long * wide)
    cost = recipe.distance * (long - wide).square() + recipe.direction * (1 - cosine)
    return (mask * pinch_weight(long, recipe) * cost).sum() / mask.sum()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """L3: KL of the posterior [B, L] to the unit Gaussian, summed over the latent."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
