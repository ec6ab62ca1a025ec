"""What can be wrong with a rig that is well-formed: unknown names, impossible values, hardware
without an address.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

from xlvla import catalog, files, solids
from xlvla.errors import XlvlaError, unknown_line
from xlvla.hand import joint_limits
from xlvla.inertia import inertia_faults
from xlvla.rig import Camera, Rig
from xlvla.rig_parts import Station
from xlvla.server_map import INSTEAD, OTHER_NAMES, REFUSED, server_faults
from xlvla.text import plain
from xlvla.types import NONE, Part, Side, scoped
from xlvla.urdf import Urdf

TOPIC_NAME = re.compile(r"[A-Za-z](_?[A-Za-z0-9])*")
"""What may be part of a ROS topic's name."""
LONGEST_TOPIC_NAME = 60

NAMESPACE = re.compile(r"/?([A-Za-z_]\w*/)*[A-Za-z_]\w*", re.ASCII)
LONGEST_NAMESPACE = 100


def rig_faults(rig: Rig) -> list[str]:
    """Everything wrong with a well-formed rig: unknown names, joints, impossible numbers."""
    faults = [*_named(rig.name, "the rig"), *_namespace_faults(rig.namespace)]
    if not rig.sides:
        faults.append("sides: at least one side is needed")
    for side, station in rig.sides.items():
        faults += _station_faults(side, station)
    faults += _humanoid_faults(rig)
    for name, camera in rig.cameras.items():
        faults += _camera_faults(name, camera)
    faults += rig.motion.faults(tuple(rig.sides))
    if rig.policy:
        faults += _policy_faults(rig.policy.type)
    if rig.teleop:
        faults += rig.teleop.faults(simulated=rig.sim is not None)
        faults += _teleop_faults(rig)
    for name, buttons in rig.buttons.items():
        faults += _topic_name_faults("buttons", name)
        faults += buttons.faults(f"buttons.{name}", rig.no_actions)
    if rig.sim:
        # `a+b` is the task a with the things of b beside its own.
        for task in rig.sim.task.split("+"):
            faults += _name("sim.task", "task", task, catalog.tasks())
    faults = faults or server_faults(rig)
    faults = faults or _device_faults(rig)
    if not faults and (rig.sim or rig.mirrored):
        faults = _weight_faults(rig)
    return faults


def _namespace_faults(namespace: str) -> list[str]:
    """Why ROS takes no such namespace."""
    is_good = NAMESPACE.fullmatch(namespace) and "__" not in namespace
    if not namespace or (is_good and len(namespace) <= LONGEST_NAMESPACE):
        return []
    return [
        f"namespace: '{plain(namespace, 60)}' is none of ROS: letters, digits and single "
        f"underscores, no digit first, words parted by /, at most {LONGEST_NAMESPACE} characters"
    ]


def _policy_faults(name: str) -> list[str]:
    """What is wrong with a policy's name; a server of others that is not spoken to is told why."""
    known = catalog.policies()
    reason = REFUSED.get(OTHER_NAMES.get(name, name))
    if reason and name not in known:
        return [f"policy.type: {reason}; {INSTEAD}"]
    return _name("policy.type", "policy", name, known)


def _camera_faults(name: str, camera: Camera) -> list[str]:
    faults = _topic_name_faults("cameras", name)
    if camera.xyz == camera.target:
        faults.append(f"cameras.{name}: xyz and target are one place: it looks nowhere")
    return faults


def _topic_name_faults(where: str, name: str) -> list[str]:
    """What keeps a name from being part of a topic's or a node's."""
    if TOPIC_NAME.fullmatch(name) and len(name) <= LONGEST_TOPIC_NAME:
        return []
    return [
        f"{where}: '{plain(name, 60)}' cannot be part of a topic's name: use a letter, then "
        f"letters, digits and single underscores, at most {LONGEST_TOPIC_NAME}"
    ]


def _teleop_faults(rig: Rig) -> list[str]:
    """What the operator cannot drive."""
    if rig.teleop and rig.teleop.camera:
        faults = _name("teleop.camera", "camera", rig.teleop.camera, rig.cameras)
        if faults:
            return faults
    if not (rig.teleop and rig.teleop.scripted):
        return []
    try:
        rig.refuse_incomplete("teleop.scripted: the scripted operator")
    except XlvlaError as error:
        return [str(error)]
    return []


def _named(name: str, what: str) -> list[str]:
    """What keeps files from being named so."""
    try:
        files.inside(Path(), name, what)
    except XlvlaError as error:
        return [str(error)]
    return []


def _device_faults(rig: Rig) -> list[str]:
    """What is wrong with the devices of a rig whose names are known."""
    faults: list[str] = []
    without = [f"camera {name}" for name, camera in rig.cameras.items() if camera.device is None]
    for side, part in rig.parts:
        device = rig.device(side, part)
        if device is None:
            without.append(f"{side} {part}")
            continue
        joints = rig.arm(side).joints if part == "arm" else rig.hand(side).joint_names(side)
        where = f"sides.{side}.{part}.device"
        faults += device.faults(where, device.driver, catalog.drivers(part), joints)
    for name in rig.cameras:
        camera = rig.camera_device(name)
        if camera is not None:
            where = f"cameras.{name}.device"
            faults += camera.faults(where, camera.driver, catalog.drivers("camera"), ())
    if without and not rig.sim:
        missing = f"there is no `device` to say where: {', '.join(without)}"
        faults.append(
            f"without `sim` a rig is hardware, but {missing}; add `device: {{address: ...}}` to "
            "each, or use sim"
        )
    return faults


def _station_faults(side: Side, station: Station) -> list[str]:
    hands = (*catalog.hands(), NONE)
    arms = (*catalog.arms(), NONE)
    faults = _name(f"sides.{side}.hand.type", "hand", station.hand.type, hands)
    faults += _name(f"sides.{side}.arm.type", "arm", station.arm.type, arms)
    if faults:
        return faults
    if station.arm.type == NONE and station.hand.type == NONE:
        return [f"sides.{side}: there is neither an arm nor a hand: leave the side out"]
    if station.arm.type == NONE and station.arm.device:
        faults.append(f"sides.{side}.arm.device: there is no arm, so leave its device out")
    if station.hand.type == NONE and station.hand.device:
        faults.append(f"sides.{side}.hand.device: there is no hand, so leave its device out")
    arm = catalog.arm_of_side(station.arm.type).on(side)
    where = f"sides.{side}.arm.home"
    for joint, value in station.arm.home.items():
        if joint not in arm.joints:
            faults.append(f"{where}: {unknown_line('joint', joint, arm.joints)}")
            continue
        limit = arm.description.joint(joint)
        if not limit.lower <= value <= limit.upper:
            faults.append(
                f"{where}: {joint} = {value} rad is outside the URDF's {limit.lower:.3f} .. "
                f"{limit.upper:.3f}"
            )
    hand = catalog.hand_of_side(station.hand.type)
    faults += hand.faults()
    faults += _model_faults(f"arm {arm.name}", arm.urdf_model, side, "arm", arm.joints)
    if not faults:
        where = f"hand {hand.name} ({side})"
        joints = hand.joint_names(side)
        faults += _model_faults(where, hand.urdf_model(side), side, "hand", joints)
    return faults


def _humanoid_faults(rig: Rig) -> list[str]:
    """What is wrong with the humanoid of a rig whose arms are known."""
    station = rig.humanoid
    if station is None:
        return []
    faults = _name("humanoid.type", "humanoid", station.type, catalog.humanoids())
    if faults:
        return faults
    limbs = catalog.humanoid(station.type).limbs
    for side in rig.sides:
        arm = rig.sides[side].arm
        where = f"sides.{side}.arm"
        if arm.type not in limbs:
            faults.append(
                f"{where}.type: {arm.type} is no limb of the humanoid {station.type}, known are "
                f"{', '.join(limbs)}: take one of them, or leave humanoid out"
            )
        elif any((*arm.xyz, *arm.rpy)):
            faults.append(
                f"{where}: a limb of the humanoid stands on its torso: leave xyz and rpy out, and "
                "say with humanoid.xyz where it stands"
            )
    return faults


def _model_faults(
    where: str, model: Urdf, side: Side, part: Part, joints: tuple[str, ...]
) -> list[str]:
    """What of a URDF would be lost or mistaken on the way into a rig."""
    try:
        joint_limits(model.description, joints)
        faults = solids.unread(model)
    except XlvlaError as error:
        return [f"{where}: {error}"]
    if faults:
        faults.append(
            "nothing would keep what is not read from being touched: give these links boxes, "
            "spheres or cylinders as <collision>"
        )
    for names in (model.description.links, [joint.name for joint in model.description.joints]):
        in_rig = [scoped(side, part, name) for name in names]
        for name, scoped_name in zip(names, in_rig, strict=True):
            if in_rig.count(scoped_name) > 1:
                faults.append(f"'{name}' is one of two that are called '{scoped_name}' in a rig")
    return [f"{where}: {fault}" for fault in faults]


def _weight_faults(rig: Rig) -> list[str]:
    """What a simulator cannot move."""
    faults: list[str] = []
    for side in rig.sides:
        models = {
            f"arm {rig.arm(side).name}": rig.arm(side).urdf_model,
            f"hand {rig.hand(side).name} ({side})": rig.hand(side).urdf_model(side),
        }
        for where, model in models.items():
            faults += [f"{where}: {fault}" for fault in inertia_faults(model)]
    return faults


def _name(where: str, kind: str, name: str, known: Collection[str]) -> list[str]:
    if name in known:
        return []
    return [f"{where}: {unknown_line(kind, name, known)}"]
