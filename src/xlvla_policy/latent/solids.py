"""The collision shapes of one side of a hand, and how deep pairs of them reach into each other."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from xlvla.hand import Hand
from xlvla.shapes import Box, Capsule, Shape, shapes
from xlvla.types import Side
from xlvla_policy.latent.depth import boxes, capsule_box, capsules
from xlvla_policy.latent.kinematics import Fingertips


@dataclass(frozen=True)
class Meeting:
    """Pairs of shapes that may meet: pose [N] and pair [N] by index, and depth [N] m."""

    pose: Tensor
    pair: Tensor
    depth: Tensor


class Solids(nn.Module):
    """Shapes are numbered, capsules first, then boxes; `links` names the link of each."""

    def __init__(self, hand: Hand, side: Side, links: Collection[str] | None = None):
        """`links` keeps the shapes of these links; None those of all."""
        super().__init__()
        solids = shapes(hand.urdf_path(side))
        if links is not None:
            solids = [shape for shape in solids if shape.link in links]
        rods = [shape for shape in solids if isinstance(shape, Capsule)]
        cuboids = [shape for shape in solids if isinstance(shape, Box)]
        numbered: list[Shape] = [*rods, *cuboids]
        self.links = [shape.link for shape in numbered]
        self.rods = len(rods)
        point_links: list[str] = []
        points: list[tuple[float, float, float]] = []
        for shape in numbered:
            for point in shape.points:
                point_links.append(shape.link)
                points.append(point)
        self.points = Fingertips(
            hand.description(side), hand.joint_names(side), point_links, points=points
        )
        self.radii = nn.Buffer(torch.tensor([rod.radius for rod in rods]))
        self.halves = nn.Buffer(torch.tensor([box.half for box in cuboids]).reshape(-1, 3))
        lengths: list[float] = []
        for rod in rods:
            start, end = np.array(rod.points)
            lengths.append(float(np.linalg.norm(end - start)))
        rod_bounds = self.radii + torch.tensor(lengths) / 2
        self.bounds = nn.Buffer(torch.cat([rod_bounds, self.halves.norm(dim=-1)]))

    def pairs(self) -> list[tuple[int, int]]:
        """All pairs of shapes: those without a box first, then with one, then with two."""
        by_boxes: list[list[tuple[int, int]]] = [[], [], []]
        for a, b in combinations(range(len(self.links)), 2):
            by_boxes[(a >= self.rods) + (b >= self.rods)].append((a, b))
        return [*by_boxes[0], *by_boxes[1], *by_boxes[2]]

    def depths(self, q: Tensor, pairs: Tensor) -> Tensor:
        """Joints [B, J] rad to depths [B, P] m of pairs [P, 2] in the order of `pairs`; negative
        where shapes are apart.
        """
        rods, frames = self._placed(q)
        boxes_in_pair = (pairs >= self.rods).sum(dim=1)

        a, b = pairs[boxes_in_pair == 0].T
        between_rods = capsules(rods[:, a], rods[:, b], self.radii[a] + self.radii[b])

        rod, box = pairs[boxes_in_pair == 1].T
        box = box - self.rods
        rod_in_box = capsule_box(rods[:, rod], frames[:, box], self.radii[rod], self.halves[box])

        c, d = pairs[boxes_in_pair == 2].T - self.rods
        between_boxes = boxes(frames[:, c], frames[:, d], self.halves[c], self.halves[d])
        return torch.cat([between_rods, rod_in_box, between_boxes], dim=1)

    def meeting(self, q: Tensor, pairs: Tensor, margin: float = 0.0) -> Meeting:
        """Depths of those pairs [P, 2] only that may be nearer than `margin` [m]: whose bounding
        spheres are. Most pairs of a hand of many shapes are apart in most poses.
        """
        rods, frames = self._placed(q)
        with torch.no_grad():
            middles = torch.cat([rods.mean(dim=2), frames[:, :, 0]], dim=1)
            a, b = pairs.T
            apart = (middles[:, a] - middles[:, b]).norm(dim=-1)
            pose, pair = (apart < self.bounds[a] + self.bounds[b] + margin).nonzero(as_tuple=True)
            boxes_in_pair = (pairs >= self.rods).sum(dim=1)[pair]
            # In the order of their kinds, so that results need no sorting.
            pose = torch.cat([pose[boxes_in_pair == count] for count in range(3)])
            pair = torch.cat([pair[boxes_in_pair == count] for count in range(3)])
            counts = [int((boxes_in_pair == count).sum()) for count in range(3)]
        poses = pose.split(counts)
        shapes = pairs[pair].split(counts)

        a, b = shapes[0].T
        at = poses[0]
        between_rods = capsules(rods[at, a][None], rods[at, b][None], self.radii[a] + self.radii[b])

        rod, box = shapes[1].T
        box = box - self.rods
        at = poses[1]
        rod_in_box = capsule_box(
            rods[at, rod][None], frames[at, box][None], self.radii[rod], self.halves[box]
        )

        c, d = shapes[2].T - self.rods
        at = poses[2]
        between_boxes = boxes(
            frames[at, c][None], frames[at, d][None], self.halves[c], self.halves[d]
        )
        depth = torch.cat([between_rods, rod_in_box, between_boxes], dim=1)[0]
        return Meeting(pose, pair, depth)

    def _placed(self, q: Tensor) -> tuple[Tensor, Tensor]:
        """Ends of the capsules [B, R, 2, 3] m, and the boxes' frames [B, K, 4, 3] m as `depth` has
        them.
        """
        ends, corners = self.points(q).split([2 * self.rods, 4 * len(self.halves)], dim=1)
        return ends.unflatten(1, (-1, 2)), corners.unflatten(1, (-1, 4))
