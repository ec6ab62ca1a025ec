"""How well a robot's fingers follow a person's: on people, poses and gestures that nothing was
trained on.

Every pose is closed in `CLOSING` frames from a hand at rest, as a person would, so that a way which
starts from its last frame has one. Sizes are those of a middle-sized hand; a tracker's noise is on
every frame but those of gestures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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
from xlvla_policy.latent.human import NOISE_M, TOUCH_M, closed
from xlvla_policy.latent.human_poses import HumanPoses, anatomies, lines, natural, pinch
from xlvla_policy.latent.kinematics import fingertips
from xlvla_policy.latent.losses import OPPOSING, pinches, shared

SEED = 1_000_003
"""Far from any training's."""
CLOSING = 24
RATE_HZ = 60
LEG_S = 0.8
LEGS = 4
"""Of gestures: frames per second, and how long each of several legs takes from rest to rest."""
TOUCHING_M = TOUCH_M + 3 * NOISE_M
LONG_M = 0.03
"""Fingers that touch are no further apart; lines that are longer have a direction that counts."""
CLOSED_M = 0.005
"""A robot's pinch that is tighter is closed."""


class Follows(Protocol):
    """One way for one hand; see `xlvla_drivers.teleop.fingers`."""

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
    """What became of it.

    Args:
        touching_mm: by finger, mean distance between thumb and fingertip where the person's touch;
            `closed` is the share of those below `CLOSED_M`.
        near_deg: error of direction of lines to fingers that are nearly pinched.
        line_deg, line_mm: errors of direction and length of long lines in other poses.
        jerk: of fingertips per way they went, beside the person's.
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
    """So many pinches of each finger and poses per finger, and gestures."""
    generator = Generator().manual_seed(SEED)
    finger = torch.arange(1, 5).repeat_interleave(each)
    meeting = torch.nn.functional.one_hot(finger, 5).bool()
    roots, bones = anatomies(2 * len(finger), generator)
    pinched = pinch(Anatomy(roots[: len(finger)], bones[: len(finger)]), meeting, generator)
    crowd = HumanPoses(
        torch.cat([pinched, natural(len(finger), generator)]),
        roots,
        bones,
        torch.cat([finger, 0 * finger]),
    )
    paths = _closing(crowd, generator)
    return Exam(
        paths[: len(finger)], paths[len(finger) :], finger.numpy(), _gestures(gestures, generator)
    )


def _closing(crowd: HumanPoses, generator: Generator) -> np.ndarray:
    """From rest to every pose, with a tracker's noise."""
    part = _smooth(torch.linspace(0, 1, CLOSING))[:, None]
    angles = torch.lerp(_rest(len(crowd))[:, None], crowd.angles[:, None], part)
    points = _posed(angles, crowd)
    return (points + NOISE_M * torch.randn(points.shape, generator=generator)).double().numpy()


def _gestures(count: int, generator: Generator) -> np.ndarray:
    """From rest through pinches and other poses, resting in each, and back."""
    roots, bones = anatomies(count, generator)
    meeting = torch.nn.functional.one_hot(torch.arange(count) % 4 + 1, 5).bool()
    stops = [
        _rest(count),
        pinch(Anatomy(roots, bones), meeting, generator),
        natural(count, generator),
        natural(count, generator),
    ]
    part = _smooth(torch.linspace(0, 1, round(RATE_HZ * LEG_S) + 1)[:-1])[:, None]
    legs = [
        torch.lerp(a[:, None], b[:, None], part)
        for a, b in zip(stops, [*stops[1:], stops[0]], strict=True)
    ]
    return (
        _posed(torch.cat(legs, dim=1), HumanPoses(stops[0], roots, bones, torch.zeros(count)))
        .double()
        .numpy()
    )


def _posed(angles: Tensor, people: HumanPoses) -> Tensor:
    """Keypoints [N, T, 21, 3] m of people at angles [N, T, 20] rad; in double precision, which jerk
    needs.
    """
    return human.posed(
        angles.double(),
        Anatomy(people.roots[:, None].double(), people.bones[:, None].double()),
        torch,
    )


def _rest(count: int) -> Tensor:
    """A relaxed hand."""
    return torch.tensor([0.7, 0.7, 0.1, 0.1, *[0.0, 0.3, 0.4, 0.25] * 4]).expand(count, -1)


def _smooth(t: Tensor) -> Tensor:
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
    robot = pinches(tips(torch.from_numpy(np.concatenate(answers[:2])).float()), fingers).double()
    length = person.norm(dim=-1)
    reached = robot.norm(dim=-1)
    asked = torch.zeros(len(person), 4, dtype=torch.bool)
    free = torch.zeros(len(person), 4, dtype=torch.bool)
    asked[torch.arange(len(exam.finger)), torch.from_numpy(exam.finger) - 1] = True
    free[len(exam.finger) :] = True
    touching = asked & own & (length < TOUCHING_M)
    near = asked & own & (length >= TOUCHING_M)
    every = free & own & (length > LONG_M)
    angle = torch.rad2deg(
        torch.arccos(((person * robot).sum(-1) / (length * reached + 1e-9)).clamp(-1, 1))
    )
    missed = 1e3 * (reached - closed(person).norm(dim=-1)).abs()
    near_mm = 1e3 * torch.stack([reached[touching[:, k], k].mean() for k in range(len(OPPOSING))])
    by_finger: dict[Finger, float] = {
        finger: float(near_mm[k]) for k, finger in enumerate(OPPOSING) if finger in fingers
    }
    shares = float((reached[touching] < CLOSED_M).double().mean())
    degrees = float(angle[near].mean()), float(angle[every].mean())
    return Marks(
        by_finger,
        shares,
        *degrees,
        float(missed[every].mean()),
        _roughness(hand, side, exam, answers[2:]),
        frame_us,
    )


def limits(hand: Hand, side: Side, exam: Exam) -> Marks:
    """Marks of joints that are optimised for each pose on its own, without any continuity: no way
    can do better on all of them.
    """
    body = embodiment(hand, side)
    mask = shared(FINGERS, body.fingers)
    wanted = closed(_ends(exam)).float()
    count = len(exam.finger)
    one = torch.nn.functional.one_hot(torch.from_numpy(exam.finger) - 1, 4) * mask
    answers = [
        nearest(body, wanted[:count], one),
        nearest(body, wanted[count:], mask.expand(count, -1)),
    ]
    return mark(hand, side, exam, [q.numpy() for q in answers], float("nan"))


def _ends(exam: Exam) -> Tensor:
    """Lines [N, 4, 3] m of the poses at the ends of `pinches`, then of `poses`."""
    return lines(
        torch.from_numpy(
            human.normalised("right", np.concatenate([exam.pinches[:, -1], exam.poses[:, -1]]))
        )
    )


def _roughness(hand: Hand, side: Side, exam: Exam, along: Sequence[np.ndarray]) -> float:
    """Jerk of fingertips along gestures beside the person's."""
    if not along:
        return float("nan")
    q = torch.from_numpy(along[0]).double()
    tips = fingertips(hand, side)[1].double()
    theirs = torch.from_numpy(human.normalised("right", exam.gestures))[
        ..., [human.TIPS[finger] for finger in FINGERS], :
    ]
    return _jerk(tips(q.flatten(0, 1)).unflatten(0, q.shape[:2])) / _jerk(theirs)


def _jerk(tips: Tensor) -> float:
    """Mean third difference of paths [N, T, F, 3] over the mean length of a step."""
    return float(tips.diff(n=3, dim=1).norm(dim=-1).mean() / tips.diff(dim=1).norm(dim=-1).mean())
