"""How near a rig's links come to each other, to the table and to the edge of the workspace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla import solids, urdf
from xlvla.humanoid import in_rig
from xlvla.kinematics import Kinematics
from xlvla.motion import Box, Margin
from xlvla.rig import Rig
from xlvla.robot import rig_description
from xlvla.solids import Solid
from xlvla.types import Part, Side, scoped
from xlvla_drivers.motion.levers import Body, Levers, outermost

TABLE = "table"

ALWAYS = 0.95
"""Links that touch in this share of random poses touch by construction."""

POSES = 40
"""How many of them are tried."""

NEIGHBOURS = 2
"""Links of an arm that are at most this many joints apart are not watched: their shapes are thicker
than they are and overlap.
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
    hand. Arms and hands to the humanoid whose limbs they are: torso, head, pelvis and legs. Arms
    and hands to the table, but for the links that stand on it. A hand's fingers to each
    other and to its palm are not watched: they touch on purpose, and the hand's own current limits
    allow for that.

    Attributes:
        gaps: what is watched, in the order of `at`.
        joints: the order of `q`: arm and hand of each side, as the rig names them.
        moved: which joints [G, N] change a distance at all.
    """

    def __init__(self, rig: Rig):
        description = rig_description(rig)
        self.joints: list[str] = []
        for side in rig.sides:
            for part in rig.parts_of(side):
                self.joints.extend(rig.joint_names(side, part))
        self._kinematics = Kinematics(description, self.joints)
        self._shapes = geometry_of(self._kinematics.model, description)
        if rig.motion.table_m is not None:
            self._shapes.addGeometryObject(_table(rig.motion.table_m))
        pairs = self._watch_pairs(_Margins(rig))
        self._pairs = len(pairs)
        self._geometry = pin.GeometryData(self._shapes)
        self._results = list(self._geometry.distanceResults)
        # Frames of the points [F] that have a workspace, and its bounds [F, 3].
        self._points: list[int] = []
        self._lower = np.zeros((0, 3))
        self._upper = np.zeros((0, 3))
        edges = self._watch_workspace(rig)
        self.gaps = [*pairs, *edges]
        self._levers = self._bounds()
        self.moved = self._levers.moved

    def at(self, q: np.ndarray) -> np.ndarray:
        """Distances [G] m at a pose [N] rad; below 0 where shapes overlap or a point is outside."""
        robot = self._kinematics
        full = robot.full(q)
        pin.computeDistances(robot.model, robot.data, self._shapes, self._geometry, full)
        distances = [result.min_distance for result in self._results]
        return np.concatenate([distances, self._edges()])

    def some(self, q: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The distances [R] m of the gaps `rows` [R], in rising order, at a pose [N] rad."""
        robot = self._kinematics
        full = robot.full(q)
        pin.updateGeometryPlacements(robot.model, robot.data, self._shapes, self._geometry, full)
        distances: list[float] = []
        for row in rows.tolist():
            if row >= self._pairs:
                break
            result = pin.computeDistance(self._shapes, self._geometry, row)
            distances.append(result.min_distance)
        if len(distances) == len(rows):
            return np.array(distances)
        # The remaining rows are edges of the workspace.
        edges = rows[len(distances) :] - self._pairs
        return np.concatenate([distances, self._edges()[edges]])

    def levers(self) -> np.ndarray:
        """By how much every distance can shrink per change of a joint, [G, N] m/rad, from the pose
        of the last call of `at` or `some`.
        """
        return self._levers.here()

    def _edges(self) -> np.ndarray:
        """Distances [E] m of the points to the faces of their workspace, at the pose of the
        kinematics.
        """
        if not self._points:
            return np.zeros(0)
        robot = self._kinematics
        points = np.empty((len(self._points), 3))
        for number, frame in enumerate(self._points):
            placement = pin.updateFramePlacement(robot.model, robot.data, frame)
            points[number] = placement.translation
        above_lower = points - self._lower
        below_upper = self._upper - points
        return np.concatenate([above_lower.ravel(), below_upper.ravel()])

    def _bounds(self) -> Levers:
        """Of all gaps, in their order."""
        bodies: list[Body] = []
        for shape in self._shapes.geometryObjects:
            points, radius = outermost(shape)
            bodies.append(Body(shape.parentJoint, points, radius))
        pairs: list[tuple[int, int | None]] = []
        for pair in self._shapes.collisionPairs:
            pairs.append((pair.first, pair.second))
        edges: list[tuple[int, int | None]] = []
        for number in self._points:
            frame = self._kinematics.model.frames[number]
            # A point has a distance along each of the three axes.
            edges.extend([(len(bodies), None)] * 3)
            bodies.append(Body(frame.parentJoint, frame.placement.translation[None], 0.0))
        return Levers(self._kinematics, bodies, [*pairs, *edges, *edges])

    def _watch_pairs(self, margins: _Margins) -> list[Gap]:
        """Adds the pairs of shapes that keep a margin to the geometry; returns their gaps."""
        frames = self._kinematics.model.frames
        links: list[str] = []
        for shape in self._shapes.geometryObjects:
            if shape.name == TABLE:
                links.append(TABLE)
            else:
                links.append(frames[shape.parentFrame].name)
        for one, two in combinations(range(len(links)), 2):
            if margins.between(links[one], links[two]) is not None:
                self._shapes.addCollisionPair(pin.CollisionPair(one, two))
        for pair in self._always_touching():
            self._shapes.removeCollisionPair(pair)
        gaps: list[Gap] = []
        for pair in self._shapes.collisionPairs:
            first = links[pair.first]
            second = links[pair.second]
            margin = margins.between(first, second)
            assert margin is not None
            gaps.append(Gap(first, second, margin))
        return gaps

    def _always_touching(self) -> list[pin.CollisionPair]:
        """Pairs that touch in nearly every pose."""
        robot = self._kinematics
        geometry = pin.GeometryData(self._shapes)
        results = list(geometry.distanceResults)
        touching = np.zeros(len(results))
        rng = np.random.default_rng(0)
        lower = np.maximum(robot.lower, -np.pi)
        upper = np.minimum(robot.upper, np.pi)
        for _ in range(POSES):
            full = robot.full(rng.uniform(lower, upper))
            pin.computeDistances(robot.model, robot.data, self._shapes, geometry, full)
            touching += np.array([result.min_distance <= 0 for result in results])
        pairs = list(self._shapes.collisionPairs)
        return [pairs[row] for row in np.flatnonzero(touching >= POSES * ALWAYS)]

    def _watch_workspace(self, rig: Rig) -> list[Gap]:
        """Sets the points that have a workspace; returns their gaps: to the lower faces of all,
        then to the upper ones.
        """
        links: list[str] = []
        boxes: list[Box] = []
        for side, box in rig.motion.workspace.items():
            for link in _reaching(rig, side):
                links.append(link)
                boxes.append(box)
        self._points = [self._kinematics.frame(link) for link in links]
        self._lower = np.array([box.lower for box in boxes]).reshape(-1, 3)
        self._upper = np.array([box.upper for box in boxes]).reshape(-1, 3)
        gaps: list[Gap] = []
        for end in ("lower", "upper"):
            for link in links:
                for axis in "xyz":
                    face = f"{end} {axis} of the workspace"
                    gaps.append(Gap(link, face, rig.motion.edge))
        return gaps


@dataclass(frozen=True)
class _Place:
    """Where a link is: its side, its part, and how many of the arm's joints move it."""

    side: Side
    part: Part
    joints: int


class _Margins:
    """The margins that links keep from each other."""

    def __init__(self, rig: Rig):
        self._config = rig.motion
        # Arms that share a torso without a humanoid around it.
        bases = {(station.arm.xyz, station.arm.rpy) for station in rig.sides.values()}
        self._one_torso = len(bases) == 1
        links = rig.body.description.links if rig.body else ()
        self._body = {in_rig(link) for link in links}
        self._places: dict[str, _Place] = {}
        for side in rig.sides:
            arm = rig.arm(side)
            for link in arm.description.links:
                joints = _joints_above(arm.description, link)
                self._places[scoped(side, "arm", link)] = _Place(side, "arm", joints)
            for link in rig.hand(side).description(side).links:
                self._places[scoped(side, "hand", link)] = _Place(side, "hand", len(arm.joints))

    def between(self, one: str, two: str) -> Margin | None:
        """The margin that two links keep; None where they may touch."""
        if one in self._body or two in self._body:
            return self._to_body(one, two)
        if one == TABLE:
            return self._to_table(self._places[two])
        if two == TABLE:
            return self._to_table(self._places[one])
        first = self._places[one]
        second = self._places[two]
        a_base = first.joints == 0 or second.joints == 0
        same_torso = self._one_torso and a_base
        if first.side != second.side and not same_torso:
            return self._config.between
        if first.part == "hand" and second.part == "hand":
            return None
        if abs(first.joints - second.joints) <= NEIGHBOURS:
            return None
        return self._config.itself

    def _to_body(self, one: str, two: str) -> Margin | None:
        """The margin of a pair of which at least one is a link of the humanoid, which stands."""
        limbs = [self._places[link] for link in (one, two) if link in self._places]
        if not limbs or limbs[0].joints <= NEIGHBOURS:
            return None
        return self._config.itself

    def _to_table(self, place: _Place) -> Margin | None:
        if place.part == "hand":
            return self._config.touch
        # The first links of an arm stand on the table.
        if place.joints < NEIGHBOURS:
            return None
        return self._config.table


def _joints_above(arm: urdf.Description, link: str) -> int:
    """The number of moving joints from an arm's base to a link."""
    above = {joint.child: joint for joint in arm.joints}
    count = 0
    while link in above:
        joint = above[link]
        if joint.moves:
            count += 1
        link = joint.parent
    return count


def _reaching(rig: Rig, side: Side) -> Iterator[str]:
    """The flange and the fingertips of a side."""
    if "arm" in rig.parts_of(side):
        yield scoped(side, "arm", rig.arm(side).flange)
    for link in rig.hand(side).tip_links(side).values():
        yield scoped(side, "hand", link)


def geometry_of(model: pin.Model, robot: urdf.Urdf) -> pin.GeometryModel:
    """The solids of a URDF's links."""
    shapes = pin.GeometryModel()
    for number, (link, solid) in enumerate(solids.of_robot(robot)):
        frame_id = model.getFrameId(link, pin.FrameType.BODY)
        frame = model.frames[frame_id]
        placement = frame.placement * pin.SE3(urdf.placed(solid.xyz, solid.rpy))
        shape = pin.GeometryObject(
            f"{link}/{number}", frame.parentJoint, frame_id, placement, _geometry(solid)
        )
        shapes.addGeometryObject(shape)
    return shapes


def _geometry(solid: Solid) -> pin.coal.ShapeBase:
    if solid.kind == "box":
        return pin.coal.Box(*(2 * half for half in solid.size))
    if solid.kind == "sphere":
        return pin.coal.Sphere(solid.size[0])
    radius, half_length = solid.size
    if solid.kind == "capsule":
        return pin.coal.Capsule(radius, 2 * half_length)
    return pin.coal.Cylinder(radius, 2 * half_length)


def _table(height_m: float) -> pin.GeometryObject:
    """The half-space below the top of the table."""
    below = pin.coal.Halfspace(np.array([0.0, 0.0, 1.0]), height_m)
    return pin.GeometryObject(TABLE, 0, 0, pin.SE3.Identity(), below)
