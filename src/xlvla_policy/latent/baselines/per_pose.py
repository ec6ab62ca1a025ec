"""Each pose optimised on its own: slow, without any continuity, and the limit of what a decoder can
reach.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.losses import OPPOSING, pinches, shared
from xlvla_policy.latent.recipe import PAPER
from xlvla_policy.latent.sampling import uniform_poses

RATE = 0.05
"""Adam's learning rate at first [rad per step]."""


def optimised(
    source: Embodiment,
    target: Embodiment,
    q: Tensor,
    weight: Tensor,
    starts: int = 6,
    steps: int = 120,
) -> Tensor:
    """Poses [B, J] rad of the target whose lines from thumb to fingers are most like those of the
    source's q [B, J].

    Cost of length and direction as in the paper's L2; best of several starts: the middle of the
    range, then random ones.

    Args:
        weight: [B, 4] what each of a pose's lines counts.
    """
    wanted = pinches(source.tips(q), source.fingers)
    return nearest(target, wanted, weight * shared(source.fingers, target.fingers), starts, steps)


def nearest(
    target: Embodiment, lines: Tensor, weight: Tensor, starts: int = 6, steps: int = 120
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
        """[starts B, 4]."""
        return _cost(wanted, pinches(target.tips(q), target.fingers)) * weight

    adam = torch.optim.Adam([q], lr=RATE)
    for step in range(steps):
        adam.param_groups[0]["lr"] = RATE * (1 - step / steps)
        adam.zero_grad()
        cost().sum().backward()
        adam.step()
        with torch.no_grad():
            q.clamp_(target.lower, target.upper)
    with torch.no_grad():
        remaining = cost().sum(-1)
    best = remaining.unflatten(0, (starts, -1)).argmin(0)
    return q.detach().unflatten(0, (starts, -1))[best, torch.arange(count)]


def only(finger: Tensor) -> Tensor:
    """Weights [B, 4] that count one finger of each pose [B], by index in `OPPOSING`."""
    return torch.nn.functional.one_hot(finger, len(OPPOSING)).float()


def _cost(wanted: Tensor, lines: Tensor) -> Tensor:
    """[B, 4] of lines [B, 4, 3] m; those of fingers that a hand lacks must weigh nothing."""
    wanted_length = torch.sqrt(wanted.square().sum(-1) + 1e-8)
    length = torch.sqrt(lines.square().sum(-1) + 1e-8)
    turned = 1 - (wanted * lines).sum(-1) / (wanted_length * length)
    return PAPER.distance * (wanted_length - length).square() + PAPER.direction * turned
