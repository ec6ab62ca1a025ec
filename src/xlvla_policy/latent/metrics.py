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
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.losses import OPPOSING, pinches, shared
from xlvla_policy.latent.sampling import TIGHT, tightest, uniform_poses
from xlvla_policy.latent.smoothness import RATES_HZ, jerk_per_metre, motions

NUDGE = 0.05
"""Size of the step in the latent that continuity is measured with."""
STEPS = 32
"""Poses on a straight line through the latent."""
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
    """

    recon_joint_rad: float
    recon_tip_mm: float
    pinch_dir_deg: float
    pinch_dist_mm: float
    random_dir_deg: float
    random_dist_mm: float
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
class Errors:
    """Of lines from thumb tip to fingertip: angle [deg], difference of length [mm], length of the
    difference [mm].
    """

    direction_deg: float
    distance_mm: float
    vector_mm: float


@dataclass(frozen=True)
class Bench:
    """A codec, a side and, by hand, the poses [B, J] rad it is measured on; `pinched` with the
    finger [B] each pinches, by index in `OPPOSING`.
    """

    codec: Codec
    side: Side
    bodies: dict[str, Embodiment]
    random: dict[str, Tensor]
    pinched: dict[str, tuple[Tensor, Tensor]]
    contacts: dict[str, SelfContact]
    generators: dict[str, Generator]

    def encode(self, hand: str, q: Tensor) -> np.ndarray:
        return self.codec.encode(hand, self.side, q.numpy())

    def decode(self, hand: str, z: np.ndarray) -> Tensor:
        return torch.from_numpy(self.codec.decode(hand, self.side, z))

    def tips(self, hand: str, q: Tensor) -> Tensor:
        return self.bodies[hand].tips(q)


def bench(codec: Codec, side: Side = "right", poses: int = 512, seed: int = 1) -> Bench:
    """Uniform random poses, and the tightest of `TIGHT` times as many; a hand's are the same
    whatever other hands there are.
    """
    bodies: dict[str, Embodiment] = {}
    contacts: dict[str, SelfContact] = {}
    generators: dict[str, Generator] = {}
    random: dict[str, Tensor] = {}
    pinched: dict[str, tuple[Tensor, Tensor]] = {}
    for hand in codec.hands:
        entry = catalog.hand(hand)
        body = embodiment(entry, side)
        generator = Generator().manual_seed(SEED_STEP * seed + crc32(hand.encode()))
        bodies[hand] = body
        contacts[hand] = SelfContact(entry, side)
        generators[hand] = generator
        random[hand] = uniform_poses(body, poses, generator)
        pinched[hand] = tightest(body, TIGHT * poses, generator)
    return Bench(codec, side, bodies, random, pinched, contacts, generators)


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
            others = [values for (source, _), values in across.items() if source == hand]
            rows[hand] = _hand(bench, hand, others)
    return rows


def evaluate_pairs(bench: Bench) -> dict[Pair, dict[str, float]]:
    """The metrics of every ordered pair of different hands."""
    return {
        (source, target): _pair(bench, source, target)
        for source, target in permutations(bench.codec.hands, 2)
    }


def _pair(bench: Bench, source: str, target: str) -> dict[str, float]:
    random_poses = bench.random[source]
    pinched_poses, finger = bench.pinched[source]
    random = _errors(bench, source, target, random_poses)
    pinch = _errors(bench, source, target, pinched_poses, finger)
    accel, jerk = _interpolation(bench, source, target)
    return {
        "pinch_dir_deg": pinch.direction_deg,
        "pinch_dist_mm": pinch.distance_mm,
        "random_dir_deg": random.direction_deg,
        "random_dist_mm": random.distance_mm,
        "pinch_collision_pct": _collision(bench, source, target, pinched_poses),
        "random_collision_pct": _collision(bench, source, target, random_poses),
        "new_collision_pct": _collision(bench, source, target, _free(bench, source)),
        "interp_accel_mm": accel,
        "interp_jerk_mm": jerk,
        "cross_jerk_x": jerk_ratio(bench, source, target),
        "moved_jerk_x": jerk_ratio(bench, source, target, smooth=True),
    }


def mirror_mm(codec: Codec, poses: int = 512, seed: int = 1) -> dict[str, float]:
    """By hand: fingertips [mm, RMS] of a left pose, mirrored, against those of the right hand that
    decodes its latent.
    """
    return {hand: _mirror_mm(codec, hand, poses, seed) for hand in codec.hands}


def mean(rows: Iterable[Metrics]) -> Metrics:
    """The mean of every metric over rows."""
    return Metrics(**_means([row.dict() for row in rows]))


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
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
        **_means(others),
    )


def _reconstruction(bench: Bench, hand: str) -> tuple[float, float]:
    q = bench.random[hand]
    again = bench.decode(hand, bench.encode(hand, q))
    distance = (bench.tips(hand, again) - bench.tips(hand, q)).norm(dim=-1)
    return _rms(again - q), 1000 * _rms(distance)


def _continuity(bench: Bench, hand: str) -> tuple[float, float]:
    z = bench.encode(hand, bench.random[hand])
    nudge = NUDGE * torch.randn(z.shape, generator=bench.generators[hand]).numpy()
    before = bench.decode(hand, z)
    after = bench.decode(hand, z + nudge)
    joints = (after - before).norm(dim=-1)
    tips = (bench.tips(hand, after) - bench.tips(hand, before)).norm(dim=-1)
    return float(joints.mean()), 1000 * float(tips.mean())


def _errors(
    bench: Bench, source: str, target: str, q: Tensor, finger: Tensor | None = None
) -> Errors:
    """Errors of decoded poses; of one `finger` [B] of each, or of all."""
    which = None
    if finger is not None:
        which = torch.nn.functional.one_hot(finger, len(OPPOSING))
    decoded = bench.decode(target, bench.encode(source, q))
    return line_errors(bench.bodies[source], bench.bodies[target], q, decoded, which)


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


def collisions(bench: Bench) -> dict[str, dict[str, float]]:
    """By hand: share [%] of the very poses that are encoded, the sources, that reach into
    themselves.
    """
    shares: dict[str, dict[str, float]] = {}
    for hand in bench.codec.hands:
        contact = bench.contacts[hand]
        pinched, _ = bench.pinched[hand]
        shares[hand] = {
            "pinch": 100 * contact.share(pinched),
            "random": 100 * contact.share(bench.random[hand]),
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
    q = motions(bench.bodies[source], rate_hz, Generator().manual_seed(0))
    decoded = bench.decode(target, bench.encode(source, q))
    if smooth:
        decoded = torch.from_numpy(smoothed(decoded.double().numpy(), rate_hz))
    jerk = jerk_per_metre(bench.bodies[target], decoded)
    return jerk / jerk_per_metre(bench.bodies[source], q)


def _free(bench: Bench, hand: str) -> Tensor:
    """The random poses and pinches of a hand that do not reach into themselves."""
    pinched, _ = bench.pinched[hand]
    q = torch.cat([bench.random[hand], pinched])
    return q[bench.contacts[hand].deepest(q) <= TOLERANCE_M]


def _collision(bench: Bench, source: str, target: str, q: Tensor) -> float:
    """Share [%] of the poses decoded by the target that reach into themselves."""
    decoded = bench.decode(target, bench.encode(source, q))
    return 100 * bench.contacts[target].share(decoded)


def _interpolation(bench: Bench, source: str, target: str) -> tuple[float, float]:
    """Mean size [mm] of second and third differences of the target's fingertips between two latents
    of the source.
    """
    start = bench.encode(source, bench.random[source][:LINES])
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
