"""Position servos: a loop around a set-point that itself moves no faster than the joint may; stiff,
or as compliant as the motors of a humanoid.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from xlvla.arm import Impedance
from xlvla.hand import JointLimits, joint_limits
from xlvla.humanoid import Humanoid, in_rig
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

WAIST_ARMATURE = 0.01
"""Inertia of the rotors of a humanoid's waist [kg m^2], as published simulations have it."""

LAG_S = 0.04
"""Time constant of every servo: derivative gain over stiffness."""


def add_servos(spec: mujoco.MjSpec, rig: Rig) -> None:
    """Adds one position actuator of the joint's own name per commanded joint, and those that hold a
    humanoid's waist.
    """
    for side, part in rig.parts:
        names = rig.joint_names(side, part)
        effort = _limits(rig, side, part).effort
        impedance = rig.arm(side).impedance if part == "arm" else None
        if impedance is not None:
            _add_compliant(spec, names, effort, impedance)
            continue
        for name, force in zip(names, effort, strict=True):
            stiffness = ARM_STIFFNESS * force if part == "arm" else _finger_stiffness(spec, name)
            _add_servo(spec, name, force, stiffness, LAG_S * stiffness)
    if rig.body:
        _hold_waist(spec, rig.body)


def _add_compliant(
    spec: mujoco.MjSpec, names: Sequence[str], effort: np.ndarray, impedance: Impedance
) -> None:
    """Adds motors that give, and that carry the weight of what they move."""
    gains = zip(impedance.stiffness, impedance.damping, strict=True)
    for name, force, (stiffness, damping) in zip(names, effort, gains, strict=True):
        joint = spec.joint(name)
        joint.armature = impedance.armature
        joint.actgravcomp = True
        joint.actfrclimited = mujoco.mjtLimited.mjLIMITED_TRUE
        joint.actfrcrange = (-force, force)
        _add_servo(spec, name, force, stiffness, damping)


def _hold_waist(spec: mujoco.MjSpec, body: Humanoid) -> None:
    """Adds the motors of a humanoid's waist, which hold it at zero."""
    limits = joint_limits(body.description, body.waist)
    count = len(body.waist)
    impedance = Impedance((body.stiffness,) * count, (body.damping,) * count, WAIST_ARMATURE)
    _add_compliant(spec, [in_rig(name) for name in body.waist], limits.effort, impedance)


def _add_servo(
    spec: mujoco.MjSpec, name: str, force: float, stiffness: float, damping: float
) -> None:
    actuator = spec.add_actuator(
        name=name,
        target=name,
        trntype=mujoco.mjtTrn.mjTRN_JOINT,
        forcelimited=True,
        forcerange=(-force, force),
    )
    actuator.set_to_position(kp=stiffness, kv=damping)


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
        self._back = -self.step
        self._change = np.zeros(model.nu)

    def command(self, side: Side, part: Part, positions: np.ndarray) -> None:
        """New targets [J] rad, clamped to the joint limits."""
        limits = self._limits[side, part]
        self.target[self.index[side, part]] = np.clip(positions, limits.lower, limits.upper)

    def advance(self, control: np.ndarray) -> None:
        """Moves the set-points one physics step, in place, no faster than the joints' speed
        limits.
        """
        # Every step of the physics comes through here, so nothing is made anew
        change = np.subtract(self.target, control, out=self._change)
        np.maximum(change, self._back, out=change)
        np.minimum(change, self.step, out=change)
        np.add(control, change, out=control)


def _limits(rig: Rig, side: Side, part: Part) -> JointLimits:
    return rig.hand(side).limits(side) if part == "hand" else rig.arm(side).limits
