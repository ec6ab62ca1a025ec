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
"""How far a whole hand, or a thumb alone, closes in ordinary poses."""
STEPS = 21
"""Poses along each of their paths."""
FAR_M = 0.004
SAMPLES = 8192
"""Pairs that stay `FAR_M` apart in `SAMPLES` random poses are left out."""
CHUNK = 1024
"""Poses whose depths are computed at once."""


class SelfContact(nn.Module):
    """Depths of one side of a hand; `names` are the links of each of the P pairs.

    Shapes are numbered, capsules first, then boxes: `rods` counts the capsules.
    """

    def __init__(self, hand: Hand, side: Side):
        super().__init__()
        solids = shapes(hand.urdf_path(side))
        rods = [shape for shape in solids if isinstance(shape, Capsule)]
        cuboids = [shape for shape in solids if isinstance(shape, Box)]
        numbered: list[Shape] = [*rods, *cuboids]
        links: list[str] = []
        points: list[tuple[float, float, float]] = []
        for shape in numbered:
            for point in shape.points:
                links.append(shape.link)
                points.append(point)
        description = hand.description(side)
        pairs = _pairs(hand, side, description, numbered)
        self.rods = len(rods)
        self.links = [shape.link for shape in numbered]
        self.points = Fingertips(description, hand.joint_names(side), links, points=points)
        self.radii = nn.Buffer(torch.tensor([rod.radius for rod in rods]))
        self.halves = nn.Buffer(torch.tensor([box.half for box in cuboids]).reshape(-1, 3))
        self.pairs = nn.Buffer(torch.tensor(pairs).reshape(-1, 2))
        self.allowed = nn.Buffer(torch.zeros(len(pairs)))
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
        penetrates = self.deepest(q) > TOLERANCE_M
        return float(penetrates.float().mean())

    @torch.no_grad()
    def _calibrate(self, body: Embodiment) -> None:
        """Leaves out pairs that cannot meet, and finds out how deep the others reach in ordinary
        poses.
        """
        if not len(self.pairs):
            return
        generator = Generator().manual_seed(0)
        deepest: list[Tensor] = []
        for _ in range(SAMPLES // CHUNK):
            poses = uniform_poses(body, CHUNK, generator)
            deepest.append(self(poses).amax(dim=0))
        can_meet = torch.stack(deepest).amax(dim=0) > -FAR_M
        self.pairs = self.pairs[can_meet]
        self.allowed = self._depths(ordinary(body)).amax(dim=0).clamp(min=0)

    def _depths(self, q: Tensor) -> Tensor:
        """Depth [B, P] m of every pair; capsules come before boxes, in `pairs` too."""
        ends, corners = self.points(q).split([2 * self.rods, 4 * len(self.halves)], dim=1)
        rods = ends.unflatten(1, (-1, 2))
        frames = corners.unflatten(1, (-1, 4))
        boxes_in_pair = (self.pairs >= self.rods).sum(dim=1)

        a, b = self.pairs[boxes_in_pair == 0].T
        between_rods = capsules(rods[:, a], rods[:, b], self.radii[a] + self.radii[b])

        rod, box = self.pairs[boxes_in_pair == 1].T
        box = box - self.rods
        rod_in_box = capsule_box(rods[:, rod], frames[:, box], self.radii[rod], self.halves[box])

        c, d = self.pairs[boxes_in_pair == 2].T - self.rods
        between_boxes = boxes(frames[:, c], frames[:, d], self.halves[c], self.halves[d])
        return torch.cat([between_rods, rod_in_box, between_boxes], dim=1)


def ordinary(body: Embodiment) -> Tensor:
    """Poses [B, J] in which no hand touches itself: all fingers closing halfway, each closing
    alone, the thumb halfway.
    """
    rest = opened(body)
    bend = bent(body) - rest
    part = torch.linspace(0, 1, STEPS)[:, None]
    paths = [rest + HALF * part * bend]
    for finger in body.fingers:
        far = HALF if finger == "thumb" else 1.0
        joints = moving(body.hand, body.sides[0], finger)
        paths.append(rest + far * part * bend * joints)
    return torch.cat(paths)


def _pairs(
    hand: Hand, side: Side, description: Description, solids: list[Shape]
) -> list[tuple[int, int]]:
    """Numbers of the shapes of each pair that counts: without a box first, then with one, then with
    two.
    """
    body = rigid_bodies(description)
    tips = {finger: body[link] for finger, link in hand.tip_links(side).items()}
    meant_to_meet = _connected(description, body, {body[shape.link] for shape in solids})
    for finger in FINGERS[1:]:
        if finger in tips:
            meant_to_meet.add(frozenset({tips["thumb"], tips[finger]}))
    by_boxes: list[list[tuple[int, int]]] = [[], [], []]
    for a, b in combinations(range(len(solids)), 2):
        bodies = frozenset({body[solids[a].link], body[solids[b].link]})
        same_body = len(bodies) == 1
        if same_body or bodies in meant_to_meet:
            continue
        boxes_in_pair = isinstance(solids[a], Box) + isinstance(solids[b], Box)
        by_boxes[boxes_in_pair].append((a, b))
    return [*by_boxes[0], *by_boxes[1], *by_boxes[2]]


def _connected(
    description: Description, body: Mapping[str, str], solid: set[str]
) -> set[frozenset[str]]:
    """Pairs of bodies that one joint connects; bodies without a shape are passed over."""
    above = {body[joint.child]: body[joint.parent] for joint in description.joints if joint.moves}
    pairs: set[frozenset[str]] = set()
    for link in solid & set(above):
        parent = above[link]
        while parent not in solid and parent in above:
            parent = above[parent]
        pairs.add(frozenset({link, parent}))
    return pairs
