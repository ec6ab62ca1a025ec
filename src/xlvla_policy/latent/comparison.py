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
from xlvla_policy.latent.metrics import Errors, line_errors
from xlvla_policy.latent.sampling import TIGHT, tightest, uniform_poses

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
"""Made ready for a pair of hands and a path [T, J] rad; the call that is timed gives the target's
[T, J].
"""

Way = Callable[[Embodiment, Embodiment, Tensor, Tensor | None], Tensor]
"""Poses [B, J] rad of a source to poses of a target; the pinching finger [B] where one matters more
than the others.
"""


def scene(hands: Sequence[str], poses: int, seed: int = 2) -> Scene:
    generator = Generator().manual_seed(seed)
    bodies = {hand: embodiment(catalog.hand(hand), "right") for hand in hands}
    random = {hand: uniform_poses(body, poses, generator) for hand, body in bodies.items()}
    pinched = {hand: tightest(body, TIGHT * poses, generator) for hand, body in bodies.items()}
    paths = {hand: _path(random[hand], pinched[hand][0], max(2, poses // GLIDE)) for hand in hands}
    return Scene(bodies, random, pinched, paths)


def _path(random: Tensor, pinched: Tensor, count: int) -> Tensor:
    """Poses [T, J] gliding between unrelated poses and pinches in turn, at rest in each."""
    corners = torch.stack([random[:count], pinched[:count]], dim=1).flatten(0, 1)
    s = torch.arange(GLIDE)[:, None] / GLIDE
    part = s**3 * (10 - 15 * s + 6 * s**2)
    return torch.cat([start + part * (end - start) for start, end in pairwise(corners)])


def through(codec: Codec) -> Way:
    """The latent of a codec."""
    return lambda source, target, q, _: torch.from_numpy(
        codec.decode(target.hand.name, "right", codec.encode(source.hand.name, "right", q.numpy()))
    )


def limit(source: Embodiment, target: Embodiment, q: Tensor, finger: Tensor | None) -> Tensor:
    """The per-pose optimiser, on the pinching finger alone or on all alike."""
    weight = torch.ones(len(q), len(OPPOSING)) if finger is None else only(finger)
    return optimised(source, target, q, weight)


def dex(kind: str) -> Way:
    """dex-retargeting's optimiser of that kind, settled on each pose."""

    def way(source: Embodiment, target: Embodiment, q: Tensor, finger: Tensor | None) -> Tensor:
        run = DexRetargeting(source, target, kind)
        return torch.from_numpy(run.settle(run.references(source.tips(q).numpy())))

    return way


def quality(name: str, way: Way, scene: Scene) -> Quality:
    random = []
    pinched = []
    for source, target in scene.pairs:
        q, (tight, finger) = scene.random[source.name], scene.pinched[source.name]
        random.append(line_errors(source, target, q, way(source, target, q, None)))
        kept = torch.tensor([OPPOSING[f] in target.fingers for f in finger])
        tight = tight[kept]
        finger = finger[kept]
        pinched.append(
            line_errors(source, target, tight, way(source, target, tight, finger), only(finger))
        )
    return Quality(name, _mean(pinched), _mean(random))


def paces(
    codec: Codec, scene: Scene, kinds: Iterable[str] = tuple(KINDS)
) -> list[RetargetingSpeed]:
    """The codec, and dex-retargeting's optimisers of these kinds, pair by pair in turn on one
    thread.
    """
    torch.set_num_threads(1)
    ways: dict[str, Start] = {
        "codec, onnxruntime": lambda source, target, q: _onnx(codec, source, target, q, 1),
        f"codec, chunks of {CHUNK_FRAMES}": lambda source, target, q: _onnx(
            codec, source, target, q, CHUNK_FRAMES
        ),
        "codec, numpy": lambda source, target, q: _numpy(codec, source, target, q),
        **{f"dex, {kind}": partial(_dex, kind) for kind in kinds},
    }
    found: dict[str, list[tuple[float, Errors, Errors]]] = {way: [] for way in ways}
    for source, target in scene.pairs:
        q = scene.paths[source.name]
        for way, start in ways.items():
            follow = start(source, target, q)
            began = time.perf_counter()
            moved = torch.from_numpy(follow())
            spent = (time.perf_counter() - began) / len(q)
            nearest = line_errors(source, target, q, moved, _nearest(source, target, q))
            found[way].append((spent, line_errors(source, target, q, moved), nearest))
    return [_pace(way, rows) for way, rows in found.items()]


def _pace(way: str, rows: Sequence[tuple[float, Errors, Errors]]) -> RetargetingSpeed:
    spent, every, nearest = zip(*rows, strict=True)
    return RetargetingSpeed(way, float(np.median(spent)), _mean(every), _mean(nearest))


def _onnx(
    codec: Codec, source: Embodiment, target: Embodiment, q: Tensor, size: int
) -> Callable[[], np.ndarray]:
    """So many frames at a time through ONNX Runtime."""
    start, end = (
        one_thread(graph.SerializeToString())
        for graph in (encoder(_part(codec, source)), decoder(_part(codec, target)))
    )
    given = np.split(q.numpy(), range(size, len(q), size))
    return lambda: np.concatenate(
        [
            np.asarray(end.run(None, {"latent": start.run(None, {"joints": frames})[0]})[0])
            for frames in given
        ]
    )


def _numpy(
    codec: Codec, source: Embodiment, target: Embodiment, q: Tensor
) -> Callable[[], np.ndarray]:
    start = _part(codec, source)
    end = _part(codec, target)
    return lambda: np.concatenate([end.decode(start.encode(frame[None])) for frame in q.numpy()])


def _part(codec: Codec, body: Embodiment) -> HandCodec:
    return codec.part(body.hand.name, "right")


def _dex(kind: str, source: Embodiment, target: Embodiment, q: Tensor) -> Callable[[], np.ndarray]:
    run = DexRetargeting(source, target, kind)
    references = run.references(source.tips(q).numpy())
    return lambda: run.follow(references)


def _nearest(source: Embodiment, target: Embodiment, q: Tensor) -> Tensor:
    """[B, 4] one for the finger nearest to the thumb, of those both hands have."""
    distance = pinches(source.tips(q), source.fingers).norm(dim=-1)
    return only(
        distance.masked_fill(shared(source.fingers, target.fingers) == 0, torch.inf).argmin(-1)
    )


def _mean(rows: Sequence[Errors]) -> Errors:
    return Errors(
        *(
            float(np.mean(column))
            for column in zip(
                *((r.direction_deg, r.distance_mm, r.vector_mm) for r in rows), strict=True
            )
        )
    )
