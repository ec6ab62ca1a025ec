"""How well a robot's fingers follow a person's: on people, poses and gestures that nothing was
trained on.

Every pose is closed in `CLOSING` frames from a hand at rest, as a person would, so that a method
which starts from its last frame has one. Sizes are those of a middle-sized hand; a tracker's noise
is on every frame but those of gestures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from torch import Generator, Tensor

from xlvla import human
from xlvla.hand import Hand
from xlvla.human import Anatomy
from xlvla.types import FINGERS, Finger, Side
from xlvla_policy.latent.baselines.per_pose import nearest
from xlvla_policy.latent.embodiment import embodiment
from xlvla_policy.latent.human import NOISE_M
from xlvla_policy.latent.human_losses import TOUCH_M, closed
from xlvla_policy.latent.human_poses import HumanPoses, anatomies, lines, natural, pinch
from xlvla_policy.latent.kinematics import fingertips
from xlvla_policy.latent.losses import OPPOSING, pinches, shared

SEED = 1_000_003
"""Far from any training's."""
CLOSING = 24
"""Frames from rest to a pose."""
RATE_HZ = 60
"""Of gestures."""
LEG_S = 0.8
"""From one pose of a gesture to the next."""
TOUCHING_M = TOUCH_M + 3 * NOISE_M
"""Fingers that touch are no further apart."""
LONG_M = 0.03
"""Longer lines have a direction that counts."""
CLOSED_M = 0.005
"""A robot's pinch that is tighter is closed."""


class Follows(Protocol):
    """One method for one hand; see `xlvla_drivers.teleop.fingers`."""

    def joints(self, keypoints: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Exam:
    """Paths of keypoints [N, T, 21, 3] m as trackers see a right hand, and what is asked of their
    ends.

    Args:
        pinches, poses: paths that end in a pinch, and in any pose.
        finger: [N] index in `FINGERS` of the finger each pinches.
        gestures: paths from pose to pose, without noise.
    """

    pinches: np.ndarray
    poses: np.ndarray
    finger: np.ndarray
    gestures: np.ndarray


@dataclass(frozen=True)
class Marks:
    """How well one hand did in an exam.

    Args:
        touching_mm: by finger, mean distance between thumb and fingertip where the person's touch;
            `closed` is the share of those below `CLOSED_M`.
        near_deg: error of direction of lines to fingers that are nearly pinched.
        line_deg, line_mm: errors of direction and length of long lines in other poses.
        jerk: of fingertips per length of their path, over the person's.
        frame_us: time per frame.
    """

    touching_mm: dict[Finger, float]
    closed: float
    near_deg: float
    line_deg: float
    line_mm: float
    jerk: float
    frame_us: float


def exam(each: int = 24, gestures: int = 6) -> Exam:
    """`each` pinches of every finger and as many other poses, and `gestures` gestures."""
    generator = Generator().manual_seed(SEED)
    finger = torch.arange(1, 5).repeat_interleave(each)
    count = len(finger)
    meeting = torch.nn.functional.one_hot(finger, 5).bool()
    roots, bones = anatomies(2 * count, generator)
    pinched = pinch(Anatomy(roots[:count], bones[:count]), meeting, generator)
    angles = torch.cat([pinched, natural(count, generator)])
    people = HumanPoses(angles, roots, bones, pinching=torch.cat([finger, 0 * finger]))
    paths = _closing(people, generator)
    return Exam(
        pinches=paths[:count],
        poses=paths[count:],
        finger=finger.numpy(),
        gestures=_gestures(gestures, generator),
    )


def _closing(people: HumanPoses, generator: Generator) -> np.ndarray:
    """Keypoints [N, CLOSING, 21, 3] m from rest to every pose, with a tracker's noise."""
    points = _posed(closing(people.angles), people)
    noise = NOISE_M * torch.randn(points.shape, generator=generator)
    return (points + noise).double().numpy()


def closing(angles: Tensor) -> Tensor:
    """Angles [N, CLOSING, 20] rad from rest to every pose [N, 20] rad."""
    part = _smooth(torch.linspace(0, 1, CLOSING))[:, None]
    return torch.lerp(_rest(len(angles))[:, None], angles[:, None], part)


def _gestures(count: int, generator: Generator) -> np.ndarray:
    """Keypoints [N, T, 21, 3] m of gestures."""
    roots, bones = anatomies(count, generator)
    angles = gesturing(Anatomy(roots, bones), generator)
    people = HumanPoses(_rest(count), roots, bones, pinching=torch.zeros(count))
    return _posed(angles, people).double().numpy()


def gesturing(people: Anatomy, generator: Generator) -> Tensor:
    """Angles [N, T, 20] rad of people [N, 5, 3] from rest through a pinch and two other poses,
    resting in each, and back.
    """
    count = len(people.roots)
    finger = torch.arange(count) % 4 + 1
    meeting = torch.nn.functional.one_hot(finger, 5).bool()
    rest = _rest(count)
    pinched = pinch(people, meeting, generator)
    first = natural(count, generator)
    second = natural(count, generator)
    frames = round(RATE_HZ * LEG_S)
    part = _smooth(torch.linspace(0, 1, frames + 1)[:-1])[:, None]
    legs: list[Tensor] = []
    for start, end in pairwise([rest, pinched, first, second, rest]):
        legs.append(torch.lerp(start[:, None], end[:, None], part))
    return torch.cat(legs, dim=1)


def _posed(angles: Tensor, people: HumanPoses) -> Tensor:
    """Keypoints [N, T, 21, 3] m of people at angles [N, T, 20] rad; in double precision, which jerk
    needs.
    """
    anatomy = Anatomy(people.roots[:, None].double(), people.bones[:, None].double())
    return human.posed(angles.double(), anatomy, torch)


def _rest(count: int) -> Tensor:
    """A relaxed hand [count, 20] rad."""
    thumb = [0.7, 0.7, 0.1, 0.1]
    finger = [0.0, 0.3, 0.4, 0.25]
    return torch.tensor([*thumb, *finger * 4]).expand(count, -1)


def _smooth(t: Tensor) -> Tensor:
    """The part of a minimum-jerk motion that is done at the part t of its time."""
    return 10 * t**3 - 15 * t**4 + 6 * t**5


def mark(
    hand: Hand, side: Side, exam: Exam, answers: Sequence[np.ndarray], frame_us: float
) -> Marks:
    """Marks for a hand's joints [N, J] rad at the ends of `pinches` and `poses`, and [N, T, J]
    along `gestures`; without the last there is no jerk.
    """
    fingers, tips = fingertips(hand, side)
    own = torch.tensor([finger in fingers for finger in OPPOSING])
    person = _ends(exam)
    q = torch.from_numpy(np.concatenate(answers[:2])).float()
    robot = pinches(tips(q), fingers).double()
    length = person.norm(dim=-1)
    reached = robot.norm(dim=-1)

    # [N, 4] which lines count: of a pinch that of its finger, of other poses every long one.
    count = len(exam.finger)
    asked = torch.zeros(len(person), 4, dtype=torch.bool)
    asked[torch.arange(count), torch.from_numpy(exam.finger) - 1] = True
    unpinched = torch.zeros(len(person), 4, dtype=torch.bool)
    unpinched[count:] = True
    touching = asked & own & (length < TOUCHING_M)
    near = asked & own & (length >= TOUCHING_M)
    long = unpinched & own & (length > LONG_M)

    cosine = (person * robot).sum(-1) / (length * reached + 1e-9)
    angle = torch.rad2deg(torch.arccos(cosine.clamp(-1, 1)))
    error_mm = 1e3 * (reached - closed(person).norm(dim=-1)).abs()
    touching_mm: dict[Finger, float] = {}
    for column, finger in enumerate(OPPOSING):
        if finger in fingers:
            distances = reached[touching[:, column], column]
            touching_mm[finger] = float(1e3 * distances.mean())
    return Marks(
        touching_mm=touching_mm,
        closed=float((reached[touching] < CLOSED_M).double().mean()),
        near_deg=float(angle[near].mean()),
        line_deg=float(angle[long].mean()),
        line_mm=float(error_mm[long].mean()),
        jerk=_jerk_ratio(hand, side, exam, answers[2:]),
        frame_us=frame_us,
    )


def limits(hand: Hand, side: Side, exam: Exam) -> Marks:
    """Marks of joints that are optimised for each pose on its own, without any continuity: no
    method can do better on all of them.
    """
    body = embodiment(hand, side)
    mask = shared(FINGERS, body.fingers)
    wanted = closed(_ends(exam)).float()
    count = len(exam.finger)
    pinching = torch.nn.functional.one_hot(torch.from_numpy(exam.finger) - 1, 4)
    pinched = nearest(body, wanted[:count], pinching * mask)
    posed = nearest(body, wanted[count:], mask.expand(count, -1))
    return mark(hand, side, exam, [pinched.numpy(), posed.numpy()], float("nan"))


def _ends(exam: Exam) -> Tensor:
    """Lines [N, 4, 3] m of the poses at the ends of `pinches`, then of `poses`."""
    ends = np.concatenate([exam.pinches[:, -1], exam.poses[:, -1]])
    return lines(torch.from_numpy(human.normalised("right", ends)))


def _jerk_ratio(hand: Hand, side: Side, exam: Exam, along: Sequence[np.ndarray]) -> float:
    """Jerk of fingertips along gestures over the person's."""
    if not along:
        return float("nan")
    q = torch.from_numpy(along[0]).double()
    tips = fingertips(hand, side)[1].double()
    robot = tips(q.flatten(0, 1)).unflatten(0, q.shape[:2])
    keypoints = torch.from_numpy(human.normalised("right", exam.gestures))
    person = keypoints[..., [human.TIPS[finger] for finger in FINGERS], :]
    return _jerk(robot) / _jerk(person)


def _jerk(tips: Tensor) -> float:
    """Mean third difference of paths [N, T, F, 3] over the mean length of a step."""
    jerk = tips.diff(n=3, dim=1).norm(dim=-1).mean()
    step = tips.diff(dim=1).norm(dim=-1).mean()
    return float(jerk / step)
