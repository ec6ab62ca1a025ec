"""What a task may see of the world: where its objects are and what touches what."""

from __future__ import annotations

import itertools
from functools import cached_property

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.robot_model import CONTACT_BIT


class State:
    """Objects by body name over a MuJoCo model and its data; positions in the world frame [m]."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData):
        self.model = model
        self.data = data
        self._body_geoms: dict[str, frozenset[int]] = {}

    def position(self, body: str) -> np.ndarray:
        return self.data.body(body).xpos.copy()

    def upright(self, body: str) -> float:
        """Cosine of the angle between the body's z axis and up."""
        return float(self.data.body(body).xmat[8])

    def axis(self, body: str) -> np.ndarray:
        """The body's z axis [3] in the world."""
        return self.data.body(body).xmat.reshape(3, 3)[:, 2].copy()

    def yaw(self, body: str) -> float:
        """Angle [rad] of the body's x axis, seen from above, from the world's."""
        matrix = self.data.body(body).xmat
        return float(np.arctan2(matrix[3], matrix[0]))

    def site(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Position [3] m and z axis [3] of a site, a marked place on a body."""
        site = self.data.site(name)
        return site.xpos.copy(), site.xmat.reshape(3, 3)[:, 2].copy()

    def place(self, body: str, xyz: np.ndarray, yaw: float = 0.0) -> None:
        """Puts a free body somewhere, at rest, turned about z [rad]."""
        quat = [np.cos(yaw / 2), 0, 0, np.sin(yaw / 2)]
        self._put(body, xyz, quat)

    def lay(self, body: str, xyz: np.ndarray, yaw: float = 0.0) -> None:
        """Puts a free body on its side: its z axis along x, then turned about the world's z
        [rad].
        """
        # The product of the turn about z and of a quarter turn about y.
        half = np.sqrt(0.5)
        cos = half * np.cos(yaw / 2)
        sin = half * np.sin(yaw / 2)
        self._put(body, xyz, [cos, -sin, cos, sin])

    def shift(self, body: str, way: np.ndarray) -> None:
        """Moves a free body along x and y [2] m."""
        address = self.model.joint(self.model.body(body).jntadr[0]).qposadr[0]
        self.data.qpos[address : address + 2] += way

    def footprint(self, body: str) -> list[np.ndarray]:
        """Corners [2] m of the boxes around what a body is made of, seen from above."""
        corners: list[np.ndarray] = []
        for geom in sorted(self._geoms_of(body)):
            center, half = self.model.geom_aabb[geom].reshape(2, 3)
            turn = self.data.geom_xmat[geom].reshape(3, 3)
            for signs in itertools.product((-1, 1), repeat=3):
                corner = self.data.geom_xpos[geom] + turn @ (center + half * signs)
                corners.append(corner[:2])
        return corners

    def _put(self, body: str, xyz: np.ndarray, quat: list[float]) -> None:
        address = self.model.body(body).jntadr[0]
        joint = self.data.joint(self.model.joint(address).name)
        joint.qpos = [*xyz, *quat]
        joint.qvel = 0

    def touches_robot(self, body: str, side: Side) -> bool:
        """Whether the arm or hand of a side touches a body."""
        of_body = self._geoms_of(body)
        of_robot = self._robot_geoms[side]
        # Few touch, so sets are quicker than arrays. The two geoms of a contact come in any order:
        # one is the body's, the other the robot's.
        return any(
            (a in of_body and b in of_robot) or (b in of_body and a in of_robot)
            for a, b in self.data.contact.geom[: self.data.ncon].tolist()
        )

    def touched_by_robot(self) -> set[str]:
        """Names of the bodies that an arm or hand touches."""
        robots = frozenset[int]().union(*self._robot_geoms.values())
        touched: set[int] = set()
        for pair in self.data.contact.geom[: self.data.ncon].tolist():
            if not robots.isdisjoint(pair):
                touched.update(pair)
        bodies = {self.model.geom_bodyid[geom] for geom in touched - robots}
        return {self.model.body(body).name for body in bodies}

    def touches(self, a: str, b: str) -> bool:
        contacts = self.data.contact.geom[: self.data.ncon]
        touching = np.sort(self.model.geom_bodyid[contacts], axis=1)
        wanted = sorted((self.model.body(a).id, self.model.body(b).id))
        return bool((touching == wanted).all(axis=1).any())

    def tint(self, material: str, rgb: np.ndarray) -> None:
        """Colours a material for this episode."""
        self.model.material(material).rgba[:3] = np.clip(rgb, 0, 1)

    @cached_property
    def table(self) -> tuple[np.ndarray, np.ndarray]:
        """The corners [3] m of the table's top that are least and most along the world's axes."""
        top = self.model.geom("table")
        return top.pos - top.size, top.pos + top.size

    @cached_property
    def _robot_geoms(self) -> dict[Side, frozenset[int]]:
        contype = self.model.geom_contype
        return {
            side: frozenset(np.flatnonzero(contype == bit).tolist())
            for side, bit in CONTACT_BIT.items()
        }

    def _geoms_of(self, body: str) -> frozenset[int]:
        if body not in self._body_geoms:
            geoms = np.flatnonzero(self.model.geom_bodyid == self.model.body(body).id)
            self._body_geoms[body] = frozenset(geoms.tolist())
        return self._body_geoms[body]
