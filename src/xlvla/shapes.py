"""The solid shapes of a URDF's links, as capsules and boxes."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlvla.urdf import Description, load, numbers, rotation

Points = tuple[tuple[float, float, float], ...]
SAME_M = 2e-4
"""Ends this near are one: files round."""
BONE_M = 0.01
THICK_M = 0.008
"""A body without a shape gets capsules of this radius along its bones, the lines to the next joints
and tips, if longer than this.
"""


@dataclass(frozen=True)
class Capsule:
    """All points within `radius` [m] of a line between two points [m] of a link's frame; a sphere
    where they are one.
    """

    link: str
    points: Points
    radius: float


@dataclass(frozen=True)
class Box:
    """Half sizes [m] along three axes; `points`: the middle [m] in a link's frame and the points a
    metre from it on each axis.
    """

    link: str
    points: Points
    half: tuple[float, float, float]


Shape = Capsule | Box


def shapes(path: Path) -> list[Shape]:
    """Collision shapes of a URDF's links; visual ones of a link that has none; bones of a body that
    has neither or only meshes.

    A cylinder between two spheres of its radius is a capsule; any other counts as the capsule
    inside it.
    """
    urdf = load(path)
    description = urdf.description
    solids: list[Shape] = []
    for link in urdf.robot.findall("link"):
        solids += _link(link)
    bodies = rigid_bodies(description)
    solid_bodies = {bodies[shape.link] for shape in solids}
    bones = [bone for bone in _bones(description) if bodies[bone.link] not in solid_bodies]
    return solids + bones


def rigid_bodies(description: Description) -> dict[str, str]:
    """By link: the topmost link that it is welded to."""
    above = {joint.child: joint for joint in description.joints}
    tops: dict[str, str] = {}
    for link in description.links:
        tops[link] = link
        while tops[link] in above and not above[tops[link]].moves:
            tops[link] = above[tops[link]].parent
    return tops


def _link(link: ET.Element) -> list[Shape]:
    """A link's collision shapes, or its visual ones where it has none."""
    return _solids(link, "collision") or _solids(link, "visual")


def _solids(link: ET.Element, kind: str) -> list[Shape]:
    """A link's boxes and capsules of a kind of element, `collision` or `visual`."""
    name = link.get("name", "")
    boxes: list[Shape] = []
    balls: list[Ball] = []
    rods: list[tuple[ET.Element, tuple[End, End]]] = []
    for element in link.findall(kind):
        for solid in element.iterfind("geometry/*"):
            if solid.tag == "box":
                boxes.append(_box(name, element, solid))
            elif solid.tag == "sphere":
                balls.append(_ball(element, solid))
            elif solid.tag in ("cylinder", "capsule"):
                rods.append((solid, _ends(element, solid)))
    capsules: list[Shape] = []
    rod_ends: list[End] = []
    for solid, ends in rods:
        start, end, radius = _rod(solid, ends, balls)
        capsules.append(Capsule(name, _points(start, end), radius))
        rod_ends += ends
    # A ball at the end of a rod is the rod's cap; any other is a shape of its own.
    for centre, radius in balls:
        if not any(_near(centre, end) for end in rod_ends):
            capsules.append(Capsule(name, _points(centre, centre), radius))
    return boxes + capsules


End = np.ndarray
Ball = tuple[np.ndarray, float]


def _ball(element: ET.Element, solid: ET.Element) -> Ball:
    return _origin(element)[0], _number(solid, "radius")


def _ends(element: ET.Element, solid: ET.Element) -> tuple[End, End]:
    """The two ends of a cylinder's axis."""
    centre, turn = _origin(element)
    half = _number(solid, "length") / 2 * turn[:, 2]
    return centre - half, centre + half


def _rod(solid: ET.Element, ends: tuple[End, End], balls: list[Ball]) -> tuple[End, End, float]:
    """The ends of the axis, and the radius, of the capsule that a cylinder or capsule counts as."""
    start, end = ends
    radius = _number(solid, "radius")
    caps = [centre for centre, size in balls if abs(size - radius) < SAME_M]
    has_start_cap = any(_near(centre, start) for centre in caps)
    has_end_cap = any(_near(centre, end) for centre in caps)
    if solid.tag == "capsule" or (has_start_cap and has_end_cap):
        return start, end, radius
    # The capsule inside: its ends are a radius further in.
    middle = (start + end) / 2
    half = (end - start) / 2
    length = float(np.linalg.norm(half))
    inner = half * max(0.0, 1 - radius / length) if length else half
    return middle - inner, middle + inner, min(radius, length)


def _box(link: str, element: ET.Element, solid: ET.Element) -> Box:
    centre, turn = _origin(element)
    x, y, z = numbers(solid.get("size", ""), 3, f"size of a box of link '{link}'")
    along_axes = centre + turn.T
    return Box(link, _points(centre, *along_axes), (x / 2, y / 2, z / 2))


def _bones(description: Description) -> list[Capsule]:
    bones: list[Capsule] = []
    for joint in description.joints:
        if np.linalg.norm(joint.xyz) > BONE_M:
            bones.append(Capsule(joint.parent, ((0.0, 0.0, 0.0), joint.xyz), THICK_M))
    return bones


def _origin(element: ET.Element) -> tuple[np.ndarray, np.ndarray]:
    """Place [3] m and rotation [3, 3] of a shape in its link's frame."""
    origin = element.find("origin")
    attributes = {} if origin is None else origin.attrib
    xyz = numbers(attributes.get("xyz") or "0 0 0", 3, f"xyz of a {element.tag}")
    rpy = numbers(attributes.get("rpy") or "0 0 0", 3, f"rpy of a {element.tag}")
    return np.array(xyz), rotation(rpy)


def _number(solid: ET.Element, key: str) -> float:
    return numbers(solid.get(key, ""), 1, f"{key} of a {solid.tag}")[0]


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.linalg.norm(a - b) < SAME_M)


def _points(*points: np.ndarray) -> Points:
    return tuple((float(x), float(y), float(z)) for x, y, z in points)
