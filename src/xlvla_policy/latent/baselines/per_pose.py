"""Each pose optimised on its own: slow, without any continuity, and the limit of what a decoder can
reach.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.losses import LEVER_M, OPPOSING, pinches, pseudo_huber, shared
from xlvla_policy.latent.pads import PadPose, Pads
from xlvla_policy.latent.recipe import PAPER, Recipe
from xlvla_policy.latent.sampling import uniform_poses
from xlvla_policy.latent.touch_losses import touch_costs

Cost = Callable[[Tensor], Tensor]
"""Poses [N, J] rad of all starts, one start after the other, to what they cost [N]."""

RATE = 0.05
"""Adam's learning rate at first [rad per step]."""


def optimised(
    source: Embodiment,
    target: Embodiment,
    q: Tensor,
    weight: Tensor,
    starts: int = 6,
    steps: int = 120,
    recipe: Recipe = PAPER,
    beside: Cost | None = None,
) -> Tensor:
    """Poses [B, J] rad of the target whose lines from thumb to fingers are most like those of the
    source's q [B, J].

    Cost of length and direction as a recipe has it for tight pinches, by default as in the paper's
    L2; best of several starts: the middle of the range, then random ones.

    Args:
        weight: [B, 4] what each of a pose's lines counts.
        beside: what else a pose costs.
    """
    wanted = pinches(source.tips(q), source.fingers)
    weight = weight * shared(source.fingers, target.fingers)
    return nearest(target, wanted, weight, starts, steps, recipe, beside)


def nearest(
    target: Embodiment,
    lines: Tensor,
    weight: Tensor,
    starts: int = 6,
    steps: int = 120,
    recipe: Recipe = PAPER,
    beside: Cost | None = None,
) -> Tensor:
    """As `optimised`, for lines [B, 4, 3] m from thumb to fingers, of which those the target lacks
    weigh nothing.
    """
    count = len(lines)
    wanted = lines.repeat(starts, 1, 1)
    weight = weight.repeat(starts, 1)
    random = uniform_poses(target, count * (starts - 1), Generator().manual_seed(0))
    middle = ((target.lower + target.upper) / 2).expand(count, -1)
    q = torch.cat([middle, random]).requires_grad_()

    def cost() -> Tensor:
        """[starts B]."""
        lines = pinches(target.tips(q), target.fingers)
        total = (_cost(wanted, lines, recipe) * weight).sum(-1)
        if beside:
            total = total + beside(q)
        return total

    adam = torch.optim.Adam([q], lr=RATE)
    for step in range(steps):
        adam.param_groups[0]["lr"] = RATE * (1 - step / steps)
        adam.zero_grad()
        cost().sum().backward()
        adam.step()
        with torch.no_grad():
            q.clamp_(target.lower, target.upper)
    with torch.no_grad():
        remaining = cost()
    best = remaining.unflatten(0, (starts, -1)).argmin(0)
    return q.detach().unflatten(0, (starts, -1))[best, torch.arange(count)]


def touch_cost(pads: Pads, wanted: PadPose, finger: Tensor, recipe: Recipe) -> Cost:
    """What it costs that pads are not as they are in the source's poses [B], of one finger [B] by
    index in `OPPOSING`.
    """

    def cost(q: Tensor) -> Tensor:
        starts = len(q) // len(finger)
        source = PadPose(wanted.gap.repeat(starts, 1), wanted.facing.repeat(starts, 1))
        costs = touch_costs(source, pads(q), recipe)
        return costs.gather(1, finger.repeat(starts)[:, None])[:, 0]

    return cost


def only(finger: Tensor) -> Tensor:
    """Weights [B, 4] that count one finger of each pose [B], by index in `OPPOSING`."""
    return torch.nn.functional.one_hot(finger, len(OPPOSING)).float()


def _cost(wanted: Tensor, lines: Tensor, recipe: Recipe) -> Tensor:
    """[B, 4] of lines [B, 4, 3] m; those of fingers that a hand lacks must weigh nothing."""
    wanted_length = torch.sqrt(wanted.square().sum(-1) + 1e-8)
    length = torch.sqrt(lines.square().sum(-1) + 1e-8)
    cosine = (wanted * lines).sum(-1) / (wanted_length * length)
    # Twice 1 - cos is the square of a small angle.
    turned = pseudo_huber(2 * (1 - cosine), recipe.robust) / 2
    far = recipe.robust * recipe.strict * LEVER_M
    stretched = pseudo_huber((wanted_length - length).square(), far)
    return recipe.distance * stretched + recipe.aim * recipe.direction * turned
