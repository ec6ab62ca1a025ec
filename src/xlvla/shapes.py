"""The solid shapes of a URDF's links, as capsules and boxes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.solids import Solid, rigid_bodies, solids
from xlvla.urdf import Description, load, rotation

Points = tuple[tuple[float, float, float], ...]
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
    found: list[Shape] = []
    for link in urdf.robot.findall("link"):
        try:
            in_order = sorted(solids(link), key=lambda solid: _ORDER.index(solid.kind))
        except XlvlaError as error:
            raise XlvlaError(f"{path}: {error}") from None
        found += [_shape(link.get("name", ""), solid) for solid in in_order]
    bodies = rigid_bodies(description)
    solid_bodies = {bodies[shape.link] for shape in found}
    bones = [bone for bone in _bones(description) if bodies[bone.link] not in solid_bodies]
    return found + bones


_ORDER = ("box", "capsule", "cylinder", "sphere")


def _shape(link: str, solid: Solid) -> Shape:
    centre = np.array(solid.xyz)
    if solid.kind == "box":
        x, y, z = solid.size
        along_axes = centre + rotation(solid.rpy).T
        return Box(link, _points(centre, *along_axes), (x, y, z))
    if solid.kind == "sphere":
        return Capsule(link, _points(centre, centre), solid.size[0])
    start, end = solid.ends
    radius = solid.size[0]
    if solid.kind == "capsule":
        return Capsule(link, _points(start, end), radius)
    # The capsule inside: its ends are a radius further in.
    half = (end - start) / 2
    length = solid.size[1]
    inner = half * max(0.0, 1 - radius / length)
    return Capsule(link, _points(centre - inner, centre + inner), min(radius, length))


def _bones(description: Description) -> list[Capsule]:
    bones: list[Capsule] = []
    for joint in description.joints:
        if np.linalg.norm(joint.xyz) > BONE_M:
            bones.append(Capsule(joint.parent, ((0.0, 0.0, 0.0), joint.xyz), THICK_M))
    return bones


def _points(*points: np.ndarray) -> Points:
    return tuple((float(x), float(y), float(z)) for x, y, z in points)
