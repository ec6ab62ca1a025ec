"""Position servos: a stiff loop around a set-point that itself moves no faster than the joint
may.
"""

from __future__ import annotations

import mujoco
import numpy as np

from xlvla.hand import JointLimits
from xlvla.rig import Rig
from xlvla.types import Part, Side

ARM_STIFFNESS = 15.0
"""Stiffness per Nm of a joint's effort limit [1/rad]: an industrial arm gives way by millimetres,
not centimetres.
"""

HAND_STIFFNESS = 6.0
"""Stiffness of every finger joint [Nm/rad]: small motors behind long gears, so that a touch gives.
"""

SLIDE_STIFFNESS = 2000.0
"""Stiffness of every finger joint that slides [N/m]: at 6 cm from an axis as much as a turning one.
"""

LAG_S = 0.04
"""Time constant of every servo: derivative gain over stiffness."""


def add_servos(spec: mujoco.MjSpec, rig: Rig) -> None:
    """Adds one position actuator of the joint's own name per commanded joint."""
    for side, part in rig.parts:
        effort = _limits(rig, side, part).effort
        for name, force in zip(rig.joint_names(side, part), effort, strict=True):
            stiffness = ARM_STIFFNESS * force if part == "arm" else _finger_stiffness(spec, name)
            actuator = spec.add_actuator(
                name=name,
                target=name,
                trntype=mujoco.mjtTrn.mjTRN_JOINT,
                forcelimited=True,
                forcerange=(-force, force),
            )
            actuator.set_to_position(kp=stiffness, kv=LAG_S * stiffness)


def _finger_stiffness(spec: mujoco.MjSpec, joint: str) -> float:
    slides = spec.joint(joint).type == mujoco.mjtJoint.mjJNT_SLIDE
    return SLIDE_STIFFNESS if slides else HAND_STIFFNESS


class Servos:
    """Set-points of every servo of a model and their way to the commanded positions.

    Attributes:
        index: rows of a part's joints among the model's actuators.
    """

    def __init__(self, rig: Rig, model: mujoco.MjModel):
        self._limits: dict[tuple[Side, Part], JointLimits] = {}
        self.index: dict[tuple[Side, Part], np.ndarray] = {}
        # How far a set-point moves in a step of the physics, and where it goes.
        self.step = np.zeros(model.nu)
        self.target = np.zeros(model.nu)
        for side, part in rig.parts:
            limits = _limits(rig, side, part)
            actuators = [model.actuator(name).id for name in rig.joint_names(side, part)]
            index = np.array(actuators)
            self._limits[side, part] = limits
            self.index[side, part] = index
            self.step[index] = limits.velocity * model.opt.timestep

    def command(self, side: Side, part: Part, positions: np.ndarray) -> None:
        """New targets [J] rad, clamped to the joint limits."""
        limits = self._limits[side, part]
        self.target[self.index[side, part]] = np.clip(positions, limits.lower, limits.upper)

    def advance(self, control: np.ndarray) -> None:
        """Moves the set-points one physics step, in place, no faster than the joints' speed
        limits.
        """
        change = np.clip(self.target - control, -self.step, self.step)
        control += change


def _limits(rig: Rig, side: Side, part: Part) -> JointLimits:
    return rig.hand(side).limits(side) if part == "hand" else rig.arm(side).limits
