"""From a rig's URDF to MuJoCo bodies: capsules, couplings as joint equalities, gravity-compensated
links.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from xlvla import urdf
from xlvla.errors import XlvlaError
from xlvla.types import Side

CONTACT_BIT: Mapping[Side, int] = {"left": 1, "right": 2}
OBJECT_BIT = 4
TABLE_BIT = 8
EVERYTHING = 15

ARM_ARMATURE = 0.1
HAND_ARMATURE = 0.002
"""Reflected rotor inertia [kg m^2]; it also keeps the light fingers stable at 500 Hz."""
SLIDE_ARMATURE = 0.5
"""The same of a joint that slides [kg]: that of a finger's turning at 6 cm."""
SLIDE_DAMPING = 5.0
"""Of a joint that slides [N s/m]."""

COUPLING_SOLREF = (0.006, 1.0)
HAND_FRICTION = (1.0, 0.01, 0.0005)
"""Rubbery finger pads: sliding, torsional [m], rolling [m]."""

ROUNDNESS = 0.3
"""Exponent of the superellipsoid a box is drawn as: 0 is a box, 1 an ellipsoid."""


@dataclass(frozen=True)
class Shape:
    """One geometric element of a URDF link; a capsule is written in URDF as a cylinder with two
    `_cap_` spheres.
    """

    name: str
    type: mujoco.mjtGeom
    size: tuple[float, ...]
    xyz: urdf.Vector
    rpy: urdf.Vector
    material: str


def add_robot(spec: mujoco.MjSpec, whole: urdf.Urdf) -> None:
    """Adds every link and joint of a URDF whose root is the world."""
    robot = whole.robot
    description = whole.description
    for material in robot.findall("material"):
        _add_material(spec, material)
    bodies = {description.root: spec.worldbody}
    links = {link.get("name", ""): link for link in robot.findall("link")}
    for joint in _outward(description):
        bodies[joint.child] = _add_link(spec, bodies[joint.parent], joint, links[joint.child])
    for joint in description.joints:
        if joint.mimic:
            _add_coupling(spec, joint.name, joint.mimic)


def quaternion(rpy: urdf.Vector) -> np.ndarray:
    """Quaternion wxyz of URDF's fixed-axis roll, pitch, yaw."""
    quat = np.zeros(4)
    mujoco.mju_euler2Quat(quat, np.array(rpy, dtype=float), "XYZ")
    return quat


def _outward(description: urdf.Description) -> list[urdf.Joint]:
    """Joints ordered so that parents come before children."""
    below: dict[str, list[urdf.Joint]] = {}
    for joint in description.joints:
        below.setdefault(joint.parent, []).append(joint)
    ordered = []
    front = [description.root]
    while front:
        children = below.get(front.pop(0), [])
        ordered += children
        front += [joint.child for joint in children]
    return ordered


def _add_material(spec: mujoco.MjSpec, element: ET.Element) -> None:
    color = element.find("color")
    rgba = (
        [float(value) for value in color.get("rgba", "").split()]
        if color is not None
        else [0.5, 0.5, 0.5, 1]
    )
    spec.add_material(name=element.get("name"), rgba=rgba, specular=0.4, shininess=0.5)


def _add_link(
    spec: mujoco.MjSpec, parent: mujoco.MjsBody, joint: urdf.Joint, link: ET.Element
) -> mujoco.MjsBody:
    body = parent.add_body(name=joint.child, pos=joint.xyz, quat=quaternion(joint.rpy), gravcomp=1)
    _add_inertia(body, link.find("inertial"))
    if joint.moves:
        _add_joint(body, joint)
    for shape in _shapes(link):
        _add_geom(spec, body, shape)
    return body


def _add_inertia(body: mujoco.MjsBody, inertial: ET.Element | None) -> None:
    if inertial is None:
        return
    origin = inertial.find("origin")
    mass = inertial.find("mass")
    inertia = inertial.find("inertia")
    assert mass is not None and inertia is not None
    body.explicitinertial = True
    body.mass = float(mass.get("value", 0))
    body.ipos = _vector(origin, "xyz")
    body.fullinertia = [
        float(inertia.get(key, 0)) for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz")
    ]


def _add_joint(body: mujoco.MjsBody, joint: urdf.Joint) -> None:
    hand = "_hand_" in joint.name
    if joint.type == "prismatic":
        body.add_joint(
            name=joint.name,
            type=mujoco.mjtJoint.mjJNT_SLIDE,
            axis=joint.axis,
            range=(joint.lower, joint.upper),
            limited=joint.mimic is None,
            armature=SLIDE_ARMATURE,
            damping=SLIDE_DAMPING,
        )
        return
    body.add_joint(
        name=joint.name,
        type=mujoco.mjtJoint.mjJNT_HINGE,
        axis=joint.axis,
        range=(joint.lower, joint.upper),
        limited=joint.mimic is None,
        armature=HAND_ARMATURE if hand else ARM_ARMATURE,
        damping=0.01 if hand else 0.5,
    )


def _add_geom(spec: mujoco.MjSpec, body: mujoco.MjsBody, shape: Shape) -> None:
    """A shape that collides and is seen; a box collides as it is and is seen with rounded edges."""
    box = shape.type == mujoco.mjtGeom.mjGEOM_BOX
    side: Side = "left" if body.name.startswith("left") else "right"
    where = {"pos": shape.xyz, "quat": quaternion(shape.rpy), "material": shape.material, "mass": 0}
    body.add_geom(
        name=f"{body.name}/{shape.name}",
        type=shape.type,
        size=[*shape.size, 0, 0][:3],
        contype=CONTACT_BIT[side],
        conaffinity=EVERYTHING & ~CONTACT_BIT[side],
        friction=HAND_FRICTION,
        condim=4,
        group=3 if box else 0,
        **where,
    )
    if box:
        mesh = spec.add_mesh(
            name=f"{body.name}/{shape.name}", scale=[1.03 * half for half in shape.size]
        )
        mesh.make_supersphere(16, ROUNDNESS, ROUNDNESS)
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh.name, contype=0, conaffinity=0, **where
        )


def _add_coupling(spec: mujoco.MjSpec, joint: str, mimic: urdf.Mimic) -> None:
    spec.add_equality(
        name=f"{joint}/coupling",
        type=mujoco.mjtEq.mjEQ_JOINT,
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        name1=joint,
        name2=mimic.joint,
        data=[mimic.offset, mimic.multiplier, *[0.0] * (mujoco.mjNEQDATA - 2)],
        solref=COUPLING_SOLREF,
    )


def _shapes(link: ET.Element) -> list[Shape]:
    """Collision shapes with the looks of the visual of the same name; a cylinder with caps becomes
    one capsule.
    """
    looks = {visual.get("name"): visual.find("material") for visual in link.findall("visual")}
    collisions = {element.get("name", ""): element for element in link.findall("collision")}
    return [
        _shape(name, element, _name(looks.get(name)), capped=f"{name}_cap_a" in collisions)
        for name, element in collisions.items()
        if "_cap_" not in name
    ]


def _shape(name: str, element: ET.Element, material: str, *, capped: bool) -> Shape:
    origin = element.find("origin")
    geometry = element.find("geometry")
    assert geometry is not None
    type_, size = _geometry(geometry[0], capped)
    return Shape(name, type_, size, _vector(origin, "xyz"), _vector(origin, "rpy"), material)


def _geometry(element: ET.Element, capped: bool) -> tuple[mujoco.mjtGeom, tuple[float, ...]]:
    if element.tag == "box":
        x, y, z = (float(value) / 2 for value in element.get("size", "").split())
        return mujoco.mjtGeom.mjGEOM_BOX, (x, y, z)
    if element.tag == "mesh":
        raise XlvlaError(
            f"the URDF has the mesh {element.get('filename')}, the simulation takes boxes, spheres "
            "and cylinders: `xlvla hand import FILE` fits them to a hand's meshes"
        )
    radius = float(element.get("radius", 0))
    if element.tag == "sphere":
        return mujoco.mjtGeom.mjGEOM_SPHERE, (radius,)
    type_ = mujoco.mjtGeom.mjGEOM_CAPSULE if capped else mujoco.mjtGeom.mjGEOM_CYLINDER
    return type_, (radius, float(element.get("length", 0)) / 2)


def _name(material: ET.Element | None) -> str:
    return "" if material is None else material.get("name", "")


def _vector(origin: ET.Element | None, key: str) -> urdf.Vector:
    x, y, z = (
        (float(value) for value in (origin.get(key) or "0 0 0").split())
        if origin is not None
        else (0.0, 0.0, 0.0)
    )
    return x, y, z
