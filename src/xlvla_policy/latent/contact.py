"""How deep the parts of a hand reach into each other, batched and differentiable.

Counted are pairs of collision shapes of two rigid bodies, but for bodies that one joint connects,
and for the last one of the thumb with the last one of a finger, which are meant to meet. Fitted
shapes are fatter than a hand, so each pair may reach as deep as it does in ordinary poses: the
whole hand closing halfway, each finger closing alone, the thumb alone halfway. What is deeper than
that is self-penetration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Generator, Tensor, nn

from xlvla.hand import Hand
from xlvla.solids import rigid_bodies
from xlvla.types import FINGERS, Side
from xlvla.urdf import Description
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.gestures import bent, moving, opened
from xlvla_policy.latent.sampling import uniform_poses
from xlvla_policy.latent.solids import Solids

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
    """Depths of one side of a hand; `names` are the links of each of the P pairs."""

    def __init__(self, hand: Hand, side: Side):
        super().__init__()
        self.solids = Solids(hand, side)
        pairs = _pairs(hand, side, self.solids)
        self.pairs = nn.Buffer(torch.tensor(pairs).reshape(-1, 2))
        self.allowed = nn.Buffer(torch.zeros(len(pairs)))
        # How far fitted shapes of neighbours overlap is the description's, whatever its device may
        # be sent.
        limits = hand.limits(side)
        body = replace(
            embodiment(hand, side),
            lower=torch.tensor(limits.lower, dtype=torch.float32),
            upper=torch.tensor(limits.upper, dtype=torch.float32),
        )
        self._calibrate(body)

    @property
    def names(self) -> list[tuple[str, str]]:
        return [(self.solids.links[a], self.solids.links[b]) for a, b in self.pairs.tolist()]

    def forward(self, q: Tensor) -> Tensor:
        """Joints [B, J] to how much deeper than in ordinary poses each pair reaches into each other
        [B, P] m; negative if less.
        """
        return self.solids.depths(q, self.pairs) - self.allowed

    @torch.no_grad()
    def deepest(self, q: Tensor) -> Tensor:
        """The deepest self-penetration of poses [B, J], [B] m; negative where there is none."""
        if not len(self.pairs):
            return torch.full((len(q),), -torch.inf)
        return torch.cat([self(part).amax(dim=1) for part in q.split(CHUNK)])

    def penetration(self, q: Tensor) -> Tensor:
        """Poses [B, J] to how deep all their pairs together reach into themselves, [B] m."""
        meeting = self.solids.meeting(q, self.pairs)
        deeper = (meeting.depth - self.allowed[meeting.pair]).clamp(min=0)
        return torch.zeros(len(q), dtype=q.dtype).index_add(0, meeting.pose, deeper)

    @torch.no_grad()
    def free(self, q: Tensor) -> Tensor:
        """Whether poses [B, J] are free of self-penetration, [B]."""
        meeting = self.solids.meeting(q, self.pairs)
        penetrates = meeting.depth - self.allowed[meeting.pair] >= TOLERANCE_M
        found = torch.ones(len(q), dtype=torch.bool)
        found[meeting.pose[penetrates]] = False
        return found

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
        can_meet = torch.zeros(len(self.pairs), dtype=torch.bool)
        for _ in range(SAMPLES // CHUNK):
            poses = uniform_poses(body, CHUNK, generator)
            meeting = self.solids.meeting(poses, self.pairs, FAR_M)
            can_meet[meeting.pair[meeting.depth > -FAR_M]] = True
        self.pairs = self.pairs[can_meet]
        ordinary_depths = self.solids.depths(ordinary(body), self.pairs)
        self.allowed = ordinary_depths.amax(dim=0).clamp(min=0)


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


def _pairs(hand: Hand, side: Side, solids: Solids) -> list[tuple[int, int]]:
    """Numbers of the shapes of each pair that counts."""
    description = hand.description(side)
    body = rigid_bodies(description)
    tips = {finger: body[link] for finger, link in hand.tip_links(side).items()}
    bodies = [body[link] for link in solids.links]
    meant_to_meet = _connected(description, body, set(bodies))
    for finger in FINGERS[1:]:
        if finger in tips:
            meant_to_meet.add(frozenset({tips["thumb"], tips[finger]}))
    pairs: list[tuple[int, int]] = []
    for a, b in solids.pairs():
        both = frozenset({bodies[a], bodies[b]})
        if len(both) == 2 and both not in meant_to_meet:
            pairs.append((a, b))
    return pairs


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
