"""Poses with a name: open, fist, pinches, and which joints move which finger."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xlvla.hand import Hand
from xlvla.types import FINGERS, Finger, Side
from xlvla_policy.latent.embodiment import Embodiment, embodiment

SPREADS = 0.1
"""A joint that goes equally far either way, to so many rad or m, spreads a finger rather than bends
it.
"""


def opened(body: Embodiment) -> Tensor:
    """The open hand [J]: every joint at zero, or as near as it gets."""
    return torch.zeros_like(body.lower).clamp(body.lower, body.upper)


def bent(body: Embodiment) -> Tensor:
    """The pose [J] with every joint that bends at its end."""
    spread = (body.upper + body.lower).abs() < SPREADS
    return torch.where(
        spread,
        opened(body),
        torch.where(body.lower.abs() > body.upper.abs(), body.lower, body.upper),
    )


def moving(hand: Hand, side: Side, finger: Finger) -> Tensor:
    """[J] whether a commanded joint lies between the palm and a finger's tip."""
    description = hand.description(side)
    above = {joint.child: joint for joint in description.joints}
    link = hand.tip_links(side)[finger]
    on_the_way = set()
    while link in above:
        joint = above[link]
        link = joint.parent
        if joint.moves:
            joint, _, _ = description.coupling(joint)
        on_the_way.add(joint.name)
    return torch.tensor([name in on_the_way for name in hand.joint_names(side)])


def gestures(hand: Hand, side: Side) -> dict[str, np.ndarray]:
    """Named poses [J] rad: open, closing, thumb up, and a pinch of the thumb with each finger."""
    body = embodiment(hand, side)
    rest = opened(body)
    bend = bent(body) - opened(body)
    thumb = moving(hand, side, "thumb")
    poses = {
        "open": rest,
        "half closed": rest + 0.4 * bend,
        "fist": rest + torch.where(thumb, 0.5, 0.8) * bend,
        "thumb up": rest + torch.where(thumb, 0.0, 0.9) * bend,
    }
    fingers: list[Finger] = [finger for finger in FINGERS[1:] if finger in hand.tips]
    return {name: q.numpy() for name, q in poses.items()} | {
        f"thumb + {finger}": pinch(hand, side, finger) for finger in fingers
    }


def pinch(hand: Hand, side: Side, finger: Finger, poses: int = 256) -> np.ndarray:
    """A pose [J] rad whose thumb meets the finger while the others stay open."""
    body = embodiment(hand, side)
    which = [body.fingers.index("thumb"), body.fingers.index(finger)]
    moved = moving(hand, side, "thumb") | moving(hand, side, finger)
    rest = opened(body)
    start = body.lower + torch.rand(
        poses, body.width, generator=torch.Generator().manual_seed(0)
    ) * (body.upper - body.lower)
    q = torch.where(moved, start, rest).requires_grad_()

    def cost() -> Tensor:
        thumb, tip = body.tips(q)[:, which].unbind(1)
        # Where several ways lead to a pinch the one of small bends looks natural.
        return (thumb - tip).norm(dim=-1) + 0.003 * (q - rest).square().sum(-1)

    adam = torch.optim.Adam([q], lr=0.02)
    for _ in range(200):
        adam.zero_grad()
        cost().sum().backward()
        adam.step()
        with torch.no_grad():
            q.clamp_(body.lower, body.upper)
    return q[cost().argmin()].detach().numpy()
