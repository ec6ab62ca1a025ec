"""One side of a robot follows one side of the operator: from what a source saw to where every joint
should be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from xlvla import human
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.types import Side
from xlvla.urdf import placed
from xlvla_drivers.teleop.clutch import Clutch, jumped, turned
from xlvla_drivers.teleop.fingers import Fingers
from xlvla_drivers.teleop.operator import SILENCE_S, TrackedSide
from xlvla_drivers.teleop.smoothing import FINGERS, LEADER, Smooth, SmoothPose
from xlvla_drivers.teleop.wrist import WristIk

JOIN_S = 1.0
"""Fingers that are elsewhere than the operator's when the clutch is closed take so long to join
them.
"""

NEAR_RAD = 0.8
JOIN_RAD_S = 0.4
"""How far from its leader an arm may begin, and how fast it joins it."""

SPEED_S = 0.015
"""Time constant of the speed by which a target is thought to go on."""

LEASH_RAD = 0.35
"""How far ahead of the robot a joint may be told to go: what is held back must not jump once it is
released.
"""

FAR_M = 0.25
FAR_RAD = 1.2
FAR_S = 0.5
"""An arm that is so far from where the operator wants it for so long does not follow: it is held,
or out of reach.
"""

SHORTEST_STEP_S = 0.002
LONGEST_STEP_S = 0.05


@dataclass(frozen=True)
class Goal:
    """Where the joints [N] of arm and hand should be [rad], and how they go on [rad/s]."""

    position: np.ndarray
    velocity: np.ndarray


class Follower:
    """Follows while the clutch is closed; whatever is not sound opens it, and only the operator
    closes it again.

    Args:
        fingers: how the operator's fingers become the hand's.

    Attributes:
        follows: the clutch is closed.
        why: the reason why it is not, for people.
        goal: where the side should be; None until the clutch is closed.
        raw, seen: what was tracked last, keypoints in the hand frame, as it came and smoothed; None
            while it is not.
    """

    def __init__(self, rig: Rig, side: Side, fingers: Fingers):
        self.side: Side = side
        self.fingers = fingers
        arm = rig.arm(side)
        station = rig.sides[side].arm
        self._joints = arm.joints
        self._split = len(arm.joints)
        self._base = placed(station.xyz, station.rpy)
        self._ik = WristIk(arm, np.array(list(rig.home(side).values())), rig.motion.speed_scale)
        assert rig.teleop is not None
        self._turn = turned(rig.teleop.turn_deg)
        self._scale = rig.teleop.scale
        arm_limits = arm.limits
        hand = rig.hand(side)
        hand_lower, hand_upper = hand.command_range(side)
        self._lower = np.concatenate([arm_limits.lower, hand_lower])
        self._upper = np.concatenate([arm_limits.upper, hand_upper])
        self._speed = (
            np.concatenate([arm_limits.velocity, hand.limits(side).velocity])
            * rig.motion.speed_scale
        )
        self._smooth_wrist = SmoothPose()
        self._smooth_fingers = Smooth(FINGERS)
        self._smooth_leader = Smooth(LEADER)
        self.follows = False
        self.why = "not seen yet"
        self.seen: TrackedSide | None = None
        self.raw: TrackedSide | None = None
        self._seen_s = self._stamp_s = self._near_s = -math.inf
        self._clutch: Clutch | None = None
        self._robot: np.ndarray | None = None
        self.goal: Goal | None = None

    @property
    def tracked(self) -> bool:
        return self.seen is not None

    def see(self, tracked: TrackedSide, now_s: float, stamp_s: float | None) -> None:
        """Takes in what a source saw; what cannot be opens the clutch."""
        stamp_s = now_s if stamp_s is None else stamp_s
        dt = stamp_s - self._stamp_s
        try:
            tracked = self._believed(tracked, max(dt, 0.0))
        except XlvlaError as error:
            self.lose(str(error))
            return
        if not self.tracked:
            self.why = (
                self.why.replace("lost:", "open: was lost,")
                if self.why.startswith("lost")
                else "open"
            )
        self.raw = tracked
        self.seen = self._smoothed(tracked, dt)
        self._seen_s = now_s
        self._stamp_s = stamp_s
        if self.follows and dt > 0:
            self._advance(self.seen, min(max(dt, SHORTEST_STEP_S), LONGEST_STEP_S))

    def _believed(self, tracked: TrackedSide, dt: float) -> TrackedSide:
        """What was seen, keypoints in the hand frame; XlvlaError where that is nobody's hand."""
        if not tracked.sound:
            raise XlvlaError("the tracker gave no finite pose")
        if tracked.joints is not None and (
            missing := [joint for joint in self._joints if joint not in tracked.joints]
        ):
            raise XlvlaError(f"the leader has no joint '{missing[0]}'")
        before = self.raw.T_world_wrist if self.raw is not None else None
        if (
            before is not None
            and tracked.T_world_wrist is not None
            and jumped(before, tracked.T_world_wrist, dt)
        ):
            raise XlvlaError("the wrist jumped")
        keypoints = (
            None if tracked.keypoints is None else human.aligned(self.side, tracked.keypoints)
        )
        return TrackedSide(tracked.T_world_wrist, keypoints, tracked.joints)

    def _smoothed(self, tracked: TrackedSide, dt: float) -> TrackedSide:
        wrist = (
            None if tracked.T_world_wrist is None else self._smooth_wrist(tracked.T_world_wrist, dt)
        )
        keypoints = (
            None if tracked.keypoints is None else self._smooth_fingers(tracked.keypoints, dt)
        )
        angles = None
        if tracked.joints is not None:
            smooth = self._smooth_leader(
                np.array([[tracked.joints[joint]] for joint in self._joints]), dt
            )
            angles = dict(zip(self._joints, smooth[:, 0].tolist(), strict=True))
        return TrackedSide(wrist, keypoints, angles)

    def lose(self, why: str) -> None:
        """The operator is no longer seen, or not to be believed."""
        self.seen = self.raw = None
        for smooth in (self._smooth_wrist, self._smooth_fingers, self._smooth_leader):
            smooth.reset()
        self.open(f"lost: {why}")

    def open(self, why: str = "open") -> None:
        """The robot stays; the goal is where it was, at rest."""
        self.follows = False
        self.why = why
        self._clutch = None
        if self.goal is not None:
            self.goal = Goal(self.goal.position, np.zeros_like(self.goal.position))

    def forget(self, why: str) -> None:
        """Opens, and no longer knows where the robot should be."""
        self.open(why)
        self.goal = None

    def close(self, here: np.ndarray, now_s: float) -> None:
        """Follows from here on: `here` [N] rad is what the robot was told last, or where it is.
        XlvlaError where it cannot.
        """
        if self.seen is None:
            raise XlvlaError(f"{self.side}: {self.why}")
        arm = here[: self._split]
        T_base_flange = self._ik.begin(arm)
        if self.seen.T_world_wrist is not None:
            self._clutch = Clutch(
                self.seen.T_world_wrist, self._base @ T_base_flange, self._turn, self._scale
            )
        self._hand = here[self._split :].copy()
        self._joined_s = 0.0
        self._wanted = arm.copy()
        self._behind = self._gap(arm, self.seen)
        self.goal = Goal(here.copy(), np.zeros(len(here)))
        self.follows = True
        self.why = ""
        self._near_s = now_s
        self._robot = None

    def _gap(self, arm: np.ndarray, seen: TrackedSide) -> np.ndarray:
        """How far [J] rad an arm is from a leader, which must be near: it does not travel on its
        own to where that is.
        """
        if seen.joints is None:
            return np.zeros(self._split)
        gap = arm - self._leader(seen)
        if np.abs(gap).max() > NEAR_RAD:
            far = int(np.argmax(np.abs(gap)))
            ends = (
                f"the leader's {self._joints[far]} is at {arm[far] - gap[far]:.2f} rad, the "
                f"robot's at {arm[far]:.2f}"
            )
            raise XlvlaError(
                f"{self.side}: {ends}: bring the leader to within {NEAR_RAD:g} rad of the robot "
                "first"
            )
        return gap

    def expire(self, now_s: float) -> None:
        """Notices silence."""
        if self.tracked and now_s - self._seen_s > SILENCE_S:
            self.lose(f"not seen for {1e3 * (now_s - self._seen_s):.0f} ms")

    def compare(self, here: np.ndarray | None, now_s: float) -> None:
        """Takes in where the robot [N] rad is told to be now, or is; one that stays far behind is
        disengaged.
        """
        if not self.follows:
            return
        if here is not None:
            self._robot = here[: self._split].copy()
        if self._near():
            self._near_s = now_s
        elif now_s - self._near_s > FAR_S:
            self.open(
                f"open: the arm is far from the operator's for {FAR_S:g} s: held back, or out of "
                "reach"
            )

    def _near(self) -> bool:
        if self._clutch is None:
            return self._robot is None or bool(
                (np.abs(self._wanted - self._robot) < 2 * LEASH_RAD).all()
            )
        return self._ik.short < FAR_M and self._ik.askew < FAR_RAD

    def ahead(self, frames: int, rate_hz: float) -> np.ndarray:
        """The next frames [T, N] rad of where the side should be, should the operator go on as
        now.
        """
        assert self.goal is not None
        passed = np.arange(1, frames + 1)[:, None] / rate_hz
        return np.clip(self.goal.position + passed * self.goal.velocity, self._lower, self._upper)

    def _advance(self, seen: TrackedSide, dt: float) -> None:
        assert self.goal is not None
        before = self.goal
        position = np.concatenate(
            [self._arm(seen, before.position[: self._split], dt), self._fingers(seen, dt)]
        )
        velocity = np.clip((position - before.position) / dt, -self._speed, self._speed)
        velocity = before.velocity - np.expm1(-dt / SPEED_S) * (velocity - before.velocity)
        self.goal = Goal(position, velocity)

    def _arm(self, seen: TrackedSide, before: np.ndarray, dt: float) -> np.ndarray:
        if seen.joints is not None:
            self._behind = self._behind - np.clip(self._behind, -JOIN_RAD_S * dt, JOIN_RAD_S * dt)
            self._wanted = np.clip(
                self._leader(seen) + self._behind, self._ik.lower, self._ik.upper
            )
            return np.clip(self._wanted, *self._leash)
        if self._clutch is None or seen.T_world_wrist is None:
            return before
        target = self._clutch.target(seen.T_world_wrist)
        return self._ik.step(np.linalg.inv(self._base) @ target, dt, self._leash)

    @property
    def _leash(self) -> tuple[np.ndarray, np.ndarray]:
        """Between which angles [J] rad the arm's goal may be: near the robot, where it is known
        where that is.
        """
        if self._robot is None:
            return self._ik.lower, self._ik.upper
        return self._robot - LEASH_RAD, self._robot + LEASH_RAD

    def _fingers(self, seen: TrackedSide, dt: float) -> np.ndarray:
        if seen.keypoints is None:
            return self._hand
        self._joined_s += dt
        share = min(self._joined_s / JOIN_S, 1.0)
        share = share * share * (3 - 2 * share)
        return self._hand + share * (self.fingers.joints(seen.keypoints) - self._hand)

    def _leader(self, seen: TrackedSide) -> np.ndarray:
        assert seen.joints is not None
        return np.array([seen.joints[joint] for joint in self._joints])

    @property
    def strained(self) -> bool:
        """The flange is not where the operator wants it: out of reach, or faster than the arm."""
        return self.follows and self._clutch is not None and not self._ik.reached
