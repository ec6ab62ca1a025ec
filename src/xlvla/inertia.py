"""Mass and inertia of a URDF's links, and what of them no body can have."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.solids import placement, rigid_bodies
from xlvla.urdf import Urdf, Vector, numbers, rotation

LEAST_KG = 1e-9
LEAST_KG_M2 = 1e-15
"""What is lighter, a simulator cannot move."""

ROUNDED = 1e-9
"""Share by which a rounded inertia may break the rule of triangles."""


@dataclass(frozen=True)
class Inertia:
    """Of one link.

    Args:
        mass: [kg].
        centre: of mass, in the link's frame [m].
        tensor: about the centre, along the axes of the link [3, 3] kg m^2.
    """

    mass: float
    centre: Vector
    tensor: np.ndarray


def inertia_of(inertial: ET.Element) -> Inertia:
    """What an `inertial` element says; its frame may be turned against the link's.

    Raises:
        XlvlaError: a number is missing or is none.
    """
    mass = inertial.find("mass")
    moments = inertial.find("inertia")
    centre, rpy = placement(inertial)
    attributes = {} if moments is None else moments.attrib
    value = "" if mass is None else mass.get("value", "")
    xx, yy, zz, xy, xz, yz = (
        numbers(attributes.get(key, "0"), 1, f"{key} of an inertia")[0]
        for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")
    )
    own_axes = np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])
    turn = rotation(rpy)
    return Inertia(numbers(value, 1, "mass")[0], centre, turn @ own_axes @ turn.T)


def inertia_faults(robot: Urdf) -> list[str]:
    """What keeps the links from being moved by a simulator, one line each."""
    faults: list[str] = []
    masses: dict[str, float] = {}
    for link in robot.robot.findall("link"):
        name = link.get("name", "")
        inertial = link.find("inertial")
        if inertial is None:
            continue
        try:
            inertia = inertia_of(inertial)
        except XlvlaError as error:
            faults.append(f"link '{name}': {error}")
            continue
        masses[name] = inertia.mass
        fault = _impossible(inertia)
        if fault:
            faults.append(f"link '{name}' {fault}")
    return faults or _weightless(robot, masses)


def _impossible(inertia: Inertia) -> str | None:
    least, middle, greatest = np.linalg.eigvalsh(inertia.tensor).tolist()
    if inertia.mass < 0:
        return f"has a mass of {inertia.mass:g} kg"
    if inertia.mass == 0 and greatest == 0:
        return None
    if inertia.mass < LEAST_KG or least < LEAST_KG_M2:
        return (
            f"has a mass of {inertia.mass:g} kg and principal inertias of {least:g}, {middle:g} "
            f"and {greatest:g} kg m^2: all must be above 0"
        )
    if least + middle < greatest * (1 - ROUNDED):
        return (
            f"has principal inertias of {least:g}, {middle:g} and {greatest:g} kg m^2: no body has "
            "one above the sum of the others"
        )
    return None


def _weightless(robot: Urdf, masses: dict[str, float]) -> list[str]:
    """Bodies that a joint moves and that weigh nothing."""
    description = robot.description
    bodies = rigid_bodies(description)
    weight = dict.fromkeys(bodies.values(), 0.0)
    for link, mass in masses.items():
        weight[bodies[link]] += mass
    return [
        f"link '{joint.child}' is moved by joint '{joint.name}' and has no mass: add <inertial>"
        for joint in description.joints
        if joint.moves and weight[joint.child] < LEAST_KG
    ]
