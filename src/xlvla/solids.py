"""The solid shapes of a URDF's links, read in one place for the simulator, the distances and the
codec.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.urdf import Description, Urdf, Vector, numbers, rotation

SAME_M = 2e-4
"""Ends this near are one: files round."""

Kind = Literal["box", "sphere", "cylinder", "capsule"]


@dataclass(frozen=True)
class Solid:
    """A shape in its link's frame.

    Args:
        size: half sizes [m] of a box along its axes, the radius of a sphere, radius and half length
            of a cylinder or capsule, whose axis is its own z. A capsule's ends reach a radius
            further.
        xyz, rpy: where it is [m, rad].
        name: of its element; '' where it has none.
        material: name of the material it is drawn with; '' where it has none.
    """

    kind: Kind
    size: tuple[float, ...]
    xyz: Vector
    rpy: Vector
    name: str = ""
    material: str = ""

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The two ends [3] m of a cylinder's or capsule's axis."""
        centre = np.array(self.xyz)
        half = self.size[1] * rotation(self.rpy)[:, 2]
        return centre - half, centre + half


def solids(link: ET.Element) -> list[Solid]:
    """The collision shapes of a link, its visual ones where it has none that is read; in the order
    of the file.

    URDF has no capsules: a cylinder between two spheres of its radius stands for one, and becomes
    one. Meshes are left out; `unread` names the links where that matters.
    """
    found = _solids(link, "collision") or _solids(link, "visual")
    visuals = link.findall("visual")
    return _capped(found, visuals)


def unread(robot: Urdf) -> list[str]:
    """Links whose shapes are not all read, so that nothing would keep them from being touched, one
    line each.
    """
    lines: list[str] = []
    for link in robot.robot.findall("link"):
        name = link.get("name", "")
        collision_meshes = _count(link, "collision")
        visual_meshes = _count(link, "visual")
        if collision_meshes:
            lines.append(f"link '{name}' collides by {collision_meshes} meshes, which are not read")
        elif visual_meshes and not solids(link):
            lines.append(f"link '{name}' has no shape but meshes, which are not read")
    return lines


def _count(link: ET.Element, kind: str) -> int:
    return len(link.findall(f"{kind}/geometry/mesh"))


def of_robot(robot: Urdf) -> Iterator[tuple[str, Solid]]:
    """Every solid with the link it belongs to."""
    for link in robot.robot.findall("link"):
        for solid in solids(link):
            yield link.get("name", ""), solid


def material_of(element: ET.Element) -> str:
    """The name of a visual's material."""
    material = element.find("material")
    return "" if material is None else material.get("name", "")


def rigid_bodies(description: Description) -> dict[str, str]:
    """By link: the topmost link that it is welded to."""
    above = {joint.child: joint for joint in description.joints}
    tops: dict[str, str] = {}
    for link in description.links:
        tops[link] = link
        while tops[link] in above and not above[tops[link]].moves:
            tops[link] = above[tops[link]].parent
    return tops


def placement(element: ET.Element) -> tuple[Vector, Vector]:
    """Where an element is: xyz [m] and rpy [rad] of its origin."""
    origin = element.find("origin")
    attributes = {} if origin is None else origin.attrib
    x, y, z = numbers(attributes.get("xyz") or "0 0 0", 3, f"xyz of a {element.tag}")
    roll, pitch, yaw = numbers(attributes.get("rpy") or "0 0 0", 3, f"rpy of a {element.tag}")
    return (x, y, z), (roll, pitch, yaw)


def _solids(link: ET.Element, kind: str) -> list[tuple[ET.Element, Solid]]:
    """The shapes of a kind of element, `collision` or `visual`, as they are written."""
    found: list[tuple[ET.Element, Solid]] = []
    for element in link.findall(kind):
        for shape in element.iterfind("geometry/*"):
            if shape.tag in ("box", "sphere", "cylinder", "capsule"):
                found.append((element, _solid(link.get("name", ""), element, shape)))
            elif shape.tag != "mesh":
                raise XlvlaError(
                    f"link '{link.get('name', '')}' has a shape <{shape.tag}>, known are box, "
                    "sphere, cylinder, capsule and mesh"
                )
    return found


def _solid(link: str, element: ET.Element, shape: ET.Element) -> Solid:
    xyz, rpy = placement(element)
    name = element.get("name", "")
    what = f"a {shape.tag} of link '{link}'"
    size: tuple[float, ...]
    if shape.tag == "box":
        x, y, z = numbers(shape.get("size", ""), 3, f"size of {what}")
        size = (x / 2, y / 2, z / 2)
        kind: Kind = "box"
    elif shape.tag == "sphere":
        size = (_number(shape, "radius", what),)
        kind = "sphere"
    else:
        size = (_number(shape, "radius", what), _number(shape, "length", what) / 2)
        kind = "capsule" if shape.tag == "capsule" else "cylinder"
    if min(size) <= 0:
        raise XlvlaError(f"{what} has a size of {min(size):g} m: it must be above 0")
    return Solid(kind, size, xyz, rpy, name)


def _capped(
    found: Sequence[tuple[ET.Element, Solid]], visuals: Sequence[ET.Element]
) -> list[Solid]:
    """Cylinders with a sphere at each end as capsules, without these spheres."""
    balls = [solid for _, solid in found if solid.kind == "sphere"]
    caps: list[Solid] = []
    made: list[Solid] = []
    for element, solid in found:
        kind = solid.kind
        if kind == "cylinder":
            at_ends = [_balls_at(end, solid.size[0], balls) for end in solid.ends]
            if all(at_ends):
                kind = "capsule"
        if kind == "capsule":
            for end in solid.ends:
                caps += _balls_at(end, solid.size[0], balls)
        material = _material(element, visuals)
        made.append(Solid(kind, solid.size, solid.xyz, solid.rpy, solid.name, material))
    cap_places = [(cap.xyz, cap.size) for cap in caps]
    return [
        solid
        for solid in made
        if not (solid.kind == "sphere" and (solid.xyz, solid.size) in cap_places)
    ]


def _balls_at(end: np.ndarray, radius: float, balls: Sequence[Solid]) -> list[Solid]:
    """The spheres of a radius around the end of an axis."""
    return [
        ball
        for ball in balls
        if abs(ball.size[0] - radius) < SAME_M and np.linalg.norm(end - ball.xyz) < SAME_M
    ]


def _material(element: ET.Element, visuals: Sequence[ET.Element]) -> str:
    """The material of a shape: its own, that of the visual of its name or at its place, or that of
    the link's first.
    """
    if element.tag == "visual" or not visuals:
        return material_of(element)
    name = element.get("name")
    for visual in visuals:
        if name and visual.get("name") == name:
            return material_of(visual)
    place = placement(element)
    for visual in visuals:
        if placement(visual) == place:
            return material_of(visual)
    return material_of(visuals[0])


def _number(shape: ET.Element, key: str, what: str) -> float:
    return numbers(shape.get(key, ""), 1, f"{key} of {what}")[0]
