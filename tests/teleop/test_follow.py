"""Clutch, wrist and follower: nothing jumps, nothing runs away, and whatever is not sound lets
go.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pinocchio as pin
import pytest

from xlvla import catalog, rig_file
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics
from xlvla.rig_parts import ArmStation, HandStation
from xlvla_drivers.motion.sides import side_player
from xlvla_drivers.ros.teleop_side import FRAMES, RATE_HZ
from xlvla_drivers.teleop.closing import closed
from xlvla_drivers.teleop.clutch import Clutch, jumped, turned
from xlvla_drivers.teleop.fingers import fingers
from xlvla_drivers.teleop.follower import FAR_M, LEASH_RAD, Follower
from xlvla_drivers.teleop.gestures import HELD_S, Gestures
from xlvla_drivers.teleop.operator import SILENCE_S, TrackedSide
from xlvla_drivers.teleop.wrist import SPEED, WristIk

RIG = rig_file.load("teleop_topics")
CODEC = Codec.load()
STEP_S = 1 / 90


def placed(metres=(0.0, 0.0, 0.0), radians=(0.0, 0.0, 0.0)):
    pose = np.eye(4)
    pose[:3, 3], pose[:3, :3] = metres, pin.exp3(np.array(radians))
    return pose


def start(side="right"):
    return np.array(list(RIG.start(side).values()))


def follower(side="right", **teleop):
    rig = dataclasses.replace(RIG, teleop=dataclasses.replace(RIG.teleop, **teleop))
    return Follower(rig, side, fingers("codec", rig.hand(side), side, CODEC))


def flange(position, side="right"):
    arm = RIG.arm(side)
    station = RIG.sides[side].arm
    pose = Kinematics(arm.urdf_model, arm.joints).fk(position[:7], [arm.flange])[arm.flange].copy()
    pose[:3, 3] += station.xyz
    return pose


@pytest.mark.parametrize("seed", range(20))
def test_a_clutch_closes_without_a_jump_and_carries_movements_over(seed):
    rng = np.random.default_rng(seed)
    wrist, at = (placed(rng.normal(size=3), rng.normal(size=3)) for _ in range(2))
    over = turned(rng.uniform(-180, 180))
    scale = rng.uniform(0.3, 2.0)
    clutch = Clutch(wrist, at, over, scale)
    np.testing.assert_allclose(clutch.target(wrist), at, atol=1e-12)
    moved = rng.normal(size=3)
    axis = rng.normal(size=3)
    there = wrist.copy()
    there[:3, 3] += moved
    there[:3, :3] = pin.exp3(axis) @ wrist[:3, :3]
    target = clutch.target(there)
    np.testing.assert_allclose(target[:3, 3] - at[:3, 3], scale * over @ moved, atol=1e-12)
    np.testing.assert_allclose(target[:3, :3] @ at[:3, :3].T, pin.exp3(over @ axis), atol=1e-9)


def test_an_operator_who_stands_opposite_moves_the_robot_towards_themselves():
    clutch = Clutch(np.eye(4), np.eye(4), turned(180))
    np.testing.assert_allclose(
        clutch.target(placed((0.1, 0.2, 0.3)))[:3, 3], [-0.1, -0.2, 0.3], atol=1e-12
    )


def test_only_what_no_person_can_do_is_a_jump():
    assert not jumped(np.eye(4), placed((0.05, 0.0, 0.0), (0.0, 0.3, 0.0)), 0.011)
    assert jumped(np.eye(4), placed((0.2, 0.0, 0.0)), 0.011)
    assert jumped(np.eye(4), placed(radians=(0.0, 0.0, 1.5)), 0.011)
    assert not jumped(np.eye(4), placed((0.2, 0.0, 0.0)), 0.1)


def bent(arm, side):
    """Joints [N] rad from which there is reach all round: home where the arm has one, since it may
    be stretched in the middle of its range.
    """
    if side in arm.home:
        return np.array([arm.home[side].get(joint, 0.0) for joint in arm.joints])
    return 0.2 + (np.clip(arm.limits.lower, -1.5, 1.5) + np.clip(arm.limits.upper, -1.5, 1.5)) / 2


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("name", [*catalog.arms(), "xarm7 with a stiff joint"])
def test_the_flange_of_every_arm_follows_closely_within_reach(name, side):
    name, _, stiff = name.partition(" ")
    arm = catalog.arm(name).on(side)
    if stiff:
        arm = dataclasses.replace(arm, joints=arm.joints[:2] + arm.joints[3:])
    home = bent(arm, side)
    ik = WristIk(arm, home)
    begun = ik.begin(home)
    worst = 0.0
    for k in range(400):
        target = begun.copy()
        target[:3, 3] += 0.03 * np.sin(0.02 * k * np.array([1.0, 1.3, 0.7]))
        target[:3, :3] = (
            pin.exp3(0.15 * np.sin(0.015 * k) * np.array([0.0, 0.6, 0.8])) @ begun[:3, :3]
        )
        ik.step(target, STEP_S)
        worst = max(worst, ik.short + 0.1 * ik.askew)
    assert worst < 0.006


@pytest.mark.parametrize(
    "away", [(1.5, 0.0, 0.0), (0.0, 0.0, 2.0), (-1.0, 0.0, -0.5), (0.0, 1.5, 1.5)]
)
def test_out_of_reach_the_arm_stays_within_its_limits_and_comes_to_rest(away):
    """Stretched and folded arms are singular, and there a plain inverse would race."""
    arm = RIG.arm("right")
    home = np.array(list(RIG.home("right").values()))
    ik = WristIk(arm, home)
    limits = arm.limits
    begun = ik.begin(home)
    path = [home]
    for k in range(700):
        target = begun.copy()
        target[:3, 3] += np.array(away) * min(k / 300, 1.0)
        path.append(ik.step(target, STEP_S).copy())
    path = np.array(path)
    assert (path >= limits.lower - 1e-9).all() and (path <= limits.upper + 1e-9).all()
    assert (np.abs(np.diff(path, axis=0)) <= SPEED * limits.velocity * STEP_S + 1e-9).all()
    assert np.abs(np.diff(path[-20:], axis=0)).max() < 0.004


@pytest.mark.parametrize(
    "away", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (-1.0, 0.0, -0.5), (0.0, 0.7, 0.7), (0.0, -0.7, 0.7)]
)
def test_an_operator_who_reached_too_far_finds_the_arm_again(away):
    home = np.array(list(RIG.home("right").values()))
    ik = WristIk(RIG.arm("right"), home)
    begun = ik.begin(home)
    far = 0
    target = None
    while ik.short < FAR_M:
        far += 1
        target = begun.copy()
        target[:3, 3] += np.array(away) * 0.004 * far
        ik.step(target, STEP_S)
    for k in range(far, -150, -1):
        target[:3, 3] = begun[:3, 3] + np.array(away) * 0.004 * max(k, 0)
        ik.step(target, STEP_S)
    assert ik.short < 0.01 and ik.askew < 0.05


def test_a_pose_measured_just_outside_the_limits_begins_at_them():
    arm = RIG.arm("right")
    outside = arm.limits.upper + 0.01
    ik = WristIk(arm, np.zeros(7))
    begun = ik.begin(outside)
    first = ik.step(begun, STEP_S)
    assert (first <= arm.limits.upper).all() and np.abs(first - arm.limits.upper).max() < 0.05


def test_closing_the_clutch_moves_nothing_until_the_operator_does():
    led = follower()
    led.see(TrackedSide(placed((0.3, 0.2, 1.0), (0.5, -1.0, 2.0)), closed("right", 0.0)), 0.0, 0.0)
    led.close(start(), 0.0)
    for k in range(1, 20):
        led.see(
            TrackedSide(placed((0.3, 0.2, 1.0), (0.5, -1.0, 2.0)), closed("right", 0.0)),
            k * STEP_S,
            k * STEP_S,
        )
    assert np.abs(led.goal.position[:7] - start()[:7]).max() < 2e-3
    assert np.abs(led.goal.position - start()).max() < 0.2, "fingers join slowly"


@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_the_robot_goes_as_far_as_the_scale_says(scale):
    led = follower(scale=scale)
    led.see(TrackedSide(np.eye(4)), 0.0, 0.0)
    led.close(start(), 0.0)
    for k in range(1, 180):
        led.see(TrackedSide(placed((0.0, 0.0005 * k, 0.0003 * k))), k * STEP_S, k * STEP_S)
    went = flange(led.goal.position)[:3, 3] - flange(start())[:3, 3]
    np.testing.assert_allclose(went, scale * np.array([0.0, 0.0005, 0.0003]) * 179, atol=0.005)


FAULTS = {
    "not finite": TrackedSide(np.full((4, 4), np.nan)),
    "jumped": TrackedSide(placed((0.5, 0.0, 0.0))),
    "no hand": TrackedSide(np.eye(4), np.zeros((21, 3))),
    "not finite keypoints": TrackedSide(np.eye(4), np.full((21, 3), np.inf)),
    "nothing": TrackedSide(None, closed("right", 0.0)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_sound_lets_go_and_only_the_operator_takes_hold_again(fault):
    led = follower()
    for k in range(3):
        led.see(TrackedSide(placed((0.0, 0.001 * k, 0.0))), k * STEP_S, k * STEP_S)
        if k == 0:
            led.close(start(), 0.0)
    before = led.goal.position
    led.see(FAULTS[fault], 3 * STEP_S, 3 * STEP_S)
    assert not led.follows and led.why.startswith("lost")
    np.testing.assert_array_equal(led.goal.position, before)
    assert not led.goal.velocity.any()
    for k in range(4, 10):
        led.see(TrackedSide(placed((0.5, 0.0, 0.0))), k * STEP_S, k * STEP_S)
    assert led.tracked and not led.follows
    np.testing.assert_array_equal(led.goal.position, before)
    led.close(before, 10 * STEP_S)
    led.see(TrackedSide(placed((0.5, 0.0, 0.0))), 11 * STEP_S, 11 * STEP_S)
    assert led.follows and np.abs(led.goal.position - before).max() < 2e-3


def test_silence_lets_go_within_a_tenth_of_a_second():
    led = follower()
    led.see(TrackedSide(np.eye(4)), 0.0, 0.0)
    led.close(start(), 0.0)
    led.expire(SILENCE_S)
    assert led.follows
    led.expire(0.1)
    assert not led.follows and "not seen" in led.why
    with pytest.raises(XlvlaError, match="not seen"):
        led.close(start(), 0.2)


def test_a_robot_that_is_held_back_is_not_run_away_from_and_in_the_end_let_go():
    led = follower()
    led.see(TrackedSide(np.eye(4)), 0.0, 0.0)
    led.close(start(), 0.0)
    for k in range(1, 400):
        led.see(TrackedSide(placed((0.0, 0.0, 0.004 * k))), k * STEP_S, k * STEP_S)
        led.compare(start(), k * STEP_S)
        assert np.abs(led.goal.position - start())[:7].max() <= LEASH_RAD + 1e-9
    assert not led.follows and "far from the operator" in led.why


def leader(angles, grip=0.0):
    return TrackedSide(
        None,
        closed("right", grip),
        dict(zip(RIG.arm("right").joints, angles.tolist(), strict=True)),
    )


def test_an_arm_joins_its_leader_slowly_and_follows_it_from_then_on():
    led = follower()
    home = start()[:7]
    off = home + np.array([0.0, 0.1, 0.0, 0.2, 0.0, -0.1, 0.3])
    led.see(leader(off), 0.0, 0.0)
    led.close(start(), 0.0)
    path = [home]
    for k in range(1, 200):
        led.see(leader(off), k * STEP_S, k * STEP_S)
        path.append(led.goal.position[:7])
    assert np.abs(np.diff(path, axis=0)).max() < 0.5 * STEP_S
    np.testing.assert_allclose(path[-1], off, atol=1e-6)


def test_a_leader_that_is_elsewhere_is_not_joined():
    led = follower()
    led.see(leader(start()[:7] + 1.0), 0.0, 0.0)
    with pytest.raises(XlvlaError, match=r"joint\d is at .* bring the leader to within"):
        led.close(start(), 0.0)
    assert not led.follows


@pytest.mark.parametrize("turns", [-1, 1, 2])
def test_a_leader_that_forgot_its_turns_is_read_in_those_nearest_to_the_robot(turns):
    led = follower()
    home = start()[:7]
    turned_off = home.copy()
    turned_off[[0, 6]] += 2 * np.pi * turns
    led.see(leader(turned_off), 0.0, 0.0)
    led.close(start(), 0.0)
    for k in range(1, 200):
        led.see(leader(turned_off + 0.2), k * STEP_S, k * STEP_S)
    np.testing.assert_allclose(led.goal.position[:7], home + 0.2, atol=1e-6)


def test_a_leader_of_another_arm_is_named():
    led = follower()
    led.see(TrackedSide(None, None, {"shoulder": 0.0}), 0.0, 0.0)
    assert led.why == "lost: the leader has no joint 'joint1'"


def without(part):
    """A follower of the right side without its arm or its hand, and where that side begins [N]."""
    none = {"arm": ArmStation("none"), "hand": HandStation("none")}[part]
    station = dataclasses.replace(RIG.sides["right"], **{part: none})
    rig = dataclasses.replace(RIG, sides={"right": station})
    way = None if part == "hand" else fingers("codec", rig.hand("right"), "right", CODEC)
    return Follower(rig, "right", way), np.array(list(rig.start("right").values()))


def test_a_hand_alone_follows_the_fingers_wherever_the_wrist_is():
    led, here = without("arm")
    led.see(TrackedSide(keypoints=closed("right", 0.0)), 0.0, 0.0)
    led.close(here, 0.0)
    for k in range(1, 180):
        wrist = placed((0.0, 0.0, k))
        led.see(TrackedSide(wrist, closed("right", 1.0)), k * STEP_S, k * STEP_S)
        led.compare(here, k * STEP_S)
    assert led.follows and not led.strained
    wanted = led.fingers.joints(closed("right", 1.0))
    np.testing.assert_allclose(led.goal.position, wanted, atol=0.02)
    assert led.ahead(FRAMES, RATE_HZ).shape == (FRAMES, len(here))
    led.see(TrackedSide(np.eye(4)), 2.0, 2.0)
    assert led.why == "lost: the tracker gave no fingers, and a hand alone follows them only"


def test_a_hand_alone_is_closed_by_a_leaders_grip():
    led, here = without("arm")
    led.see(leader(start()[:7], 0.0), 0.0, 0.0)
    led.close(here, 0.0)
    for k in range(1, 180):
        led.see(leader(start()[:7] + 0.01 * k, 1.0), k * STEP_S, k * STEP_S)
    wanted = led.fingers.joints(closed("right", 1.0))
    np.testing.assert_allclose(led.goal.position, wanted, atol=0.02)


def test_a_hand_keeps_its_grasp_while_only_the_wrist_is_seen_and_joins_the_fingers_anew():
    led, here = follower(), start()
    fist, open_hand = closed("right", 1.0), closed("right", 0.0)
    led.see(TrackedSide(np.eye(4), open_hand), 0.0, 0.0)
    led.close(here, 0.0)
    frames = [fist] * 180 + [None] * 20 + [open_hand] * 180
    goals = []
    for k, fingers_seen in enumerate(frames, start=1):
        led.see(TrackedSide(np.eye(4), fingers_seen), k * STEP_S, k * STEP_S)
        goals.append(led.goal.position[7:])
    np.testing.assert_array_equal(goals[180:200], [goals[179]] * 20)
    gap = np.abs(goals[-1] - goals[200]).max()
    assert gap > 1
    # Within a second, and never faster than twice the mean speed: no jump.
    assert np.abs(np.diff(goals[199:], axis=0)).max() < 2 * gap * STEP_S


def test_an_arm_alone_follows_the_wrist_whatever_the_fingers_are():
    led, here = without("hand")
    led.see(TrackedSide(np.eye(4), np.zeros((21, 3))), 0.0, 0.0)
    led.close(here, 0.0)
    for k in range(1, 180):
        wrist = placed((0.0, 0.0005 * k, 0.0003 * k))
        led.see(TrackedSide(wrist, np.zeros((21, 3))), k * STEP_S, k * STEP_S)
    assert len(led.goal.position) == len(here) == 7
    went = flange(led.goal.position)[:3, 3] - flange(here)[:3, 3]
    np.testing.assert_allclose(went, np.array([0.0, 0.0005, 0.0003]) * 179, atol=0.005)


def test_a_squeezed_trigger_closes_every_hand():
    for hand in CODEC.hands:
        way = fingers(
            "codec", rig_file.with_choices(RIG, hands={"right": hand}).hand("right"), "right", CODEC
        )
        lower, upper = (
            rig_file.with_choices(RIG, hands={"right": hand}).hand("right").command_range("right")
        )
        moved = np.abs(way.joints(closed("right", 1.0)) - way.joints(closed("right", 0.0))) / (
            upper - lower
        )
        assert np.sort(moved)[-4:].min() > 0.3, hand


def test_commands_follow_the_operator_closely_at_the_speeds_of_work():
    """From the operator's wrist through goal, chunk and motion to the command, in the time that all
    of them would see.
    """
    led = follower()
    player = side_player(RIG, "right")
    reach = 0.06
    pace = 2 * np.pi * 0.5
    led.see(TrackedSide(np.eye(4)), 0.0, 0.0)
    led.close(start(), 0.0)
    seen_s = 0.0
    errors = []
    fk = Kinematics(RIG.arm("right").urdf_model, RIG.arm("right").joints)
    for tick in range(1, 1000):
        now_s = tick * 0.005
        if now_s >= seen_s + STEP_S:
            seen_s += STEP_S
            led.see(
                TrackedSide(placed((0.0, reach * np.sin(pace * seen_s) * min(seen_s, 1.0), 0.0))),
                seen_s,
                seen_s,
            )
            player.offer(
                led.ahead(FRAMES, RATE_HZ), player.joints, seen_s, RATE_HZ, now_s, measured=start()
            )
        if not player.has_chunk(now_s):
            continue
        commanded = player.command(now_s, start())
        led.compare(commanded, now_s)
        went = (
            fk.fk(commanded[:7], ["link7"])["link7"][1, 3]
            - fk.fk(start()[:7], ["link7"])["link7"][1, 3]
        )
        errors.append((now_s, went - reach * np.sin(pace * now_s) * min(now_s, 1.0)))
    late = np.array([error for now_s, error in errors if now_s > 1.5])
    assert np.sqrt(np.square(late).mean()) < 0.006, "about 30 ms of lag at 0.19 m/s"
    assert player.counts["limited"] < 20


def test_a_sign_counts_once_and_a_grasp_is_none():
    gestures = Gestures()
    open_hand = closed("right", 0.0)
    sign = open_hand.copy()
    sign[4] = sign[20] + [0.0, 0.0, 0.01]
    assert gestures({"right": sign}, 0.0) == ()
    assert gestures({"right": sign}, HELD_S + 0.01) == ("clutch",)
    assert gestures({"right": sign}, HELD_S + 1.0) == ()
    assert gestures({"right": open_hand}, HELD_S + 1.1) == ()
    assert gestures({"right": sign}, HELD_S + 1.2) == ()
    assert gestures({"right": sign}, 2 * HELD_S + 1.3) == ("clutch",)
    grasping = Gestures()
    for side in ("left", "right"):
        for k in range(300):
            assert grasping({side: closed(side, abs(k / 150 - 1))}, 0.02 * k) == ()
