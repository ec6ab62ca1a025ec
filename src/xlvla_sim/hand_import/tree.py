"""A maker's hand as it was read: links with surfaces, joints, masses; whatever the file's format.

Poses are [4, 4] in metres, angles radians. A link's frame is that of the joint above it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from xlvla.errors import XlvlaError, unknown
from xlvla.urdf import Mimic

WORLD = "world"


@dataclass(frozen=True)
class Solid:
    """A box (`half` sizes [3] m along the axes of `pose`), or a capsule (`half[2]`: half of the
    length along z without the caps, `half[0]`: its radius; a sphere where `half[2]` is 0).
    """

    kind: str
    pose: np.ndarray
    half: np.ndarray


@dataclass(frozen=True)
class Surface:
    """Triangles in a link's frame: points [V, 3] m and faces [F, 3]; `solid` where the maker
    described a box, a sphere or a capsule.
    """

    points: np.ndarray
    faces: np.ndarray
    solid: Solid | None = None


@dataclass(frozen=True)
class Inertial:
    """Mass [kg], its centre [3] m and the inertia [3, 3] kg m^2 about it, in a link's frame."""

    mass: float
    centre: np.ndarray
    inertia: np.ndarray


@dataclass(frozen=True)
class Link:
    name: str
    collision: tuple[Surface, ...] = ()
    visual: tuple[Surface, ...] = ()
    inertial: Inertial | None = None

    @property
    def surfaces(self) -> tuple[Surface, ...]:
        """What collides; what is seen where nothing collides."""
        return self.collision or self.visual

    @property
    def points(self) -> np.ndarray:
        """Corners [V, 3] m of the surfaces."""
        return np.concatenate([np.zeros((0, 3)), *(each.points for each in self.surfaces)])


@dataclass(frozen=True)
class Joint:
    """A joint; `pose` places it in its parent's frame; limits are [rad or m, per second].

    Attributes:
        endless: whether it turns without end where it has no limits; else they are missing.
    """

    name: str
    type: str
    parent: str
    child: str
    pose: np.ndarray
    axis: np.ndarray = field(default_factory=lambda: np.array([0.0, 0.0, 1.0]))
    lower: float = -np.inf
    upper: float = np.inf
    velocity: float = 0.0
    effort: float = 0.0
    mimic: Mimic | None = None
    endless: bool = True

    @property
    def moves(self) -> bool:
        return self.type != "fixed"

    @property
    def free(self) -> bool:
        return self.moves and self.mimic is None

    def motion(self, value: float) -> np.ndarray:
        """Pose [4, 4] of the child in the joint's own frame at a position [rad or m]."""
        moved = np.eye(4)
        if self.type == "prismatic":
            moved[:3, 3] = self.axis * value
        elif self.moves:
            moved[:3, :3] = turn(self.axis, value)
        return moved


@dataclass(frozen=True)
class Tree:
    """Links and joints of a description; several roots hang on the link `world`."""

    name: str
    root: str
    links: Mapping[str, Link]
    joints: tuple[Joint, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def above(self) -> dict[str, Joint]:
        """By link: the joint it hangs on."""
        return {joint.child: joint for joint in self.joints}

    @cached_property
    def below(self) -> dict[str, list[Joint]]:
        """By link: the joints that hang on it."""
        joints: dict[str, list[Joint]] = {name: [] for name in self.links}
        for joint in self.joints:
            joints[joint.parent].append(joint)
        return joints

    @cached_property
    def by_name(self) -> dict[str, Joint]:
        return {joint.name: joint for joint in self.joints}

    def link(self, name: str) -> Link:
        if name not in self.links:
            raise unknown(f"link of {self.name}", name, self.links)
        return self.links[name]

    def body(self, link: str) -> str:
        """The topmost link that a link is welded to, short of the world."""
        while link in self.above:
            joint = self.above[link]
            if joint.moves or joint.parent == WORLD:
                break
            link = joint.parent
        return link

    def chain(self, link: str, top: str | None = None) -> list[Joint]:
        """The joints from `top`, or the root, down to a link."""
        joints: list[Joint] = []
        while link != top and link in self.above:
            joints.append(self.above[link])
            link = joints[-1].parent
        return joints[::-1]

    def subtree(self, link: str) -> list[str]:
        """A link and all that hang on it, parents first."""
        links = [link]
        for name in links:
            links += [joint.child for joint in self.below[name]]
        return links

    def welded(self, link: str) -> list[str]:
        """A link and those fixed to it further out."""
        links = [link]
        for name in links:
            if name != WORLD:
                links += [joint.child for joint in self.below[name] if not joint.moves]
        return links

    def body_points(self, link: str) -> np.ndarray:
        """Corners [V, 3] m of a link and of all that is welded to it, in its frame."""
        found = [np.zeros((0, 3))]
        for name in self.welded(link):
            found.append(applied(self.pose(name, {}, top=link), self.links[name].points))
        return np.concatenate(found)

    def coupling(self, joint: Joint) -> tuple[Joint, float, float]:
        """The free joint that a joint follows, through others too, with factor and offset; of a
        free joint itself, 1 and 0.
        """
        factor = 1.0
        offset = 0.0
        while joint.mimic:
            offset += factor * joint.mimic.offset
            factor *= joint.mimic.multiplier
            joint = self.by_name[joint.mimic.joint]
        return joint, factor, offset

    def following(self, couplings: Mapping[str, Mimic]) -> Tree:
        """The description with those of these joints that it has following others.

        Raises:
            XlvlaError: a joint follows none that moves, or itself.
        """
        joints = dict(self.by_name)
        moving = [joint.name for joint in self.joints if joint.moves]
        known = [name for name in couplings if name in joints]
        for name in known:
            mimic = couplings[name]
            for word in (name, mimic.joint):
                if word not in moving:
                    raise unknown(f"moving joint of {self.name}", word, moving)
            joints[name] = replace(joints[name], mimic=mimic)
        for name in known:
            followed = {name}
            above = joints[name].mimic
            while above:
                if above.joint in followed:
                    raise XlvlaError(
                        f"joint '{above.joint}' would follow itself: say another --mimic"
                    )
                followed.add(above.joint)
                above = joints[above.joint].mimic
        return replace(self, joints=tuple(joints.values()))

    def position(self, joint: Joint, q: Mapping[str, float]) -> float:
        """A joint's position [rad or m] where free joints are at `q`, couplings included; what `q`
        does not name is at zero.
        """
        master, factor, offset = self.coupling(joint)
        return offset + factor * q.get(master.name, 0.0)

    def pose(self, link: str, q: Mapping[str, float], top: str | None = None) -> np.ndarray:
        """Pose [4, 4] of a link in the frame of `top`, or of the root."""
        pose = np.eye(4)
        for joint in self.chain(link, top):
            pose = pose @ joint.pose
            if joint.moves:
                pose = pose @ joint.motion(self.position(joint, q))
        return pose

    def masters(self, joints: Sequence[Joint]) -> list[Joint]:
        """The free joints that move these, each once."""
        found: dict[str, Joint] = {}
        for joint in joints:
            if joint.moves:
                master = self.coupling(joint)[0]
                found[master.name] = master
        return list(found.values())


def turn(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation [3, 3] about an axis of length 1."""
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * (cross @ cross)


def unit(vector: np.ndarray) -> np.ndarray:
    """A vector of the same direction and length 1."""
    return vector / max(float(np.linalg.norm(vector)), 1e-12)


def applied(pose: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points [N, 3] moved by a pose [4, 4]."""
    return points @ pose[:3, :3].T + pose[:3, 3]


def inverse(pose: np.ndarray) -> np.ndarray:
    """The inverse of a pose [4, 4]."""
    back = np.eye(4)
    back[:3, :3] = pose[:3, :3].T
    back[:3, 3] = -pose[:3, :3].T @ pose[:3, 3]
    return back
