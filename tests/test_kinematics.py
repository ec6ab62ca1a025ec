"""The URDFs against fingertip and flange poses computed from the published tables by other code;
pinocchio against itself.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from xlvla import catalog, urdf
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics, fingertips
from xlvla.rig_file import load
from xlvla.robot import arm_with_hand, rig_description
from xlvla.types import SIDES, scoped

FIXTURES = Path(__file__).parent / "fixtures"
TIPS = json.loads((FIXTURES / "fingertips.json").read_text())
FLANGE = json.loads((FIXTURES / "flange.json").read_text())
HAND_SIDES = [tuple(key.split()) for key in TIPS]
"""Hands whose makers publish tables; another hand of the catalogue needs none."""

WITHIN_M = 1e-5


def vector(joints, values):
    assert set(joints) == set(values)
    return np.array([values[joint] for joint in joints])


def hand_kinematics(name, side):
    hand = catalog.hand(name)
    return Kinematics(hand.urdf_model(side), hand.joint_names(side))


def assembled(name, side):
    hand = catalog.hand(name)
    arm = catalog.arm("xarm7")
    joints = [scoped(side, "arm", joint) for joint in arm.joints] + [
        scoped(side, "hand", joint) for joint in hand.joint_names(side)
    ]
    return Kinematics(arm_with_hand(arm, hand, side), joints)


@pytest.fixture(scope="module")
def arm():
    xarm7 = catalog.arm("xarm7")
    return Kinematics(xarm7.urdf_model, xarm7.joints)


def test_the_tables_are_of_both_sides_of_hands_of_the_catalogue():
    assert {hand for hand, _ in HAND_SIDES} <= set(catalog.hands())
    assert len(TIPS) == 2 * len({hand for hand, _ in HAND_SIDES})
    assert all(len(poses) == 32 for poses in TIPS.values())


@pytest.mark.parametrize(("name", "side"), HAND_SIDES)
def test_fingertips_agree_with_the_published_tables(name, side):
    hand = catalog.hand(name)
    kinematics = hand_kinematics(name, side)
    links = hand.tip_links(side)
    for pose in TIPS[f"{name} {side}"]:
        assert set(pose["tips"]) == set(links)
        found = kinematics.fk(vector(kinematics.joints, pose["joints"]), list(links.values()))
        for finger, link in links.items():
            assert np.linalg.norm(found[link][:3, 3] - pose["tips"][finger]) < WITHIN_M


@pytest.mark.parametrize(("name", "side"), HAND_SIDES)
def test_fingertips_of_a_hand_are_asked_for_by_finger(name, side):
    pose = TIPS[f"{name} {side}"][0]
    hand = catalog.hand(name)
    tips = fingertips(hand, side, vector(hand.joint_names(side), pose["joints"]))
    assert set(tips) == set(hand.tips)
    for finger, place in tips.items():
        assert np.linalg.norm(place - pose["tips"][finger]) < WITHIN_M


def test_the_arms_flange_agrees_with_the_published_table(arm):
    for pose in FLANGE["xarm7"]:
        found = arm.fk(vector(arm.joints, pose["joints"]), ["link7"])["link7"]
        np.testing.assert_allclose(found, pose["flange"], atol=1e-6)


@pytest.mark.parametrize("side", SIDES)
def test_a_g1_wrist_agrees_with_the_published_table(side):
    g1 = catalog.arm("g1").on(side)
    arm = Kinematics(g1.urdf_model, g1.joints)
    for pose in FLANGE[f"g1 {side}"]:
        found = arm.fk(vector(arm.joints, pose["joints"]), ["wrist_yaw_link"])["wrist_yaw_link"]
        np.testing.assert_allclose(found, pose["wrist"], atol=1e-6)


@pytest.mark.parametrize("side", SIDES)
def test_g1_hands_reach_forward_with_palms_facing_each_other_and_thumbs_up(side):
    g1 = catalog.arm("g1").on(side)
    R = Kinematics(g1.urdf_model, g1.joints).fk(np.zeros(7), ["flange"])["flange"][:3, :3]
    inward, thumb = (-1, -1) if side == "left" else (1, 1)
    np.testing.assert_allclose(R @ [0, 0, 1], [1, 0, 0], atol=1e-3)
    np.testing.assert_allclose(R @ [1, 0, 0], [0, inward, 0], atol=1e-3)
    np.testing.assert_allclose(R @ [0, thumb, 0], [0, 0, 1], atol=1e-3)


@pytest.mark.parametrize("side", SIDES)
def test_a_dex3_sits_on_a_g1s_wrist_and_bends_its_finger_as_published(side):
    g1 = catalog.arm("g1").on(side)
    dex3 = catalog.hand("dex3")
    joints = [scoped(side, "arm", joint) for joint in g1.joints]
    joints += [scoped(side, "hand", joint) for joint in dex3.joint_names(side)]
    kinematics = Kinematics(arm_with_hand(g1, dex3, side), joints)
    inward = 1 if side == "right" else -1
    bend = 0.5 * inward
    q = np.zeros(len(joints))
    q[joints.index(f"{side}_hand_index_0_joint")] = bend
    wrist, palm, index = (
        scoped(side, part, link)
        for part, link in (
            ("arm", "wrist_yaw_link"),
            ("hand", "palm_link"),
            ("hand", "index_1_link"),
        )
    )
    found = kinematics.fk(q, [wrist, palm, index])
    on_wrist = np.linalg.inv(found[wrist]) @ found[palm]
    np.testing.assert_allclose(on_wrist[:3, 3], [0.0415, -0.003 * inward, 0], atol=1e-6)
    np.testing.assert_allclose(on_wrist[:3, :3], np.eye(3), atol=1e-6)
    in_palm = np.linalg.inv(found[palm]) @ found[index]
    forward, sideways = 0.0458 * np.cos(bend), 0.0458 * np.sin(bend)
    published = [0.0777 + forward, -0.0016 * inward + sideways, 0.0285]
    np.testing.assert_allclose(in_palm[:3, 3], published, atol=1e-6)


@pytest.mark.parametrize(("name", "side"), HAND_SIDES)
def test_a_hand_sits_on_the_flange_of_its_arm(name, side):
    kinematics = assembled(name, side)
    hand = catalog.hand(name)
    for arm_pose, hand_pose in zip(FLANGE["xarm7"], TIPS[f"{name} {side}"], strict=True):
        values = {scoped(side, "arm", joint): value for joint, value in arm_pose["joints"].items()}
        values |= {
            scoped(side, "hand", joint): value for joint, value in hand_pose["joints"].items()
        }
        for finger, link in hand.tip_links(side).items():
            tip = scoped(side, "hand", link)
            found = kinematics.fk(vector(kinematics.joints, values), [tip])[tip][:3, 3]
            expected = np.array(arm_pose["flange"]) @ np.array([*hand_pose["tips"][finger], 1.0])
            assert np.linalg.norm(found - expected[:3]) < WITHIN_M


def test_a_rigs_arms_stand_where_the_rig_puts_them():
    rig = load("bimanual")
    joints = [
        joint
        for side in rig.sides
        for part in ("arm", "hand")
        for joint in rig.joint_names(side, part)
    ]
    kinematics = Kinematics(rig_description(rig), joints)
    for side, station in rig.sides.items():
        base = f"{side}_arm_{rig.arm(side).description.root}"
        np.testing.assert_allclose(
            kinematics.fk(np.zeros(len(joints)), [base])[base][:3, 3], station.arm.xyz, atol=1e-9
        )


@pytest.mark.parametrize(
    ("name", "side"), [("ability", "right"), ("inspire", "left"), ("xhand", "right")]
)
def test_the_jacobian_is_the_slope_of_the_position(name, side):
    kinematics = assembled(name, side)
    tip = scoped(side, "hand", catalog.hand(name).tip_links(side)["index"])
    rng = np.random.default_rng(1)
    step = 1e-6
    for q in rng.uniform(kinematics.lower, kinematics.upper, (5, len(kinematics.joints))):
        slope = np.stack(
            [
                (
                    kinematics.fk(q + step * unit, [tip])[tip][:3, 3]
                    - kinematics.fk(q - step * unit, [tip])[tip][:3, 3]
                )
                / (2 * step)
                for unit in np.eye(len(q))
            ],
            axis=1,
        )
        np.testing.assert_allclose(kinematics.jacobian(q, tip)[:3], slope, atol=1e-6)


def test_the_jacobian_turns_as_the_link_turns(arm):
    rng = np.random.default_rng(2)
    step = 1e-6
    for q in rng.uniform(arm.lower, arm.upper, (5, 7)):
        R = arm.fk(q, ["link7"])["link7"][:3, :3]
        for column, unit in zip(arm.jacobian(q, "link7")[3:].T, np.eye(7), strict=True):
            W = (arm.fk(q + step * unit, ["link7"])["link7"][:3, :3] - R) / step @ R.T
            np.testing.assert_allclose(column, [W[2, 1], W[0, 2], W[1, 0]], atol=1e-4)


def test_ik_reaches_poses_that_can_be_reached(arm):
    rng = np.random.default_rng(3)
    middle = (arm.lower + arm.upper) / 2
    half = (arm.upper - arm.lower) / 2
    reached = 0
    for _ in range(50):
        q_true = middle + 0.7 * half * rng.uniform(-1, 1, 7)
        T_root_target = arm.fk(q_true, ["link7"])["link7"]
        result = arm.ik("link7", T_root_target, q_true + rng.uniform(-0.3, 0.3, 7))
        T_root_found = arm.fk(result.q, ["link7"])["link7"]
        assert result.position_error == pytest.approx(
            np.linalg.norm(T_root_found[:3, 3] - T_root_target[:3, 3]), abs=1e-9
        )
        assert (result.q >= arm.lower).all() and (result.q <= arm.upper).all()
        reached += result.ok
    assert reached >= 48


def arm_of(name):
    """The arm's kinematics and flange; `six`: an xArm7 whose third joint is stiff."""
    if name == "six":
        xarm7 = catalog.arm("xarm7")
        joints = [joint for joint in xarm7.joints if joint != "joint3"]
        return Kinematics(xarm7.urdf_model, joints), xarm7.flange
    name, _, side = name.partition(" ")
    entry = catalog.arm(name).on(side or "left")
    return Kinematics(entry.urdf_model, entry.joints), entry.flange


def within_turn(kinematics):
    """Limits, or a whole turn where a joint turns further."""
    return np.maximum(kinematics.lower, -np.pi), np.minimum(kinematics.upper, np.pi)


@pytest.mark.parametrize("name", ["xarm7", "six", "g1 left", "g1 right"])
def test_every_pose_of_an_arms_range_is_reached_inside_its_limits(name):
    kinematics, link = arm_of(name)
    lower, upper = within_turn(kinematics)
    home = (lower + upper) / 2
    for q in np.random.default_rng(4).uniform(lower, upper, (40, len(lower))):
        T_root_target = kinematics.fk(q, [link])[link]
        found = kinematics.reach(link, T_root_target, home)
        T_root_found = kinematics.fk(found.q, [link])[link]
        assert found.ok, q
        np.testing.assert_allclose(T_root_found[:3, 3], T_root_target[:3, 3], atol=1e-4)
        np.testing.assert_allclose(T_root_found[:3, :3], T_root_target[:3, :3], atol=2e-3)
        assert (found.q >= kinematics.lower).all() and (found.q <= kinematics.upper).all()


def test_a_pose_with_joints_at_their_limits_is_reached(arm):
    rng = np.random.default_rng(6)
    lower, upper = within_turn(arm)
    for _ in range(20):
        q = rng.uniform(lower, upper)
        q[3] = arm.upper[3]
        q[5] = arm.lower[5]
        T_root_target = arm.fk(q, ["link7"])["link7"]
        near = np.clip(q + rng.uniform(-0.3, 0.3, 7), arm.lower, arm.upper)
        assert arm.ik("link7", T_root_target, near, tolerance_m=1e-3, tolerance_rad=1e-2).ok
        assert arm.reach("link7", T_root_target, (lower + upper) / 2).ok


def test_a_first_pose_is_reached_in_the_posture_it_is_asked_in(arm):
    """Where the posture itself leads there, no other side of a singularity is taken."""
    rng = np.random.default_rng(7)
    lower, upper = within_turn(arm)
    for _ in range(20):
        posture = (lower + upper) / 2 + 0.3 * (upper - lower) * rng.uniform(-1, 1, 7)
        q = np.clip(posture + rng.uniform(-0.1, 0.1, 7), lower, upper)
        found = arm.reach("link7", arm.fk(q, ["link7"])["link7"], posture)
        assert found.ok and np.abs(found.q - posture).max() < 0.5


def test_one_arm_of_a_whole_robot_reaches_a_pose():
    """Its joints come first among those of the robot, or last."""
    rig = load("bimanual")
    for side in SIDES:
        names = rig.joint_names(side, "arm")
        kinematics = Kinematics(rig_description(rig), names)
        link = scoped(side, "arm", rig.arm(side).flange)
        home = np.array(list(rig.home(side).values()))
        T_root_target = kinematics.fk(home + 0.2, [link])[link]
        assert kinematics.reach(link, T_root_target, home).ok
        assert kinematics.ik(link, T_root_target, home).ok


def test_redundancy_brings_the_elbow_towards_the_posture(arm):
    rng = np.random.default_rng(8)
    lower, upper = within_turn(arm)
    home = (lower + upper) / 2
    apart = {"home": [], "there": []}
    for q in rng.uniform(lower, upper, (40, 7)):
        T_root_target = arm.fk(q, ["link7"])["link7"]
        for posture, of in ((home, "home"), (q, "there")):
            apart[of].append(np.linalg.norm(arm.reach("link7", T_root_target, posture).q - home))
    assert np.mean(apart["home"]) < 0.8 * np.mean(apart["there"])


def test_an_arm_that_follows_a_path_does_not_change_sides(arm):
    """Along a path every step is as small as the path's."""
    lower, upper = within_turn(arm)
    home = (lower + upper) / 2
    rng = np.random.default_rng(9)
    for _ in range(5):
        begin, end = rng.uniform(home - 0.8, home + 0.8, (2, 7))
        q = begin
        for share in np.linspace(0, 1, 50):
            T_root_target = arm.fk(begin + share * (end - begin), ["link7"])["link7"]
            found = arm.ik("link7", T_root_target, q, posture=home)
            assert found.ok and np.abs(found.q - q).max() < 0.3
            q = found.q


def test_ik_says_so_when_a_pose_is_out_of_reach(arm):
    T_root_target = np.eye(4)
    T_root_target[:3, 3] = [3.0, 0.0, 0.0]
    result = arm.ik("link7", T_root_target, np.zeros(7))
    assert not result.ok and result.position_error > 1.0
    result = arm.reach("link7", T_root_target, np.zeros(7))
    assert not result.ok and result.position_error > 1.0
    assert (result.q >= arm.lower).all() and (result.q <= arm.upper).all()


def test_a_coupled_joint_follows_its_master():
    kinematics = hand_kinematics("inspire", "right")
    description = catalog.hand("inspire").description("right")
    coupled = next(joint for joint in description.joints if joint.moves and joint.mimic)
    assert coupled.mimic is not None
    moving = np.array([0.5 if joint == coupled.mimic.joint else 0.0 for joint in kinematics.joints])
    R_rest, R_moved = (
        np.linalg.inv(poses[coupled.parent]) @ poses[coupled.child]
        for poses in (
            kinematics.fk(q, [coupled.parent, coupled.child]) for q in (0 * moving, moving)
        )
    )
    angle = np.arccos(np.clip((np.trace(R_rest[:3, :3].T @ R_moved[:3, :3]) - 1) / 2, -1, 1))
    assert angle == pytest.approx(abs(0.5 * coupled.mimic.multiplier), abs=1e-6)


def test_an_unknown_link_is_answered_with_the_nearest_one(arm):
    with pytest.raises(XlvlaError, match=r"unknown link 'link77'.*did you mean 'link7'"):
        arm.fk(np.zeros(7), ["link77"])


TURNTABLE = """<robot name="turntable">
  <link name="base"/><link name="plate"/><link name="tip"/>
  <joint name="turn" type="continuous"><parent link="base"/><child link="plate"/><axis xyz="0 0 1"/></joint>
  <joint name="bend" type="continuous"><parent link="plate"/><child link="tip"/><origin xyz="0.1 0 0"/><axis xyz="0 0 1"/>
    <mimic joint="turn" multiplier="2" offset="0.5"/></joint>
</robot>"""


@pytest.mark.parametrize("angle", [0.0, 1.2, -4.0, 20.0])
def test_joints_without_end_turn_by_their_angle(angle):
    pose = Kinematics(urdf.parse(TURNTABLE), ["turn"]).fk(np.array([angle]), ["tip"])["tip"]
    assert pose[:3, 3] == pytest.approx([0.1 * np.cos(angle), 0.1 * np.sin(angle), 0.0])
    assert pose[:2, 0] == pytest.approx([np.cos(3 * angle + 0.5), np.sin(3 * angle + 0.5)])


@pytest.mark.parametrize("side", SIDES)
def test_an_arm_reaches_exactly_what_it_can_and_its_place_where_it_cannot_turn_so_far(side):
    g1 = catalog.arm("g1").on(side)
    arm = Kinematics(g1.urdf_model, g1.joints)
    home = np.where(np.array(g1.joints) == "elbow_joint", 0.3, 0.0)
    inside = np.array([0.2, 0.2, -0.2, 0.5, 0.1, -0.3, 0.2])
    pose = arm.fk(inside, [g1.flange])[g1.flange].copy()
    found = arm.reach_position(g1.flange, pose, home, posture=home)
    assert found.ok
    # Fingers towards the shoulder, further than a wrist bends.
    turned = pose.copy()
    turned[:3, :3] = pose[:3, :3] @ np.diag([1.0, -1.0, -1.0])
    short = arm.reach_position(g1.flange, turned, inside, posture=inside)
    assert short.position_error < 5e-3 and short.rotation_error > 0.5
    assert (short.q >= arm.lower).all() and (short.q <= arm.upper).all()


def test_what_is_out_of_reach_is_reached_for(arm):
    pose = np.eye(4)
    pose[:3, 3] = [3.0, 0.0, 0.5]
    found = arm.reach_position("link7", pose, np.full(7, 0.3), posture=np.zeros(7))
    hand = arm.fk(found.q, ["link7"])["link7"][:3, 3]
    assert not found.ok and hand[0] > 0.6
