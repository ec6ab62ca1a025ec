"""What becomes of a pose that another hand takes over: measured the same for a codec and for its
limit, the per-pose optimiser.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.baselines.per_pose import only, optimised, touch_cost
from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.gestures import bent, moving, opened
from xlvla_policy.latent.losses import OPPOSING, pinch_weight, pinches, shared
from xlvla_policy.latent.pads import Pads, touching
from xlvla_policy.latent.recipe import CONTACT
from xlvla_policy.latent.sampling import TIGHT, tightest, uniform_poses

WIDE = replace(CONTACT, strict=1.0, aim=1.0)
"""What a finger's line costs that does not pinch."""
APART_M = 0.010
INSIDE_M = 0.005
"""Pads that touch on the source are lost if they are further apart, or further inside each
other.
"""


@dataclass(frozen=True)
class Errors:
    """Of lines from thumb tip to fingertip: angle [deg], difference of length [mm], length of the
    difference [mm].
    """

    direction_deg: float
    distance_mm: float
    vector_mm: float


@dataclass(frozen=True)
class PoseSet:
    """One hand's poses [B, J] rad that others take over, of one side.

    Args:
        pinched: the tightest of many, with the finger [B] each pinches, by index in `OPPOSING`.
        touched: those in which the surface of the thumb just touches that of a finger, and that
            finger.
        closing: the open hand, and the thumb left there while all fingers close.
    """

    body: Embodiment
    pads: Pads
    random: Tensor
    pinched: tuple[Tensor, Tensor]
    touched: tuple[Tensor, Tensor]
    closing: Tensor

    def first(self, count: int) -> PoseSet:
        """At most that many poses of each kind."""
        pinched, pinching = self.pinched
        touched, meeting = self.touched
        return replace(
            self,
            random=self.random[:count],
            pinched=(pinched[:count], pinching[:count]),
            touched=(touched[:count], meeting[:count]),
        )


class Move(Protocol):
    """How poses of one hand become another's."""

    def __call__(
        self,
        source: PoseSet,
        target: PoseSet,
        q: Tensor,
        finger: Tensor | None = None,
        *,
        touch: bool = False,
    ) -> Tensor:
        """Poses [B, J] rad of the target.

        Args:
            finger: [B] the one that matters, by index in `OPPOSING`; None: all alike.
            touch: its surface and the thumb's are to be as far apart as the source's.
        """
        ...


def pose_set(
    body: Embodiment, pads: Pads, count: int, generator: Generator, touch: Generator
) -> PoseSet:
    """`count` poses of each kind; those that touch are drawn by a generator of their own."""
    rest = opened(body)
    thumb = moving(body.hand, body.sides[0], "thumb")
    closed = torch.where(thumb, rest, bent(body))
    return PoseSet(
        body,
        pads,
        random=uniform_poses(body, count, generator),
        pinched=tightest(body, TIGHT * count, generator),
        touched=touching(pads, count, touch),
        closing=torch.stack([rest, closed]),
    )


def optimum(
    source: PoseSet,
    target: PoseSet,
    q: Tensor,
    finger: Tensor | None = None,
    *,
    touch: bool = False,
) -> Tensor:
    """The limit of any decoder: each pose optimised on its own, for the objective that decoders are
    trained for.
    """
    if finger is None:
        every = torch.ones(len(q), len(OPPOSING))
        return optimised(source.body, target.body, q, every, recipe=WIDE)
    if not touch:
        return optimised(source.body, target.body, q, only(finger), recipe=CONTACT)
    lines = pinches(source.body.tips(q), source.body.fingers)
    lacking = lines.abs().sum(-1) == 0
    _, tight = pinch_weight(lines.norm(dim=-1), CONTACT, lacking)
    with torch.no_grad():
        pads = source.pads(q)
    return optimised(
        source.body,
        target.body,
        q,
        only(finger) * tight,
        recipe=CONTACT,
        beside=touch_cost(target.pads, pads, finger, CONTACT),
    )


def transferred(source: PoseSet, target: PoseSet, move: Move) -> dict[str, float]:
    """The errors of what a target makes of a source's poses, by the keys of `metric.METRICS`."""
    pinched, finger = source.pinched
    moved = move(source, target, pinched, finger)
    pinch = line_errors(source.body, target.body, pinched, moved, only(finger))
    moved = move(source, target, source.random)
    random = line_errors(source.body, target.body, source.random, moved)
    # There and back again: only the lines that both hands have can come back.
    again = move(target, source, moved)
    common = shared(source.body.fingers, target.body.fingers).expand(len(again), -1)
    round_trip = line_errors(source.body, source.body, source.random, again, common)
    closing = move(source, target, source.closing)
    return {
        "pinch_dir_deg": pinch.direction_deg,
        "pinch_dist_mm": pinch.distance_mm,
        "random_dir_deg": random.direction_deg,
        "random_dist_mm": random.distance_mm,
        "round_trip_dir_deg": round_trip.direction_deg,
        "round_trip_mm": round_trip.vector_mm,
        "left_open_pct": _left_open(source.body, target, closing),
        **_touch(source, target, move),
    }


def line_errors(
    source: Embodiment, target: Embodiment, q: Tensor, moved: Tensor, which: Tensor | None = None
) -> Errors:
    """Mean errors of the lines both hands have; of those `which` [B, 4] marks where given."""
    mask = shared(source.fingers, target.fingers).bool().expand(len(q), -1)
    if which is not None:
        mask = mask & which.bool()
    wanted = pinches(source.tips(q.float()), source.fingers)[mask].double()
    actual = pinches(target.tips(moved.float()), target.fingers)[mask].double()
    sine = torch.cross(wanted, actual, dim=-1).norm(dim=-1)
    cosine = (wanted * actual).sum(-1)
    angle = torch.atan2(sine, cosine).rad2deg()
    distance = (wanted.norm(dim=-1) - actual.norm(dim=-1)).abs()
    vector = (wanted - actual).norm(dim=-1)
    return Errors(
        direction_deg=float(angle.mean()),
        distance_mm=1000 * float(distance.mean()),
        vector_mm=1000 * float(vector.mean()),
    )


def _touch(source: PoseSet, target: PoseSet, move: Move) -> dict[str, float]:
    """What becomes of pads that touch; all zero where no finger in common can touch."""
    q, finger = source.touched
    fingers = [OPPOSING[index] for index in finger.tolist()]
    kept = torch.tensor([name in target.body.fingers for name in fingers], dtype=torch.bool)
    if not kept.any():
        return {"touch_apart_pct": 0.0, "touch_inside_pct": 0.0, "touch_facing_deg": 0.0}
    q = q[kept]
    finger = finger[kept]
    moved = move(source, target, q, finger, touch=True)
    column = finger[:, None]
    wanted = source.pads(q).facing.gather(1, column)
    pads = target.pads(moved.float())
    gap = pads.gap.gather(1, column)
    turned = torch.acos(pads.facing.gather(1, column).clamp(-1, 1))
    turned = turned - torch.acos(wanted.clamp(-1, 1))
    return {
        "touch_apart_pct": 100 * float((gap > APART_M).float().mean()),
        "touch_inside_pct": 100 * float((gap < -INSIDE_M).float().mean()),
        "touch_facing_deg": float(turned.abs().rad2deg().mean()),
    }


def _left_open(source: Embodiment, target: PoseSet, closing: Tensor) -> float:
    """What is missing [%] of the way that the target's fingers go when it closes itself, thumb
    out, mean of the fingers both hands have.
    """
    own = _way(target.body, target.closing)
    decoded = _way(target.body, closing)
    missing: list[Tensor] = []
    for index, finger in enumerate(target.body.fingers):
        if finger != "thumb" and finger in source.fingers:
            missing.append((1 - decoded[index] / own[index]).clamp(min=0))
    return 100 * float(torch.stack(missing).mean()) if missing else 0.0


def _way(body: Embodiment, ends: Tensor) -> Tensor:
    """How far [F] m each fingertip is in the second pose from where it is in the first."""
    start, end = body.tips(ends.float())
    return (end - start).norm(dim=-1)
