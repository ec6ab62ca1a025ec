"""Losses beside the paper's: what pads do, and whether all hands agree on a latent."""

from __future__ import annotations

import torch
from torch import Tensor

from xlvla_policy.latent.losses import LEVER_M, pseudo_huber
from xlvla_policy.latent.pads import PadPose
from xlvla_policy.latent.recipe import Recipe

LEAST = 0.01
"""Directions of latents that hold less than this share of their variance count less and less."""
TINY = 1e-9


def touch_costs(source: PadPose, target: PadPose, recipe: Recipe) -> Tensor:
    """Gaps and facing of the target's pads against the source's, where those are near touching,
    [B, 4].
    """
    near = torch.exp(-recipe.touch_reach * source.gap.abs())
    gap_error = ((target.gap - source.gap).abs() - recipe.touch_slack).clamp(min=0)
    gap = recipe.touch * pseudo_huber(gap_error.square(), recipe.robust * LEVER_M)
    facing = recipe.facing * (target.facing - source.facing).square()
    return near * (gap + facing)


def touch_loss(source: PadPose, target: PadPose, mask: Tensor, recipe: Recipe) -> Tensor:
    """Mean cost of the pairs of pads that count; mask [B, 4]."""
    return (mask * touch_costs(source, target, recipe)).sum() / mask.sum()


def inconsistency(again: Tensor, z: Tensor, whitening: Tensor) -> Tensor:
    """Squared distances [B] of latents [B, L] from z, over the spread of z's source: 1 is as far as
    its latents are from their mean.
    """
    return ((again - z) @ whitening.T).square().sum(dim=-1)


def whitening(z: Tensor) -> Tensor:
    """[L, L] that takes latents [B, L] to where their mean squared distance from their mean is 1,
    each direction's share the same: over the sum of all directions a single one that is stretched,
    or a few latents far out, would make any inconsistency of the others look small.
    """
    away = z - z.mean(dim=0)
    square = away.detach().square().sum(dim=-1, keepdim=True)
    # What is further out than half of them is not told by how far.
    weight = (square.median() / square.clamp(min=TINY)).clamp(max=1)
    scatter = (weight * away).T @ away / len(z)
    one = torch.eye(z.shape[-1])
    least = LEAST * scatter.trace() + TINY
    factor = torch.linalg.cholesky(scatter + least * one)
    whitened = torch.linalg.solve_triangular(factor, one, upper=False)
    directions = z.shape[-1] - least * whitened.square().sum()
    return whitened / directions.clamp(min=1).sqrt()
