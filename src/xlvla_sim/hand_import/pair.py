"""A hand's two sides: which joint of one is which of the other, and whether one mirrors the
other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Finger
from xlvla_sim.hand_import import names
from xlvla_sim.hand_import.anatomy import Anatomy, Digit
from xlvla_sim.hand_import.tree import Inertial, Joint, Link, Solid, Surface, Tree

MIRROR = np.diag([1.0, -1.0, 1.0])
MIRRORED_M = 1e-3
POSES = 200


@dataclass(frozen=True)
class Match:
    """The joints of a left hand by those of the right one, and how they differ.

    Args:
        joints: by name of a right joint the left one's.
        signs: by name of a right joint 1, or -1 where the left one turns the other way.
        error_m: largest distance of a left tip to the mirrored right one, over both hands' ranges.
        limits: joints whose limits differ, as right and left names.
    """

    joints: Mapping[str, str]
    signs: Mapping[str, int]
    error_m: float
    limits: tuple[str, ...]

    @property
    def mirrored(self) -> bool:
        return self.error_m < MIRRORED_M

    @property
    def alike(self) -> bool:
        """Whether equal joint positions make mirrored hands."""
        turned = any(sign < 0 for sign in self.signs.values())
        return self.mirrored and not turned and not self.limits

    def lines(self) -> list[str]:
        if self.mirrored:
            first = f"left is the mirror of right within {1000 * self.error_m:.2f} mm"
        else:
            first = f"left is no mirror of right: tips differ by up to {1000 * self.error_m:.1f} mm"
        found = [first]
        turned = [name for name, sign in self.signs.items() if sign < 0]
        if turned:
            found.append(f"joints that turn the other way on the left: {', '.join(turned)}")
        if self.limits:
            found.append(f"limits that differ: {', '.join(self.limits)}")
        return found


def match(right: Anatomy, left: Anatomy) -> Match:
    """The joints of two sides, finger by finger from the palm outwards.

    Raises:
        XlvlaError: the sides have other fingers, or fingers of other joints.
    """
    joints: dict[str, str] = {}
    if set(right.digits) != set(left.digits):
        raise XlvlaError(
            f"the right hand has the fingers {', '.join(right.digits)}, the left one "
            f"{', '.join(left.digits)}: say --thumb or --tips"
        )
    for finger, digit in right.digits.items():
        other = left.digits[finger]
        if len(digit.joints) != len(other.joints):
            raise XlvlaError(
                f"the {finger} of the right hand has joints {', '.join(digit.joints)}, of the left "
                f"one {', '.join(other.joints)}: they cannot be one hand"
            )
        joints |= dict(zip(digit.joints, other.joints, strict=True))
    _match_rest(right, left, joints)
    signs = {name: _sign(right, left, name, other) for name, other in joints.items()}
    limits = [
        f"{name} / {other}"
        for name, other in joints.items()
        if not _same_limits(right.tree.by_name[name], left.tree.by_name[other], signs[name])
    ]
    return Match(joints, signs, _error(right, left, joints, signs), tuple(limits))


def _match_rest(right: Anatomy, left: Anatomy, joints: dict[str, str]) -> None:
    """Adds free joints that move no finger, in the order of the files."""
    rest = [
        [joint.name for joint in each.tree.joints if joint.free and joint.name not in known]
        for each, known in ((right, set(joints)), (left, set(joints.values())))
    ]
    if len(rest[0]) != len(rest[1]):
        raise XlvlaError(
            f"joints that move no finger differ: {', '.join(rest[0]) or 'none'} on the right, "
            f"{', '.join(rest[1]) or 'none'} on the left"
        )
    joints |= dict(zip(*rest, strict=True))


def _sign(right: Anatomy, left: Anatomy, name: str, other: str) -> int:
    """Whether a left joint turns as the mirrored right one does."""
    axes: list[np.ndarray] = []
    for anatomy, joint_name in ((right, name), (left, other)):
        joint = anatomy.tree.by_name[joint_name]
        pose = anatomy.tree.pose(joint.child, {})
        axes.append(anatomy.axes.T @ pose[:3, :3] @ joint.axis)
    mirrored = MIRROR @ axes[0]
    if right.tree.by_name[name].type == "revolute":
        mirrored = -mirrored
    return 1 if mirrored @ axes[1] >= 0 else -1


def _same_limits(right: Joint, left: Joint, sign: int) -> bool:
    limits = sorted([sign * right.lower, sign * right.upper])
    return bool(np.allclose(limits, [left.lower, left.upper], atol=5e-3))


def _error(
    right: Anatomy, left: Anatomy, joints: Mapping[str, str], signs: Mapping[str, int]
) -> float:
    """Largest distance [m] of mirrored tips, with both palms laid on each other.

    Files place their palms' frames where they like, so only where the tips are to each other
    counts.
    """
    rng = np.random.default_rng(0)
    rights: list[np.ndarray] = []
    lefts: list[np.ndarray] = []
    for _ in range(POSES):
        q = {}
        for name in joints:
            joint = right.tree.by_name[name]
            q[name] = float(rng.uniform(joint.lower, joint.upper))
        other = {joints[name]: signs[name] * value for name, value in q.items()}
        tips = right.tips(q)
        twins = left.tips(other)
        for finger in tips:
            rights.append(MIRROR @ right.axes.T @ tips[finger])
            lefts.append(left.axes.T @ twins[finger])
    first, second = np.array(rights), np.array(lefts)
    return float(np.linalg.norm(_laid_on(first, second) - second, axis=1).max())


def _laid_on(points: np.ndarray, onto: np.ndarray) -> np.ndarray:
    """Points [N, 3] turned and moved as a whole so that they lie nearest to others (Kabsch)."""
    middle, other = points.mean(axis=0), onto.mean(axis=0)
    left, _, right = np.linalg.svd((points - middle).T @ (onto - other))
    turned = left @ np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))]) @ right
    return (points - middle) @ turned + other


def mirrored(anatomy: Anatomy) -> Anatomy:
    """The other side of a hand of which one side is described: its mirror image, with the other
    side's word in its names.
    """
    tree = anatomy.tree
    known = (*tree.links, *tree.by_name)
    # A gripper's left and right finger are no sides of the hand.
    tells_side = names.side_of(known) is not None
    called = {name: names.other_side(name) if tells_side else name for name in known}
    links = {called[name]: _mirrored_link(link, called[name]) for name, link in tree.links.items()}
    joints = tuple(_mirrored_joint(joint, called) for joint in tree.joints)
    digits: dict[Finger, Digit] = {}
    for finger, digit in anatomy.digits.items():
        digits[finger] = Digit(
            finger,
            called[digit.base],
            called[digit.tip],
            tuple(called[name] for name in digit.joints),
        )
    axes = MIRROR @ anatomy.axes @ MIRROR
    side = "left" if anatomy.side == "right" else "right"
    other = Tree(names.other_side(tree.name), called[tree.root], links, joints)
    return Anatomy(other, digits, axes, side, ())


def _mirrored_link(link: Link, name: str) -> Link:
    inertial = link.inertial
    if inertial is not None:
        inertial = Inertial(
            inertial.mass, MIRROR @ inertial.centre, MIRROR @ inertial.inertia @ MIRROR
        )
    collision = tuple(map(_mirrored_surface, link.collision))
    visual = tuple(map(_mirrored_surface, link.visual))
    return Link(name, collision, visual, inertial)


def _mirrored_surface(surface: Surface) -> Surface:
    solid = surface.solid and mirrored_solid(surface.solid)
    return Surface(surface.points @ MIRROR, surface.faces[:, ::-1], solid)


def mirrored_solid(solid: Solid) -> Solid:
    return replace(solid, pose=mirrored_pose(solid.pose))


def mirrored_pose(pose: np.ndarray) -> np.ndarray:
    """A pose [4, 4] seen in a mirror at y = 0."""
    mirror = np.diag([1.0, -1.0, 1.0, 1.0])
    return mirror @ pose @ mirror


def _mirrored_joint(joint: Joint, called: Mapping[str, str]) -> Joint:
    axis = MIRROR @ joint.axis
    mimic = joint.mimic and replace(joint.mimic, joint=called[joint.mimic.joint])
    return replace(
        joint,
        name=called[joint.name],
        parent=called[joint.parent],
        child=called[joint.child],
        pose=mirrored_pose(joint.pose),
        # A turn seen in a mirror goes the other way round its axis.
        axis=axis if joint.type == "prismatic" else -axis,
        mimic=mimic,
    )
