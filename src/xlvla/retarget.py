"""A recorded path of one arm and hand, moved to another arm and hand.

The hand goes through the latent, and is smoothed in time. The arm then keeps the wrist's rotation
and the weighted pinch midpoint, the place between thumb and fingers where things are held, by
inverse kinematics (as the paper's released code does).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.inverse_kinematics import IkResult
from xlvla.kinematics import Kinematics
from xlvla.rig import Rig
from xlvla.robot import rig_description
from xlvla.smooth import smoothed
from xlvla.types import Finger, Side, scoped

REACH = 12.0
"""A finger's weight is exp(-REACH |d|), d [m] from thumb tip to fingertip (paper, section 3)."""
FOLLOWS_M = 1e-3
FOLLOWS_RAD = 5e-3
"""A frame whose inverse kinematics leaves more than this is out of reach."""
ARM_SPEED = 0.5
HAND_SPEED = 1.0
"""Share of the joints' velocity limits that a path may use from one frame to the next."""


class Limb:
    """One side of a rig: where flange and fingertips are, everything in the rig's world."""

    def __init__(self, rig: Rig, side: Side):
        self.side: Side = side
        self.arm = rig.arm(side)
        self.hand = rig.hand(side)
        self.fingers: tuple[Finger, ...] = tuple(self.hand.tips)
        description = rig_description(rig)
        self.arm_kinematics = Kinematics(description, rig.joint_names(side, "arm"))
        self._kinematics = Kinematics(
            description, [*rig.joint_names(side, "arm"), *rig.joint_names(side, "hand")]
        )
        self.flange = scoped(side, "arm", self.arm.flange)
        self._tips = [scoped(side, "hand", link) for link in self.hand.tip_links(side).values()]

    def fk(self, arm: np.ndarray, hand: np.ndarray) -> tuple[np.ndarray, dict[Finger, np.ndarray]]:
        """Pose of the flange [4, 4], and fingertips [3] m, at arm [N] and hand [J] rad."""
        frames = self._kinematics.fk(np.concatenate([arm, hand]), [self.flange, *self._tips])
        tips: dict[Finger, np.ndarray] = {
            finger: frames[link][:3, 3]
            for finger, link in zip(self.fingers, self._tips, strict=True)
        }
        return frames[self.flange], tips


@dataclass(frozen=True)
class Moved:
    """A path of F frames on the target, and by how much each misses the source's.

    Args:
        arm: [F, N] rad.
        hand: [F, J] rad.
        position: [F] m between the pinch midpoints.
        rotation: [F] rad between the wrists.
        apart: [F] rad by which the arm's joint that differs most is from the source's; empty on
            another arm.
        held: [F] the arm cannot get there, and stays where it was.
        slowed: [F] the arm or hand was not allowed to step as far as it had to.
    """

    arm: np.ndarray
    hand: np.ndarray
    position: np.ndarray
    rotation: np.ndarray
    apart: np.ndarray
    held: np.ndarray
    slowed: np.ndarray


@dataclass(frozen=True)
class Retargeter:
    """Moves paths from one limb to another of the same side."""

    source: Limb
    target: Limb
    codec: Codec

    def __call__(self, arm: np.ndarray, hand: np.ndarray, rate_hz: float) -> Moved:
        """A path [F, N], [F, J] rad of the source on the target, which never jumps and stays within
        its limits.

        Raises:
            XlvlaError: the first frame is out of the target's reach, or the path is empty or not
                all numbers.
        """
        finite = np.isfinite(arm).all() and np.isfinite(hand).all()
        if len(arm) == 0 or not finite:
            raise XlvlaError(
                f"the path of the {self.source.side} side has no frames or numbers that are not "
                "finite: record it again"
            )
        hands, hand_slowed = self._hands(hand, rate_hz)
        step = ARM_SPEED * self.target.arm_kinematics.velocity / rate_hz
        arms = [self._first(arm[0], hand[0], hands[0])]
        held = [False]
        slowed = [False]
        for frame in range(1, len(arm)):
            last = arms[-1]
            goal = self._goal(arm[frame], hand[frame], hands[frame])
            posture = self._posture(arm[frame], last)
            # From the source's own configuration, so that nothing drifts away from it.
            solution = self._solve(goal, posture, posture)
            if solution is None and posture is not last:
                solution = self._solve(goal, last, posture)
            following = last if solution is None else limited(last, solution, step)
            held.append(solution is None)
            slowed.append(solution is not None and following is not solution)
            arms.append(following)
        apart = np.zeros(0)
        if self.source.arm == self.target.arm:
            apart = np.abs(np.array(arms) - arm).max(axis=1)
        errors = [self._errors(*rows) for rows in zip(arm, hand, arms, hands, strict=True)]
        return Moved(
            arm=np.array(arms),
            hand=hands,
            position=np.array([position for position, _ in errors]),
            rotation=np.array([rotation for _, rotation in errors]),
            apart=apart,
            held=np.array(held),
            slowed=np.array(slowed) | hand_slowed,
        )

    def _hands(self, hand: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
        """The target hand's path [F, J] rad, and where it had to be slowed [F]."""
        target = self.target.hand
        side = self.target.side
        lower, upper = target.command_range(side)
        wanted = np.clip(self._fingers(hand, rate_hz), lower, upper).astype(float)
        step = HAND_SPEED * target.limits(side).velocity / rate_hz
        rows = [wanted[0]]
        for row in wanted[1:]:
            rows.append(limited(rows[-1], row, step))
        path = np.array(rows)
        return path, (path != wanted).any(axis=1)

    def _fingers(self, hand: np.ndarray, rate_hz: float) -> np.ndarray:
        """The source hand's path [F, J] rad on the target hand; on the same hand it is itself."""
        source = self.source.hand
        target = self.target.hand
        if source == target:
            return hand
        latents = self.codec.encode(source.name, self.target.side, hand)
        return smoothed(self.codec.decode(target.name, self.target.side, latents), rate_hz)

    def _first(self, arm: np.ndarray, source_hand: np.ndarray, hand: np.ndarray) -> np.ndarray:
        """The arm's first configuration [N] rad: the nearest, or one sought from elsewhere."""
        goal = self._goal(arm, source_hand, hand)
        kinematics = self.target.arm_kinematics
        near = self._posture(arm, (kinematics.lower + kinematics.upper) / 2)
        solution = self._solve(goal, near, near)
        if solution is not None:
            return solution
        found = kinematics.reach(self.target.flange, goal, near)
        if _follows(found):
            return found.q
        best = found.position_error
        raise XlvlaError(
            f"the {self.target.side} {self.target.arm.name} with {self.target.hand.name} cannot "
            f"begin where the {self.source.hand.name} does: {1000 * best:.0f} mm are left; move "
            "its base or choose another arm"
        )

    def _posture(self, arm: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
        """Where redundancy draws the target: to the source's own configuration, if it is the same
        arm.
        """
        return arm if self.source.arm == self.target.arm else otherwise

    def _goal(self, arm: np.ndarray, source_hand: np.ndarray, hand: np.ndarray) -> np.ndarray:
        """Pose [4, 4] of the target's flange: rotated like the source's, where the midpoints
        meet.
        """
        flange, midpoint, weights = self._pinch(arm, source_hand)
        still, tips = self.target.fk(np.zeros(len(self.target.arm_kinematics.joints)), hand)
        offset = still[:3, :3].T @ (pinch_midpoint(tips, weights) - still[:3, 3])
        goal = flange.copy()
        goal[:3, 3] = midpoint - flange[:3, :3] @ offset
        return goal

    def _pinch(
        self, arm: np.ndarray, hand: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, dict[Finger, float]]:
        """Flange [4, 4], midpoint [3] m and the fingers' weights of the source."""
        flange, tips = self.source.fk(arm, hand)
        weights = pinch_weights(tips, self.target.fingers)
        return flange, pinch_midpoint(tips, weights), weights

    def _solve(self, goal: np.ndarray, start: np.ndarray, posture: np.ndarray) -> np.ndarray | None:
        """A configuration [N] rad near `start` that reaches the goal, or None."""
        result = self.target.arm_kinematics.ik(self.target.flange, goal, start, posture=posture)
        return result.q if _follows(result) else None

    def _errors(
        self, arm: np.ndarray, source_hand: np.ndarray, target_arm: np.ndarray, hand: np.ndarray
    ) -> tuple[float, float]:
        """How far the target's pinch midpoint [m] and wrist [rad] are from the source's."""
        flange, midpoint, weights = self._pinch(arm, source_hand)
        target_flange, tips = self.target.fk(target_arm, hand)
        position = np.linalg.norm(pinch_midpoint(tips, weights) - midpoint)
        rotation = np.linalg.norm(pin.log3(flange[:3, :3].T @ target_flange[:3, :3]))
        return float(position), float(rotation)


def _follows(result: IkResult) -> bool:
    return result.position_error < FOLLOWS_M and result.rotation_error < FOLLOWS_RAD


def pinch_weights(tips: dict[Finger, np.ndarray], others: Sequence[Finger]) -> dict[Finger, float]:
    """How near each finger's tip [3] m is to the thumb's, summing to 1, over the fingers that
    `others` has too.
    """
    shared: list[Finger] = [finger for finger in others if finger != "thumb" and finger in tips]
    distances = [float(np.linalg.norm(tips[finger] - tips["thumb"])) for finger in shared]
    nearness = np.exp([-REACH * distance for distance in distances])
    weights = (nearness / nearness.sum()).tolist()
    return dict(zip(shared, weights, strict=True))


def pinch_midpoint(tips: dict[Finger, np.ndarray], weights: dict[Finger, float]) -> np.ndarray:
    """The weighted mean [3] m of the points halfway from thumb tip to fingertip."""
    midpoint = np.zeros(3)
    for finger, weight in weights.items():
        midpoint = midpoint + weight * (tips["thumb"] + tips[finger]) / 2
    return midpoint


def limited(q: np.ndarray, wanted: np.ndarray, step: np.ndarray) -> np.ndarray:
    """`wanted` [N] itself, or as far on the straight way there from q as no joint moves more than
    its step.
    """
    share = np.max(np.abs(wanted - q) / step)
    return wanted if share <= 1 else q + (wanted - q) / share


def spans(frames: Sequence[int]) -> str:
    """Runs of frames in ascending order.

    >>> spans([3, 4, 5, 9])
    '3-5, 9'
    """
    starts = [frame for frame in frames if frame - 1 not in frames]
    ends = [frame for frame in frames if frame + 1 not in frames]
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in zip(starts, ends, strict=True))
