"""A preview of a chunk for RViz: translucent hands at a few future frames and the paths of the
fingertips.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import Point, Pose, Quaternion, Vector3
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray

from xlvla import robot, urdf
from xlvla.kinematics import Kinematics
from xlvla.rig import Rig
from xlvla.ros.convert import stamp
from xlvla.types import Part, Side, scoped

GHOSTS = 4
"""How many hands are shown along a chunk."""

TRAIL_STEP = 4
"""Frames between two points of a fingertip's path."""

_COLOURS: dict[Side, tuple[float, float, float]] = {
    "left": (0.25, 0.55, 1.0),
    "right": (1.0, 0.55, 0.2),
}


@dataclass(frozen=True)
class Shape:
    """A visual of a link: its marker type, size [m] and pose [4, 4] in the link's frame."""

    link: str
    type: int
    size: tuple[float, float, float]
    T_link_shape: np.ndarray


class ChunkMarkers:
    """Markers of chunks for one rig, in the frame `world`."""

    def __init__(self, rig: Rig):
        description = robot.rig_description(rig)
        self._parts = rig.parts
        self._names: dict[Side, list[str]] = {
            side: [name for part in rig.parts_of(side) for name in rig.joint_names(side, part)]
            for side in rig.sides
        }
        self._kinematics = Kinematics(
            description, [name for names in self._names.values() for name in names]
        )
        shapes = _shapes(description.robot)
        self._shapes = {
            side: [s for s in shapes if s.link.startswith(scoped(side, "hand", ""))]
            for side in rig.sides
        }
        self._tips = {
            side: [scoped(side, "hand", link) for link in rig.hand(side).tip_links(side).values()]
            for side in rig.sides
        }

    def markers(self, positions: Mapping[Side, Mapping[Part, np.ndarray]], ns: int) -> MarkerArray:
        """The chunk's markers; `positions` are [T, J] rad by side and part, every side of the
        rig.
        """
        rows = np.concatenate([positions[side][part] for side, part in self._parts], axis=1)
        ghosts = np.linspace(len(rows) / GHOSTS, len(rows) - 1, GHOSTS).astype(int)
        markers = [_marker("", 0, Marker.DELETEALL, (0.0, 0.0, 0.0), ns, action=Marker.DELETEALL)]
        for side in self._names:
            for nth, frame in enumerate(ghosts):
                markers += self._hand(side, rows[frame], 0.45 - 0.3 * nth / GHOSTS, nth, ns)
            markers += self._trails(side, rows[::TRAIL_STEP], ns)
        return MarkerArray(markers=markers)

    def _hand(self, side: Side, q: np.ndarray, alpha: float, nth: int, ns: int) -> list[Marker]:
        shapes = self._shapes[side]
        poses = self._kinematics.fk(q, sorted({shape.link for shape in shapes}))
        markers: list[Marker] = []
        for number, shape in enumerate(shapes):
            marker = _marker(f"{side} ghost {nth}", number, shape.type, shape.size, ns)
            marker.pose = _pose(poses[shape.link] @ shape.T_link_shape)
            marker.color = _colour(side, alpha)
            markers.append(marker)
        return markers

    def _trails(self, side: Side, rows: np.ndarray, ns: int) -> list[Marker]:
        paths = [self._kinematics.fk(q, self._tips[side]) for q in rows]
        markers: list[Marker] = []
        for number, tip in enumerate(self._tips[side]):
            marker = _marker(f"{side} trails", number, Marker.LINE_STRIP, (0.003, 0.0, 0.0), ns)
            marker.points = [_point(path[tip][:3, 3]) for path in paths]
            marker.color = _colour(side, 0.9)
            markers.append(marker)
        return markers


def _marker(
    space: str,
    number: int,
    kind: int,
    size: tuple[float, float, float],
    ns: int,
    action: int = Marker.ADD,
) -> Marker:
    marker = Marker(ns=space, id=number, type=kind if action == Marker.ADD else 0, action=action)
    marker.header.frame_id = robot.WORLD
    marker.header.stamp = stamp(ns)
    marker.pose.orientation.w = 1.0
    x, y, z = size
    marker.scale = Vector3(x=x, y=y, z=z)
    return marker


def _colour(side: Side, alpha: float) -> ColorRGBA:
    r, g, b = _COLOURS[side]
    return ColorRGBA(r=r, g=g, b=b, a=alpha)


def _shapes(robot: ET.Element) -> list[Shape]:
    """Every box, cylinder and sphere that a URDF shows."""
    shapes: list[Shape] = []
    for link in robot.iter("link"):
        name = link.get("name", "")
        for visual in link.findall("visual"):
            geometry = visual.find("geometry/*")
            if geometry is None:
                continue
            kind_and_size = _kind_and_size(geometry)
            if kind_and_size is None:
                continue
            kind, size = kind_and_size
            shapes.append(Shape(name, kind, size, _origin(visual.find("origin"))))
    return shapes


def _kind_and_size(shape: ET.Element) -> tuple[int, tuple[float, float, float]] | None:
    if shape.tag == "box":
        x, y, z = map(float, shape.get("size", "").split())
        return Marker.CUBE, (x, y, z)
    diameter = 2 * float(shape.get("radius", "0"))
    if shape.tag == "sphere":
        return Marker.SPHERE, (diameter, diameter, diameter)
    if shape.tag == "cylinder":
        return Marker.CYLINDER, (diameter, diameter, float(shape.get("length", "0")))
    return None


def _origin(element: ET.Element | None) -> np.ndarray:
    """The pose [4, 4] of a shape in its link's frame."""
    attributes = {} if element is None else element.attrib
    xyz = [float(number) for number in attributes.get("xyz", "0 0 0").split()]
    rpy = [float(number) for number in attributes.get("rpy", "0 0 0").split()]
    return urdf.placed(xyz, rpy)


def _point(position: np.ndarray) -> Point:
    """The message of a position [3] m."""
    x, y, z = position.tolist()
    return Point(x=x, y=y, z=z)


def _pose(T: np.ndarray) -> Pose:
    """The message of a pose [4, 4]."""
    w, x, y, z = _quaternion(T[:3, :3])
    return Pose(position=_point(T[:3, 3]), orientation=Quaternion(x=x, y=y, z=z, w=w))


def _quaternion(R: np.ndarray) -> tuple[float, float, float, float]:
    """w, x, y, z of a rotation [3, 3]: the largest eigenvector of its quaternion form, so no case
    is singular.
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = R.tolist()
    K = np.array(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [0, xx - yy - zz, yx + xy, zx + xz],
            [0, 0, yy - xx - zz, zy + yz],
            [0, 0, 0, zz - xx - yy],
        ]
    )
    w, x, y, z = np.linalg.eigh(K, UPLO="U")[1][:, -1].tolist()
    return w, x, y, z
