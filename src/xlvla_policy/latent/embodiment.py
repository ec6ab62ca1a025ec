"""Which hand-sides need networks of their own, decided by measuring how well left mirrors right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from xlvla.hand import Hand
from xlvla.types import Finger, Side
from xlvla_policy.latent.kinematics import Fingertips, fingertips

MIRROR_TOLERANCE_M = 0.001


@dataclass(frozen=True)
class Embodiment:
    """A hand-side with networks of its own, as the losses see it: in the right hand's frame.

    Args:
        sides: the sides that use the networks.
        tips: [B, J] rad to [B, F, 3] m, left hands mirrored.
        lower, upper: [J] rad that a command may have: the URDF's limits and the device's.
    """

    name: str
    hand: Hand
    sides: tuple[Side, ...]
    fingers: tuple[Finger, ...]
    tips: Fingertips
    lower: Tensor
    upper: Tensor

    @property
    def width(self) -> int:
        return len(self.lower)

    @property
    def second(self) -> bool:
        """A left hand that needs networks beside the right hand's."""
        return self.sides == ("left",)


def embodiments(hands: list[Hand]) -> list[Embodiment]:
    """One per hand, and a second for the left side of a hand whose left is not the right's mirror
    image.
    """
    bodies: list[Embodiment] = []
    for hand in hands:
        if mirrored(hand):
            bodies.append(_embodiment(hand.name, hand, ("right", "left")))
        else:
            bodies.append(_embodiment(hand.name, hand, ("right",)))
            bodies.append(_embodiment(f"{hand.name}_left", hand, ("left",)))
    return bodies


def mirrored(hand: Hand) -> bool:
    """Whether equal joint angles give mirrored fingertips on both sides."""
    right = hand.command_range("right")
    left = hand.command_range("left")
    if not np.allclose(right, left, atol=1e-5):
        return False
    return mirror_error(hand) < MIRROR_TOLERANCE_M


def mirror_error(hand: Hand, poses: int = 1024) -> float:
    """Largest distance [m] between a right fingertip and the mirrored left one at equal joint
    angles.
    """
    lower, upper = hand.command_range("right")
    q = np.random.default_rng(0).uniform(lower, upper, (poses, len(hand.joints)))
    q = torch.tensor(q, dtype=torch.float32)
    _, right = fingertips(hand, "right")
    _, left = fingertips(hand, "left")
    return float((right(q) - left(q)).norm(dim=-1).max())


def embodiment(hand: Hand, side: Side) -> Embodiment:
    """One side of a hand on its own."""
    return _embodiment(hand.name, hand, (side,))


def _embodiment(name: str, hand: Hand, sides: tuple[Side, ...]) -> Embodiment:
    fingers, tips = fingertips(hand, sides[0])
    lower, upper = hand.command_range(sides[0])
    return Embodiment(
        name,
        hand,
        sides,
        fingers,
        tips,
        torch.tensor(lower, dtype=torch.float32),
        torch.tensor(upper, dtype=torch.float32),
    )
