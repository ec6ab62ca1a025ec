"""The mechanics of an emulated G1, by MuJoCo: it hangs by its pelvis, and its motors act as the
real ones are commanded, by torque, stiffness and damping.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from xlvla import catalog
from xlvla.humanoid import in_rig
from xlvla.types import SIDES, Side, scoped
from xlvla.urdf import Urdf
from xlvla_drivers.arms.g1_load import with_hands

LEG = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
"""Joints of a leg in the order of their motors."""


@dataclass(frozen=True)
class MotorLaw:
    """What motors [29] are told: torque = tau + kp * (q - measured) + kd * (dq - measured).

    Args:
        q, dq: rad, rad/s.
        tau: Nm.
        kp, kd: Nm/rad, Nm s/rad.
    """

    q: np.ndarray
    dq: np.ndarray
    tau: np.ndarray
    kp: np.ndarray
    kd: np.ndarray

    def blended(self, other: MotorLaw, share: np.ndarray) -> MotorLaw:
        """A law whose torques are by these shares [29] ours, the rest the other's."""
        rest = 1 - share
        kp = share * self.kp + rest * other.kp
        kd = share * self.kd + rest * other.kd
        # So that stiffness and damping times the blended target are the sum of both.
        pull = share * self.kp * self.q + rest * other.kp * other.q
        drag = share * self.kd * self.dq + rest * other.kd * other.dq
        q = np.divide(pull, kp, out=self.q.copy(), where=kp > 0)
        dq = np.divide(drag, kd, out=self.dq.copy(), where=kd > 0)
        return MotorLaw(q, dq, share * self.tau + rest * other.tau, kp, kd)


class Motors:
    """The 29 joints of a G1 in the order of its motors, at first at zero.

    Args:
        carries: hand of the catalogue on each arm, 'none' for none.
        period_s: of a step.

    Attributes:
        stalled: [29] bool, joints that cannot move.
        torque: that the motors gave in the last step [29] Nm.
    """

    def __init__(self, carries: Mapping[Side, str], period_s: float):
        body = catalog.humanoid("g1")
        arm = catalog.arm("g1")
        description = with_hands(carries)
        self._model = mujoco.MjModel.from_xml_string(_without_shapes(description))
        self._model.opt.timestep = period_s
        assert arm.impedance is not None
        self._model.dof_armature[:] = arm.impedance.armature
        self._data = mujoco.MjData(self._model)
        names = [
            *(in_rig(f"{side}_{joint}_joint") for side in SIDES for joint in LEG),
            *(in_rig(joint) for joint in body.waist),
            *(scoped(side, "arm", joint) for side in SIDES for joint in arm.joints),
        ]
        joints = [self._model.joint(name) for name in names]
        self._row = np.array([joint.qposadr[0] for joint in joints])
        self._column = np.array([joint.dofadr[0] for joint in joints])
        self._effort = np.array([description.description.joint(name).effort for name in names])
        self.stalled = np.zeros(len(names), dtype=bool)
        self.torque = np.zeros(len(names))

    @property
    def position(self) -> np.ndarray:
        """[29] rad."""
        return self._data.qpos[self._row]

    @property
    def velocity(self) -> np.ndarray:
        """[29] rad/s."""
        return self._data.qvel[self._column]

    def place(self, position: np.ndarray) -> None:
        """Is there, at rest [29] rad."""
        self._data.qpos[self._row] = position
        self._data.qvel[:] = 0
        mujoco.mj_forward(self._model, self._data)

    def weight(self) -> np.ndarray:
        """The torques that would hold the body up where it is [29] Nm."""
        return self._data.qfrc_bias[self._column]

    def step(self, law: MotorLaw) -> None:
        """Moves on by a period."""
        here = self.position
        wanted = law.tau + law.kp * (law.q - here) + law.kd * law.dq
        # Damping is left to the integrator, which stays stable however strong it is.
        driven = np.clip(wanted, -self._effort, self._effort)
        self._data.qfrc_applied[self._column] = driven
        self._model.dof_damping[self._column] = law.kd
        mujoco.mj_step(self._model, self._data)
        self._data.qpos[self._row[self.stalled]] = here[self.stalled]
        self._data.qvel[self._column[self.stalled]] = 0
        self.torque = driven - law.kd * self.velocity


def _without_shapes(description: Urdf) -> str:
    """Its URDF without what could collide or be seen."""
    robot = copy.deepcopy(description.robot)
    for link in robot.findall("link"):
        for shape in [*link.findall("visual"), *link.findall("collision")]:
            link.remove(shape)
    return ET.tostring(robot, encoding="unicode")
