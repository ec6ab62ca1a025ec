"""A robot in the page's scene, made of its description and moved joint by joint.

Every link hangs on the frame of its joint, as in the description, so a joint that turns is one
message to the browser and nothing here computes kinematics.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import trimesh
import viser
from viser.transforms import SO3

from xlvla.solids import Solid, solids
from xlvla.urdf import Joint, Urdf, placed, rotation

SEEN_RAD = 2e-4
"""What turns a joint less is not worth a message; of a prismatic joint metres."""

GREY = (190, 192, 196)
"""Of what has no colour of its own."""

Colour = tuple[int, int, int]


@dataclass
class _Hinge:
    """The frame of a joint that moves, and where its master was when it was last set."""

    joint: Joint
    master: str
    multiplier: float
    offset: float
    frame: viser.FrameHandle
    shown: float = math.nan


class Figure:
    """One pose of a robot.

    Args:
        root: name of its frame in the scene.
        ghost: colour of a translucent one; None: solid, in its own colours.
        drawn: beginnings of the names of the links that are drawn; '' is all.
    """

    def __init__(
        self,
        scene: viser.SceneApi,
        robot: Urdf,
        root: str,
        *,
        ghost: Colour | None = None,
        drawn: tuple[str, ...] = ("",),
    ):
        self._root = scene.add_frame(root, show_axes=False)
        self._hinges: list[_Hinge] = []
        description = robot.description
        colours = _colours(robot)
        elements = {link.get("name", ""): link for link in robot.robot.findall("link")}
        paths = {description.root: f"{root}/{description.root}"}
        scene.add_frame(paths[description.root], show_axes=False)
        for joint in _from_the_root(description.root, description.joints):
            paths[joint.child] = f"{paths[joint.parent]}/{joint.child}"
            frame = scene.add_frame(
                paths[joint.child],
                show_axes=False,
                wxyz=_turn(joint, 0.0),
                position=np.array(joint.xyz),
            )
            if joint.moves:
                master, multiplier, offset = description.coupling(joint)
                self._hinges.append(_Hinge(joint, master.name, multiplier, offset, frame))
        for name, path in paths.items():
            shapes = solids(elements[name]) if name.startswith(drawn) else []
            for number, (colour, mesh, flat) in enumerate(_meshes(shapes, colours)):
                scene.add_mesh_simple(
                    f"{path}/shape{number}",
                    mesh.vertices,
                    mesh.faces,
                    color=ghost or colour,
                    opacity=None if ghost is None else 0.3,
                    flat_shading=flat,
                    cast_shadow=ghost is None,
                    receive_shadow=ghost is None,
                )

    @property
    def visible(self) -> bool:
        return self._root.visible

    @visible.setter
    def visible(self, visible: bool) -> None:
        if visible != self._root.visible:
            self._root.visible = visible

    def show(self, positions: Mapping[str, float]) -> None:
        """Moves to these positions [rad or m] by joint; joints that are not named stay."""
        for hinge in self._hinges:
            master = positions.get(hinge.master)
            if master is None or abs(master - hinge.shown) < SEEN_RAD:
                continue
            hinge.shown = master
            angle = hinge.multiplier * master + hinge.offset
            if hinge.joint.type == "prismatic":
                hinge.frame.position = _shifted(hinge.joint, angle)
            else:
                hinge.frame.wxyz = _turn(hinge.joint, angle)


def _from_the_root(root: str, joints: Iterable[Joint]) -> list[Joint]:
    """Joints in an order in which every parent comes before its children."""
    below: dict[str, list[Joint]] = {}
    for joint in joints:
        below.setdefault(joint.parent, []).append(joint)
    ordered: list[Joint] = []
    links = [root]
    while links:
        found = below.get(links.pop(), [])
        ordered += found
        links += [joint.child for joint in found]
    return ordered


def _turn(joint: Joint, angle: float) -> np.ndarray:
    """Quaternion w, x, y, z of a joint's frame in its parent's."""
    axis = np.array(joint.axis) / np.linalg.norm(joint.axis) if joint.moves else np.zeros(3)
    origin = SO3.from_matrix(rotation(joint.rpy))
    turned = 0.0 if joint.type == "prismatic" else angle
    return (origin @ SO3.exp(turned * axis)).wxyz


def _shifted(joint: Joint, way: float) -> np.ndarray:
    axis = np.array(joint.axis) / np.linalg.norm(joint.axis)
    return np.array(joint.xyz) + rotation(joint.rpy) @ (way * axis)


def _colours(robot: Urdf) -> dict[str, Colour]:
    """The colours of a description's materials."""
    found: dict[str, Colour] = {}
    for material in robot.robot.iter("material"):
        colour = material.find("color")
        if colour is not None:
            red, green, blue, *_ = (float(word) for word in colour.get("rgba", "").split())
            found[material.get("name", "")] = (
                round(255 * red),
                round(255 * green),
                round(255 * blue),
            )
    return found


def _meshes(
    shapes: Iterable[Solid], colours: Mapping[str, Colour]
) -> Iterable[tuple[Colour, Any, bool]]:
    """A link's shapes as few meshes: colour, mesh, and whether its faces are flat."""
    groups: dict[tuple[Colour, bool], list[Any]] = {}
    for solid in shapes:
        colour = colours.get(solid.material, GREY)
        groups.setdefault((colour, solid.kind == "box"), []).append(_mesh(solid))
    for (colour, flat), meshes in groups.items():
        yield colour, trimesh.util.concatenate(meshes), flat


def _mesh(solid: Solid) -> Any:
    if solid.kind == "box":
        mesh = trimesh.creation.box(extents=2 * np.array(solid.size))
    elif solid.kind == "sphere":
        mesh = trimesh.creation.icosphere(subdivisions=2, radius=solid.size[0])
    else:
        radius, half = solid.size
        if solid.kind == "capsule":
            mesh = trimesh.creation.capsule(height=2 * half, radius=radius, count=(16, 16))
        else:
            mesh = trimesh.creation.cylinder(radius=radius, height=2 * half, sections=24)
        mesh.apply_translation(-mesh.bounds.mean(axis=0))
    mesh.apply_transform(placed(solid.xyz, solid.rpy))
    return mesh
