"""Putting descriptions together: a hand on an arm's flange, two arms in one world."""

from __future__ import annotations

import copy
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import TYPE_CHECKING

from xlvla.arm import Arm
from xlvla.hand import Hand
from xlvla.types import Part, Side, scoped
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


def rig_description(rig: Rig) -> Urdf:
    """URDF of a whole rig: every side's arm stands in `world` where the rig puts it."""
    robot = ET.Element("robot", name=rig.name)
    ET.SubElement(robot, "link", name=WORLD)
    for side, station in rig.sides.items():
        base = _add_side(robot, rig.arm(side), rig.hand(side), side)
        _fixed(robot, f"{side}_arm_mounting", WORLD, base, station.arm.xyz, station.arm.rpy)
    return _assembled(robot)


def _add_side(robot: ET.Element, arm: Arm, hand: Hand, side: Side) -> str:
    """Adds arm and hand; returns the arm's base link."""
    arm = arm.on(side)
    _merge(robot, arm.urdf_model.robot, side, "arm")
    _merge(robot, hand.urdf_model(side).robot, side, "hand")
    _fixed(
        robot,
        f"{side}_hand_mounting",
        scoped(side, "arm", arm.flange),
        scoped(side, "hand", hand.description(side).root),
    )
    return scoped(side, "arm", arm.description.root)


def _merge(robot: ET.Element, description: ET.Element, side: Side, part: Part) -> None:
    known = {material.get("name") for material in robot.findall("material")}
    for element in description:
        if element.tag == "material" and element.get("name") in known:
            continue
        element = copy.deepcopy(element)
        if element.tag in ("link", "joint"):
            _rename(element, side, part)
        robot.append(element)


def _rename(element: ET.Element, side: Side, part: Part) -> None:
    element.set("name", scoped(side, part, element.get("name", "")))
    for tag, key in (("parent", "link"), ("child", "link"), ("mimic", "joint")):
        for reference in element.findall(tag):
            reference.set(key, scoped(side, part, reference.get(key, "")))


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
