"""How deep the parts of a hand reach into each other, batched and differentiable.

Counted are pairs of collision shapes of two rigid bodies, but for bodies that one joint connects,
and for the last one of the thumb with the last one of a finger, which are meant to meet. Fitted
shapes are fatter than a hand, so each pair may reach as deep as it does in ordinary poses: the
whole hand closing halfway, each finger closing alone, the thumb alone halfway. What is deeper than
that is self-penetration.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import torch
from torch import Generator, Tensor, nn

from xlvla.hand import Hand
from xlvla.shapes import Box, Capsule, Shape, rigid_bodies, shapes
from xlvla.types import FINGERS, Side
from xlvla.urdf import Description
from xlvla_policy.latent.depth import boxes, capsule_box, capsules
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.gestures import bent, moving, opened
from xlvla_policy.latent.kinematics import Fingertips
from xlvla_policy.latent.sampling import uniform_poses

TOLERANCE_M = 0.001
"""What is deeper counts as self-penetration."""
HALF = 0.5
STEPS = 21
FAR_M = 0.004
SAMPLES = 8192
"""Pairs that stay this far apart in so many random poses are left out."""
CHUNK = 1024


class SelfContact(nn.Module):
    """Depths of one side of a hand; `names` are the links of each of the P pairs."""

    radii: Tensor
    halves: Tensor
    pairs: Tensor
    allowed: Tensor

    def __init__(self, hand: Hand, side: Side):
        super().__init__()
        found = sorted(shapes(hand.urdf_path(side)), key=lambda shape: isinstance(shape, Box))
        self.rods = sum(isinstance(shape, Capsule) for shape in found)
        description = hand.description(side)
        places = [(shape.link, point) for shape in found for point in shape.points]
        links = [link for link, _ in places]
        points = [point for _, point in places]
        self.points = Fingertips(description, hand.joint_names(side), links, points=points)
        self.links = [shape.link for shape in found]
        self.register_buffer(
            "radii", torch.tensor([s.radius for s in found if isinstance(s, Capsule)])
        )
        self.register_buffer(
            "halves", torch.tensor([s.half for s in found if isinstance(s, Box)]).reshape(-1, 3)
        )
        self.register_buffer(
            "pairs", torch.tensor(_pairs(hand, side, description, found)).reshape(-1, 2)
        )
        self._calibrate(embodiment(hand, side))

    @property
    def names(self) -> list[tuple[str, str]]:
        return [(self.links[a], self.links[b]) for a, b in self.pairs.tolist()]

    def forward(self, q: Tensor) -> Tensor:
        """Joints [B, J] to how much deeper than in ordinary poses each pair reaches into each other
        [B, P] m; negative if less.
        """
        return self._depths(q) - self.allowed

    @torch.no_grad()
    def deepest(self, q: Tensor) -> Tensor:
        """The deepest self-penetration of poses [B, J], [B] m; negative where there is none."""
        if not len(self.pairs):
            return torch.full((len(q),), -torch.inf)
        return torch.cat([self(part).amax(dim=1) for part in q.split(CHUNK)])

    def share(self, q: Tensor) -> float:
        """Share of poses [B, J] with self-penetration."""
        return float((self.deepest(q) > TOLERANCE_M).float().mean())

    @torch.no_grad()
    def _calibrate(self, body: Embodiment) -> None:
        """Leaves out pairs that cannot meet, and finds out how deep the others reach in ordinary
        poses.
        """
        generator = Generator().manual_seed(0)
        self.register_buffer("allowed", torch.zeros(len(self.pairs)))
        if len(self.pairs):
            reach = torch.stack(
                [
                    self(uniform_poses(body, CHUNK, generator)).amax(dim=0)
                    for _ in range(SAMPLES // CHUNK)
                ]
            )
            self.pairs = self.pairs[reach.amax(dim=0) > -FAR_M]
            self.allowed = self._depths(ordinary(body)).amax(dim=0).clamp(min=0)

    def _depths(self, q: Tensor) -> Tensor:
        """Depth [B, P] m of every pair; capsules come before boxes, in `pairs` too."""
        rods, frames = self.points(q).split([2 * self.rods, 4 * len(self.halves)], dim=1)
        rods = rods.unflatten(1, (-1, 2))
        frames = frames.unflatten(1, (-1, 4))
        kind = (self.pairs >= self.rods).sum(dim=1)
        (a, b), (c, d), (e, f) = (self.pairs[kind == boxed].T for boxed in range(3))
        d = d - self.rods
        e = e - self.rods
        f = f - self.rods
        return torch.cat(
            [
                capsules(rods[:, a], rods[:, b], self.radii[a] + self.radii[b]),
                capsule_box(rods[:, c], frames[:, d], self.radii[c], self.halves[d]),
                boxes(frames[:, e], frames[:, f], self.halves[e], self.halves[f]),
            ],
            dim=1,
        )


def ordinary(body: Embodiment) -> Tensor:
    """Poses [B, J] in which no hand touches itself: all fingers closing halfway, each closing
    alone, the thumb halfway.
    """
    rest = opened(body)
    bend = bent(body) - opened(body)
    part = torch.linspace(0, 1, STEPS)[:, None]
    paths = [rest + HALF * part * bend]
    for finger in body.fingers:
        far = HALF if finger == "thumb" else 1.0
        paths.append(rest + far * part * bend * moving(body.hand, body.sides[0], finger))
    return torch.cat(paths)


def _pairs(
    hand: Hand, side: Side, description: Description, found: list[Shape]
) -> list[tuple[int, int]]:
    """Pairs that count, those without a box first, then with one, then with two."""
    body = rigid_bodies(description)
    tips = {finger: body[link] for finger, link in hand.tip_links(side).items()}
    near = _carried(description, body, {body[shape.link] for shape in found})
    near |= {frozenset({tips["thumb"], tips[finger]}) for finger in FINGERS[1:] if finger in tips}
    every = combinations(range(len(found)), 2)
    apart = [
        (a, b)
        for a, b in every
        if len(pair := {body[found[a].link], body[found[b].link]}) == 2
        and frozenset(pair) not in near
    ]
    return sorted(apart, key=lambda pair: sum(isinstance(found[each], Box) for each in pair))


def _carried(
    description: Description, body: Mapping[str, str], solid: set[str]
) -> set[frozenset[str]]:
    """Pairs of bodies that one joint connects; bodies without a shape are passed over."""
    above = {body[joint.child]: body[joint.parent] for joint in description.joints if joint.moves}
    pairs = set()
    for link in solid & set(above):
        parent = above[link]
        while parent not in solid and parent in above:
            parent = above[parent]
        pairs.add(frozenset({link, parent}))
    return pairs
