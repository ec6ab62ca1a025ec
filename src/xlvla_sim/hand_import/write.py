"""Writes an entry, two URDFs and the makers' surfaces."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla.errors import XlvlaError
from xlvla.types import FINGERS, Finger, Side, scoped
from xlvla.urdf import Mimic
from xlvla_sim.hand_import import surfaces
from xlvla_sim.hand_import.anatomy import Anatomy
from xlvla_sim.hand_import.tree import Inertial, Joint, Link, Solid, Tree

COLOURS = {"shell": "0.16 0.17 0.19 1", "finger": "0.33 0.35 0.38 1", "pad": "0.85 0.85 0.83 1"}
"""As the hands of the catalogue: the palm, the fingers, their last links."""


@dataclass(frozen=True)
class Ready:
    """One side that can be written: its palm's pose [4, 4] in the flange's frame, and shapes by
    link.
    """

    anatomy: Anatomy
    mount: np.ndarray
    solids: Mapping[str, tuple[Solid, ...]]


def write(
    folder: Path,
    name: str,
    title: str,
    sides: Mapping[Side, Ready],
    joints: Mapping[str, str],
) -> Path:
    """Writes `NAME.py` and `NAME/SIDE.urdf` with the surfaces beside; returns the entry's path.

    Args:
        joints: by name of a right joint the left one's.
    """
    for side, ready in sides.items():
        _check_names(ready, side)
    (folder / name).mkdir(parents=True, exist_ok=True)
    for side, ready in sides.items():
        (folder / name / f"{side}.urdf").write_text(urdf_text(ready, f"{name}_{side}"))
        surfaces.save(folder / name / f"{side}.npz", ready.anatomy.tree)
    entry = folder / f"{name}.py"
    entry.write_text(entry_text(name, title, sides, joints))
    return entry


def entry_text(
    name: str, title: str, sides: Mapping[Side, Ready], joints: Mapping[str, str]
) -> str:
    """The entry of a hand: names as on the right, and a table where the left ones are others."""
    right, left = sides["right"].anatomy, sides["left"].anatomy
    order = [joint.name for joint in right.tree.joints if joint.free]
    left_names = {joint: joints[joint] for joint in order}
    tips: dict[Finger, str] = {}
    for finger in FINGERS:
        if finger in right.digits:
            tips[finger] = right.digits[finger].tip
            left_names[tips[finger]] = left.digits[finger].tip
    left_names[right.palm] = left.palm
    short = {word: word.replace("right", "{side}") for word in left_names}
    table: dict[str, dict[str, str]] = {}
    shorthand_tells = all(
        "{" not in word and short[word].replace("{side}", "left") == other
        for word, other in left_names.items()
    )
    if not shorthand_tells:
        short = {word: word for word in left_names}
        # A name may hold braces, which would be taken for the side's.
        table = {
            "left": {word: other for word, other in left_names.items() if word != other},
            "right": {word: word for word in left_names if "{" in word},
        }
        table = {side: words for side, words in table.items() if words}
    lines = [
        f'"""{title}, as `xlvla hand import` read it."""',
        "",
        "from pathlib import Path",
        "",
        "from xlvla.hand import Hand",
        "",
        "HAND = Hand(",
        f"    name={quoted(name)},",
        f"    title={quoted(title)},",
        f"    joints={shown(tuple(short[joint] for joint in order))},",
        f"    tips={shown({finger: short[tip] for finger, tip in tips.items()})},",
        f"    palm={quoted(short[right.palm])},",
        '    driver="none",',
        f'    urdf=str(Path(__file__).parent / {quoted(name)} / "{{side}}.urdf"),',
    ]
    if table:
        lines.append(f"    names={shown(table)},")
    return "\n".join([*lines, ")", ""])


def shown(value: Mapping[str, Any] | Sequence[str], indent: int = 4) -> str:
    """A table or a row of names as ruff formats it, one a line."""
    inner = " " * (indent + 4)
    rows: list[str] = []
    if isinstance(value, Mapping):
        for key, part in value.items():
            text = quoted(part) if isinstance(part, str) else shown(part, indent + 4)
            rows.append(f"{inner}{quoted(key)}: {text},")
        return "\n".join(["{", *rows, " " * indent + "}"])
    rows = [f"{inner}{quoted(word)}," for word in value]
    return "\n".join(["(", *rows, " " * indent + ")"])


def quoted(text: str) -> str:
    """A text as Python writes it."""
    return json.dumps(text, ensure_ascii=False)


def _check_names(ready: Ready, side: Side) -> None:
    """Refuses names that become one when the side's word is put before them."""
    for kind, known in (
        ("link", list(ready.anatomy.tree.links)),
        ("joint", list(ready.anatomy.tree.by_name)),
    ):
        seen: dict[str, str] = {}
        for name in known:
            full = scoped(side, "hand", name)
            if full in seen:
                raise XlvlaError(
                    f"{kind}s '{seen[full]}' and '{name}' would both be '{full}' on a robot: "
                    "rename one in the maker's file"
                )
            seen[full] = name


def urdf_text(ready: Ready, name: str) -> str:
    """The URDF of one side: its root is the flange's frame."""
    tree = ready.anatomy.tree
    robot = ET.Element("robot", name=name)
    for material, colour in COLOURS.items():
        ET.SubElement(ET.SubElement(robot, "material", name=material), "color", rgba=colour)
    flange = "flange" if "flange" not in tree.links else "flange_of_arm"
    ET.SubElement(robot, "link", name=flange)
    last = {tree.body(digit.tip) for digit in ready.anatomy.digits.values()}
    for link in tree.links.values():
        body = tree.body(link.name)
        material = "shell" if body == tree.root else "pad" if body in last else "finger"
        add_link(robot, link, ready.solids[link.name], material)
    mount = Joint("mounting_to_flange", "fixed", flange, tree.root, ready.mount)
    for joint in (mount, *tree.joints):
        add_joint(robot, _coupled_directly(tree, joint) if joint.mimic else joint)
    ET.indent(robot)
    return f'<?xml version="1.0"?>\n{ET.tostring(robot, encoding="unicode")}\n'


def _coupled_directly(tree: Tree, joint: Joint) -> Joint:
    """A joint that follows the free joint at the end of its couplings, with the limits that follow
    from that one's where it has none.
    """
    master, factor, offset = tree.coupling(joint)
    joint = replace(joint, mimic=Mimic(master.name, factor, offset))
    if np.isfinite([joint.lower, joint.upper]).all():
        return joint
    ends = sorted((offset + factor * master.lower, offset + factor * master.upper))
    return replace(joint, lower=ends[0], upper=ends[1])


def add_link(robot: ET.Element, link: Link, solids: Iterable[Solid], material: str) -> None:
    """Adds a link with its mass and its shapes, seen and collided with alike."""
    element = ET.SubElement(robot, "link", name=link.name)
    if link.inertial is not None:
        _add_inertial(element, link.inertial)
    for number, solid in enumerate(solids):
        for kind in ("visual", "collision"):
            for name, pose, tag, size in _elements(solid, f"shape_{number}"):
                shape = ET.SubElement(element, kind, name=name)
                _add_origin(shape, pose)
                ET.SubElement(ET.SubElement(shape, "geometry"), tag, size)
                if kind == "visual":
                    ET.SubElement(shape, "material", name=material)


def _elements(solid: Solid, name: str) -> list[tuple[str, np.ndarray, str, dict[str, str]]]:
    """Name, pose, element and size of what a solid is in URDF: a capsule is a cylinder with two
    caps.
    """
    if solid.kind == "box":
        return [(name, solid.pose, "box", {"size": _numbers(2 * solid.half)})]
    radius = {"radius": _number(solid.half[0])}
    if solid.half[2] < 1e-4:
        return [(name, solid.pose, "sphere", radius)]
    found = [(name, solid.pose, "cylinder", {**radius, "length": _number(2 * solid.half[2])})]
    for cap, end in (("a", -1.0), ("b", 1.0)):
        pose = solid.pose.copy()
        pose[:3, 3] += end * solid.half[2] * pose[:3, 2]
        found.append((f"{name}_cap_{cap}", pose, "sphere", radius))
    return found


def _add_inertial(element: ET.Element, inertial: Inertial) -> None:
    inner = ET.SubElement(element, "inertial")
    ET.SubElement(inner, "origin", xyz=_numbers(inertial.centre))
    ET.SubElement(inner, "mass", value=_number(inertial.mass))
    tensor = inertial.inertia
    values: dict[str, str] = {}
    for row, column in ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2)):
        values[f"i{'xyz'[row]}{'xyz'[column]}"] = f"{tensor[row, column]:.6g}"
    ET.SubElement(inner, "inertia", values)


def add_joint(robot: ET.Element, joint: Joint) -> None:
    """Adds a joint with its limits and what it follows."""
    element = ET.SubElement(robot, "joint", name=joint.name, type=joint.type)
    ET.SubElement(element, "parent", link=joint.parent)
    ET.SubElement(element, "child", link=joint.child)
    _add_origin(element, joint.pose)
    if not joint.moves:
        return
    ET.SubElement(element, "axis", xyz=_numbers(joint.axis))
    limits = ("lower", "upper", "velocity", "effort")
    ET.SubElement(element, "limit", {key: _number(getattr(joint, key)) for key in limits})
    if joint.mimic:
        ET.SubElement(
            element,
            "mimic",
            joint=joint.mimic.joint,
            multiplier=_number(joint.mimic.multiplier),
            offset=_number(joint.mimic.offset),
        )


def _add_origin(element: ET.Element, pose: np.ndarray) -> None:
    rpy = pin.rpy.matrixToRpy(pose[:3, :3])
    ET.SubElement(element, "origin", xyz=_numbers(pose[:3, 3]), rpy=_numbers(rpy))


def _numbers(values: Iterable[float]) -> str:
    return " ".join(map(_number, values))


def _number(value: float) -> str:
    return f"{round(float(value), 7) + 0.0:.9g}"
