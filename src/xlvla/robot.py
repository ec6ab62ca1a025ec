"""Putting descriptions together: a hand on an arm's flange, two arms in one world or on one
humanoid.
"""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

from xlvla.arm import Arm
from xlvla.hand import Hand
from xlvla.humanoid import Humanoid, in_rig
from xlvla.types import Side, scoped
from xlvla.urdf import Urdf, Vector, of_tree

if TYPE_CHECKING:
    from xlvla.rig import Rig

WORLD = "world"


def arm_with_hand(arm: Arm, hand: Hand, side: Side, *, name: str | None = None) -> Urdf:
    """URDF of one arm with one hand on its flange; every name begins with the side's word and the
    part's.
    """
    robot = ET.Element("robot", name=name or f"{side}_{arm.name}_{hand.name}")
    _add_side(robot, arm, hand, side)
    return _assembled(robot)


def rig_description(rig: Rig, *, waist_gives: bool = False) -> Urdf:
    """URDF of a whole rig: every side's arm stands in `world` where the rig puts it, or on the
    torso of its humanoid.

    Nobody commands a humanoid's waist and legs, so their joints are fixed at zero; `waist_gives`
    leaves those of the waist free, for a simulator.
    """
    robot = ET.Element("robot", name=rig.name)
    ET.SubElement(robot, "link", name=WORLD)
    body = rig.body
    station = rig.humanoid
    if body and station:
        _add_humanoid(robot, body, moving=body.waist if waist_gives else ())
        root = in_rig(body.description.root)
        _fixed(robot, "body_mounting", WORLD, root, station.xyz, station.rpy)
    for side, of_side in rig.sides.items():
        base = _add_side(robot, rig.arm(side), rig.hand(side), side)
        where = f"{side}_arm_mounting"
        if body:
            _strip(robot, base)
            _fixed(robot, where, in_rig(body.torso), base)
        else:
            _fixed(robot, where, WORLD, base, of_side.arm.xyz, of_side.arm.rpy)
    return _assembled(robot)


def humanoid_description(body: Humanoid, arms: Mapping[Side, tuple[Arm, Hand]]) -> Urdf:
    """URDF of a humanoid that hangs in `world` by its root, with all joints of its own and of its
    arms; the hands on them are open.
    """
    robot = ET.Element("robot", name=body.name)
    ET.SubElement(robot, "link", name=WORLD)
    _add_humanoid(robot, body, moving=[joint.name for joint in body.description.free_joints])
    _fixed(robot, "body_mounting", WORLD, in_rig(body.description.root))
    for side, (arm, hand) in arms.items():
        base = _add_side(robot, arm, hand, side)
        _strip(robot, base)
        _fixed(robot, f"{side}_arm_mounting", in_rig(body.torso), base)
        fingers = scoped(side, "hand", "")
        for joint in robot.findall("joint"):
            if joint.get("name", "").startswith(fingers):
                _hold(joint)
    return _assembled(robot)


def _add_humanoid(robot: ET.Element, body: Humanoid, moving: Collection[str]) -> None:
    """Adds all of a humanoid but its arms, its joints fixed at zero but for the `moving` ones."""
    _merge(robot, body.urdf_model.robot, in_rig)
    free = {in_rig(name) for name in moving}
    for joint in robot.findall("joint"):
        if joint.get("name") not in free:
            _hold(joint)


def _hold(joint: ET.Element) -> None:
    """Fixes a joint where it is at zero."""
    joint.set("type", "fixed")
    for tag in ("axis", "limit", "dynamics", "mimic"):
        for element in joint.findall(tag):
            joint.remove(element)


def _strip(robot: ET.Element, base: str) -> None:
    """Leaves the root of a limb without mass and shapes: the humanoid's torso has them."""
    for link in robot.findall("link"):
        if link.get("name") == base:
            for element in list(link):
                link.remove(element)


def _add_side(robot: ET.Element, arm: Arm, hand: Hand, side: Side) -> str:
    """Adds arm and hand; returns the arm's base link."""
    arm = arm.on(side)
    _merge(robot, arm.urdf_model.robot, lambda name: scoped(side, "arm", name))
    _merge(robot, hand.urdf_model(side).robot, lambda name: scoped(side, "hand", name))
    _fixed(
        robot,
        f"{side}_hand_mounting",
        scoped(side, "arm", arm.flange),
        scoped(side, "hand", hand.description(side).root),
    )
    return scoped(side, "arm", arm.description.root)


def _merge(robot: ET.Element, description: ET.Element, scope: Callable[[str], str]) -> None:
    """Adds the elements of a description; its links and joints get the names of their scope."""
    known = {material.get("name") for material in robot.findall("material")}
    for element in description:
        if element.tag == "material" and element.get("name") in known:
            continue
        element = copy.deepcopy(element)
        if element.tag in ("link", "joint"):
            _rename(element, scope)
        robot.append(element)


def _rename(element: ET.Element, scope: Callable[[str], str]) -> None:
    element.set("name", scope(element.get("name", "")))
    for tag, key in (("parent", "link"), ("child", "link"), ("mimic", "joint")):
        for reference in element.findall(tag):
            reference.set(key, scope(reference.get(key, "")))


def _fixed(
    robot: ET.Element,
    name: str,
    parent: str,
    child: str,
    xyz: Vector = (0, 0, 0),
    rpy: Vector = (0, 0, 0),
) -> None:
    joint = ET.SubElement(robot, "joint", name=name, type="fixed")
    ET.SubElement(joint, "parent", link=parent)
    ET.SubElement(joint, "child", link=child)
    ET.SubElement(joint, "origin", xyz=_numbers(xyz), rpy=_numbers(rpy))


def _numbers(values: Iterable[float]) -> str:
    return " ".join(f"{value:.9g}" for value in values)


def _assembled(robot: ET.Element) -> Urdf:
    ET.indent(robot)
    return of_tree(robot, robot.get("name", ""))
