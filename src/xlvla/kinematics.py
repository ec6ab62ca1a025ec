"""Forward kinematics and differential inverse kinematics of a URDF through pinocchio, with
couplings.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla import urdf
from xlvla.errors import unknown
from xlvla.hand import Hand
from xlvla.types import Finger, Side


@dataclass(frozen=True)
class IkResult:
    """A solution [N] with what is left: position [m] and rotation [rad] error; `ok` when both are
    within tolerance.
    """

    q: np.ndarray
    position_error: float
    rotation_error: float
    ok: bool


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
        """Nearest configuration that brings a link to a pose [4, 4], from q0 [N], inside the joint
        limits.

        Damped least squares; redundancy is spent on staying near `posture` (q0 where None).
        """
        q = np.clip(q0, self.lower, self.upper)
        rest = q0 if posture is None else posture
        for _ in range(iterations):
            error = self._pose_error(q, frame, T_root_target)
            position_met = np.linalg.norm(error[:3]) < tolerance_m
            if position_met and np.linalg.norm(error[3:]) < tolerance_rad:
                break
            step = self.ik_step(q, frame, error, rest - q)
            q = np.clip(q + step, self.lower, self.upper)
        error = self._pose_error(q, frame, T_root_target)
        position = float(np.linalg.norm(error[:3]))
        rotation = float(np.linalg.norm(error[3:]))
        ok = position < tolerance_m and rotation < tolerance_rad
        return IkResult(q, position, rotation, ok)

    def ik_step(
        self, q: np.ndarray, frame: str, error: np.ndarray, rest: np.ndarray, *, step: float = 0.2
    ) -> np.ndarray:
        """One damped step [N] against a pose error [6], at most `step` rad per joint, drifting
        along `rest` in the null space.
        """
        jacobian = self.jacobian(q, frame)
        damping = 1e-6 + 1e-2 * min(1.0, float(error @ error))
        inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + damping * np.eye(6))
        null_space = np.eye(len(q)) - inverse @ jacobian
        dq = inverse @ error + null_space @ (0.05 * rest)
        return dq * min(1.0, step / max(float(np.abs(dq).max()), 1e-9))

    def _pose_error(self, q: np.ndarray, frame: str, T_root_target: np.ndarray) -> np.ndarray:
        T_root_frame = self.fk(q, [frame])[frame]
        rotation = pin.log3(T_root_target[:3, :3] @ T_root_frame[:3, :3].T)
        return np.concatenate([T_root_target[:3, 3] - T_root_frame[:3, 3], rotation])

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
