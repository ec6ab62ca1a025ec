"""The codec compared with other retargeting methods: accuracy and speed.

All see the same poses of the same right hands: unrelated ones, tight pinches, and smooth paths
between them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise, permutations

import numpy as np
import torch
from torch import Generator, Tensor

from xlvla import catalog
from xlvla.codec import Codec, HandCodec
from xlvla.types import CHUNK_FRAMES
from xlvla_policy.latent.agreement import one_thread
from xlvla_policy.latent.baselines.dex import KINDS, DexRetargeting
from xlvla_policy.latent.baselines.per_pose import only, optimised
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.export import decoder, encoder
from xlvla_policy.latent.losses import OPPOSING, pinches, shared
from xlvla_policy.latent.sampling import TIGHT, tightest, uniform_poses
from xlvla_policy.latent.transfer import Errors, line_errors

GLIDE = 16
"""Frames of a path from one pose to the next: 0.8 s at 20 Hz."""

Poses = Mapping[str, Tensor]


@dataclass(frozen=True)
class Scene:
    """What is compared on, by hand: unrelated poses [B, J] rad, pinches with their finger [B],
    paths [T, J].
    """

    bodies: Mapping[str, Embodiment]
    random: Poses
    pinched: Mapping[str, tuple[Tensor, Tensor]]
    paths: Poses

    @property
    def pairs(self) -> list[tuple[Embodiment, Embodiment]]:
        return list(permutations(self.bodies.values(), 2))


@dataclass(frozen=True)
class Quality:
    """Pinches count the pinching finger, unrelated poses every finger both hands have; means over
    ordered pairs of hands.
    """

    way: str
    pinch: Errors
    random: Errors


@dataclass(frozen=True)
class RetargetingSpeed:
    """Along smooth paths: seconds per frame, and errors of all lines and of each frame's
    shortest.
    """

    way: str
    frame_s: float
    all: Errors
    nearest: Errors


Start = Callable[[Embodiment, Embodiment, Tensor], Callable[[], np.ndarray]]
"""Prepares a pair of hands and a path [T, J] rad; the call that is timed gives the target's path
[T, J] rad.
"""

Method = Callable[[Embodiment, Embodiment, Tensor, Tensor | None], Tensor]
"""Poses [B, J] rad of a source to poses of a target; the pinching finger [B] where one matters more
than the others.
"""


def scene(hands: Sequence[str], poses: int, seed: int = 2) -> Scene:
    """`poses` unrelated poses and pinches of each hand, and a path between some of them."""
    generator = Generator().manual_seed(seed)
    bodies = {hand: embodiment(catalog.hand(hand), "right") for hand in hands}
    random = {hand: uniform_poses(body, poses, generator) for hand, body in bodies.items()}
    pinched = {hand: tightest(body, TIGHT * poses, generator) for hand, body in bodies.items()}
    paths: dict[str, Tensor] = {}
    for hand in hands:
        tight, _ = pinched[hand]
        paths[hand] = _path(random[hand], tight, max(2, poses // GLIDE))
    return Scene(bodies, random, pinched, paths)


def _path(random: Tensor, pinched: Tensor, count: int) -> Tensor:
    """Poses [T, J] gliding between unrelated poses and pinches in turn, at rest in each."""
    corners = torch.stack([random[:count], pinched[:count]], dim=1).flatten(0, 1)
    s = torch.arange(GLIDE)[:, None] / GLIDE
    part = s**3 * (10 - 15 * s + 6 * s**2)
    legs: list[Tensor] = []
    for start, end in pairwise(corners):
        legs.append(start + part * (end - start))
    return torch.cat(legs)


def through(codec: Codec) -> Method:
    """The latent of a codec."""

    def method(source: Embodiment, target: Embodiment, q: Tensor, finger: Tensor | None) -> Tensor:
        latents = codec.encode(source.hand.name, "right", q.numpy())
        return torch.from_numpy(codec.decode(target.hand.name, "right", latents))

    return method


def limit(source: Embodiment, target: Embodiment, q: Tensor, finger: Tensor | None) -> Tensor:
    """The per-pose optimiser, on the pinching finger alone or on all alike."""
    weight = torch.ones(len(q), len(OPPOSING))
    if finger is not None:
        weight = only(finger)
    return optimised(source, target, q, weight)


def dex(kind: str) -> Method:
    """dex-retargeting's optimiser of that kind, settled on each pose."""

    def method(source: Embodiment, target: Embodiment, q: Tensor, finger: Tensor | None) -> Tensor:
        run = DexRetargeting(source, target, kind)
        references = run.references(source.tips(q).numpy())
        return torch.from_numpy(run.settle(references))

    return method


def quality(name: str, method: Method, scene: Scene) -> Quality:
    """Mean errors of a method over all ordered pairs of hands."""
    random: list[Errors] = []
    pinched: list[Errors] = []
    for source, target in scene.pairs:
        q = scene.random[source.name]
        moved = method(source, target, q, None)
        random.append(line_errors(source, target, q, moved))

        tight, finger = scene.pinched[source.name]
        # A pinch with a finger that the target lacks has no counterpart.
        kept = torch.tensor([OPPOSING[index] in target.fingers for index in finger])
        tight = tight[kept]
        finger = finger[kept]
        moved = method(source, target, tight, finger)
        pinched.append(line_errors(source, target, tight, moved, only(finger)))
    return Quality(name, _mean(pinched), _mean(random))


def paces(
    codec: Codec, scene: Scene, kinds: Iterable[str] = tuple(KINDS)
) -> list[RetargetingSpeed]:
    """The codec, and dex-retargeting's optimisers of these kinds, pair by pair in turn on one
    thread.
    """
    torch.set_num_threads(1)
    methods: dict[str, Start] = {
        "codec, onnxruntime": partial(_onnx, codec, 1),
        f"codec, chunks of {CHUNK_FRAMES}": partial(_onnx, codec, CHUNK_FRAMES),
        "codec, numpy": partial(_numpy, codec),
    }
    for kind in kinds:
        methods[f"dex, {kind}"] = partial(_dex, kind)
    runs: dict[str, list[PathRun]] = {name: [] for name in methods}
    for source, target in scene.pairs:
        q = scene.paths[source.name]
        nearest = _nearest(source, target, q)
        for name, start in methods.items():
            follow = start(source, target, q)
            began = time.perf_counter()
            moved = torch.from_numpy(follow())
            frame_s = (time.perf_counter() - began) / len(q)
            runs[name].append(
                PathRun(
                    frame_s,
                    all=line_errors(source, target, q, moved),
                    nearest=line_errors(source, target, q, moved, nearest),
                )
            )
    return [_speed(name, rows) for name, rows in runs.items()]


@dataclass(frozen=True)
class PathRun:
    """One path of one pair of hands: seconds per frame, and errors as of `RetargetingSpeed`."""

    frame_s: float
    all: Errors
    nearest: Errors


def _speed(name: str, runs: Sequence[PathRun]) -> RetargetingSpeed:
    frame_s = float(np.median([run.frame_s for run in runs]))
    every = _mean([run.all for run in runs])
    nearest = _mean([run.nearest for run in runs])
    return RetargetingSpeed(name, frame_s, every, nearest)


def _onnx(
    codec: Codec, size: int, source: Embodiment, target: Embodiment, q: Tensor
) -> Callable[[], np.ndarray]:
    """`size` frames at a time through ONNX Runtime."""
    start = one_thread(encoder(_part(codec, source)).SerializeToString())
    end = one_thread(decoder(_part(codec, target)).SerializeToString())
    chunks = np.split(q.numpy(), range(size, len(q), size))

    def follow() -> np.ndarray:
        decoded: list[np.ndarray] = []
        for frames in chunks:
            latents = start.run(None, {"joints": frames})[0]
            decoded.append(np.asarray(end.run(None, {"latent": latents})[0]))
        return np.concatenate(decoded)

    return follow


def _numpy(
    codec: Codec, source: Embodiment, target: Embodiment, q: Tensor
) -> Callable[[], np.ndarray]:
    start = _part(codec, source)
    end = _part(codec, target)

    def follow() -> np.ndarray:
        return np.concatenate([end.decode(start.encode(frame[None])) for frame in q.numpy()])

    return follow


def _part(codec: Codec, body: Embodiment) -> HandCodec:
    return codec.part(body.hand.name, "right")


def _dex(kind: str, source: Embodiment, target: Embodiment, q: Tensor) -> Callable[[], np.ndarray]:
    run = DexRetargeting(source, target, kind)
    references = run.references(source.tips(q).numpy())
    return lambda: run.follow(references)


def _nearest(source: Embodiment, target: Embodiment, q: Tensor) -> Tensor:
    """[B, 4] one for the finger nearest to the thumb, of those both hands have."""
    distance = pinches(source.tips(q), source.fingers).norm(dim=-1)
    missing = shared(source.fingers, target.fingers) == 0
    return only(distance.masked_fill(missing, torch.inf).argmin(-1))


def _mean(rows: Sequence[Errors]) -> Errors:
    return Errors(
        direction_deg=float(np.mean([row.direction_deg for row in rows])),
        distance_mm=float(np.mean([row.distance_mm for row in rows])),
        vector_mm=float(np.mean([row.vector_mm for row in rows])),
    )
