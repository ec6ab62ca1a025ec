"""Forward kinematics and differential inverse kinematics of a URDF through pinocchio, with
couplings.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Sequence

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla import urdf
from xlvla.errors import unknown
from xlvla.hand import Hand
from xlvla.inverse_kinematics import IkResult, LinkIk, Manner, MovingLink
from xlvla.types import Finger, Side

NEAR_STEP = 0.2
NEAR_DRIFT = 0.05
"""Of `Kinematics.ik`: a joint's longest step [rad], and the share of the way to the posture that
redundancy goes in it.
"""

FAR_STEP = 0.5
FAR_DRIFT = 0.3
FAR_ITERATIONS = 15
"""Of `Kinematics.reach`: from a good start more steps are seldom needed, and another start is
better than they are.
"""


class Kinematics:
    """Kinematics of one robot in a chosen order of its joints.

    Coupled joints follow their master, so callers only know the commanded joints.

    Args:
        robot: its URDF.
        joints: names of the N commanded joints, the order of every `q`; free joints not named stay
            at zero.

    Attributes:
        spread: matrix [nq, N] of the change of every joint of the model per change of a commanded
            one.
    """

    def __init__(self, robot: urdf.Urdf, joints: Sequence[str]):
        description = robot.description
        self.joints = tuple(joints)
        self.model: pin.Model = pin.buildModelFromXML(_bounded(robot))
        self.data: pin.Data = self.model.createData()
        named = [description.joint(name) for name in self.joints]
        self.lower = np.array([joint.lower for joint in named])
        self.upper = np.array([joint.upper for joint in named])
        self.velocity = np.array([joint.velocity for joint in named])
        self.spread, self._offset = self._coupling(description)
        self._inverse: dict[str, LinkIk] = {}

    def fk(self, q: np.ndarray, frames: Sequence[str]) -> dict[str, np.ndarray]:
        """Poses [4, 4] of the named links in the root's frame at q [N]."""
        pin.framesForwardKinematics(self.model, self.data, self.full(q))
        return {frame: self.data.oMf[self.frame(frame)].homogeneous for frame in frames}

    def jacobian(self, q: np.ndarray, frame: str) -> np.ndarray:
        """Jacobian [6, N] of a link's frame, linear then angular, along the root's axes."""
        full = pin.computeFrameJacobian(
            self.model, self.data, self.full(q), self.frame(frame), pin.LOCAL_WORLD_ALIGNED
        )
        return full @ self.spread

    def gravity(self, q: np.ndarray) -> np.ndarray:
        """Torques [N] Nm that hold the robot up at q [N], its root upright."""
        torques = pin.computeGeneralizedGravity(self.model, self.data, self.full(q))
        return torques @ self.spread

    def frame(self, link: str) -> int:
        """pinocchio's id of a link's frame."""
        if not self.model.existFrame(link, pin.FrameType.BODY):
            known = [frame.name for frame in self.model.frames if frame.type == pin.FrameType.BODY]
            raise unknown("link", link, known)
        return self.model.getFrameId(link, pin.FrameType.BODY)

    def ik(
        self,
        frame: str,
        T_root_target: np.ndarray,
        q0: np.ndarray,
        *,
        posture: np.ndarray | None = None,
        iterations: int = 100,
        tolerance_m: float = 1e-4,
        tolerance_rad: float = 1e-3,
    ) -> IkResult:
        """The configuration that brings a link to a pose [4, 4], from q0 [N] on, inside the joint
        limits: what follows a path from there to there stays on its side of every singularity.

        Damped least squares; redundancy is spent on staying near `posture` (q0 where None).
        """
        manner = Manner(iterations, NEAR_STEP, NEAR_DRIFT, tolerance_m, tolerance_rad)
        rest = q0 if posture is None else posture
        return self._ik_of(frame).near(T_root_target, q0, rest, manner)

    def reach(
        self,
        frame: str,
        T_root_target: np.ndarray,
        posture: np.ndarray,
        *,
        tolerance_m: float = 1e-4,
        tolerance_rad: float = 1e-3,
    ) -> IkResult:
        """A configuration that brings a link to a pose [4, 4], wherever in its range, inside the
        joint limits; of those that do, one near `posture` [N].

        For the beginning of a path; two poses side by side may be reached on different sides of a
        singularity. The first call for a link takes some tens of milliseconds more.
        """
        manner = Manner(FAR_ITERATIONS, FAR_STEP, FAR_DRIFT, tolerance_m, tolerance_rad)
        return self._ik_of(frame).anywhere(T_root_target, posture, manner)

    def moving(self, link: str) -> MovingLink:
        """A link, for loops that ask where it is and how it moves."""
        return MovingLink(self.model, self.data, self.frame(link), self.spread, self._offset)

    def _ik_of(self, link: str) -> LinkIk:
        if link not in self._inverse:
            self._inverse[link] = LinkIk(self.moving(link), self.lower, self.upper)
        return self._inverse[link]

    def reach_position(
        self,
        frame: str,
        T_root_target: np.ndarray,
        q0: np.ndarray,
        *,
        posture: np.ndarray,
        iterations: int = 100,
        tolerance_m: float = 1e-4,
        tolerance_rad: float = 1e-3,
    ) -> IkResult:
        """The configuration near q0 [N] that brings a link to the position of a pose [4, 4], or as
        near as it gets, turned as much like it as the joint limits allow; `ok` when both are within
        tolerance.

        The position is the first task, the rotation the second in its null space (Nakamura,
        Hanafusa, Yoshikawa 1987), staying near `posture` [N] the third. A joint that a step would
        take out of its limits keeps still in that step.
        """
        link = self.moving(frame)
        q = np.clip(q0, self.lower, self.upper)
        link.move(q)
        error = link.left(T_root_target)
        for _ in range(iterations):
            if _within(error, tolerance_m, tolerance_rad):
                break
            before = error
            step = self._reach_step(q, link.jacobian(), error, posture - q)
            q = np.clip(q + step, self.lower, self.upper)
            link.move(q)
            error = link.left(T_root_target)
            if _within(np.abs(error - before), tolerance_m, tolerance_rad):
                break
        position = float(np.linalg.norm(error[:3]))
        rotation = float(np.linalg.norm(error[3:]))
        return IkResult(q, position, rotation, _within(error, tolerance_m, tolerance_rad))

    def _reach_step(
        self,
        q: np.ndarray,
        jacobian: np.ndarray,
        error: np.ndarray,
        rest: np.ndarray,
        *,
        step: float = 0.2,
    ) -> np.ndarray:
        """One step [N] of `reach_position` against a pose error [6], at most `step` rad a joint."""
        free = np.ones(len(q), dtype=bool)
        dq = _prioritised(jacobian, error, rest)
        blocked = self._blocked(q, dq)
        while (blocked & free).any():
            free &= ~blocked
            dq = _prioritised(jacobian * free, error, rest * free)
            blocked = self._blocked(q, dq)
        return dq * min(1.0, step / max(float(np.abs(dq).max()), 1e-9))

    def _blocked(self, q: np.ndarray, dq: np.ndarray) -> np.ndarray:
        """Which joints [N] are at a limit that a step would take them beyond."""
        below = (q <= self.lower) & (dq < 0)
        above = (q >= self.upper) & (dq > 0)
        return below | above

    def full(self, q: np.ndarray) -> np.ndarray:
        """Every joint of the model [nq], couplings included, at q [N]."""
        return self.spread @ np.asarray(q, dtype=float) + self._offset

    def _coupling(self, description: urdf.Description) -> tuple[np.ndarray, np.ndarray]:
        """Matrix [nq, N] and offset [nq] that turn commanded joints into all joints; follows chains
        of couplings.
        """
        spread = np.zeros((self.model.nq, len(self.joints)))
        offset = np.zeros(self.model.nq)
        column = {name: index for index, name in enumerate(self.joints)}
        for joint in description.joints:
            if not joint.moves:
                continue
            master, factor, shift = description.coupling(joint)
            row = self.model.joints[self.model.getJointId(joint.name)].idx_q
            offset[row] = shift
            if master.name in column:
                spread[row, column[master.name]] = factor
        return spread, offset


def _within(error: np.ndarray, tolerance_m: float, tolerance_rad: float) -> bool:
    """Whether a pose error [6] is within tolerance."""
    near = np.linalg.norm(error[:3]) < tolerance_m
    return bool(near and np.linalg.norm(error[3:]) < tolerance_rad)


def _prioritised(jacobian: np.ndarray, error: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """A step [N] that mends the position first, the rotation where that leaves it free, and drifts
    along `rest` where both do.
    """
    linear, angular = jacobian[:3], jacobian[3:]
    of_position = _damped_inverse(linear, 1e-6 + 1e-2 * min(1.0, float(error[:3] @ error[:3])))
    left = np.eye(len(rest)) - of_position @ linear
    of_rotation = _damped_inverse(
        angular @ left, 1e-4 + 1e-2 * min(1.0, float(error[3:] @ error[3:]))
    )
    step = of_position @ error[:3]
    turn = of_rotation @ (error[3:] - angular @ step)
    idle = left @ (np.eye(len(rest)) - of_rotation @ angular @ left)
    return step + left @ turn + idle @ (0.05 * rest)


def _damped_inverse(jacobian: np.ndarray, damping: float) -> np.ndarray:
    """[N, M] of a Jacobian [M, N]."""
    return jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + damping * np.eye(len(jacobian)))


def fingertips(hand: Hand, side: Side, q: np.ndarray) -> dict[Finger, np.ndarray]:
    """Positions [3] m of a hand's fingertips in the frame of the arm's flange, at joints [J] rad.

    It reads the URDF each time; a loop makes a `Kinematics` once and calls its `fk`.
    """
    links = hand.tip_links(side)
    kinematics = Kinematics(hand.urdf_model(side), hand.joint_names(side))
    poses = kinematics.fk(q, list(links.values()))
    return {finger: poses[link][:3, 3] for finger, link in links.items()}


TURNS_RAD = 1e6
"""Limit [rad] of a continuous joint: as good as none."""


def _bounded(robot: urdf.Urdf) -> str:
    """The URDF with its continuous joints as revolute ones: pinocchio gives the former two numbers,
    a cosine and a sine.
    """
    root = copy.deepcopy(robot.robot)
    for joint in root.iterfind("joint[@type='continuous']"):
        joint.set("type", "revolute")
        limit = joint.find("limit")
        limit = ET.SubElement(joint, "limit", effort="0", velocity="0") if limit is None else limit
        limit.attrib |= {"lower": str(-TURNS_RAD), "upper": str(TURNS_RAD)}
    return ET.tostring(root, encoding="unicode")
