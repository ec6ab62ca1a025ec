"""How much nearer a watched pair can come for every radian that a joint turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla.kinematics import Kinematics

ENDS = (-1.0, 1.0)
CORNERS = np.stack(np.meshgrid(ENDS, ENDS, ENDS), axis=-1).reshape(-1, 3)
"""Of a box [8, 3] whose sides are 2 long."""


@dataclass(frozen=True)
class Body:
    """Something whose distances are watched: points [P, 3] m in the frame of the joint that carries
    it, and a radius around them [m].
    """

    joint: int
    points: np.ndarray
    radius: float


class Levers:
    """Bounds on how distances change, from the axes of the joints and the outermost points of the
    shapes.

    A point moves no further than the angle a joint turns by times its distance to the axis. Where
    several joints turn, they may be turned one after the other from the base outwards: then every
    distance to an axis is that of the pose where the movement began. A joint that carries both of a
    pair changes nothing between them.

    Args:
        kinematics: of the rig, with J joints and N commanded ones.
        bodies: B of them.
        pairs: the two bodies of each pair, by number; None is the surroundings.

    Attributes:
        moved: which commanded joints [G, N] change the distance of each of G pairs at all.
    """

    def __init__(
        self,
        kinematics: Kinematics,
        bodies: Sequence[Body],
        pairs: Sequence[tuple[int, int | None]],
    ):
        self._model = kinematics.model
        self._data = kinematics.data
        spread = np.abs(kinematics.spread)
        # Joint 0 of a pinocchio model is the universe.
        joints = range(1, self._model.njoints)
        self._carries = _carries(self._model, joints, bodies)
        first = [first for first, _ in pairs]
        second = [len(bodies) if other is None else other for _, other in pairs]
        self._first = np.array(first, dtype=int)
        self._second = np.array(second, dtype=int)
        self._between = self._carries[self._first] ^ self._carries[self._second]
        self.moved = self._between @ spread > 0
        # The commanded joint that moves each joint of the model. Sorted by it, the joints that one
        # commanded joint moves follow each other, and `reduceat` adds them up.
        master = np.argmax(spread, axis=1)
        self._order = np.argsort(master, kind="stable")
        self._factor = spread.max(axis=1)[self._order]
        self._first_of = np.searchsorted(master[self._order], np.arange(spread.shape[1]))
        # The points of all bodies, where each body's begin, and the joint that carries each point.
        self._points = np.concatenate([body.points for body in bodies])
        counts = [len(body.points) for body in bodies]
        self._starts = np.cumsum([0, *counts[:-1]])
        self._of_point = np.repeat([body.joint - 1 for body in bodies], counts)
        self._radius = np.array([body.radius for body in bodies])[:, None]
        screws = np.array([_screw(self._model, joint) for joint in joints])
        self._axes = screws[:, 3:]
        self._turns = screws[:, 3:].any(axis=1)

    def here(self) -> np.ndarray:
        """Metres per radian [G, N] at the pose that the kinematics were last computed for."""
        frames = [self._data.oMi[joint] for joint in range(1, self._model.njoints)]
        rotation = np.array([frame.rotation for frame in frames])
        origin = np.array([frame.translation for frame in frames])
        axes = np.einsum("jab,jb->ja", rotation, self._axes)
        points = np.einsum("pab,pb->pa", rotation[self._of_point], self._points)
        points = points + origin[self._of_point]
        # Squared distances [points, J] of all points to all axes, by Pythagoras.
        along = points @ axes.T - (origin * axes).sum(axis=1)
        apart = (points**2).sum(axis=1)[:, None] - 2 * points @ origin.T + (origin**2).sum(axis=1)
        from_axis = np.maximum(apart - along**2, 0.0)
        # The lever [B, J] of a body is that of its outermost point. A joint that slides moves
        # everything by as much as itself.
        furthest = np.maximum.reduceat(from_axis, self._starts, axis=0)
        lever = np.sqrt(furthest) + self._radius
        lever = np.where(self._turns, lever, 1.0)
        nothing = np.zeros((1, lever.shape[1]))
        lever = np.concatenate([lever, nothing])
        # Of a pair [G, J], the lever of the one that the joint carries.
        carried = np.where(self._carries[self._first], lever[self._first], lever[self._second])
        of_joints = np.where(self._between, carried, 0.0)[:, self._order] * self._factor
        return np.add.reduceat(of_joints, self._first_of, axis=1)


def _carries(model: pin.Model, joints: Sequence[int], bodies: Sequence[Body]) -> np.ndarray:
    """Which joints [B + 1, J] carry each body; none carries the surroundings, the last row."""
    carries = np.zeros((len(bodies) + 1, len(joints)), dtype=bool)
    for number, body in enumerate(bodies):
        supports = model.supports[body.joint]
        for joint in joints:
            carries[number, joint - 1] = joint in supports
    return carries


def outermost(shape: pin.GeometryObject) -> tuple[np.ndarray, float]:
    """Points [P, 3] m in the frame of the shape's joint, and a radius around them [m], that the
    shape does not reach beyond.
    """
    geometry = shape.geometry
    # It stands still, so its points do not matter.
    if shape.parentJoint == 0:
        return np.zeros((1, 3)), 0.0
    if isinstance(geometry, pin.coal.Sphere):
        points = np.zeros((1, 3))
        radius = geometry.radius
    elif isinstance(geometry, (pin.coal.Capsule, pin.coal.Cylinder)):
        points = geometry.halfLength * np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]])
        radius = geometry.radius
    elif isinstance(geometry, pin.coal.Box):
        points = geometry.halfSide * CORNERS
        radius = 0.0
    else:
        geometry.computeLocalAABB()
        points = geometry.aabb_center[None]
        radius = geometry.aabb_radius
    return points @ shape.placement.rotation.T + shape.placement.translation, float(radius)


def _screw(model: pin.Model, joint: int) -> np.ndarray:
    """How a joint with one degree of freedom moves what it carries, in its own frame: linear [3],
    then angular [3].
    """
    data = model.joints[joint].createData()
    model.joints[joint].calc(data, np.zeros(model.nq), np.zeros(model.nv))
    return np.asarray(data.S).reshape(6)
