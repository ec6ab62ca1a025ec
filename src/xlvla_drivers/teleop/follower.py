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
"""How long fingers that are elsewhere than the operator's take to join them, when the clutch is
closed or they are seen again.
"""

NEAR_RAD = 0.8
"""How far from its leader an arm may begin."""

JOIN_RAD_S = 0.4
"""How fast an arm joins its leader."""

SPEED_S = 0.015
"""Time constant of the velocity with which a goal goes on."""

LEASH_RAD = 0.35
"""How far ahead of the robot a joint may be commanded: an arm that is held back must not jump once
it is released.
"""

FAR_M = 0.25
FAR_RAD = 1.2
FAR_S = 0.5
"""An arm that is further than this from where the operator wants it, for longer than this, does not
follow: it is held, or out of reach.
"""

SHORTEST_STEP_S = 0.002
LONGEST_STEP_S = 0.05
"""Between these the time between two samples is taken as it is."""


@dataclass(frozen=True)
class Goal:
    """Where the joints [N] of arm and hand should be [rad], and their velocity there [rad/s]."""

    position: np.ndarray
    velocity: np.ndarray


class Follower:
    """Follows while the clutch is closed; whatever is not plausible opens it, and only the operator
    closes it again.

    Args:
        rig: one with teleoperation.
        fingers: how the operator's fingers become the hand's; None where the side has no hand.

    Attributes:
        follows: the clutch is closed.
        why: the reason why it is not, for people.
        goal: where the side should be; None until the clutch is closed.
        raw: what was tracked last, keypoints in the hand frame; None while the side is not tracked.
        seen: the same, smoothed.
    """

    def __init__(self, rig: Rig, side: Side, fingers: Fingers | None):
        self.side: Side = side
        self.fingers = fingers
        arm = rig.arm(side)
        station = rig.sides[side].arm
        self._joints = arm.joints
        # The arm's joints come first, the hand's after them.
        self._split = len(arm.joints)
        self._T_world_base = placed(station.xyz, station.rpy)
        self._T_base_world = np.linalg.inv(self._T_world_base)
        self._ik: WristIk | None = None
        if arm.joints:
            home = np.array(list(rig.home(side).values()))
            self._ik = WristIk(arm, home, rig.motion.speed_scale)
        assert rig.teleop is not None
        self._turn = turned(rig.teleop.turn_deg)
        self._scale = rig.teleop.scale
        arm_limits = arm.limits
        hand = rig.hand(side)
        hand_lower, hand_upper = hand.command_range(side)
        self._lower = np.concatenate([arm_limits.lower, hand_lower])
        self._upper = np.concatenate([arm_limits.upper, hand_upper])
        fastest = np.concatenate([arm_limits.velocity, hand.limits(side).velocity])
        self._speed = fastest * rig.motion.speed_scale
        self._smooth_wrist = SmoothPose()
        self._smooth_fingers = Smooth(FINGERS)
        self._smooth_leader = Smooth(LEADER)
        self.follows = False
        self.why = "not seen yet"
        self.seen: TrackedSide | None = None
        self.raw: TrackedSide | None = None
        self.goal: Goal | None = None
        # When a sample came, its own stamp, and when the arm was last where the operator wants it.
        self._seen_s = -math.inf
        self._stamp_s = -math.inf
        self._near_s = -math.inf
        self._clutch: Clutch | None = None
        # Where the arm is commanded or measured to be [J] rad.
        self._robot: np.ndarray | None = None
        # The hand's joints when the clutch was closed or fingers were seen again [H] rad, and for
        # how long they have been joining the operator's since.
        self._hand = np.zeros(len(self._lower) - self._split)
        self._joined_s = 0.0
        # Of an arm that follows a leader [J] rad: where it should be, and what is left of the gap
        # between both.
        self._wanted = np.zeros(self._split)
        self._behind = np.zeros(self._split)
        # Whole turns [J] rad by which a leader's joints are read apart from the robot's.
        self._turns = np.zeros(self._split)

    @property
    def tracked(self) -> bool:
        return self.seen is not None

    def see(self, tracked: TrackedSide, now_s: float, stamp_s: float | None) -> None:
        """Follows what a source saw; what cannot be opens the clutch.

        Args:
            now_s: time of arrival.
            stamp_s: the source's own time, by which velocities are computed; None: it has none.
        """
        if stamp_s is None:
            stamp_s = now_s
        dt = stamp_s - self._stamp_s
        try:
            tracked = self._checked(tracked, max(dt, 0.0))
        except XlvlaError as error:
            self.lose(str(error))
            return
        if not self.tracked:
            # It is seen again, but was lost: the operator should know why the clutch is open.
            if self.why.startswith("lost"):
                self.why = self.why.replace("lost:", "open: was lost,")
            else:
                self.why = "open"
        self.raw = tracked
        self.seen = self._smoothed(tracked, dt)
        self._seen_s = now_s
        self._stamp_s = stamp_s
        if self.follows and dt > 0:
            self._advance(self.seen, min(max(dt, SHORTEST_STEP_S), LONGEST_STEP_S))

    def _checked(self, tracked: TrackedSide, dt: float) -> TrackedSide:
        """What was seen, keypoints in the hand frame; XlvlaError where it is not plausible."""
        tracked = self._followed(tracked)
        if not tracked.finite:
            raise XlvlaError("the tracker gave no finite pose")
        if tracked.joints is not None:
            for joint in self._joints:
                if joint not in tracked.joints:
                    raise XlvlaError(f"the leader has no joint '{joint}'")
        wrist = tracked.T_world_wrist
        before = self.raw.T_world_wrist if self.raw is not None else None
        if before is not None and wrist is not None and jumped(before, wrist, dt):
            raise XlvlaError("the wrist jumped")
        keypoints = tracked.keypoints
        if keypoints is not None:
            keypoints = human.aligned(self.side, keypoints)
        return TrackedSide(wrist, keypoints, tracked.joints)

    def _followed(self, tracked: TrackedSide) -> TrackedSide:
        """What was seen, without what a side has no part to follow with."""
        if self._ik is None:
            if tracked.keypoints is None:
                raise XlvlaError("the tracker gave no fingers, and a hand alone follows them only")
            return TrackedSide(keypoints=tracked.keypoints)
        if tracked.T_world_wrist is None and tracked.joints is None:
            raise XlvlaError("the tracker gave no wrist, and an arm follows that")
        if self.fingers is None:
            return TrackedSide(tracked.T_world_wrist, joints=tracked.joints)
        return tracked

    def _smoothed(self, tracked: TrackedSide, dt: float) -> TrackedSide:
        wrist = tracked.T_world_wrist
        if wrist is not None:
            wrist = self._smooth_wrist(wrist, dt)
        keypoints = tracked.keypoints
        if keypoints is not None:
            keypoints = self._smooth_fingers(keypoints, dt)
        joints = tracked.joints
        if joints is not None:
            angles = np.array([[joints[joint]] for joint in self._joints])
            smooth = self._smooth_leader(angles, dt)
            joints = dict(zip(self._joints, smooth[:, 0].tolist(), strict=True))
        return TrackedSide(wrist, keypoints, joints)

    def lose(self, why: str) -> None:
        """The operator is no longer seen, or what is seen is not plausible."""
        self.seen = None
        self.raw = None
        self._smooth_wrist.reset()
        self._smooth_fingers.reset()
        self._smooth_leader.reset()
        self.open(f"lost: {why}")

    def open(self, why: str = "open") -> None:
        """The robot stays; the goal is where it was, at rest."""
        self.follows = False
        self.why = why
        self._clutch = None
        if self.goal is not None:
            self.goal = Goal(self.goal.position, np.zeros_like(self.goal.position))

    def forget(self, why: str) -> None:
        """Opens, and forgets where the robot should be."""
        self.open(why)
        self.goal = None

    def close(self, here: np.ndarray, now_s: float) -> None:
        """Follows from here on.

        Args:
            here: the robot's last command, or where it is [N] rad.

        Raises:
            XlvlaError: the operator is not tracked, or their leader arm is too far away.
        """
        if self.seen is None:
            raise XlvlaError(f"{self.side}: {self.why}")
        arm = here[: self._split]
        if self._ik:
            T_world_flange = self._T_world_base @ self._ik.begin(arm)
            self._clutch = self._clutch_at(T_world_flange, self.seen)
        self._hand = here[self._split :].copy()
        self._joined_s = 0.0
        self._wanted = arm.copy()
        self._behind = self._gap(arm, self.seen)
        self.goal = Goal(here.copy(), np.zeros(len(here)))
        self.follows = True
        self.why = ""
        self._near_s = now_s
        self._robot = None

    def _clutch_at(self, T_world_flange: np.ndarray, seen: TrackedSide) -> Clutch | None:
        """What ties the flange to the operator's wrist; None where a leader is followed."""
        if seen.T_world_wrist is None:
            return None
        return Clutch(seen.T_world_wrist, T_world_flange, self._turn, self._scale)

    def _gap(self, arm: np.ndarray, seen: TrackedSide) -> np.ndarray:
        """How far [J] rad an arm is from a leader, which must be near: the arm does not go there on
        its own.
        """
        if seen.joints is None:
            return np.zeros(self._split)
        # Servos forget turns while they are switched off: nearest to the robot is what is meant.
        angles = self._angles(seen)
        self._turns = 2 * math.pi * np.round((arm - angles) / (2 * math.pi))
        gap = arm - self._leader(seen)
        if np.abs(gap).max() > NEAR_RAD:
            worst = int(np.argmax(np.abs(gap)))
            leader_rad = arm[worst] - gap[worst]
            raise XlvlaError(
                f"{self.side}: the leader's {self._joints[worst]} is at {leader_rad:.2f} rad, the "
                f"robot's at {arm[worst]:.2f}: bring the leader to within {NEAR_RAD:g} rad of the "
                "robot first"
            )
        return gap

    def expire(self, now_s: float) -> None:
        """Opens the clutch where nothing was seen for too long."""
        silent_s = now_s - self._seen_s
        if self.tracked and silent_s > SILENCE_S:
            self.lose(f"not seen for {1e3 * silent_s:.0f} ms")

    def compare(self, here: np.ndarray | None, now_s: float) -> None:
        """Compares where the robot is commanded or measured to be [N] rad with where the operator
        wants it; a robot that stays far behind is disengaged.
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
        """Whether the arm is where the operator wants it, or it is unknown where it is."""
        if self._clutch is None or self._ik is None:
            if self._robot is None:
                return True
            error = np.abs(self._wanted - self._robot)
            return bool((error < 2 * LEASH_RAD).all())
        return self._ik.short < FAR_M and self._ik.askew < FAR_RAD

    def ahead(self, frames: int, rate_hz: float) -> np.ndarray:
        """The next frames [T, N] rad of where the side should be if the operator goes on as now."""
        assert self.goal is not None
        passed_s = np.arange(1, frames + 1)[:, None] / rate_hz
        positions = self.goal.position + passed_s * self.goal.velocity
        return np.clip(positions, self._lower, self._upper)

    def _advance(self, seen: TrackedSide, dt: float) -> None:
        assert self.goal is not None
        before = self.goal
        arm = self._arm(seen, before.position[: self._split], dt)
        hand = self._fingers(seen, before.position[self._split :], dt)
        position = np.concatenate([arm, hand])
        velocity = np.clip((position - before.position) / dt, -self._speed, self._speed)
        # A low-pass filter of time constant SPEED_S.
        velocity = before.velocity - np.expm1(-dt / SPEED_S) * (velocity - before.velocity)
        self.goal = Goal(position, velocity)

    def _arm(self, seen: TrackedSide, before: np.ndarray, dt: float) -> np.ndarray:
        """Where the arm should be [J] rad."""
        if self._ik is None:
            return before
        leash = self._leash(self._ik)
        if seen.joints is not None:
            most = JOIN_RAD_S * dt
            self._behind = self._behind - np.clip(self._behind, -most, most)
            wanted = self._leader(seen) + self._behind
            self._wanted = np.clip(wanted, self._ik.lower, self._ik.upper)
            return np.clip(self._wanted, *leash)
        if self._clutch is None or seen.T_world_wrist is None:
            return before
        T_world_flange = self._clutch.target(seen.T_world_wrist)
        T_base_flange = self._T_base_world @ T_world_flange
        return self._ik.step(T_base_flange, dt, leash)

    def _leash(self, ik: WristIk) -> tuple[np.ndarray, np.ndarray]:
        """The least and the greatest angles [J] rad of the arm's goal: near the robot, if it is
        known where that is.
        """
        if self._robot is None:
            return ik.lower, ik.upper
        return self._robot - LEASH_RAD, self._robot + LEASH_RAD

    def _fingers(self, seen: TrackedSide, before: np.ndarray, dt: float) -> np.ndarray:
        """Where the hand should be [H] rad: it keeps its grasp while fingers are not seen, and
        joins them anew.
        """
        if seen.keypoints is None or self.fingers is None:
            self._hand = before
            self._joined_s = 0.0
            return before
        self._joined_s += dt
        share = min(self._joined_s / JOIN_S, 1.0)
        share = share * share * (3 - 2 * share)
        wanted = self.fingers.joints(seen.keypoints)
        return self._hand + share * (wanted - self._hand)

    def _leader(self, seen: TrackedSide) -> np.ndarray:
        """Where a leader is [J] rad, its turns those in which the clutch was closed."""
        return self._angles(seen) + self._turns

    def _angles(self, seen: TrackedSide) -> np.ndarray:
        """A leader's angles [J] rad as its source gives them."""
        assert seen.joints is not None
        return np.array([seen.joints[joint] for joint in self._joints])

    @property
    def strained(self) -> bool:
        """The flange is not where the operator wants it: out of reach, or faster than the arm."""
        if self._ik is None or self._clutch is None:
            return False
        return self.follows and not self._ik.reached
