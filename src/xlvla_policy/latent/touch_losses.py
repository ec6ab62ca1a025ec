"""Losses beside the paper's: what pads do, and whether all hands agree on a latent."""

from __future__ import annotations

import torch
from torch import Tensor

from xlvla_policy.latent.losses import LEVER_M, pseudo_huber
from xlvla_policy.latent.pads import PadPose
from xlvla_policy.latent.recipe import Recipe


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


def inconsistency(again: Tensor, z: Tensor, spread: Tensor) -> Tensor:
    """Mean squared distance of latents [B, L] from z, over the spread [B] of the latents of each
    one's source.
    """
    return ((again - z).square().sum(dim=-1) / spread).mean()


def spread(z: Tensor) -> Tensor:
    """Mean squared distance of latents [B, L] from their mean."""
    return (z - z.mean(dim=0)).square().sum(dim=-1).mean()
