"""The paper's training step written in straightforward loops, to measure ours against.

Like the released trainer it carries a 4x4 matrix through every joint of arm and hand in a Python
loop, for every hand that is encoded and once more for every ordered pair of hands. Same networks,
losses and batches as the preset `paper`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from xlvla import catalog, urdf
from xlvla.robot import arm_with_hand
from xlvla.types import scoped
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.kinematics import Coupling, couple
from xlvla_policy.latent.model import Coder
from xlvla_policy.latent.recipe import Recipe

NOISE_RAD = 0.01
"""Standard deviation that is added to a template's joints each time it is drawn."""


@dataclass(frozen=True)
class Link:
    """A link and the joint that carries it: `origin` [4, 4] in its parent, `axis` [3] and coupling
    where it moves.
    """

    name: str
    parent: str
    origin: Tensor
    axis: Tensor
    coupling: Coupling | None


@dataclass(frozen=True)
class Limb:
    """An arm with a hand: its links from the root outwards, and the limits [N] rad of the commanded
    joints, arm first.
    """

    body: Embodiment
    root: str
    links: tuple[Link, ...]
    tips: tuple[str, ...]
    lower: Tensor
    upper: Tensor

    def forward(self, q: Tensor) -> Tensor:
        """Joints [B, N] rad to fingertips [B, F, 3] m in the arm's base."""
        batch = len(q)
        frames = {self.root: torch.eye(4).repeat(batch, 1, 1)}
        for link in self.links:
            origin = link.origin.repeat(batch, 1, 1)
            motion = torch.eye(4).repeat(batch, 1, 1)
            coupling = link.coupling
            if coupling:
                angle = coupling.multiplier * q[:, coupling.index] + coupling.offset
                motion[:, :3, :3] = _turn(link.axis.repeat(batch, 1), angle)
            frames[link.name] = frames[link.parent] @ origin @ motion
        return torch.stack([frames[tip][:, :3, 3] for tip in self.tips], dim=1)

    def uniform(self, count: int) -> Tensor:
        """Random joints [count, N] rad within the limits."""
        return self.lower + torch.rand(count, len(self.lower)) * (self.upper - self.lower)


class LoopTrainer:
    """Right hands on an xArm7, trained one after the other and pair by pair."""

    def __init__(self, recipe: Recipe, hands: Sequence[str]):
        self.recipe = recipe
        self.limbs = [_limb(hand) for hand in hands]
        self.coders = [Coder(limb.body, recipe) for limb in self.limbs]
        self.parameters = [parameter for coder in self.coders for parameter in coder.parameters()]
        self.adam = torch.optim.AdamW(self.parameters, lr=recipe.rate)
        self.templates = [limb.uniform(recipe.templates) for limb in self.limbs]

    def step(self) -> float:
        """One step; the total loss."""
        self.adam.zero_grad()
        poses: list[Tensor] = []
        for limb, templates in zip(self.limbs, self.templates, strict=True):
            poses.append(self._sample(limb, templates))
        total = self._total(poses)
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, float("inf"))
        self.adam.step()
        return total.item()

    def _total(self, poses: list[Tensor]) -> Tensor:
        encoded: list[Encoded] = []
        reconstruction = torch.tensor(0.0)
        for limb, coder, q in zip(self.limbs, self.coders, poses, strict=True):
            arm = q[:, : -limb.body.width]
            hand = q[:, -limb.body.width :]
            latent, _ = coder.encode(hand)
            reconstruction = reconstruction + (coder.decode(latent) - hand).square().mean()
            encoded.append(Encoded(limb, arm, latent, limb.forward(q)))
        retargeting = torch.tensor(0.0)
        for source in encoded:
            for limb, coder in zip(self.limbs, self.coders, strict=True):
                if limb is source.limb:
                    continue
                moved = torch.cat([source.arm, coder.decode(source.latent)], dim=1)
                cost = pinch_cost(source.tips, limb.forward(moved), self.recipe)
                retargeting = retargeting + cost
        hands = len(self.limbs)
        pairs = hands * (hands - 1)
        return self.recipe.reconstruction * reconstruction / hands + retargeting / pairs

    def _sample(self, limb: Limb, templates: Tensor) -> Tensor:
        """Half uniform poses, half templates with a little noise, shuffled [B, N] rad."""
        half = self.recipe.batch // 2
        uniform = limb.uniform(self.recipe.batch - half)
        drawn = templates[torch.randint(len(templates), (half,))]
        noise = NOISE_RAD * torch.randn_like(drawn)
        near = torch.clamp(drawn + noise, limb.lower, limb.upper)
        return torch.cat([uniform, near])[torch.randperm(self.recipe.batch)]


@dataclass(frozen=True)
class Encoded:
    """One hand's part of a step: joints of the arm [B, 7] rad, latents [B, L] of the hand, and
    fingertips [B, F, 3] m.
    """

    limb: Limb
    arm: Tensor
    latent: Tensor
    tips: Tensor


def _limb(name: str) -> Limb:
    arm = catalog.arm("xarm7")
    hand = catalog.hand(name)
    description = arm_with_hand(arm, hand, "right").description
    arm_joints = [scoped("right", "arm", joint) for joint in arm.joints]
    hand_joints = [scoped("right", "hand", joint) for joint in hand.joint_names("right")]
    commanded = (*arm_joints, *hand_joints)
    tips = tuple(scoped("right", "hand", tip) for tip in hand.tip_links("right").values())
    joints = [description.joint(joint) for joint in commanded]
    links: list[Link] = []
    for joint in _outwards(description):
        links.append(_link(description, joint, commanded))
    return Limb(
        body=embodiment(hand, "right"),
        root=description.root,
        links=tuple(links),
        tips=tips,
        lower=torch.tensor([joint.lower for joint in joints]),
        upper=torch.tensor([joint.upper for joint in joints]),
    )


def _link(description: urdf.Description, joint: urdf.Joint, commanded: Sequence[str]) -> Link:
    coupling = couple(description, joint, commanded) if joint.moves else None
    return Link(joint.child, joint.parent, _origin(joint), torch.tensor(joint.axis), coupling)


def _outwards(description: urdf.Description) -> list[urdf.Joint]:
    """Joints in an order in which parents come first."""
    order: list[urdf.Joint] = []
    links = [description.root]
    while links:
        link = links.pop(0)
        for joint in description.joints:
            if joint.parent == link:
                order.append(joint)
                links.append(joint.child)
    return order


def pinch_cost(source: Tensor, target: Tensor, recipe: Recipe) -> Tensor:
    """Weighted cost of the lines from thumb to fingers, tips [B, F, 3] of both hands, thumb
    first.
    """
    both = min(source.shape[1], target.shape[1])
    ours = source[:, :1] - source[:, 1:both]
    theirs = target[:, :1] - target[:, 1:both]
    our_length = ours.norm(dim=-1)
    their_length = theirs.norm(dim=-1)
    our_direction = nn.functional.normalize(ours, dim=-1, eps=1e-6)
    their_direction = nn.functional.normalize(theirs, dim=-1, eps=1e-6)
    cosine = (our_direction * their_direction).sum(-1)
    stretch = (our_length - their_length).square()
    cost = recipe.distance * stretch + recipe.direction * (1 - cosine)
    return (torch.exp(-recipe.reach * our_length) * cost).mean()


def _origin(joint: urdf.Joint) -> Tensor:
    """[4, 4] the joint's frame in its parent's at angle zero."""
    return torch.from_numpy(urdf.placed(joint.xyz, joint.rpy).astype(np.float32))


def _turn(axis: Tensor, angle: Tensor) -> Tensor:
    """Rotations [B, 3, 3] about axes [B, 3] by angles [B] rad, element by element."""
    x, y, z = nn.functional.normalize(axis, dim=-1).unbind(-1)
    cos = torch.cos(angle)
    sin = torch.sin(angle)
    rest = 1 - cos
    rows = [
        [cos + x * x * rest, x * y * rest - z * sin, x * z * rest + y * sin],
        [x * y * rest + z * sin, cos + y * y * rest, y * z * rest - x * sin],
        [x * z * rest - y * sin, y * z * rest + x * sin, cos + z * z * rest],
    ]
    rotation = torch.zeros(len(angle), 3, 3)
    for i, row in enumerate(rows):
        for k, element in enumerate(row):
            rotation[:, i, k] = element
    return rotation
