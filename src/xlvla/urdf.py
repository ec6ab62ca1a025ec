"""Reading URDF: joints with limits and couplings, in the order of the file."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from xlvla.errors import XlvlaError, unknown

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Mimic:
    """A coupling: this joint = multiplier * joint + offset [rad or m]."""

    joint: str
    multiplier: float = 1.0
    offset: float = 0.0


@dataclass(frozen=True)
class Joint:
    """One URDF joint; `xyz` [m] and `rpy` [rad] place it in its parent's frame, limits are [rad or m, per second]."""

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

    @property
    def free_joints(self) -> tuple[Joint, ...]:
        return tuple(j for j in self.joints if j.free)


@cache
def read(path: Path) -> Description:
    """The description in a URDF file."""
    if not path.is_file():
        raise XlvlaError(f"no URDF at {path}")
    return parse(path.read_text(), str(path))


def parse(xml: str, source: str = "URDF") -> Description:
    """The description in URDF text; `source` names it in errors."""
    try:
        robot = ET.fromstring(xml)
    except ET.ParseError as error:
        raise XlvlaError(f"{source} is not well-formed XML: {error}") from None
    links = tuple(link.get("name", "") for link in robot.iter("link"))
    joints = tuple(_joint(element) for element in robot.findall("joint"))
    roots = [link for link in links if link not in {j.child for j in joints}]
    if len(roots) != 1:
        raise XlvlaError(f"{source} must have one root link, it has {len(roots)}: {', '.join(roots)}")
    return Description(robot.get("name", ""), roots[0], links, joints)


def _joint(element: ET.Element) -> Joint:
    origin, limit, mimic = element.find("origin"), element.find("limit"), element.find("mimic")
    return Joint(
        name=element.get("name", ""),
        type=element.get("type", ""),
        parent=_attribute(element.find("parent"), "link"),
        child=_attribute(element.find("child"), "link"),
        xyz=_vector(origin, "xyz", (0, 0, 0)),
        rpy=_vector(origin, "rpy", (0, 0, 0)),
        axis=_vector(element.find("axis"), "xyz", (1, 0, 0)),
        lower=_number(limit, "lower", -math.inf),
        upper=_number(limit, "upper", math.inf),
        velocity=_number(limit, "velocity", math.inf),
        effort=_number(limit, "effort", math.inf),
        mimic=_mimic(mimic),
    )


def _mimic(element: ET.Element | None) -> Mimic | None:
    if element is None:
        return None
    return Mimic(_attribute(element, "joint"), _number(element, "multiplier", 1.0), _number(element, "offset", 0.0))


def _attribute(element: ET.Element | None, key: str) -> str:
    return "" if element is None else element.get(key, "")


def _number(element: ET.Element | None, key: str, default: float) -> float:
    return default if element is None else float(element.get(key, default))


def _vector(element: ET.Element | None, key: str, default: Vector) -> Vector:
    text = _attribute(element, key)
    if not text:
        return default
    x, y, z = map(float, text.split())
    return x, y, z
