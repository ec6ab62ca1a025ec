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
    found = [shape for link in urdf.robot.findall("link") for shape in _link(link)]
    bodies = rigid_bodies(description)
    solid = {bodies[shape.link] for shape in found}
    return found + [bone for bone in _bones(description) if bodies[bone.link] not in solid]


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
    for kind in ("collision", "visual"):
        solids = [
            (element, solid)
            for element in link.findall(kind)
            for solid in element.iterfind("geometry/*")
        ]
        balls = [_ball(*each) for each in solids if each[1].tag == "sphere"]
        rods = [(each, _ends(*each)) for each in solids if each[1].tag in ("cylinder", "capsule")]
        capsules = [_rod(solid, ends, balls) for (_, solid), ends in rods]
        capped = [end for _, ends in rods for end in ends]
        loose = [ball for ball in balls if not any(_near(ball[0], end) for end in capped)]
        name = link.get("name", "")
        found: list[Shape] = [_box(name, *each) for each in solids if each[1].tag == "box"]
        found += [
            Capsule(name, _points(a, b), radius)
            for a, b, radius in [*capsules, *((ball[0], *ball) for ball in loose)]
        ]
        if found:
            return found
    return []


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
    radius = _number(solid, "radius")
    capped = all(
        any(_near(ball, end) and abs(size - radius) < SAME_M for ball, size in balls)
        for end in ends
    )
    if solid.tag == "capsule" or capped:
        return *ends, radius
    middle = (ends[0] + ends[1]) / 2
    half = (ends[1] - ends[0]) / 2
    length = float(np.linalg.norm(half))
    inner = half * max(0.0, 1 - radius / length) if length else half
    return middle - inner, middle + inner, min(radius, length)


def _box(link: str, element: ET.Element, solid: ET.Element) -> Box:
    centre, turn = _origin(element)
    x, y, z = (
        size / 2 for size in numbers(solid.get("size", ""), 3, f"size of a box of link '{link}'")
    )
    return Box(link, _points(centre, *(centre + turn.T)), (x, y, z))


def _bones(description: Description) -> list[Capsule]:
    ends = [
        (joint.parent, joint.xyz)
        for joint in description.joints
        if np.linalg.norm(joint.xyz) > BONE_M
    ]
    return [Capsule(link, ((0.0, 0.0, 0.0), xyz), THICK_M) for link, xyz in ends]


def _origin(element: ET.Element) -> tuple[np.ndarray, np.ndarray]:
    """Place [3] m and rotation [3, 3] of a shape in its link's frame."""
    origin = element.find("origin")
    get = {} if origin is None else origin.attrib
    xyz, rpy = (
        numbers(get.get(key) or "0 0 0", 3, f"{key} of a {element.tag}") for key in ("xyz", "rpy")
    )
    return np.array(xyz), rotation(rpy)


def _number(solid: ET.Element, key: str) -> float:
    return numbers(solid.get(key, ""), 1, f"{key} of a {solid.tag}")[0]


def _near(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.linalg.norm(a - b) < SAME_M)


def _points(*points: np.ndarray) -> Points:
    return tuple((float(x), float(y), float(z)) for x, y, z in points)
