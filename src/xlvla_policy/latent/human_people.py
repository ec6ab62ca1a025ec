"""Simulated people nobody trained on, each before a tracker that has their fingers' lengths and
tips wrong, and the touches by which they are calibrated.

A tracker has the joints' angles right, up to noise. Its errors are made up, of the size that is
reported of headsets, about a centimetre at fingertips: every finger is too long or too short, and
every tip is beside.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor

from xlvla import human
from xlvla.human import Anatomy
from xlvla.operator_hand import OPPOSING
from xlvla.types import FINGERS, Finger
from xlvla_policy.latent.human import NOISE_M
from xlvla_policy.latent.human_metrics import Exam, closing, gesturing
from xlvla_policy.latent.human_poses import TOUCHING_M, anatomies, distances, natural, pinch

SEED = 2_000_003
"""Far from any training's, and from that of other exams."""
LENGTH_SPREAD = 0.08
"""By so much a tracker has a finger's length wrong, as a part of it."""
TIP_SPREAD_M = 0.003
"""By so much, along each axis, it sees a tip beside where it is."""
DRAWN = 3
SPARE = 16
"""Pinches that are made for each that touches, and beyond that: not all do."""
HELD = 60
"""Samples of a touch: two seconds of one, at 30 Hz."""
GRIPS = 4
"""Poses in which a touch is held."""


@dataclass(frozen=True)
class Person:
    """Somebody and their tracker.

    Args:
        own, shown: anatomies of one hand, as it is and as the tracker has it.
        beside: [5, 3] m by which it sees tips beside.
    """

    own: Anatomy
    shown: Anatomy
    beside: Tensor

    def keypoints(self, angles: Tensor) -> np.ndarray:
        """Keypoints [..., 21, 3] m as they are, of angles [..., 20] rad."""
        return human.posed(angles.double(), self.own, torch).numpy()

    def tracked(self, angles: Tensor, generator: Generator, noise_m: float) -> np.ndarray:
        """The same as the tracker shows them."""
        points = human.posed(angles.double(), self.shown, torch)
        points[..., [human.TIPS[finger] for finger in FINGERS], :] += self.beside
        noise = noise_m * torch.randn(points.shape, generator=generator)
        return (points + noise).numpy()


def people(count: int) -> list[Person]:
    """The same ones every time."""
    generator = Generator().manual_seed(SEED)
    roots, bones = anatomies(count, generator)
    wrong = LENGTH_SPREAD * torch.randn(count, 5, 1, generator=generator).clamp(-2, 2)
    beside = TIP_SPREAD_M * torch.randn(count, 5, 3, generator=generator).clamp(-2, 2)
    made: list[Person] = []
    for number in range(count):
        own = Anatomy(roots[number].double(), bones[number].double())
        shown = Anatomy(own.roots, own.bones * (1 + wrong[number].double()))
        made.append(Person(own, shown, beside[number].double()))
    return made


def chance(person: int) -> Generator:
    """What decides how the n-th person moves."""
    return Generator().manual_seed(SEED + 1 + person)


def touches(person: Person, generator: Generator) -> dict[Finger, np.ndarray]:
    """What the tracker shows [HELD, 21, 3] m while thumb and finger touch, by finger."""
    held = _pinches(person, GRIPS, generator).repeat_interleave(HELD // GRIPS, dim=1)
    shown = person.tracked(held, generator, NOISE_M)
    return dict(zip(OPPOSING, shown, strict=True))


def examined(person: Person, each: int, gestures: int, generator: Generator) -> tuple[Exam, Exam]:
    """What a person does, as `human_metrics.exam` asks it of many: as it is, and as tracked.

    Args:
        each: pinches of every finger, and as many other poses.
    """
    pinches = closing(_pinches(person, each, generator).flatten(0, 1))
    poses = closing(natural(4 * each, generator))
    along = gesturing(_several(person.own, gestures), generator)
    finger = np.arange(1, 5).repeat(each)
    own = Exam(
        pinches=person.keypoints(pinches),
        poses=person.keypoints(poses),
        finger=finger,
        gestures=person.keypoints(along),
    )
    tracked = Exam(
        pinches=person.tracked(pinches, generator, NOISE_M),
        poses=person.tracked(poses, generator, NOISE_M),
        finger=finger,
        gestures=person.tracked(along, generator, 0.0),
    )
    return own, tracked


def _several(anatomy: Anatomy, count: int) -> Anatomy:
    """One hand [5, 3] as that of `count` people [count, 5, 3]."""
    roots, bones = (part.float().expand(count, 5, 3) for part in (anatomy.roots, anatomy.bones))
    return Anatomy(roots, bones)


def _pinches(person: Person, count: int, generator: Generator) -> Tensor:
    """Poses [4, count, 20] rad in which each finger touches the thumb."""
    drawn = DRAWN * count + SPARE
    anatomy = _several(person.own, 4 * drawn)
    finger = torch.arange(4).repeat_interleave(drawn)
    meeting = torch.nn.functional.one_hot(finger + 1, 5).bool()
    angles = pinch(anatomy, meeting, generator)
    apart = distances(human.posed(angles, anatomy, torch))
    apart = apart[torch.arange(4 * drawn), finger].unflatten(0, (4, drawn))
    # The nearest ones: those that touch.
    nearest = apart.argsort(dim=1)[:, :count]
    assert apart.gather(1, nearest).max() < TOUCHING_M[1]
    rows = nearest[..., None].expand(4, count, 20)
    return angles.unflatten(0, (4, drawn)).gather(1, rows)
