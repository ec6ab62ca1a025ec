"""Reads a maker's URDF or xacro with its meshes."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from xlvla import urdf
from xlvla.errors import XlvlaError
from xlvla_sim.hand_import import meshes
from xlvla_sim.hand_import.tree import WORLD, Inertial, Joint, Link, Surface, Tree, applied, unit


@dataclass(frozen=True)
class Source:
    """Where a URDF lies, and where its packages are, by name."""

    file: Path
    packages: Mapping[str, Path]


def read(file: Path, packages: Mapping[str, Path], arguments: Mapping[str, str]) -> Tree:
    """The hand in a URDF or xacro file.

    Args:
        packages: folder by name of a ROS package, for `package://` paths.
        arguments: of a xacro file.
    """
    source = Source(file, packages)
    text = file.read_text()
    if is_xacro(file, text):
        text = expanded(source, arguments)
    elif arguments:
        raise XlvlaError(f"{file} is no xacro file: it takes no arguments")
    parsed = urdf.parse(text, file.name)
    description = parsed.description
    notes: list[str] = []
    links = {
        element.get("name", ""): _link(element, source, notes)
        for element in parsed.robot.findall("link")
    }
    joints = tuple(_joint(joint, notes) for joint in description.joints)
    root = description.root
    tree = Tree(description.name, root, links, joints, tuple(notes))
    return _standing_free(tree) if root == WORLD else tree


def _standing_free(tree: Tree) -> Tree:
    """Without surfaces of the world itself."""
    return replace(tree, links={**tree.links, WORLD: Link(WORLD)})


def is_xacro(file: Path, text: str) -> bool:
    return file.suffix == ".xacro" or "http://www.ros.org/wiki/xacro" in text or "${" in text


def expanded(source: Source, arguments: Mapping[str, str]) -> str:
    """The URDF text of a xacro file."""
    try:
        from xacrodoc import XacroDoc, packages  # pyright: ignore
    except ImportError:
        raise XlvlaError(
            f"{source.file} is a xacro file, which needs xacrodoc: pip install 'xlvla[hands]', or "
            "expand it first: `xacro in.urdf.xacro > out.urdf`"
        ) from None
    text = source.file.read_text()
    known = set(re.findall(r"<xacro:arg[^>]*\bname=\"([^\"]+)\"", text))
    strange = sorted(set(arguments) - known)
    if strange:
        raise XlvlaError(
            f"{source.file} has no xacro argument '{strange[0]}': known are "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    packages.update_package_cache({name: str(path) for name, path in source.packages.items()})
    packages.look_in([str(folder) for folder in source.file.resolve().parents[:3]])
    try:
        document = XacroDoc.from_file(
            str(source.file), subargs=dict(arguments), resolve_packages=False
        )
    except Exception as error:  # xacro raises many kinds
        line = str(error).strip().partition("\n")[0]
        raise XlvlaError(
            f"{source.file} cannot be expanded: {line}; arguments are given by --arg NAME=VALUE, "
            "folders of packages by --package NAME=FOLDER"
        ) from None
    return document.to_urdf_string()


def _joint(joint: urdf.Joint, notes: list[str]) -> Joint:
    mimic = joint.mimic
    read = Joint(
        name=joint.name,
        type="revolute" if joint.type == "continuous" else joint.type,
        parent=joint.parent,
        child=joint.child,
        pose=urdf.placed(joint.xyz, joint.rpy),
        axis=unit(np.array(joint.axis, dtype=float)),
        lower=joint.lower,
        upper=joint.upper,
        velocity=joint.velocity,
        effort=joint.effort,
        mimic=mimic,
        endless=joint.type == "continuous",
    )
    if joint.type == "continuous" and np.isfinite([joint.lower, joint.upper]).all():
        notes.append(
            f"joint {joint.name}: continuous, which has no limits; those beside it, "
            f"{joint.lower:g} to {joint.upper:g} rad, are taken: it is revolute now"
        )
    length = float(np.linalg.norm(joint.axis))
    if joint.moves and abs(length - 1) > 1e-3:
        notes.append(f"joint {joint.name}: its axis had the length {length:g}, now 1")
    return read


def _link(element: ET.Element, source: Source, notes: list[str]) -> Link:
    name = element.get("name", "")
    collision = _surfaces(element, "collision", source, notes)
    visual = _surfaces(element, "visual", source, notes)
    return Link(name, collision, visual, _inertial(element, name))


def _inertial(element: ET.Element, link: str) -> Inertial | None:
    inertial = element.find("inertial")
    if inertial is None:
        return None
    pose = _origin(inertial)
    mass = inertial.find("mass")
    tensor = inertial.find("inertia")
    values: dict[str, float] = {}
    for key in ("ixx", "iyy", "izz", "ixy", "ixz", "iyz"):
        text = "0" if tensor is None else tensor.get(key, "0")
        values[key] = urdf.numbers(text, 1, f"{key} of link '{link}'")[0]
    matrix = np.array(
        [
            [values["ixx"], values["ixy"], values["ixz"]],
            [values["ixy"], values["iyy"], values["iyz"]],
            [values["ixz"], values["iyz"], values["izz"]],
        ]
    )
    turned = pose[:3, :3] @ matrix @ pose[:3, :3].T
    text = "0" if mass is None else mass.get("value", "0")
    kilograms = urdf.numbers(text, 1, f"mass of link '{link}'")[0]
    return Inertial(kilograms, pose[:3, 3], turned)


def _surfaces(
    element: ET.Element, kind: str, source: Source, notes: list[str]
) -> tuple[Surface, ...]:
    surfaces: list[Surface] = []
    for shape in element.findall(kind):
        geometry = shape.find("geometry")
        if geometry is None or not len(geometry):
            continue
        place = f"{kind} of link '{element.get('name')}'"
        surfaces += _surface(geometry[0], _origin(shape), source, place, notes)
    return tuple(surfaces)


def _surface(
    solid: ET.Element, pose: np.ndarray, source: Source, place: str, notes: list[str]
) -> list[Surface]:
    def number(key: str) -> float:
        return urdf.numbers(solid.get(key, ""), 1, f"{key} of the {place}")[0]

    if solid.tag == "box":
        size = urdf.numbers(solid.get("size", ""), 3, f"size of the {place}")
        return [meshes.box(pose, np.array(size) / 2)]
    if solid.tag == "sphere":
        return [meshes.capsule(pose, number("radius"), 0.0)]
    if solid.tag == "capsule":
        return [meshes.capsule(pose, number("radius"), number("length") / 2)]
    if solid.tag == "cylinder":
        return [meshes.cylinder(pose, number("radius"), number("length") / 2)]
    if solid.tag != "mesh":
        notes.append(f"{place}: <{solid.tag}> is left out")
        return []
    scale = urdf.numbers(solid.get("scale") or "1 1 1", 3, f"scale of the {place}")
    mesh = meshes.load(mesh_file(solid.get("filename", ""), source, place))
    return [Surface(applied(pose, mesh.points * scale), mesh.faces)]


def mesh_file(name: str, source: Source, place: str) -> Path:
    """The file that a URDF's mesh means: `package://`, `model://`, `file://`, or a path beside the
    URDF or above it.
    """
    path = re.sub(r"^file://", "", name)
    folder = source.file.resolve().parent
    in_package = re.match(r"^(?:package|model)://([^/]+)/(.*)$", path)
    if not in_package:
        tried = [Path(path)] if Path(path).is_absolute() else [folder / path]
        tried += [above / path for above in folder.parents[:3]]
    else:
        package, rest = in_package.groups()
        tried = [source.packages[package] / rest] if package in source.packages else []
        for above in (folder, *folder.parents[:5]):
            if above.name == package:
                tried.append(above / rest)
            tried.append(above / package / rest)
        tried += [above / rest for above in (folder, *folder.parents[:3])]
    for candidate in tried:
        if candidate.is_file():
            return candidate
    how = "--package NAME=FOLDER says where a package is" if in_package else f"looked in {folder}"
    raise XlvlaError(f"{source.file.name}: {place}: no mesh '{name}'; {how}")


def _origin(element: ET.Element) -> np.ndarray:
    origin = element.find("origin")
    attributes = {} if origin is None else origin.attrib
    xyz = urdf.numbers(attributes.get("xyz") or "0 0 0", 3, f"xyz of a {element.tag}")
    rpy = urdf.numbers(attributes.get("rpy") or "0 0 0", 3, f"rpy of a {element.tag}")
    return urdf.placed(xyz, rpy)
