"""The paper's metrics of a codec (section 3), measured through the public API on poses it never
saw.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from zlib import crc32

import numpy as np
import torch
from torch import Generator, Tensor

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.smooth import smoothed
from xlvla.types import Side
from xlvla_policy.latent.contact import TOLERANCE_M, SelfContact
from xlvla_policy.latent.embodiment import embodiment
from xlvla_policy.latent.pads import Pads
from xlvla_policy.latent.sampling import uniform_poses
from xlvla_policy.latent.smoothness import RATES_HZ, jerk_per_metre, motions
from xlvla_policy.latent.torch_part import torch_encoder
from xlvla_policy.latent.transfer import PoseSet, optimum, pose_set, transferred

NUDGE = 0.05
"""Size of the step in the latent that continuity is measured with."""
STEPS = 32
"""Poses on a straight line through the latent."""
LIMIT_POSES = 128
"""Poses of each kind that limits are found for: each is optimised on its own."""
NEAREST_STEPS = 100
NEAREST_RATE = 0.03
"""Adam's steps and learning rate [rad per step] for the pose whose latent is nearest."""
LINES = 128
"""Straight lines that interpolation is measured on."""
SEED_STEP = 1_000_003
"""Between two seeds, so that no two hands' poses are drawn alike."""


@dataclass(frozen=True)
class Metrics:
    """One row of the table, by the keys of `metric.METRICS`; lower is better everywhere.

    Interpolation is the path's second and third difference per step. Collision is the share of the
    poses decoded by another hand that reach into themselves (`contact`), whether their sources do
    so too or not; a new one is from a source, random or pinch, that does not. Jerk is the decoded
    path's over the source's at 100 Hz (`smoothness`), by the same hand and by others; moved:
    smoothed in time besides.

    Touch: poses in which the surfaces of thumb and finger just touch on the source, and how much
    the pads turn away from each other (`pads`). A round trip goes to another hand and back: lines
    of the poses that come back. Left open: the part of their way that fingers do not go when they
    are to close with the thumb out. Consistency: how far from a latent the target's pose of it is
    encoded, over the latents' spread.
    """

    recon_joint_rad: float
    recon_tip_mm: float
    pinch_dir_deg: float
    pinch_dist_mm: float
    random_dir_deg: float
    random_dist_mm: float
    touch_apart_pct: float
    touch_inside_pct: float
    touch_facing_deg: float
    round_trip_dir_deg: float
    round_trip_mm: float
    left_open_pct: float
    consistency_x: float
    pinch_collision_pct: float
    random_collision_pct: float
    new_collision_pct: float
    continuity_joint_rad: float
    continuity_tip_mm: float
    interp_accel_mm: float
    interp_jerk_mm: float
    own_jerk_x: float
    cross_jerk_x: float
    moved_jerk_x: float

    def dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True)
class Bench:
    """A codec, a side and, by hand, the poses it is measured on."""

    codec: Codec
    side: Side
    poses: dict[str, PoseSet]
    contacts: dict[str, SelfContact]
    generators: dict[str, Generator]

    def encode(self, hand: str, q: Tensor) -> np.ndarray:
        return self.codec.encode(hand, self.side, q.numpy())

    def decode(self, hand: str, z: np.ndarray) -> Tensor:
        return torch.from_numpy(self.codec.decode(hand, self.side, z))

    def tips(self, hand: str, q: Tensor) -> Tensor:
        return self.poses[hand].body.tips(q)

    def move(
        self,
        source: PoseSet,
        target: PoseSet,
        q: Tensor,
        finger: Tensor | None = None,
        *,
        touch: bool = False,
    ) -> Tensor:
        """Poses [B, J] rad through the latent, which does not know what matters in them."""
        return self.decode(target.body.name, self.encode(source.body.name, q))


def bench(codec: Codec, side: Side = "right", poses: int = 512, seed: int = 1) -> Bench:
    """Uniform random poses, the tightest of `TIGHT` times as many, and those that touch; a hand's
    are the same whatever other hands there are.
    """
    contacts: dict[str, SelfContact] = {}
    generators: dict[str, Generator] = {}
    sets: dict[str, PoseSet] = {}
    for hand in codec.hands:
        entry = catalog.hand(hand)
        number = SEED_STEP * seed + crc32(hand.encode())
        generators[hand] = Generator().manual_seed(number)
        contacts[hand] = SelfContact(entry, side)
        sets[hand] = pose_set(
            embodiment(entry, side),
            Pads(entry, side),
            poses,
            generators[hand],
            Generator().manual_seed(number + 1),
        )
    return Bench(codec, side, sets, contacts, generators)


Pair = tuple[str, str]
"""A source, whose latents are decoded, and the target that decodes them."""


def evaluate(
    bench: Bench, across: Mapping[Pair, Mapping[str, float]] | None = None
) -> dict[str, Metrics]:
    """Metrics by hand, the hand being the source of what is retargeted, and `all`.

    The hands that shaped the latent are measured among themselves, and `all` is their mean; hands
    added later against every other.
    """
    across = across or evaluate_pairs(bench)
    founders = bench.codec.founders.hands
    rows: dict[str, Metrics] = {}
    for hand in founders:
        others = [across[hand, other] for other in founders if other != hand]
        rows[hand] = _hand(bench, hand, others)
    rows["all"] = mean(rows.values())
    for hand in bench.codec.hands:
        if hand not in founders:
            rows[hand] = evaluate_one(bench, hand, across)
    return rows


def evaluate_one(bench: Bench, hand: str, across: Mapping[Pair, Mapping[str, float]]) -> Metrics:
    """The metrics of one hand as the source of what every other hand of `across` takes over."""
    others = [values for (source, _), values in across.items() if source == hand]
    return _hand(bench, hand, others)


def evaluate_pairs(bench: Bench, hand: str | None = None) -> dict[Pair, dict[str, float]]:
    """The metrics of every ordered pair of different hands, or of those with one hand only."""
    return {
        (source, target): _pair(bench, source, target) for source, target in _pairs(bench, hand)
    }


def _pairs(bench: Bench, hand: str | None) -> list[Pair]:
    pairs = permutations(bench.codec.hands, 2)
    return [pair for pair in pairs if hand is None or hand in pair]


def _pair(bench: Bench, source: str, target: str) -> dict[str, float]:
    poses = bench.poses[source]
    pinched, _ = poses.pinched
    accel, jerk = _interpolation(bench, source, target)
    return {
        **transferred(poses, bench.poses[target], bench.move),
        "consistency_x": _consistency(bench, source, target),
        "pinch_collision_pct": _collision(bench, source, target, pinched),
        "random_collision_pct": _collision(bench, source, target, poses.random),
        "new_collision_pct": _collision(bench, source, target, _free(bench, source)),
        "interp_accel_mm": accel,
        "interp_jerk_mm": jerk,
        "cross_jerk_x": jerk_ratio(bench, source, target),
        "moved_jerk_x": jerk_ratio(bench, source, target, smooth=True),
    }


def limits(
    bench: Bench, poses: int = LIMIT_POSES, hand: str | None = None
) -> dict[Pair, dict[str, float]]:
    """By pair of hands, or of pairs with one hand only, what optimising each of at most `poses`
    poses on its own reaches, of the metrics that it could make better: how near the best decoder
    could come.

    Of consistency it is the target's pose whose own latent is nearest.
    """
    found: dict[Pair, dict[str, float]] = {}
    for source, target in _pairs(bench, hand):
        few = bench.poses[source].first(poses)
        found[source, target] = {
            **transferred(few, bench.poses[target].first(poses), optimum),
            "consistency_x": _nearest_consistency(bench, few, target),
        }
    return found


def _latents(bench: Bench, poses: PoseSet) -> np.ndarray:
    """Latents [B, L] of a hand's random poses and pinches."""
    pinched, _ = poses.pinched
    return bench.encode(poses.body.name, torch.cat([poses.random, pinched]))


def _consistency(bench: Bench, source: str, target: str) -> float:
    """How far the source's latents are from those of the poses that the target makes of them, over
    their spread.
    """
    z = _latents(bench, bench.poses[source])
    again = bench.encode(target, bench.decode(target, z))
    return _off(torch.from_numpy(again), torch.from_numpy(z))


def _nearest_consistency(bench: Bench, source: PoseSet, target: str) -> float:
    z = _latents(bench, source)
    wanted = torch.from_numpy(z)
    body = bench.poses[target].body
    encode = torch_encoder(bench.codec.part(target, bench.side))
    q = bench.decode(target, z).requires_grad_()
    adam = torch.optim.Adam([q], lr=NEAREST_RATE)
    for step in range(NEAREST_STEPS):
        adam.param_groups[0]["lr"] = NEAREST_RATE * (1 - step / NEAREST_STEPS)
        adam.zero_grad()
        (encode(q) - wanted).square().sum().backward()
        adam.step()
        with torch.no_grad():
            q.clamp_(body.lower, body.upper)
    return _off(encode(q).detach(), wanted)


def _off(again: Tensor, z: Tensor) -> float:
    """Distance of latents [B, L] from z, over the distance of z from its mean; root mean
    squares.
    """
    spread = (z - z.mean(dim=0)).square().sum(dim=1).mean().sqrt()
    return float((again - z).square().sum(dim=1).mean().sqrt() / spread)


def mirror_mm(codec: Codec, poses: int = 512, seed: int = 1) -> dict[str, float]:
    """By hand: fingertips [mm, RMS] of a left pose, mirrored, against those of the right hand that
    decodes its latent.
    """
    return {hand: _mirror_mm(codec, hand, poses, seed) for hand in codec.hands}


def mean(rows: Iterable[Metrics]) -> Metrics:
    """The mean of every metric over rows."""
    return Metrics(**means([row.dict() for row in rows]))


def means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """By key of the rows, which all have the same."""
    means: dict[str, float] = {}
    for key in rows[0]:
        means[key] = float(np.mean([row[key] for row in rows]))
    return means


def _hand(bench: Bench, hand: str, others: Sequence[Mapping[str, float]]) -> Metrics:
    joint, tip = _reconstruction(bench, hand)
    near_joint, near_tip = _continuity(bench, hand)
    return Metrics(
        recon_joint_rad=joint,
        recon_tip_mm=tip,
        continuity_joint_rad=near_joint,
        continuity_tip_mm=near_tip,
        own_jerk_x=jerk_ratio(bench, hand, hand),
        **means(others),
    )


def _reconstruction(bench: Bench, hand: str) -> tuple[float, float]:
    q = bench.poses[hand].random
    again = bench.decode(hand, bench.encode(hand, q))
    distance = (bench.tips(hand, again) - bench.tips(hand, q)).norm(dim=-1)
    return _rms(again - q), 1000 * _rms(distance)


def _continuity(bench: Bench, hand: str) -> tuple[float, float]:
    z = bench.encode(hand, bench.poses[hand].random)
    nudge = NUDGE * torch.randn(z.shape, generator=bench.generators[hand]).numpy()
    before = bench.decode(hand, z)
    after = bench.decode(hand, z + nudge)
    joints = (after - before).norm(dim=-1)
    tips = (bench.tips(hand, after) - bench.tips(hand, before)).norm(dim=-1)
    return float(joints.mean()), 1000 * float(tips.mean())


def collisions(bench: Bench) -> dict[str, dict[str, float]]:
    """By hand: share [%] of the very poses that are encoded, the sources, that reach into
    themselves.
    """
    shares: dict[str, dict[str, float]] = {}
    for hand in bench.codec.hands:
        contact = bench.contacts[hand]
        pinched, _ = bench.poses[hand].pinched
        shares[hand] = {
            "pinch": 100 * contact.share(pinched),
            "random": 100 * contact.share(bench.poses[hand].random),
        }
    return shares


def jerk_ratio(
    bench: Bench, source: str, target: str, rate_hz: int = RATES_HZ[-1], *, smooth: bool = False
) -> float:
    """Fingertip jerk per metre of smooth motions of the source, decoded by the target, over that of
    the motions.

    With `smooth` decoded as paths are that are moved to another hand (`xlvla.smooth`), not pose by
    pose.
    """
    q = motions(bench.poses[source].body, rate_hz, Generator().manual_seed(0))
    decoded = bench.decode(target, bench.encode(source, q))
    if smooth:
        decoded = torch.from_numpy(smoothed(decoded.double().numpy(), rate_hz))
    jerk = jerk_per_metre(bench.poses[target].body, decoded)
    return jerk / jerk_per_metre(bench.poses[source].body, q)


def _free(bench: Bench, hand: str) -> Tensor:
    """The random poses and pinches of a hand that do not reach into themselves."""
    pinched, _ = bench.poses[hand].pinched
    q = torch.cat([bench.poses[hand].random, pinched])
    return q[bench.contacts[hand].deepest(q) <= TOLERANCE_M]


def _collision(bench: Bench, source: str, target: str, q: Tensor) -> float:
    """Share [%] of the poses decoded by the target that reach into themselves."""
    decoded = bench.decode(target, bench.encode(source, q))
    return 100 * bench.contacts[target].share(decoded)


def _interpolation(bench: Bench, source: str, target: str) -> tuple[float, float]:
    """Mean size [mm] of second and third differences of the target's fingertips between two latents
    of the source.
    """
    start = bench.encode(source, bench.poses[source].random[:LINES])
    end = np.roll(start, 1, axis=0)
    part = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None, None]
    path = (1 - part) * start[None] + part * end[None]
    q = bench.decode(target, path)
    tips = bench.tips(target, q.flatten(0, 1)).unflatten(0, q.shape[:2])
    accel = tips.diff(2, dim=0).norm(dim=-1).mean()
    jerk = tips.diff(3, dim=0).norm(dim=-1).mean()
    return 1000 * float(accel), 1000 * float(jerk)


def _mirror_mm(codec: Codec, hand: str, poses: int, seed: int) -> float:
    left = embodiment(catalog.hand(hand), "left")
    right = embodiment(catalog.hand(hand), "right")
    q = uniform_poses(left, poses, Generator().manual_seed(seed))
    latents = codec.encode(hand, "left", q.numpy())
    twin = torch.from_numpy(codec.decode(hand, "right", latents))
    distance = (right.tips(twin) - left.tips(q)).norm(dim=-1)
    return 1000 * _rms(distance)


def _rms(error: Tensor) -> float:
    return float(error.square().mean().sqrt())
