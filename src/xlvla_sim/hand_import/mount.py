"""Where a hand sits on the flange: so that the middle of its pinch lies where that of the hands
does that the shipped policies were trained with.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

import numpy as np
from scipy.optimize import least_squares  # pyright: ignore

from xlvla import catalog, paper
from xlvla.types import Finger, Side
from xlvla_sim.hand_import import read_urdf
from xlvla_sim.hand_import.anatomy import Anatomy, Digit, digits_of
from xlvla_sim.hand_import.tree import Tree, applied

MEET_M = 0.005
"""What a gap of the tips weighs: as much as a joint's whole range."""
MIRROR = np.diag([1.0, -1.0, 1.0])


def pinch(tree: Tree, digits: Mapping[Finger, Digit], finger: Finger = "index") -> dict[str, float]:
    """Joint positions [rad or m] at which the tips of thumb and finger are nearest, the joints near
    the middle of their ranges; other joints at rest.
    """
    thumb, other = digits["thumb"], digits[finger]
    joints = [tree.by_name[name] for name in dict.fromkeys((*thumb.joints, *other.joints))]
    lower = np.array([joint.lower for joint in joints])
    upper = np.array([joint.upper for joint in joints])
    middle = (lower + upper) / 2

    def residual(positions: np.ndarray) -> np.ndarray:
        q = {joint.name: value for joint, value in zip(joints, positions, strict=True)}
        gap = tree.pose(thumb.tip, q)[:3, 3] - tree.pose(other.tip, q)[:3, 3]
        return np.concatenate([gap / MEET_M, 0.5 * (positions - middle) / (upper - lower)])

    starts = [middle, lower + 0.2 * (upper - lower), lower + 0.8 * (upper - lower)]
    found = [least_squares(residual, start, bounds=(lower, upper)) for start in starts]
    best = min(found, key=lambda result: result.cost)
    return {joint.name: float(value) for joint, value in zip(joints, best.x, strict=True)}


def pinch_middle(tree: Tree, digits: Mapping[Finger, Digit]) -> tuple[np.ndarray, float]:
    """The point [3] m between the tips at a pinch, in the root's frame, and their gap [m]."""
    finger: Finger = "index" if "index" in digits else next(f for f in digits if f != "thumb")
    q = pinch(tree, digits, finger)
    thumb = tree.pose(digits["thumb"].tip, q)[:3, 3]
    other = tree.pose(digits[finger].tip, q)[:3, 3]
    return (thumb + other) / 2, float(np.linalg.norm(thumb - other))


@cache
def trained_middle() -> np.ndarray:
    """Where the right hands of the paper pinch, on average [3] m in the flange's frame."""
    middles: list[np.ndarray] = []
    for name in paper.HANDS:
        hand = catalog.hand(name)
        tree = read_urdf.read(hand.urdf_path("right"), {}, {})
        digits = digits_of(tree, hand.tip_links("right"))
        middles.append(pinch_middle(tree, digits)[0])
    return np.mean(middles, axis=0)


def proposed(anatomy: Anatomy) -> tuple[np.ndarray, str]:
    """Pose [4, 4] of the palm in the flange's frame, and a line that says why."""
    side: Side = anatomy.side
    mirror = np.eye(3) if side == "right" else MIRROR
    # On a left hand y points away from the thumb, z and x as on a right one.
    target = mirror @ trained_middle()
    turned = anatomy.axes.T
    middle, gap = pinch_middle(anatomy.tree, anatomy.digits)
    pose = np.eye(4)
    pose[:3, :3] = turned
    pose[:3, 3] = target - turned @ middle
    rear = applied(pose, anatomy.tree.body_points(anatomy.palm))[:, 2]
    line = f"the pinch (gap {1000 * gap:.0f} mm) lies at {_mm(target)} mm of the flange"
    if len(rear) and rear.min() < 0:
        pose[2, 3] -= rear.min()
        line += f", {-1000 * rear.min():.0f} mm farther out, so that the palm clears the flange"
    return pose, line


def _mm(point: np.ndarray) -> str:
    return " ".join(f"{1000 * value:.0f}" for value in point)
