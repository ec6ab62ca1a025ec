"""The paper's training step written the straightforward way, as a yardstick for ours.

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

PAIRS = ((0, 1), (0, 2), (0, 3), (0, 4))
"""Thumb and another finger, by index of the tip."""


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
            motion = torch.eye(4).repeat(batch, 1, 1)
            if link.coupling:
                angle = link.coupling.multiplier * q[:, link.coupling.index] + link.coupling.offset
                motion[:, :3, :3] = _turn(link.axis.repeat(batch, 1), angle)
            frames[link.name] = frames[link.parent] @ link.origin.repeat(batch, 1, 1) @ motion
        return torch.stack([frames[tip][:, :3, 3] for tip in self.tips], dim=1)


class LoopTrainer:
    """Right hands on an xArm7, trained one after the other and pair by pair."""

    def __init__(self, recipe: Recipe, hands: Sequence[str]):
        self.recipe = recipe
        self.limbs = [_limb(hand) for hand in hands]
        self.coders = [Coder(limb.body, recipe) for limb in self.limbs]
        self.parameters = [parameter for coder in self.coders for parameter in coder.parameters()]
        self.adam = torch.optim.AdamW(self.parameters, lr=recipe.rate)
        self.templates = [
            limb.lower + torch.rand(recipe.templates, len(limb.lower)) * (limb.upper - limb.lower)
            for limb in self.limbs
        ]

    def step(self) -> float:
        """One step; the total loss."""
        self.adam.zero_grad()
        total = self._total([self._sample(number) for number in range(len(self.limbs))])
        total.backward()
        nn.utils.clip_grad_norm_(self.parameters, float("inf"))
        self.adam.step()
        return total.item()

    def _total(self, poses: list[Tensor]) -> Tensor:
        latents = []
        tips = []
        reconstruction = torch.tensor(0.0)
        for limb, coder, q in zip(self.limbs, self.coders, poses, strict=True):
            mean, _ = coder.encode(q[:, -limb.body.width :])
            reconstruction = (
                reconstruction + (coder.decode(mean) - q[:, -limb.body.width :]).square().mean()
            )
            latents.append(mean)
            tips.append(limb.forward(q))
        retargeting = torch.tensor(0.0)
        for source, (q, latent, there) in enumerate(zip(poses, latents, tips, strict=True)):
            for target, (limb, coder) in enumerate(zip(self.limbs, self.coders, strict=True)):
                if target == source:
                    continue
                moved = torch.cat(
                    [q[:, : -self.limbs[source].body.width], coder.decode(latent)], dim=1
                )
                retargeting = retargeting + pinch_cost(there, limb.forward(moved), self.recipe)
        count = len(self.limbs)
        return self.recipe.reconstruction * reconstruction / count + retargeting / (
            count * (count - 1)
        )

    def _sample(self, number: int) -> Tensor:
        """Half uniform poses, half templates with a little noise, shuffled [B, N] rad."""
        limb = self.limbs[number]
        half = self.recipe.batch // 2
        uniform = limb.lower + torch.rand(self.recipe.batch - half, len(limb.lower)) * (
            limb.upper - limb.lower
        )
        chosen = self.templates[number][torch.randint(len(self.templates[number]), (half,))]
        near = torch.clamp(chosen + 0.01 * torch.randn_like(chosen), limb.lower, limb.upper)
        return torch.cat([uniform, near])[torch.randperm(self.recipe.batch)]


def _limb(name: str) -> Limb:
    arm = catalog.arm("xarm7")
    hand = catalog.hand(name)
    description = urdf.parse(arm_with_hand(arm, hand, "right"))
    arm_joints = [scoped("right", "arm", joint) for joint in arm.joints]
    hand_joints = [scoped("right", "hand", joint) for joint in hand.joint_names("right")]
    tips = tuple(scoped("right", "hand", tip) for tip in hand.tip_links("right").values())
    named = [description.joint(joint) for joint in (*arm_joints, *hand_joints)]
    lower = torch.tensor([joint.lower for joint in named])
    upper = torch.tensor([joint.upper for joint in named])
    links = tuple(
        _link(description, joint, (*arm_joints, *hand_joints)) for joint in _outwards(description)
    )
    return Limb(embodiment(hand, "right"), description.root, links, tips, lower, upper)


def _link(description: urdf.Description, joint: urdf.Joint, commanded: Sequence[str]) -> Link:
    coupling = couple(description, joint, commanded) if joint.moves else None
    return Link(joint.child, joint.parent, _origin(joint), torch.tensor(joint.axis), coupling)


def _outwards(description: urdf.Description) -> list[urdf.Joint]:
    """Joints in an order in which parents come first."""
    order = []
    links = [description.root]
    while links:
        link = links.pop(0)
        for joint in description.joints:
            if joint.parent == link:
                order.append(joint)
                links.append(joint.child)
    return order


def pinch_cost(source: Tensor, target: Tensor, recipe: Recipe) -> Tensor:
    """Weighted cost of the lines from thumb to fingers, tips [B, F, 3] of both hands."""
    pairs = [pair for pair in PAIRS if max(pair) < min(source.shape[1], target.shape[1])]
    first, second = (torch.tensor(list(column)) for column in zip(*pairs, strict=True))
    ours = source[:, first] - source[:, second]
    theirs = target[:, first] - target[:, second]
    long = ours.norm(dim=-1)
    wide = theirs.norm(dim=-1)
    cosine = (
        nn.functional.normalize(ours, dim=-1, eps=1e-6)
        * nn.functional.normalize(theirs, dim=-1, eps=1e-6)
    ).sum(-1)
    cost = recipe.distance * (long - wide).square() + recipe.direction * (1 - cosine)
    return (torch.exp(-recipe.reach * long) * cost).mean()


def _origin(joint: urdf.Joint) -> Tensor:
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
