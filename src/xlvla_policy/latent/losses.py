"""The codec's losses (paper, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xlvla.types import FINGERS, Finger
from xlvla_policy.latent.recipe import Recipe

OPPOSING = FINGERS[1:]
"""The fingers a thumb pinches against, in the order of every [B, 4, 3] below."""
LEVER_M = 0.03
"""Length that turns a direction's error into a distance's."""


def pinches(tips: Tensor, fingers: Sequence[Finger]) -> Tensor:
    """Vectors [B, 4, 3] m from thumb tip to the other tips [B, F, 3]; zero where the hand lacks the
    finger.
    """
    thumb = tips[:, fingers.index("thumb")]
    zero = torch.zeros_like(thumb)
    return torch.stack(
        [tips[:, fingers.index(f)] - thumb if f in fingers else zero for f in OPPOSING], dim=1
    )


def shared(source: Sequence[Finger], target: Sequence[Finger]) -> Tensor:
    """[4] 1 for every opposing finger that both hands have."""
    return torch.tensor([float(f in source and f in target) for f in OPPOSING])


def pinch_weight(distance: Tensor, recipe: Recipe, missing: Tensor) -> tuple[Tensor, Tensor]:
    """How much each of a pose's pinches [B, 4] of that distance [m] counts, and how much more if
    tight; `missing` where there is none.
    """
    tight = recipe.tight * torch.exp(-recipe.tight_reach * distance)
    if recipe.focus:
        tight = tight * torch.softmax(
            (-distance / recipe.focus).masked_fill(missing, -torch.inf), dim=-1
        )
    return torch.exp(-recipe.reach * distance), tight


def retargeting(source: Tensor, target: Tensor, mask: Tensor, recipe: Recipe) -> Tensor:
    """L2: lengths and directions of the pinches [B, 4, 3] of target against source; mask [B, 4]."""
    # A millimetre in the norm keeps the direction's gradient finite where tips meet.
    long, short = (torch.sqrt(d.square().sum(-1) + 1e-6) for d in (source, target))
    turned = 2 * (1 - (source * target).sum(-1) / (long * short))
    stretched, stretched_tight = (
        _flattened((long - short).square(), beyond * LEVER_M)
        for beyond in (recipe.robust, recipe.robust * recipe.strict)
    )
    swung = _flattened(turned, recipe.robust) / 2
    wide, tight = pinch_weight(long, recipe, source.abs().sum(-1) == 0)
    cost = (
        recipe.distance * (wide * stretched + tight * stretched_tight)
        + (wide + recipe.aim * tight) * recipe.direction * swung
    )
    return (mask * cost).sum() / mask.sum()


def _flattened(square: Tensor, beyond: float) -> Tensor:
    """Squares that grow only linearly in their root, once that is far beyond; 0 leaves them
    alone.
    """
    return 2 * beyond * (torch.sqrt(square + beyond**2) - beyond) if beyond else square


def roughness(tips: Tensor, paths: int) -> Tensor:
    """Mean third difference [m] of fingertips [paths 4 N, F, 3] along four points each."""
    if not len(tips):
        return torch.zeros(())
    jerk = tips.unflatten(0, (paths, 4, -1)).diff(n=3, dim=1)
    return torch.sqrt(jerk.square().sum(-1) + 1e-8).mean()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """L3: KL of the posterior [B, L] to the unit Gaussian, summed over the latent."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1).mean()
