"""The catalogue: what holds for every entry, and what a wrong name is answered with."""

import dataclasses
import math
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.hand import joint_limits
from xlvla.types import FINGERS, PARTS, SIDES, scoped

HANDS = list(catalog.hands().values())
HAND_SIDES = [(hand, side) for hand in HANDS for side in SIDES]


def label(value):
    return getattr(value, "name", value)


@pytest.mark.parametrize("hand", HANDS, ids=label)
def test_every_hand_agrees_with_its_urdfs(hand):
    assert hand.faults() == []


@pytest.mark.parametrize("hand", HANDS, ids=label)
def test_every_entry_bears_the_name_of_its_file(hand):
    assert catalog.hand(hand.name) is hand


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES, ids=label)
def test_limits_come_in_the_order_of_the_joints(hand, side):
    limits = hand.limits(side)
    description = hand.description(side)
    for index, name in enumerate(hand.joint_names(side)):
        joint = description.joint(name)
        assert (limits.lower[index], limits.upper[index], limits.velocity[index]) == (
            joint.lower,
            joint.upper,
            joint.velocity,
        )


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES, ids=label)
def test_a_command_range_lies_inside_the_urdfs_limits(hand, side):
    (lower, upper), limits = hand.command_range(side), hand.limits(side)
    assert (lower >= limits.lower).all() and (upper <= limits.upper).all() and (lower < upper).all()


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES, ids=label)
def test_every_moving_link_has_a_mass_that_simulates(hand, side):
    robot = ET.parse(hand.urdf_path(side)).getroot()
    moving = {joint.child for joint in hand.description(side).joints if joint.moves}
    for link in robot.iter("link"):
        if link.get("name") not in moving:
            continue
        inertial = link.find("inertial")
        assert inertial is not None, link.get("name")
        values = {key: float(value) for key, value in inertial.find("inertia").attrib.items()}
        tensor = np.array([[values[f"i{min(a, b)}{max(a, b)}"] for b in "xyz"] for a in "xyz"])
        moments = np.linalg.eigvalsh(tensor)
        assert float(inertial.find("mass").get("value")) > 0 and moments[0] > 0
        assert moments[0] + moments[1] >= moments[2] * (1 - 1e-3), (
            f"{link.get('name')}: no body has such moments of inertia"
        )


@pytest.mark.parametrize("hand", HANDS, ids=label)
def test_tips_are_named_by_finger(hand):
    assert set(hand.tips) <= set(FINGERS) and "thumb" in hand.tips


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("arm", catalog.arms().values(), ids=label)
def test_every_arm_names_joints_and_flange_of_its_urdf(arm, side):
    arm = arm.on(side)
    assert tuple(joint.name for joint in arm.description.free_joints) == arm.joints
    assert arm.flange in arm.description.links
    assert arm.acceleration > 0 and (arm.limits.velocity > 0).all()


def test_facts_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        catalog.hand("xhand").name = "other"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"joints": ("index_q1",)}, "free joint 'thumb_q1' of the URDF is missing from the entry"),
        (
            {"joints": (*catalog.hand("ability").joints, "sixth_q1")},
            "joint 'sixth_q1' is not a free joint of left.urdf",
        ),
        (
            {"tips": {"thumb": "thumb_end"}},
            "link 'thumb_end' is not in the URDF; did you mean 'thumb_base'?",
        ),
        ({"palm": "hand"}, "link 'hand' is not in the URDF"),
        ({"device_limits": {"thumb_q9": (0, 1)}}, "device limits name unknown joint 'thumb_q9'"),
    ],
)
def test_an_entry_that_disagrees_with_its_urdf_says_how(change, fault):
    hand = dataclasses.replace(catalog.hand("ability"), **change)
    assert f"hand ability (left): {fault}" in hand.faults()


def test_a_joint_without_finite_limits_is_refused():
    arm = catalog.arm("xarm7")
    joints = [
        dataclasses.replace(joint, upper=math.inf) if joint.name == "joint3" else joint
        for joint in arm.description.joints
    ]
    with pytest.raises(XlvlaError, match="'joint3' of xarm7 needs finite limits"):
        joint_limits(dataclasses.replace(arm.description, joints=tuple(joints)), arm.joints)


def test_a_wrong_name_is_answered_with_the_known_ones_and_the_nearest():
    with pytest.raises(XlvlaError) as caught:
        catalog.hand("xhnad")
    assert (
        str(caught.value)
        == f"unknown hand 'xhnad': known are {', '.join(catalog.hands())}; did you mean 'xhand'?"
    )


def test_a_name_like_no_other_gets_no_suggestion():
    with pytest.raises(XlvlaError) as caught:
        catalog.arm("crane")
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("part", PARTS)
def test_a_scoped_name_begins_once_with_side_and_part(side, part):
    for name in ("joint1", f"{side}_joint1", f"{part}_joint1", f"{side}_{part}_joint1"):
        assert scoped(side, part, name) == f"{side}_{part}_joint1"


def test_joint_names_of_a_rig_are_unique_for_every_pair_of_hands():
    arm = catalog.arm("xarm7")
    for left in HANDS:
        for right in HANDS:
            names = [scoped(side, "arm", joint) for side in SIDES for joint in arm.joints]
            names += [
                scoped(side, "hand", n)
                for side, hand in (("left", left), ("right", right))
                for n in hand.joint_names(side)
            ]
            assert len(set(names)) == len(names)
