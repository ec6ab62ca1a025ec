"""The losses of teaching the operator's hand the latent, their weights, and the lines a robot is to
show for a person's.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TOUCH_M = 0.010
CLOSES_M = 0.03
"""Fingertips that touch are as far apart as this for a tracker, whose points lie inside fingers;
wider ones hardly change.
"""
SHORTEST_M = 1e-4
"""No line of a finger that is there has no length at all."""


@dataclass(frozen=True)
class HumanLossWeights:
    """What the losses weigh beside retargeting, which has its weights from the codec's recipe.

    Args:
        smooth: [1/m] on the third difference of robots' fingertips while a person moves straight
            from pose to pose.
        home: [1] on the squared distance of people's latents from those that robots' encoders give
            to the decoded poses: latents stay where robots' are.
        cycle: [1] on the squared distance of a robot's latent from the one that comes back through
            a person's hand ...
        fingertips: [1/m^2] ... and of its fingertips from where they were.
        likeness: [1/m^2] on the squared distance of a person's keypoints from those that come back
            through the latent.
        plausible: [1] on how little the hands that stand for robots' poses look like a person's
            (`human_poses.unlike`).
    """

    smooth: float = 200.0
    home: float = 1.5
    cycle: float = 20.0
    fingertips: float = 3000.0
    likeness: float = 1000.0
    plausible: float = 0.5


@dataclass(frozen=True)
class HumanLosses:
    """Weighted losses of a step."""

    retargeting: Tensor
    smooth: Tensor
    home: Tensor
    cycle: Tensor
    likeness: Tensor

    @property
    def total(self) -> Tensor:
        return self.retargeting + self.smooth + self.home + self.cycle + self.likeness


@dataclass(frozen=True)
class RobotLosses:
    """Unweighted losses of what one frozen hand decodes.

    Args:
        retargeting: of its lines to the person's.
        roughness: [m] of its fingertips along people's paths.
        home: squared distance of people's latents from its own.
        fingertips: [m^2] squared distance of its fingertips from where they were, for robots'
            latents that went through a person's hand.
    """

    retargeting: Tensor
    roughness: Tensor
    home: Tensor
    fingertips: Tensor


def closed(wide: Tensor) -> Tensor:
    """Lines [N, 4, 3] m that a robot is to show for a person's: those of touching fingers have
    hardly any length.
    """
    length = torch.sqrt(wide.square().sum(-1, keepdim=True) + 1e-10)
    shortened = length - TOUCH_M * torch.exp(-((length / CLOSES_M) ** 2))
    return wide * (shortened.clamp(min=SHORTEST_M) / length)
