"""What can be wrong with a rig that is well-formed: unknown names, impossible values, hardware
without an address.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from xlvla import catalog, files
from xlvla.errors import XlvlaError, unknown_line
from xlvla.rig import Camera, Rig
from xlvla.rig_parts import Station
from xlvla.types import Side


def rig_faults(rig: Rig) -> list[str]:
    """Everything wrong with a well-formed rig: unknown names, joints, impossible numbers."""
    faults = _named(f"{rig.name}.yaml", "the rig")
    for name in rig.cameras:
        faults += _named(name, "a camera")
    if not rig.sides:
        faults.append("sides: at least one side is needed")
    for side, station in rig.sides.items():
        faults += _station_faults(side, station)
    for name, camera in rig.cameras.items():
        faults += _camera_faults(name, camera)
    faults += rig.motion.faults(tuple(rig.sides))
    if rig.policy:
        faults += _name("policy.type", "policy", rig.policy.type, catalog.policies())
        faults += _positive("policy", replan_s=rig.policy.replan_s, max_age_s=rig.policy.max_age_s)
    if rig.teleop:
        faults += rig.teleop.faults(simulated=rig.sim is not None)
    if rig.recorder:
        faults += rig.recorder.faults()
    if rig.sim:
        faults += _name("sim.task", "task", rig.sim.task, catalog.tasks())
        faults += _positive(
            "sim", physics_hz=rig.sim.physics_hz, joint_state_hz=rig.sim.joint_state_hz
        )
    return faults or _device_faults(rig)


def _camera_faults(name: str, camera: Camera) -> list[str]:
    where = f"cameras.{name}"
    faults = _positive(where, rate_hz=camera.rate_hz, fovy_deg=camera.fovy_deg)
    sizes = {"capture": camera.capture, "publish": camera.publish}
    for key, size in sizes.items():
        if min(size) <= 0:
            faults.append(f"{where}.{key}: both numbers must be above 0")
    if camera.jpeg is not None and not 1 <= camera.jpeg <= 100:
        faults.append(f"{where}.jpeg: must be from 1 to 100, is {camera.jpeg}")
    return faults


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
    faults = _name(f"sides.{side}.hand.type", "hand", station.hand.type, catalog.hands())
    faults += _name(f"sides.{side}.arm.type", "arm", station.arm.type, catalog.arms())
    if faults:
        return faults
    arm = catalog.arm(station.arm.type).on(side)
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
    return faults + catalog.hand(station.hand.type).faults()


def _name(where: str, kind: str, name: str, known: Collection[str]) -> list[str]:
    if name in known:
        return []
    return [f"{where}: {unknown_line(kind, name, known)}"]


def _positive(where: str, **values: float) -> list[str]:
    faults: list[str] = []
    for key, value in values.items():
        if not value > 0:  # nor where it is no number
            faults.append(f"{where}.{key}: must be above 0, is {value}")
    return faults
