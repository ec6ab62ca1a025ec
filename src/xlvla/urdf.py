"""Reading URDF: joints with limits and couplings, in the order of the file."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

import numpy as np

from xlvla.errors import XlvlaError, unknown, unknown_line

Vector = tuple[float, float, float]
Place = str
"""What an error is about, such as `joint 'bend' of right.urdf`."""

TYPES = ("revolute", "continuous", "prismatic", "fixed")


@dataclass(frozen=True)
class Mimic:
    """A coupling: this joint = multiplier * joint + offset [rad or m]."""

    joint: str
    multiplier: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Joint:
    """One URDF joint; `xyz` [m] and `rpy` [rad] place it in its parent's frame, limits are [rad or
    m, per second].
    """

    name: str
    type: str
    parent: str
    child: str
    xyz: Vector
    rpy: Vector
    axis: Vector
    lower: float
    upper: float
    velocity: float
    effort: float
    mimic: Mimic | None

    @property
    def moves(self) -> bool:
        return self.type != "fixed"

    @property
    def free(self) -> bool:
        """Moves on its own, not through a coupling."""
        return self.moves and self.mimic is None


@dataclass(frozen=True)
class Description:
    """A parsed URDF."""

    name: str
    root: str
    links: tuple[str, ...]
    joints: tuple[Joint, ...]

    def joint(self, name: str) -> Joint:
        for joint in self.joints:
            if joint.name == name:
                return joint
        raise unknown(f"joint of {self.name}", name, [j.name for j in self.joints if j.moves])

    def coupling(self, joint: Joint) -> tuple[Joint, float, float]:
        """The free joint that a moving joint follows through mimics, chained ones too, with the
        multiplier and the offset [rad or m] it follows it with; of a free joint itself, 1 and 0.
        """
        multiplier = 1.0
        offset = 0.0
        while joint.mimic:
            offset += multiplier * joint.mimic.offset
            multiplier *= joint.mimic.multiplier
            joint = self.joint(joint.mimic.joint)
        return joint, multiplier, offset

    @property
    def free_joints(self) -> tuple[Joint, ...]:
        return tuple(j for j in self.joints if j.free)


@dataclass(frozen=True)
class Urdf:
    """A URDF, parsed once and handed on.

    Args:
        robot: its outermost element; whoever wants to change it makes a copy.
        description: what was read of it.
    """

    robot: ET.Element
    description: Description

    @cached_property
    def text(self) -> str:
        """The XML, as it is published and as other libraries read it."""
        body = ET.tostring(self.robot, encoding="unicode")
        return f'<?xml version="1.0"?>\n{body}\n'


@cache
def load(path: Path) -> Urdf:
    """The URDF in a file."""
    if not path.is_file():
        raise XlvlaError(f"no URDF at {path}")
    try:
        return parse(path.read_text(), str(path))
    except UnicodeDecodeError:
        raise XlvlaError(f"{path} is no URDF: it is not text") from None


def parse(xml: str, source: str = "URDF") -> Urdf:
    """The URDF in a text; `source` names it in errors.

    Raises:
        XlvlaError: the text is no URDF, its links and joints are no tree, or a number or name in it
            cannot be meant.
    """
    return of_tree(_robot(xml, source), source)


def of_tree(robot: ET.Element, source: str = "URDF") -> Urdf:
    """The URDF whose outermost element is given; raises what `parse` raises."""
    return Urdf(robot, _description(robot, source))


def _description(robot: ET.Element, source: str) -> Description:
    links = tuple(link.get("name", "") for link in robot.findall("link"))
    joints = tuple(
        _joint(element, f"joint '{element.get('name', '')}' of {source}")
        for element in robot.findall("joint")
    )
    _unique(links, "link", source)
    _unique([joint.name for joint in joints], "joint", source)
    _tree(links, joints, source)
    _couplings(joints, source)
    roots = [link for link in links if link not in {j.child for j in joints}]
    if len(roots) != 1:
        raise XlvlaError(
            f"{source} must have one root link, it has {len(roots)}: {', '.join(roots)}"
        )
    return Description(robot.get("name", ""), roots[0], links, joints)


def _robot(xml: str, source: str) -> ET.Element:
    try:
        robot = ET.fromstring(xml)
    except ET.ParseError as error:
        raise XlvlaError(f"{source} is not well-formed XML: {error}") from None
    if robot.tag != "robot":
        raise XlvlaError(
            f"{source} is no URDF: its outermost element is <{robot.tag}>, a URDF's is <robot>"
        )
    if "${" in xml:
        raise XlvlaError(
            f"{source} is a xacro template: expand it first, `xacro in.urdf.xacro > out.urdf`"
        )
    return robot


def _unique(names: Sequence[str], kind: str, source: str) -> None:
    if "" in names:
        raise XlvlaError(f"{source} has a {kind} without a name")
    twice = next((name for number, name in enumerate(names) if name in names[:number]), None)
    if twice is not None:
        raise XlvlaError(f"{source} has two {kind}s named '{twice}': rename one")


def _tree(links: Sequence[str], joints: Sequence[Joint], source: str) -> None:
    """Refuses joints between links that do not exist, and links with two parents or in a loop."""
    parent: dict[str, str] = {}
    for joint in joints:
        for link in (joint.parent, joint.child):
            if link not in links:
                raise XlvlaError(
                    f"joint '{joint.name}' of {source}: {unknown_line('link', link, links)}"
                )
        if joint.child in parent:
            raise XlvlaError(
                f"link '{joint.child}' of {source} hangs on two joints, '{joint.name}' is one: a "
                "hand must be a tree"
            )
        parent[joint.child] = joint.parent
    for link in links:
        above = link
        steps = 0
        while above in parent and steps <= len(links):
            above = parent[above]
            steps = steps + 1
        if above in parent:
            raise XlvlaError(f"link '{link}' of {source} is in a loop of joints: it must be a tree")


def _couplings(joints: Sequence[Joint], source: str) -> None:
    """Refuses mimics of joints that do not exist or do not move, and mimics that follow
    themselves.
    """
    by_name = {joint.name: joint for joint in joints if joint.moves}
    for joint in joints:
        master = joint
        seen = {joint.name}
        while master.mimic:
            if master.mimic.joint not in by_name:
                raise XlvlaError(
                    f"joint '{master.name}' of {source} mimics an "
                    f"{unknown_line('moving joint', master.mimic.joint, by_name)}"
                )
            master = by_name[master.mimic.joint]
            if master.name in seen:
                raise XlvlaError(
                    f"joint '{joint.name}' of {source} follows itself through its mimics"
                )
            seen.add(master.name)


def _joint(element: ET.Element, place: Place) -> Joint:
    origin = element.find("origin")
    limit = element.find("limit")
    mimic = element.find("mimic")
    joint = Joint(
        name=element.get("name", ""),
        type=element.get("type", ""),
        parent=_attribute(element.find("parent"), "link"),
        child=_attribute(element.find("child"), "link"),
        xyz=_vector(origin, "xyz", (0, 0, 0), place),
        rpy=_vector(origin, "rpy", (0, 0, 0), place),
        axis=_vector(element.find("axis"), "xyz", (1, 0, 0), place),
        lower=_number(limit, "lower", -math.inf, place),
        upper=_number(limit, "upper", math.inf, place),
        velocity=_number(limit, "velocity", math.inf, place),
        effort=_number(limit, "effort", math.inf, place),
        mimic=_mimic(mimic, place),
    )
    if joint.type not in TYPES:
        raise XlvlaError(f"{place} is of the {unknown_line('type', joint.type, TYPES)}")
    if joint.moves and not any(joint.axis):
        raise XlvlaError(f"{place} moves about an axis of length 0")
    return joint


def _mimic(element: ET.Element | None, place: Place) -> Mimic | None:
    if element is None:
        return None
    return Mimic(
        _attribute(element, "joint"),
        _number(element, "multiplier", 1.0, place),
        _number(element, "offset", 0.0, place),
    )


def _attribute(element: ET.Element | None, key: str) -> str:
    return "" if element is None else element.get(key, "")


def _number(element: ET.Element | None, key: str, default: float, place: Place) -> float:
    text = _attribute(element, key)
    return numbers(text, 1, f"{place}: {key}")[0] if text else default


def _vector(element: ET.Element | None, key: str, default: Vector, place: Place) -> Vector:
    text = _attribute(element, key)
    if not text:
        return default
    x, y, z = numbers(text, 3, f"{place}: {key}")
    return x, y, z


def numbers(text: str, count: int, what: str) -> list[float]:
    """So many finite numbers in a text; `what` names it in the error."""
    try:
        values = [float(word) for word in text.split()]
    except ValueError:
        values = []
    if len(values) != count or not all(map(math.isfinite, values)):
        raise XlvlaError(
            f"{what} is '{text}', needed "
            f"{'is a finite number' if count == 1 else f'are {count} finite numbers'}"
        )
    return values


def rotation(rpy: Sequence[float]) -> np.ndarray:
    """Fixed-axis roll, pitch, yaw [rad] as a matrix."""
    (cr, cp, cy), (sr, sp, sy) = np.cos(rpy), np.sin(rpy)
    return np.array([
        [cy * cp, cy * sp * sr - sy * cr, cy * sp * cr + sy * sr],
        [sy * cp, sy * sp * sr + cy * cr, sy * sp * cr - cy * sr],
        [-sp, cp * sr, cp * cr],
    ])  # fmt: skip


def placed(xyz: Sequence[float], rpy: Sequence[float]) -> np.ndarray:
    """The pose [4, 4] of what is at xyz [m], turned by fixed-axis roll, pitch, yaw [rad]."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = rotation(rpy), xyz
    return pose
