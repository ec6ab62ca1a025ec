"""How near a rig's links come to each other, to the table and to the edge of the workspace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla import robot, urdf
from xlvla.kinematics import Kinematics
from xlvla.motion import Margin
from xlvla.rig import Rig
from xlvla.types import PARTS, Side, scoped
from xlvla_drivers.motion.levers import Body, Levers, outermost

TABLE = "table"

ALWAYS = 0.95
"""Links that touch in this share of random poses touch by construction."""

NEIGHBOURS = 2
"""Links of an arm so many joints apart cannot be told from touching: their shapes are thicker than
they are.
"""


@dataclass(frozen=True)
class Gap:
    """A distance that is watched: between two links, or from a point to a face of the workspace."""

    first: str
    second: str
    margin: Margin

    def __str__(self) -> str:
        return f"{self.first} to {self.second}"


class Distances:
    """Every watched distance of a rig, by pinocchio and coal on the collision shapes of its URDFs.

    Between the two sides: arm and hand to arm and hand. On one side: the arm to itself and to its
    hand. Arms and hands to the table, but for the links that stand on it. A hand's fingers to each
    other and to its palm are not watched: they touch on purpose, and the hand's own current limits
    are made for it.

    Attributes:
        gaps: what is watched, in the order of `at`.
        joints: the order of `q`: arm and hand of each side, as the rig names them.
        moved: which joints [G, N] change a distance at all.
    """

    def __init__(self, rig: Rig):
        description = robot.rig_description(rig)
        self.joints = [
            name for side in rig.sides for part in PARTS for name in rig.joint_names(side, part)
        ]
        self._body = Kinematics(description, self.joints)
        self._config = rig.motion
        self._shapes = _shapes(self._body.model, description.text)
        if rig.motion.table_m is not None:
            top = pin.coal.Halfspace(np.array([0.0, 0.0, 1.0]), rig.motion.table_m)
            self._shapes.addGeometryObject(pin.GeometryObject(TABLE, 0, 0, pin.SE3.Identity(), top))
        self._pair(_Family(rig))
        self._points, self._lower, self._upper, edges = self._workspace(rig)
        self.gaps = [*self._pairs, *edges]
        self._levers = self._bounds()
        self.moved = self._levers.moved

    def at(self, q: np.ndarray) -> np.ndarray:
        """Distances [G] m at a pose [N] rad; below 0 where shapes overlap or a point is outside."""
        body = self._body
        full = self._body.full(q)
        pin.computeDistances(body.model, body.data, self._shapes, self._found, full)
        return np.concatenate([[result.min_distance for result in self._results], self._edges()])

    def some(self, q: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The distances [R] m of the gaps `rows` [R], in rising order, at a pose [N] rad."""
        body = self._body
        pairs = len(self._pairs)
        pin.updateGeometryPlacements(body.model, body.data, self._shapes, self._found, body.full(q))
        found = [
            pin.computeDistance(self._shapes, self._found, row).min_distance
            for row in rows.tolist()
            if row < pairs
        ]
        if len(found) == len(rows):
            return np.array(found)
        return np.concatenate([found, self._edges()[rows[len(found) :] - pairs]])

    def levers(self) -> np.ndarray:
        """By how much every distance can shrink per change of a joint, [G, N] m/rad, from the pose
        that was looked at last.
        """
        return self._levers.here()

    def _edges(self) -> np.ndarray:
        """Distances [E] m of the points to the faces of their workspace, at the pose of the
        kinematics.
        """
        if not self._points:
            return np.zeros(0)
        body = self._body
        points = np.array(
            [
                pin.updateFramePlacement(body.model, body.data, frame).translation
                for frame in self._points
            ]
        )
        return np.concatenate([(points - self._lower).ravel(), (self._upper - points).ravel()])

    def _bounds(self) -> Levers:
        shapes = self._shapes.geometryObjects
        frames = self._body.model.frames
        bodies = [Body(shape.parentJoint, *outermost(shape)) for shape in shapes]
        pairs: list[tuple[int, int | None]] = [
            (pair.first, pair.second) for pair in self._shapes.collisionPairs
        ]
        points = [
            Body(frames[frame].parentJoint, frames[frame].placement.translation[None], 0.0)
            for frame in self._points
        ]
        edges = [(len(bodies) + number, None) for number in range(len(points)) for _ in "xyz"]
        return Levers(self._body, [*bodies, *points], [*pairs, *edges, *edges])

    def _pair(self, family: _Family) -> None:
        objects = self._shapes.geometryObjects
        links = [
            self._body.model.frames[shape.parentFrame].name if shape.name != TABLE else TABLE
            for shape in objects
        ]
        for one, two in combinations(range(len(links)), 2):
            if family.kind(links[one], links[two]):
                self._shapes.addCollisionPair(pin.CollisionPair(one, two))
        for pair in self._touching():
            self._shapes.removeCollisionPair(pair)
        pairs = [(links[pair.first], links[pair.second]) for pair in self._shapes.collisionPairs]
        self._pairs = [
            Gap(one, two, getattr(self._config, family.kind(one, two))) for one, two in pairs
        ]
        self._found = pin.GeometryData(self._shapes)
        self._results = list(self._found.distanceResults)

    def _touching(self) -> list[pin.CollisionPair]:
        """Pairs that touch in nearly every pose."""
        found = pin.GeometryData(self._shapes)
        rng = np.random.default_rng(0)
        body = self._body
        results = list(found.distanceResults)
        touching = np.zeros(len(self._shapes.collisionPairs))
        for _ in range(40):
            full = body.full(
                rng.uniform(np.maximum(body.lower, -np.pi), np.minimum(body.upper, np.pi))
            )
            pin.computeDistances(body.model, body.data, self._shapes, found, full)
            touching += np.array([result.min_distance <= 0 for result in results])
        return [
            pair
            for pair, often in zip(self._shapes.collisionPairs, touching, strict=True)
            if often >= 40 * ALWAYS
        ]

    def _workspace(self, rig: Rig) -> tuple[list[int], np.ndarray, np.ndarray, list[Gap]]:
        """Frames that have a workspace, its bounds [F, 3] and what is watched: lower faces of all,
        then upper ones.
        """
        boxes = [
            (link, rig.motion.workspace[side])
            for side in rig.motion.workspace
            for link in _reaching(rig, side)
        ]
        lower, upper = (
            np.array([getattr(box, end) for _, box in boxes]).reshape(-1, 3)
            for end in ("lower", "upper")
        )
        edges = [
            Gap(link, f"{end} {axis} of the workspace", rig.motion.edge)
            for end in ("lower", "upper")
            for link, _ in boxes
            for axis in "xyz"
        ]
        return [self._body.frame(link) for link, _ in boxes], lower, upper, edges


class _Family:
    """Which links are whose."""

    def __init__(self, rig: Rig):
        bases = {(station.arm.xyz, station.arm.rpy) for station in rig.sides.values()}
        self._one_body = len(bases) == 1  # a humanoid's arms share its torso
        self._place: dict[str, tuple[Side, str, int]] = {}
        for side in rig.sides:
            arm = rig.arm(side).description
            hand = rig.hand(side).description(side)
            for link in arm.links:
                self._place[scoped(side, "arm", link)] = side, "arm", len(_joints_above(arm, link))
            for link in hand.links:
                self._place[scoped(side, "hand", link)] = side, "hand", len(rig.arm(side).joints)

    def kind(self, one: str, two: str) -> str:
        """Name of the margin that two links keep; '' where they may touch."""
        if TABLE in (one, two):
            side, part, number = self._place[two if one == TABLE else one]
            return "touch" if part == "hand" else "table" if number >= NEIGHBOURS else ""
        (side, part, number), (other_side, other_part, other_number) = (
            self._place[one],
            self._place[two],
        )
        if side != other_side and not (self._one_body and 0 in (number, other_number)):
            return "between"
        if part == other_part == "hand" or abs(number - other_number) <= NEIGHBOURS:
            return ""
        return "itself"


def _joints_above(arm: urdf.Description, link: str) -> list[str]:
    """Moving joints from an arm's base to a link."""
    above = {joint.child: joint for joint in arm.joints}
    joints = []
    while link in above:
        joints += [above[link].name] if above[link].moves else []
        link = above[link].parent
    return joints


def _reaching(rig: Rig, side: Side) -> Iterator[str]:
    """The flange and the fingertips of a side."""
    yield scoped(side, "arm", rig.arm(side).flange)
    for link in rig.hand(side).tip_links(side).values():
        yield scoped(side, "hand", link)


def _shapes(model: pin.Model, xml: str) -> pin.GeometryModel:
    """Collision shapes of a URDF, a cylinder between two balls of its radius as the capsule it
    stands for, and the table.
    """
    read = pin.buildGeomFromUrdfString(model, xml, pin.GeometryType.COLLISION)
    made = pin.GeometryModel()
    balls = [shape for shape in read.geometryObjects if isinstance(shape.geometry, pin.coal.Sphere)]
    caps: set[str] = set()
    for shape in read.geometryObjects:
        ends = _caps(shape, balls)
        if len(ends) == 2:
            shape.geometry = pin.coal.Capsule(shape.geometry.radius, 2 * shape.geometry.halfLength)
            caps.update(ends)
    for shape in read.geometryObjects:
        if shape.name not in caps:
            made.addGeometryObject(shape)
    return made


def _caps(rod: pin.GeometryObject, balls: list[pin.GeometryObject]) -> list[str]:
    """The balls at the ends of a cylinder that make it a capsule."""
    if not isinstance(rod.geometry, pin.coal.Cylinder):
        return []
    ends = [
        rod.placement.act(np.array([0.0, 0.0, end * rod.geometry.halfLength])) for end in (-1, 1)
    ]
    same = [
        b
        for b in balls
        if b.parentFrame == rod.parentFrame and abs(b.geometry.radius - rod.geometry.radius) < 1e-4
    ]
    return [
        b.name
        for b in same
        if min(float(np.linalg.norm(b.placement.translation - end)) for end in ends) < 2e-4
    ]
