"""How much nearer a watched pair can come for every radian that a joint turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla.kinematics import Kinematics


@dataclass(frozen=True)
class Body:
    """Something whose distances are watched: points [P, 3] m in the frame of the joint that carries
    it, and their radius [m].
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
        pairs: the two bodies of each pair, by number; None stands still.

    Attributes:
        moved: which commanded joints [pairs, N] change a pair's distance at all.
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
        joints = range(1, self._model.njoints)
        carries = np.array(
            [[joint in self._model.supports[body.joint] for joint in joints] for body in bodies]
        )
        nothing = np.zeros((1, len(joints)), dtype=bool)
        self._carries = np.concatenate([carries, nothing])
        self._first = np.array([first for first, _ in pairs])
        self._second = np.array([len(bodies) if second is None else second for _, second in pairs])
        self._between = self._carries[self._first] ^ self._carries[self._second]
        self.moved = self._between @ spread > 0
        master = np.argmax(
            spread, axis=1
        )  # of every joint of the model the commanded one that moves it
        self._order = np.argsort(master, kind="stable")
        self._factor = spread.max(axis=1)[self._order]
        self._first_of = np.searchsorted(master[self._order], np.arange(spread.shape[1]))
        self._starts = np.cumsum([0, *(len(body.points) for body in bodies[:-1])])
        self._points = np.concatenate([body.points for body in bodies])
        self._of_point = np.concatenate(
            [np.full(len(body.points), body.joint - 1) for body in bodies]
        )
        self._radius = np.array([body.radius for body in bodies])[:, None]
        screws = np.array([_screw(self._model, joint) for joint in joints])
        self._axes = screws[:, 3:]
        self._turns = screws[:, 3:].any(axis=1)

    def here(self) -> np.ndarray:
        """Metres per radian [pairs, N] at the pose that the kinematics were last computed for."""
        frames = [self._data.oMi[joint] for joint in range(1, self._model.njoints)]
        rotation = np.array([frame.rotation for frame in frames])
        origin = np.array([frame.translation for frame in frames])
        axes = np.einsum("jab,jb->ja", rotation, self._axes)
        points = (
            np.einsum("pab,pb->pa", rotation[self._of_point], self._points) + origin[self._of_point]
        )
        along = points @ axes.T - (origin * axes).sum(axis=1)
        apart = (points**2).sum(axis=1)[:, None] - 2 * points @ origin.T + (origin**2).sum(axis=1)
        from_axis = np.maximum.reduceat(np.maximum(apart - along**2, 0.0), self._starts, axis=0)
        lever = np.sqrt(from_axis) + self._radius
        lever = np.where(self._turns, lever, 1.0)
        lever = np.concatenate([lever, np.zeros((1, lever.shape[1]))])
        both = np.where(self._carries[self._first], lever[self._first], lever[self._second])
        of_joints = np.where(self._between, both, 0.0)[:, self._order] * self._factor
        return np.add.reduceat(of_joints, self._first_of, axis=1)


def outermost(shape: pin.GeometryObject) -> tuple[np.ndarray, float]:
    """Points [P, 3] m in the frame of the shape's joint, and a radius around them [m], that the
    shape does not reach beyond.
    """
    geometry = shape.geometry
    if shape.parentJoint == 0:  # stands still
        return np.zeros((1, 3)), 0.0
    if isinstance(geometry, pin.coal.Sphere):
        points = np.zeros((1, 3))
        radius = geometry.radius
    elif isinstance(geometry, (pin.coal.Capsule, pin.coal.Cylinder)):
        points = geometry.halfLength * np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]])
        radius = geometry.radius
    elif isinstance(geometry, pin.coal.Box):
        points = geometry.halfSide * np.array(np.meshgrid(*[[-1.0, 1.0]] * 3)).reshape(3, -1).T
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
    made = model.joints[joint].createData()
    model.joints[joint].calc(made, np.zeros(model.nq), np.zeros(model.nv))
    return np.asarray(made.S).reshape(6)
