"""What keeps a hand from learning the latent: everything that is wrong with an entry or its URDFs,
one line each.
"""

from __future__ import annotations

import math

from torch import Generator, Tensor

from xlvla.errors import RigError, XlvlaError
from xlvla.hand import Hand
from xlvla.shapes import shapes
from xlvla.types import FINGERS, SIDES, Side
from xlvla.urdf import Joint
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.sampling import uniform_poses

POSES = 2048
"""Random poses that fingertips are seen in."""
STILL_M = 1e-5
"""A fingertip that moves less in all of them does not move."""
MIDDLE_M = 0.005
"""A thumb this near to the middle of the palm is on neither side of it, as a gripper's."""


def require_sound(hand: Hand) -> None:
    """Refuses a hand that cannot learn.

    Raises:
        RigError: all its faults.
    """
    faults = _finger_faults(hand)
    if not faults:
        for side in SIDES:
            faults += _side_faults(hand, side)
    if faults:
        raise RigError(dict.fromkeys(faults))


def _finger_faults(hand: Hand) -> list[str]:
    faults = [
        f"hand {hand.name}: '{finger}' is no finger, known are {', '.join(FINGERS)}"
        for finger in hand.tips
        if finger not in FINGERS
    ]
    if "thumb" not in hand.tips or len(hand.tips) < 2:
        faults.append(
            f"hand {hand.name}: tips need a thumb and a finger to pinch with, they name "
            f"{', '.join(hand.tips) or 'none'}"
        )
    links = list(hand.tips.values())
    twice = sorted({link for link in links if links.count(link) > 1})
    faults += [
        f"hand {hand.name}: two fingers have the tip '{link}'; leave out the finger the hand does "
        "not have"
        for link in twice
    ]
    return faults


def _side_faults(hand: Hand, side: Side) -> list[str]:
    """Faults of names and limits; only where there are none, faults that fingertips show when they
    move.
    """
    try:
        faults = _joint_faults(hand) or list(hand.faults_of(side))
        # Raises where collision shapes cannot be read.
        shapes(hand.urdf_path(side))
        if faults:
            return faults
        for name in hand.joint_names(side):
            faults += _limit_faults(hand, side, name)
        if not faults:
            faults += _device_faults(hand, side)
        return faults or _motion_faults(hand, side)
    except XlvlaError as error:
        return [str(error)]


def _joint_faults(hand: Hand) -> list[str]:
    if isinstance(hand.joints, str):
        return [f"hand {hand.name}: joints is the text '{hand.joints}', a tuple of names is needed"]
    twice = sorted({name for name in hand.joints if hand.joints.count(name) > 1})
    return [f"hand {hand.name}: joint '{name}' is named twice" for name in twice]


def _limit_faults(hand: Hand, side: Side, name: str) -> list[str]:
    joint = hand.description(side).joint(name)
    where = f"hand {hand.name} ({side}): joint '{name}'"
    if joint.type == "continuous":
        return [
            f"{where} is continuous and has no limits to encode between: make it revolute with "
            "<limit lower= upper= velocity= effort=>"
        ]
    if not (math.isfinite(joint.lower) and math.isfinite(joint.upper)):
        return [f"{where} has no limits: add <limit lower= upper= velocity= effort=> to its URDF"]
    if joint.lower >= joint.upper:
        return [
            f"{where} has limits {joint.lower:g} and {joint.upper:g}, the lower must be below the "
            "upper"
        ]
    if joint.velocity <= 0:
        return [f"{where} has the velocity limit {joint.velocity:g}, it must be above 0"]
    return _degrees(joint, where)


def _device_faults(hand: Hand, side: Side) -> list[str]:
    """Device limits that leave a joint no range."""
    lower, upper = hand.command_range(side)
    faults: list[str] = []
    for name, low, high in zip(hand.joint_names(side), lower, upper, strict=True):
        if low >= high:
            faults.append(
                f"hand {hand.name} ({side}): the device limits of joint '{name}' leave it no range "
                "within those of its URDF"
            )
    return faults


def _degrees(joint: Joint, where: str) -> list[str]:
    far = max(abs(joint.lower), abs(joint.upper))
    if joint.type == "revolute" and far > 2 * math.pi:
        return [
            f"{where} turns to {far:g} rad, more than a full turn: URDF limits are in radians, "
            "these look like degrees"
        ]
    return []


def _motion_faults(hand: Hand, side: Side) -> list[str]:
    body = embodiment(hand, side)
    tips = body.tips(uniform_poses(body, POSES, Generator().manual_seed(0)))
    where = f"hand {hand.name} ({side})"
    links = hand.tip_links(side)
    spread = (tips - tips[:1]).abs().amax(dim=(0, 2)).tolist()
    still = [
        f"{where}: no commanded joint moves '{links[finger]}', it cannot be the tip of the {finger}"
        for finger, moved in zip(body.fingers, spread, strict=True)
        if moved < STILL_M
    ]
    return still or _frame_faults(body, tips, where)


def _frame_faults(body: Embodiment, tips: Tensor, where: str) -> list[str]:
    """Tips of both sides are seen as a right hand's: fingers along +z and closing towards +x, the
    thumb towards +y or, as on a gripper and on hands whose thumb stands between two fingers, in
    front of them.
    """
    thumb = body.fingers.index("thumb")
    others = [index for index in range(len(body.fingers)) if index != thumb]
    middle = tips[:, others].mean(dim=(0, 1))
    to_thumb = tips[:, thumb].mean(dim=0) - middle
    turn = "turn the fixed joint between the URDF's root, the arm's flange, and the palm"
    if int(middle.abs().argmax()) != 2 or middle[2] < 0:
        return [f"{where}: its fingers do not reach along the root's +z: {turn}"]
    # The fingers of a gripper meet its thumb halfway: theirs is the palm's side all the same.
    closing = middle + to_thumb / 2 if len(others) == 1 else middle
    if closing[0] < -MIDDLE_M:
        return [
            f"{where}: its fingers do not curl towards the root's +x, where the palm must face: "
            f"{turn}"
        ]
    if to_thumb[1] < -MIDDLE_M:
        away = "-y" if body.sides == ("left",) else "+y"
        return [
            f"{where}: its thumb is not on the root's {away} side: {turn}, or swap left.urdf and "
            "right.urdf"
        ]
    return []
