"""Meshes from files, and the triangles of simple solids."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import trimesh  # pyright: ignore

from xlvla.errors import XlvlaError
from xlvla_sim.hand_import.tree import Solid, Surface, applied

FORMATS = (".stl", ".dae", ".obj", ".ply", ".glb", ".gltf", ".off")


@cache
def load(file: Path) -> Surface:
    """The triangles of a mesh file, in metres where the file says its unit (DAE).

    Raises:
        XlvlaError: the file holds no triangles.
    """
    if file.suffix.lower() not in FORMATS:
        raise XlvlaError(f"{file}: meshes are read from {', '.join(FORMATS)}")
    try:
        mesh = trimesh.load(str(file), force="mesh", process=False)
    except Exception as error:  # every format's reader raises its own
        line = str(error).partition("\n")[0]
        raise XlvlaError(f"{file} cannot be read: {type(error).__name__}: {line}") from None
    points = np.asarray(getattr(mesh, "vertices", np.zeros((0, 3))), dtype=float)
    faces = np.asarray(getattr(mesh, "faces", np.zeros((0, 3))), dtype=int)
    if not len(faces):
        raise XlvlaError(f"{file} holds no triangles")
    return Surface(points * _metres(file), faces)


def _metres(file: Path) -> float:
    """How long a mesh file's unit is [m]; only DAE says so, and trimesh leaves it to the caller."""
    if file.suffix.lower() != ".dae":
        return 1.0
    from collada import Collada  # pyright: ignore

    asset = Collada(str(file)).assetInfo
    if asset is None or not asset.unitmeter:
        return 1.0
    return float(asset.unitmeter)


def box(pose: np.ndarray, half: np.ndarray) -> Surface:
    mesh = trimesh.creation.box(extents=2 * np.asarray(half))
    return _solid(mesh, Solid("box", pose, np.asarray(half, dtype=float)))


def capsule(pose: np.ndarray, radius: float, half_length: float) -> Surface:
    """A capsule along z; a sphere where its half length is 0."""
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=radius)
    points = np.array(mesh.vertices)
    points[:, 2] += np.where(points[:, 2] > 0, half_length, -half_length)
    solid = Solid("capsule", pose, np.array([radius, radius, half_length]))
    return Surface(applied(pose, points), np.array(mesh.faces), solid)


def cylinder(pose: np.ndarray, radius: float, half_length: float) -> Surface:
    mesh = trimesh.creation.cylinder(radius=radius, height=2 * half_length, sections=24)
    return Surface(applied(pose, np.array(mesh.vertices)), np.array(mesh.faces))


def ellipsoid(pose: np.ndarray, half: np.ndarray) -> Surface:
    mesh = trimesh.creation.icosphere(subdivisions=2, radius=1.0)
    return Surface(applied(pose, np.array(mesh.vertices) * half), np.array(mesh.faces))


def solid_surface(solid: Solid) -> Surface:
    """The triangles of a solid."""
    if solid.kind == "box":
        return box(solid.pose, solid.half)
    return capsule(solid.pose, float(solid.half[0]), float(solid.half[2]))


def _solid(mesh: trimesh.Trimesh, solid: Solid) -> Surface:
    return Surface(applied(solid.pose, np.array(mesh.vertices)), np.array(mesh.faces), solid)


def samples(surface: Surface, count: int, seed: int = 0) -> np.ndarray:
    """Points [count, 3] m spread evenly over a surface, the same for the same seed."""
    corners = surface.points[surface.faces]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(normal, axis=1)
    if area.sum() <= 0:
        return surface.points[:count]
    rng = np.random.default_rng(seed)
    chosen = corners[rng.choice(len(area), count, p=area / area.sum())]
    along = rng.random((count, 2))
    along = np.where(along.sum(axis=1, keepdims=True) > 1, 1 - along, along)
    first = along[:, :1] * (chosen[:, 1] - chosen[:, 0])
    second = along[:, 1:] * (chosen[:, 2] - chosen[:, 0])
    return chosen[:, 0] + first + second
