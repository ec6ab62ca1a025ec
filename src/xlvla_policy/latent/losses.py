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
    vectors: list[Tensor] = []
    for finger in OPPOSING:
        if finger in fingers:
            vectors.append(tips[:, fingers.index(finger)] - thumb)
        else:
            vectors.append(torch.zeros_like(thumb))
    return torch.stack(vectors, dim=1)


def shared(source: Sequence[Finger], target: Sequence[Finger]) -> Tensor:
    """[4] 1 for every opposing finger that both hands have."""
    both = set(source) & set(target)
    return torch.tensor([float(finger in both) for finger in OPPOSING])


def pinch_weight(distance: Tensor, recipe: Recipe, missing: Tensor) -> tuple[Tensor, Tensor]:
    """How much each of a pose's pinches [B, 4] of that distance [m] counts, and how much more if
    tight; `missing` [B, 4] where there is none.
    """
    wide = torch.exp(-recipe.reach * distance)
    tight = recipe.tight * torch.exp(-recipe.tight_reach * distance)
    if recipe.focus:
        # The nearest finger of a pose gets most of the weight.
        nearness = (-distance / recipe.focus).masked_fill(missing, -torch.inf)
        tight = tight * torch.softmax(nearness, dim=-1)
    return wide, tight


def retargeting(source: Tensor, target: Tensor, mask: Tensor, recipe: Recipe) -> Tensor:
    """L2: lengths and directions of the pinches [B, 4, 3] of target against source; mask [B, 4]."""
    source_length = _length(source)
    target_length = _length(target)
    cosine = (source * target).sum(-1) / (source_length * target_length)
    # Twice 1 - cos is the square of a small angle.
    angle = pseudo_huber(2 * (1 - cosine), recipe.robust) / 2
    wide_stretch = _stretch(source_length, target_length, recipe.robust)
    tight_stretch = _stretch(source_length, target_length, recipe.robust * recipe.strict)
    missing = source.abs().sum(-1) == 0
    wide, tight = pinch_weight(source_length, recipe, missing)
    distance = recipe.distance * (wide * wide_stretch + tight * tight_stretch)
    direction = (wide + recipe.aim * tight) * recipe.direction * angle
    return (mask * (distance + direction)).sum() / mask.sum()


def _length(vectors: Tensor) -> Tensor:
    """Lengths [...] m of vectors [..., 3] m.

    A millimetre in the norm keeps the direction's gradient finite where tips meet.
    """
    return torch.sqrt(vectors.square().sum(-1) + 1e-6)


def _stretch(source_length: Tensor, target_length: Tensor, beyond: float) -> Tensor:
    """Squared difference [m^2] of lengths [m]; `beyond` [rad] as of a direction's error."""
    return pseudo_huber((source_length - target_length).square(), beyond * LEVER_M)


def pseudo_huber(square: Tensor, beyond: float) -> Tensor:
    """Squares that grow only linearly in their root, once that is far beyond; 0 leaves them
    alone (pseudo-Huber).
    """
    if not beyond:
        return square
    return 2 * beyond * (torch.sqrt(square + beyond**2) - beyond)


def roughness(tips: Tensor, paths: int) -> Tensor:
    """Mean third difference [m] of fingertips [paths 4 N, F, 3] along four points each."""
    if not len(tips):
        return torch.zeros(())
    jerk = tips.unflatten(0, (paths, 4, -1)).diff(n=3, dim=1)
    return torch.sqrt(jerk.square().sum(-1) + 1e-8).mean()


def divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """L3: KL of the posterior [B, L] to the unit Gaussian, summed over the latent."""
    twice = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * twice.sum(-1).mean()
