"""Poses with a name: open, fist, pinches, and which joints move which finger."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xlvla.hand import Hand
from xlvla.types import FINGERS, Finger, Side
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.sampling import uniform_poses

SPREADS = 0.1
"""A joint whose limits [rad or m] are opposite up to this spreads a finger rather than bends it."""
BEND_COST = 0.003
"""Cost of a bend beside the distance of the fingertips [m/rad^2]."""
PINCH_STEPS = 200
PINCH_RATE = 0.02
"""Adam's steps and learning rate [rad per step] for closing a pinch."""


def opened(body: Embodiment) -> Tensor:
    """The open hand [J]: every joint at zero, or as near as it gets."""
    return torch.zeros_like(body.lower).clamp(body.lower, body.upper)


def bent(body: Embodiment) -> Tensor:
    """The pose [J] with every joint that bends at its end."""
    spread = (body.upper + body.lower).abs() < SPREADS
    further = torch.where(body.lower.abs() > body.upper.abs(), body.lower, body.upper)
    return torch.where(spread, opened(body), further)


def moving(hand: Hand, side: Side, finger: Finger) -> Tensor:
    """[J] whether a commanded joint lies between the palm and a finger's tip."""
    description = hand.description(side)
    above = {joint.child: joint for joint in description.joints}
    link = hand.tip_links(side)[finger]
    moves: set[str] = set()
    while link in above:
        joint = above[link]
        link = joint.parent
        if joint.moves:
            joint, _, _ = description.coupling(joint)
        moves.add(joint.name)
    return torch.tensor([name in moves for name in hand.joint_names(side)])


def gestures(hand: Hand, side: Side) -> dict[str, np.ndarray]:
    """Named poses [J] rad: open, closing, thumb up, and a pinch of the thumb with each finger."""
    body = embodiment(hand, side)
    rest = opened(body)
    bend = bent(body) - rest
    thumb = moving(hand, side, "thumb")
    fist = torch.where(thumb, 0.5, 0.8)
    thumb_up = torch.where(thumb, 0.0, 0.9)
    poses = {
        "open": rest.numpy(),
        "half closed": (rest + 0.4 * bend).numpy(),
        "fist": (rest + fist * bend).numpy(),
        "thumb up": (rest + thumb_up * bend).numpy(),
    }
    for finger in FINGERS[1:]:
        if finger in hand.tips:
            poses[f"thumb + {finger}"] = pinch(hand, side, finger)
    return poses


def pinch(hand: Hand, side: Side, finger: Finger, poses: int = 256) -> np.ndarray:
    """A pose [J] rad whose thumb meets the finger while the others stay open."""
    body = embodiment(hand, side)
    meeting = [body.fingers.index("thumb"), body.fingers.index(finger)]
    moved = moving(hand, side, "thumb") | moving(hand, side, finger)
    rest = opened(body)
    start = uniform_poses(body, poses, torch.Generator().manual_seed(0))
    q = torch.where(moved, start, rest).requires_grad_()

    def cost() -> Tensor:
        thumb, tip = body.tips(q)[:, meeting].unbind(1)
        # Of several pinches the one with small bends looks natural.
        bend = (q - rest).square().sum(-1)
        return (thumb - tip).norm(dim=-1) + BEND_COST * bend

    adam = torch.optim.Adam([q], lr=PINCH_RATE)
    for _ in range(PINCH_STEPS):
        adam.zero_grad()
        cost().sum().backward()
        adam.step()
        with torch.no_grad():
            q.clamp_(body.lower, body.upper)
    return q[cost().argmin()].detach().numpy()
