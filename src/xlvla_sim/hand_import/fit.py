"""Few capsules and boxes in place of a link's meshes, by least squares on their distance to the
surface.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares  # pyright: ignore
from scipy.spatial import cKDTree  # pyright: ignore
from scipy.spatial.transform import Rotation  # pyright: ignore

from xlvla_sim.hand_import import meshes
from xlvla_sim.hand_import.tree import Link, Solid, Surface

SAMPLES = 4000
SAMPLES_OF_SHAPES = 1000
POINTS_OF_A_FIT = 250
GOOD_M = 0.0025
"""A fit is good enough where 95% of the surface lie nearer than this."""
GAIN = 0.9
"""One shape more has to bring the mean distance below this share of what it was."""
THIN_M = 0.001
"""No shape is thinner than twice this."""
LEAST_POINTS = 60


@dataclass(frozen=True)
class Fit:
    """Shapes of a link, and how far [m] their surface and the meshes' are apart: the mean and what
    95% stay below, measured both ways; zeros where the maker's own shapes were kept.
    """

    solids: tuple[Solid, ...]
    mean: float = 0.0
    most: float = 0.0


def fit(link: Link, most_shapes: int) -> Fit:
    """Shapes of a link: the maker's own boxes, spheres and capsules, and at most `most_shapes` for
    its meshes.
    """
    kept = [surface.solid for surface in link.surfaces if surface.solid is not None]
    surfaces = [surface for surface in link.surfaces if surface.solid is None]
    if not surfaces:
        return Fit(tuple(kept))
    points = outside(_joined(surfaces))
    solids = [*kept, *_shapes(points, kept, most_shapes)]
    apart = np.concatenate([np.abs(distance(solids, points)), _uncovered(solids, points)])
    return Fit(tuple(solids), float(apart.mean()), float(np.percentile(apart, 95)))


def _shapes(points: np.ndarray, kept: Sequence[Solid], most: int) -> list[Solid]:
    """As few shapes as come near to a cloud, beside those that are there.

    Parts are cut in two, one after the other. A cut that gains nothing may be followed by one that
    does, so all are made before the last that was worth its shapes is chosen.
    """
    parts = [points]
    solids = [_shape(points)]
    chosen = solids
    error = np.abs(distance([*kept, *solids], points))
    least = _apart([*kept, *solids], points)
    while len(parts) < most and np.percentile(error, 95) > GOOD_M:
        cut = _best_cut(points, parts, solids, kept)
        if cut is None:
            break
        index, halves = cut
        parts = [*parts[:index], *parts[index + 1 :], *halves]
        solids = [*solids[:index], *solids[index + 1 :], *map(_shape, halves)]
        error = np.abs(distance([*kept, *solids], points))
        apart = _apart([*kept, *solids], points)
        if apart < GAIN ** (len(solids) - len(chosen)) * least:
            chosen, least = solids, apart
    return chosen


def _apart(solids: Sequence[Solid], points: np.ndarray) -> float:
    """Mean distance [m] of a cloud to the shapes and of the shapes' surface to the cloud."""
    there = float(np.abs(distance(solids, points)).mean())
    return there + float(_uncovered(solids, points).mean())


def _best_cut(
    points: np.ndarray, parts: Sequence[np.ndarray], solids: Sequence[Solid], kept: Sequence[Solid]
) -> tuple[int, list[np.ndarray]] | None:
    """Which part to cut, and its halves, so that boxes around these come nearest to the cloud."""
    best: tuple[int, list[np.ndarray]] | None = None
    least = np.inf
    for index, part in enumerate(parts):
        others = [*kept, *solids[:index], *solids[index + 1 :]]
        for halves in _halves(part):
            cost = float(np.abs(distance([*others, *map(_rough, halves)], points)).mean())
            if cost < least:
                best, least = (index, halves), cost
    return best


def distance(solids: Sequence[Solid], points: np.ndarray) -> np.ndarray:
    """Signed distance [N] m of points [N, 3] to the surface of all shapes together, negative
    inside.
    """
    return np.min([_distance(solid, points) for solid in solids], axis=0)


def _distance(solid: Solid, points: np.ndarray) -> np.ndarray:
    local = (points - solid.pose[:3, 3]) @ solid.pose[:3, :3]
    if solid.kind == "box":
        beyond = np.abs(local) - solid.half
        out = np.linalg.norm(np.maximum(beyond, 0), axis=1)
        return out + np.minimum(beyond.max(axis=1), 0)
    axial = np.clip(local[:, 2], -solid.half[2], solid.half[2])
    local[:, 2] -= axial
    return np.linalg.norm(local, axis=1) - solid.half[0]


def outside(surface: Surface, count: int = SAMPLES) -> np.ndarray:
    """Points [N, 3] of a surface that can be seen from somewhere: screws and motors inside a shell
    are none of its shape.
    """
    points = meshes.samples(surface, count)
    extent = float(np.ptp(points, axis=0).max())
    cell = max(extent / 25, 1e-4)
    seen = np.zeros(len(points), dtype=bool)
    for direction in _directions():
        along = points @ direction
        side = np.linalg.svd(direction[None])[2][1:]
        cells = np.floor(points @ side.T / cell).astype(int)
        cells -= cells.min(axis=0)
        key = cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1]
        front = np.full(key.max() + 1, -np.inf)
        np.maximum.at(front, key, along)
        seen |= along > front[key] - cell
    return points[seen]


def _directions() -> np.ndarray:
    """To the faces, edges and corners of a cube, each [3] of length 1."""
    steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3), axis=-1).reshape(-1, 3)
    steps = steps[np.abs(steps).sum(axis=1) > 0]
    return steps / np.linalg.norm(steps, axis=1, keepdims=True)


def _joined(surfaces: Sequence[Surface]) -> Surface:
    """Several surfaces as one."""
    points: list[np.ndarray] = []
    faces: list[np.ndarray] = []
    count = 0
    for surface in surfaces:
        points.append(surface.points)
        faces.append(surface.faces + count)
        count += len(surface.points)
    return Surface(np.concatenate(points), np.concatenate(faces))


def _halves(points: np.ndarray) -> list[list[np.ndarray]]:
    """A part's points cut in two, along each of its axes at three places."""
    cuts: list[list[np.ndarray]] = []
    for axes in (np.eye(3), _principal(points)):
        local = points @ axes
        for axis in range(3):
            for share in (30, 50, 70):
                low, high = np.percentile(local[:, axis], [1, 99])
                below = local[:, axis] < low + share / 100 * (high - low)
                halves = [points[below], points[~below]]
                if min(map(len, halves)) >= LEAST_POINTS:
                    cuts.append(halves)
    return cuts


def _principal(points: np.ndarray) -> np.ndarray:
    """Axes [3, 3] of a cloud, the longest last, right-handed."""
    axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)[2][::-1].T
    if np.linalg.det(axes) < 0:
        axes[:, 0] *= -1
    return axes


def _bounds(points: np.ndarray, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Middle and half sizes of the box along these axes that holds nearly all points."""
    local = points @ axes
    low, high = np.percentile(local, [1, 99], axis=0)
    return axes @ ((low + high) / 2), np.maximum((high - low) / 2, THIN_M)


def _box(points: np.ndarray, axes: np.ndarray) -> Solid:
    middle, half = _bounds(points, axes)
    pose = np.eye(4)
    pose[:3, :3] = axes
    pose[:3, 3] = middle
    return Solid("box", pose, half)


def _rough(points: np.ndarray) -> Solid:
    """The smaller of the boxes along the link's axes and along the cloud's own."""
    boxes = [_box(points, np.eye(3)), _box(points, _principal(points))]
    return min(boxes, key=lambda solid: float(np.prod(solid.half)))


def _shape(points: np.ndarray) -> Solid:
    """The capsule or box nearest to a cloud."""
    few = points[:: max(1, len(points) // POINTS_OF_A_FIT)]
    shapes = [_fitted_capsule(few)]
    for axes in (np.eye(3), _principal(few)):
        shapes += [_box(points, axes), _fitted_box(few, axes)]
    # Both ways: a part shows only some of a shape's faces, and the others may lie anywhere.
    return min(shapes, key=lambda solid: _apart([solid], points))


def _fitted_box(points: np.ndarray, axes: np.ndarray) -> Solid:
    start = _box(points, axes)

    def solid(change: np.ndarray) -> Solid:
        pose = np.eye(4)
        pose[:3, :3] = start.pose[:3, :3] @ Rotation.from_rotvec(change[:3]).as_matrix()
        pose[:3, 3] = start.pose[:3, 3] + 0.01 * change[3:6]
        half = np.clip(start.half + 0.01 * change[6:9], THIN_M, start.half)
        return Solid("box", pose, half)

    return solid(_least(solid, points, 9))


def _fitted_capsule(points: np.ndarray) -> Solid:
    axes = _principal(points)
    middle, half = _bounds(points, axes)
    radius = float(half[:2].mean())
    start = np.array([radius, radius, max(half[2] - radius, 0.0)])

    def solid(change: np.ndarray) -> Solid:
        pose = np.eye(4)
        tilt = np.array([change[0], change[1], 0.0])
        pose[:3, :3] = axes @ Rotation.from_rotvec(tilt).as_matrix()
        pose[:3, 3] = middle + 0.01 * change[2:5]
        wide = max(start[0] + 0.01 * change[5], THIN_M)
        long = max(start[2] + 0.01 * change[6], 0.0)
        return Solid("capsule", pose, np.array([wide, wide, long]))

    return solid(_least(solid, points, 7))


def _least(solid, points: np.ndarray, count: int) -> np.ndarray:
    """The change [count] that brings a solid nearest to the points; where they do not say, it stays
    as it was.
    """

    def residual(change: np.ndarray) -> np.ndarray:
        apart = _distance(solid(change), points) / np.sqrt(len(points))
        return np.concatenate([1000 * apart, 0.1 * change])

    return least_squares(residual, np.zeros(count), max_nfev=20).x


def _uncovered(solids: Sequence[Solid], points: np.ndarray) -> np.ndarray:
    """Distance [N] m of the shapes' outer surface to the meshes' points; faces at which shapes meet
    are inside.
    """
    surface = _joined([meshes.solid_surface(solid) for solid in solids])
    shown = outside(surface, SAMPLES_OF_SHAPES)
    return np.asarray(cKDTree(points).query(shown)[0])
