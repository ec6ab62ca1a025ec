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
    """A codec, a side and the poses [B, J] rad it is measured on, by hand."""

    codec: Codec
    side: Side
    bodies: dict[str, Embodiment]
    random: dict[str, Tensor]
    pinched: dict[str, tuple[Tensor, Tensor]]
    contacts: dict[str, SelfContact]
    draws: dict[str, Generator]

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
    bodies = {hand: embodiment(catalog.hand(hand), side) for hand in codec.hands}
    contacts = {hand: SelfContact(catalog.hand(hand), side) for hand in codec.hands}
    draws = {
        hand: Generator().manual_seed(1000003 * seed + crc32(hand.encode())) for hand in codec.hands
    }
    random = {hand: uniform_poses(body, poses, draws[hand]) for hand, body in bodies.items()}
    pinched = {hand: tightest(body, TIGHT * poses, draws[hand]) for hand, body in bodies.items()}
    return Bench(codec, side, bodies, random, pinched, contacts, draws)


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
    rows = {
        hand: _hand(bench, hand, [across[hand, other] for other in founders if other != hand])
        for hand in founders
    }
    added = [hand for hand in bench.codec.hands if hand not in founders]
    later = {
        hand: _hand(
            bench, hand, [values for (source, _), values in across.items() if source == hand]
        )
        for hand in added
    }
    return {**rows, "all": mean(rows.values()), **later}


def evaluate_pairs(bench: Bench) -> dict[Pair, dict[str, float]]:
    """The metrics of every ordered pair of different hands."""
    return {
        (source, target): _pair(bench, source, target)
        for source, target in permutations(bench.codec.hands, 2)
    }


def _pair(bench: Bench, source: str, target: str) -> dict[str, float]:
    random = _errors(bench, source, target, bench.random[source])
    pinch = _errors(bench, source, target, *bench.pinched[source])
    accel, jerk = _interpolation(bench, source, target)
    return {
        "pinch_dir_deg": pinch.direction_deg,
        "pinch_dist_mm": pinch.distance_mm,
        "random_dir_deg": random.direction_deg,
        "random_dist_mm": random.distance_mm,
        "pinch_collision_pct": _collision(bench, source, target, bench.pinched[source][0]),
        "random_collision_pct": _collision(bench, source, target, bench.random[source]),
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
    values = [row.dict() for row in rows]
    return Metrics(**{key: float(np.mean([row[key] for row in values])) for key in values[0]})


def _hand(bench: Bench, hand: str, others: Sequence[Mapping[str, float]]) -> Metrics:
    across = {key: float(np.mean([other[key] for other in others])) for key in others[0]}
    joint, tip = _reconstruction(bench, hand)
    near_joint, near_tip = _continuity(bench, hand)
    own = {
        "recon_joint_rad": joint,
        "recon_tip_mm": tip,
        "continuity_joint_rad": near_joint,
        "continuity_tip_mm": near_tip,
    }
    return Metrics(**own, **across, own_jerk_x=jerk_ratio(bench, hand, hand))


def _reconstruction(bench: Bench, hand: str) -> tuple[float, float]:
    q = bench.random[hand]
    again = bench.decode(hand, bench.encode(hand, q))
    moved = (bench.tips(hand, again) - bench.tips(hand, q)).norm(dim=-1)
    return _rms(again - q), 1000 * _rms(moved)


def _continuity(bench: Bench, hand: str) -> tuple[float, float]:
    z = bench.encode(hand, bench.random[hand])
    nudge = NUDGE * torch.randn(z.shape, generator=bench.draws[hand]).numpy()
    here = bench.decode(hand, z)
    there = bench.decode(hand, z + nudge)
    tips = (bench.tips(hand, there) - bench.tips(hand, here)).norm(dim=-1)
    return float((there - here).norm(dim=-1).mean()), 1000 * float(tips.mean())


def _errors(
    bench: Bench, source: str, target: str, q: Tensor, finger: Tensor | None = None
) -> Errors:
    """Errors of decoded poses; of one `finger` [B] of each, or of all."""
    ours = bench.bodies[source]
    theirs = bench.bodies[target]
    which = None if finger is None else torch.nn.functional.one_hot(finger, len(OPPOSING))
    return line_errors(ours, theirs, q, bench.decode(target, bench.encode(source, q)), which)


def line_errors(
    source: Embodiment, target: Embodiment, q: Tensor, moved: Tensor, which: Tensor | None = None
) -> Errors:
    """Mean errors of the lines both hands have; of those `which` [B, 4] marks where given."""
    mask = shared(source.fingers, target.fingers).bool().expand(len(q), -1)
    mask = mask if which is None else mask & which.bool()
    want, have = (
        pinches(body.tips(pose.float()), body.fingers)[mask].double()
        for body, pose in ((source, q), (target, moved))
    )
    angle = torch.atan2(
        torch.cross(want, have, dim=-1).norm(dim=-1), (want * have).sum(-1)
    ).rad2deg()
    distance = (want.norm(dim=-1) - have.norm(dim=-1)).abs()
    return Errors(
        float(angle.mean()),
        1000 * float(distance.mean()),
        1000 * float((want - have).norm(dim=-1).mean()),
    )


def collisions(bench: Bench) -> dict[str, dict[str, float]]:
    """By hand: share [%] of the very poses that are encoded, the sources, that reach into
    themselves.
    """
    sets = {
        hand: {"pinch": bench.pinched[hand][0], "random": bench.random[hand]}
        for hand in bench.codec.hands
    }
    return {
        hand: {name: 100 * bench.contacts[hand].share(q) for name, q in poses.items()}
        for hand, poses in sets.items()
    }


def jerk_ratio(
    bench: Bench, source: str, target: str, rate_hz: int = RATES_HZ[-1], *, smooth: bool = False
) -> float:
    """Fingertip jerk per metre of smooth motions of the source, decoded by the target, over that of
    the motions.

    With `smooth` decoded as paths are that are moved to another hand (`xlvla.smooth`), not pose by
    pose.
    """
    q = motions(bench.bodies[source], rate_hz, Generator().manual_seed(0))
    there = bench.decode(target, bench.encode(source, q))
    there = torch.from_numpy(smoothed(there.double().numpy(), rate_hz)) if smooth else there
    return jerk_per_metre(bench.bodies[target], there) / jerk_per_metre(bench.bodies[source], q)


def _free(bench: Bench, hand: str) -> Tensor:
    """The random poses and pinches of a hand that do not reach into themselves."""
    q = torch.cat([bench.random[hand], bench.pinched[hand][0]])
    return q[bench.contacts[hand].deepest(q) <= TOLERANCE_M]


def _collision(bench: Bench, source: str, target: str, q: Tensor) -> float:
    return 100 * bench.contacts[target].share(bench.decode(target, bench.encode(source, q)))


def _interpolation(bench: Bench, source: str, target: str) -> tuple[float, float]:
    """Mean size [mm] of second and third differences of the target's fingertips between two latents
    of the source.
    """
    z = bench.encode(source, bench.random[source][:128])
    part = np.linspace(0, 1, STEPS, dtype=np.float32)[:, None, None]
    path = (1 - part) * z[None] + part * np.roll(z, 1, axis=0)[None]
    q = bench.decode(target, path)
    tips = bench.tips(target, q.flatten(0, 1)).unflatten(0, q.shape[:2])
    accel, jerk = (1000 * float(tips.diff(n, dim=0).norm(dim=-1).mean()) for n in (2, 3))
    return accel, jerk


def _mirror_mm(codec: Codec, hand: str, poses: int, seed: int) -> float:
    left, right = (embodiment(catalog.hand(hand), side) for side in ("left", "right"))
    q = uniform_poses(left, poses, Generator().manual_seed(seed))
    twin = torch.from_numpy(codec.decode(hand, "right", codec.encode(hand, "left", q.numpy())))
    return 1000 * _rms((right.tips(twin) - left.tips(q)).norm(dim=-1))


def _rms(error: Tensor) -> float:
    return float(error.square().mean().sqrt())
