"""From a rig's URDF to MuJoCo bodies: capsules, couplings as joint equalities, gravity-compensated
links.
"""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Mapping

import mujoco
import numpy as np

from xlvla import urdf
from xlvla.humanoid import PREFIX
from xlvla.inertia import inertia_of
from xlvla.solids import Solid, solids
from xlvla.types import Side

CONTACT_BIT: Mapping[Side, int] = {"left": 1, "right": 2}
OBJECT_BIT = 4
TABLE_BIT = 8
EVERYTHING = 15
BODY_BIT = 16
"""Of a humanoid's torso, head, pelvis and legs, which collide with everything that has a bit above.
"""

OVERLAPPING = 2
"""Links of an arm that are at most this many joints from the torso overlap it."""

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


def add_robot(spec: mujoco.MjSpec, whole: urdf.Urdf) -> None:
    """Adds every link and joint of a URDF whose root is the world."""
    robot = whole.robot
    description = whole.description
    _add_materials(spec, robot)
    bodies = {description.root: spec.worldbody}
    links = {link.get("name", ""): link for link in robot.findall("link")}
    for joint in _outward(description):
        bodies[joint.child] = _add_link(spec, bodies[joint.parent], joint, links[joint.child])
    for joint in description.joints:
        if joint.mimic:
            _add_coupling(spec, joint, description)
    _let_shoulders_overlap(spec, description)


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
    ordered: list[urdf.Joint] = []
    front = [description.root]
    while front:
        children = below.get(front.pop(0), [])
        ordered += children
        front += [joint.child for joint in children]
    return ordered


def _let_shoulders_overlap(spec: mujoco.MjSpec, description: urdf.Description) -> None:
    """Exempts the first links of a humanoid's arms from colliding with its torso."""
    torso: dict[str, tuple[str, int]] = {}
    for joint in _outward(description):
        if joint.child.startswith(PREFIX):
            torso[joint.child] = (joint.child, 0)
        elif joint.parent in torso:
            link, joints = torso[joint.parent]
            joints = joints + joint.moves
            torso[joint.child] = (link, joints)
            if 0 < joints <= OVERLAPPING:
                spec.add_exclude(bodyname1=link, bodyname2=joint.child)


def _add_materials(spec: mujoco.MjSpec, robot: ET.Element) -> None:
    """Every material that is named, also those that only a visual describes; the first of a name
    counts.
    """
    known: set[str] = set()
    described = [*robot.findall("material"), *robot.iterfind("link/visual/material")]
    # Those that say a colour, then those that are only named.
    described.sort(key=lambda element: element.find("color") is None)
    for element in described:
        name = element.get("name", "")
        if name and name not in known:
            known.add(name)
            _add_material(spec, element)


def _add_material(spec: mujoco.MjSpec, element: ET.Element) -> None:
    name = element.get("name", "")
    color = element.find("color")
    rgba = [0.5, 0.5, 0.5, 1.0]
    if color is not None:
        rgba = urdf.numbers(color.get("rgba", ""), 4, f"rgba of material '{name}'")
    spec.add_material(name=name, rgba=rgba, specular=0.4, shininess=0.5)


def _add_link(
    spec: mujoco.MjSpec, parent: mujoco.MjsBody, joint: urdf.Joint, link: ET.Element
) -> mujoco.MjsBody:
    body = parent.add_body(name=joint.child, pos=joint.xyz, quat=quaternion(joint.rpy), gravcomp=1)
    _add_inertia(body, link.find("inertial"))
    if joint.moves:
        _add_joint(body, joint)
    names: set[str] = set()
    for number, solid in enumerate(solids(link)):
        # Makers leave shapes without names, or give one to several.
        name = solid.name if solid.name and solid.name not in names else f"shape_{number}"
        names.add(name)
        _add_geom(spec, body, name, solid)
    return body


def _add_inertia(body: mujoco.MjsBody, inertial: ET.Element | None) -> None:
    if inertial is None:
        return
    measured = inertia_of(inertial)
    body.explicitinertial = True
    body.mass = measured.mass
    body.ipos = measured.centre
    tensor = measured.tensor
    body.fullinertia = [
        tensor[0, 0],
        tensor[1, 1],
        tensor[2, 2],
        tensor[0, 1],
        tensor[0, 2],
        tensor[1, 2],
    ]


def _add_joint(body: mujoco.MjsBody, joint: urdf.Joint) -> None:
    hand = "_hand_" in joint.name
    bounded = math.isfinite(joint.lower) and math.isfinite(joint.upper)
    if joint.type == "prismatic":
        type_ = mujoco.mjtJoint.mjJNT_SLIDE
        armature = SLIDE_ARMATURE
        damping = SLIDE_DAMPING
    else:
        type_ = mujoco.mjtJoint.mjJNT_HINGE
        armature = HAND_ARMATURE if hand else ARM_ARMATURE
        damping = 0.01 if hand else 0.5
    body.add_joint(
        name=joint.name,
        type=type_,
        axis=joint.axis,
        range=(joint.lower, joint.upper) if bounded else (0.0, 0.0),
        limited=bounded and joint.mimic is None,
        armature=armature,
        damping=damping,
    )


_GEOMS = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
}


def _add_geom(spec: mujoco.MjSpec, body: mujoco.MjsBody, name: str, solid: Solid) -> None:
    """A shape that collides and is seen; a box collides as it is and is seen with rounded edges."""
    box = solid.kind == "box"
    bit = _contact_bit(body.name)
    # The mass is that of the link's inertia.
    where = {"pos": solid.xyz, "quat": quaternion(solid.rpy), "material": solid.material, "mass": 0}
    body.add_geom(
        name=f"{body.name}/{name}",
        type=_GEOMS[solid.kind],
        size=[*solid.size, 0, 0][:3],
        contype=bit,
        # Parts of one side never collide with each other.
        conaffinity=EVERYTHING & ~bit,
        friction=HAND_FRICTION,
        condim=4,
        group=3 if box else 0,
        **where,
    )
    if box:
        # Rounded edges take some off the box, so it is drawn a little larger.
        mesh = spec.add_mesh(name=f"{body.name}/{name}", scale=[1.03 * half for half in solid.size])
        mesh.make_supersphere(16, ROUNDNESS, ROUNDNESS)
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname=mesh.name, contype=0, conaffinity=0, **where
        )


def _contact_bit(link: str) -> int:
    if link.startswith(PREFIX):
        return BODY_BIT
    side: Side = "left" if link.startswith("left") else "right"
    return CONTACT_BIT[side]


def _add_coupling(spec: mujoco.MjSpec, joint: urdf.Joint, description: urdf.Description) -> None:
    """Couples a joint to the free joint that it follows, also through other coupled ones."""
    master, multiplier, offset = description.coupling(joint)
    spec.add_equality(
        name=f"{joint.name}/coupling",
        type=mujoco.mjtEq.mjEQ_JOINT,
        objtype=mujoco.mjtObj.mjOBJ_JOINT,
        name1=joint.name,
        name2=master.name,
        data=[offset, multiplier, *[0.0] * (mujoco.mjNEQDATA - 2)],
        solref=COUPLING_SOLREF,
    )
