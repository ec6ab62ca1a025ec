import itertools
import os
import subprocess
import sys

import numpy as np
import pytest

from rows import rows
from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.types import PARTS, SIDES, scoped
from xlvla_sim.world import World

HANDS = list(catalog.hands())
PAIRS = rows(HANDS, [*HANDS[1:], HANDS[0]])


@pytest.fixture(scope="module")
def world(rig_with):
    return World(rig_with("xhand"), render=False)


def _targets(world, rng):
    """A reachable pose near home for every part."""
    targets = {}
    for side, part in itertools.product(SIDES, PARTS):
        names = world.rig.joint_names(side, part)
        now = world.joint_state(side, part)[0]
        spread = 0.1 if part == "arm" else 0.6
        targets[side, part] = dict(
            zip(names, now + rng.uniform(0, spread, len(names)), strict=True)
        )
    return targets


def _play(world, seed):
    world.reset(seed)
    rng = np.random.default_rng(3)
    states = []
    for _ in range(5):
        for (side, part), positions in _targets(world, rng).items():
            world.command(side, part, positions)
        world.step(0.1)
        states.append(np.concatenate([world.data.qpos, world.data.qvel]))
    return np.array(states)


def test_the_same_seed_and_commands_give_the_same_world(world):
    first = _play(world, 5)
    other = _play(world, 6)
    again = _play(world, 5)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_two_worlds_of_one_rig_agree_to_the_bit(world, rig_with):
    assert np.array_equal(_play(world, 5), _play(World(rig_with("xhand"), render=False), 5))


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_a_rig_left_alone_stands_still(rig_with, left, right):
    world = World(rig_with(left, right), render=False)
    cans = [world.state.position(can) for can in ("can_left", "can_right")]
    before = {key: world.joint_state(*key)[0].copy() for key in itertools.product(SIDES, PARTS)}
    world.step(2.0)
    assert np.isfinite(world.data.qpos).all()
    assert np.abs(world.data.qvel).max() < 0.02
    for key, positions in before.items():
        assert np.abs(world.joint_state(*key)[0] - positions).max() < 0.01
    for can, position in zip(("can_left", "can_right"), cans, strict=True):
        assert np.linalg.norm(world.state.position(can) - position) < 0.001


@pytest.mark.parametrize("hand", catalog.hands())
def test_joints_move_no_faster_than_their_urdf_allows(rig_with, hand):
    world = World(rig_with(hand), render=False)
    for side, part in itertools.product(SIDES, PARTS):
        limits = world.rig.hand(side).limits(side) if part == "hand" else world.rig.arm(side).limits
        reach = np.clip(
            world.joint_state(side, part)[0] + (0.8 if part == "hand" else 0.4),
            limits.lower,
            limits.upper,
        )
        world.command(side, part, dict(zip(world.rig.joint_names(side, part), reach, strict=True)))
    fastest = {
        key: np.zeros(len(world.rig.joint_names(*key))) for key in itertools.product(SIDES, PARTS)
    }
    for _ in range(150):
        world.step(0.002)
        for key, speed in fastest.items():
            np.maximum(speed, np.abs(world.joint_state(*key)[1]), out=speed)
    for (side, part), speed in fastest.items():
        limits = world.rig.hand(side).limits(side) if part == "hand" else world.rig.arm(side).limits
        assert (speed <= 1.3 * limits.velocity + 0.05).all(), (
            "a servo may overshoot its set-point's speed a little, not more"
        )
        assert speed.max() > 0.3, "it must have moved"


@pytest.mark.parametrize("hand", catalog.hands())
def test_coupled_joints_follow_their_masters(rig_with, hand):
    world = World(rig_with(hand), render=False)
    for side in SIDES:
        lower, upper = world.rig.hand(side).command_range(side)
        world.command(
            side,
            "hand",
            dict(
                zip(world.rig.joint_names(side, "hand"), lower + 0.5 * (upper - lower), strict=True)
            ),
        )
    world.step(1.5)
    description = {side: world.rig.hand(side).description(side) for side in SIDES}
    for side in SIDES:
        for joint in description[side].joints:
            if joint.mimic:
                slave, master = (
                    world.data.joint(scoped(side, "hand", name)).qpos[0]
                    for name in (joint.name, joint.mimic.joint)
                )
                assert slave == pytest.approx(
                    joint.mimic.offset + joint.mimic.multiplier * master, abs=0.02
                )


@pytest.mark.parametrize("hand", catalog.hands())
def test_a_hand_reaches_the_pose_it_is_sent(rig_with, hand):
    world = World(rig_with(hand), render=False)
    lower, upper = world.rig.hand("right").command_range("right")
    target = lower + 0.4 * (upper - lower)
    world.command(
        "right", "hand", dict(zip(world.rig.joint_names("right", "hand"), target, strict=True))
    )
    world.step(2.0)
    assert np.abs(world.joint_state("right", "hand")[0] - target).max() < 0.03


def test_cans_that_touch_stay_where_they_are(world):
    rng = np.random.default_rng(0)
    for seed in range(40):
        world.reset(seed)
        angle = rng.uniform(-0.3, 0.3)
        reach = 0.033 + rng.uniform(-2e-4, 1e-5)
        for can, sign in (("can_left", 1), ("can_right", -1)):
            world.state.place(
                can,
                np.array(
                    [0.43 + sign * reach * np.sin(angle), sign * reach * np.cos(angle), 0.0505]
                ),
                rng.uniform(-3, 3),
            )
        world.step(0.002)  # positions are those of the last step
        before = {can: world.state.position(can) for can in ("can_left", "can_right")}
        world.step(1.0)
        for can, position in before.items():
            assert np.linalg.norm(world.state.position(can) - position) < 0.005


def test_a_command_with_an_unknown_joint_is_refused_and_named(world):
    good = dict.fromkeys(world.rig.joint_names("left", "arm"), 0.0)
    with pytest.raises(XlvlaError, match=r"left_arm_jiont3.*did you mean 'left_arm_joint3'"):
        world.command("left", "arm", {**good, "left_arm_jiont3": 0.0})


def test_a_command_that_leaves_out_a_joint_is_refused(world):
    with pytest.raises(XlvlaError, match="no position for left_arm_joint7"):
        world.command("left", "arm", dict.fromkeys(world.rig.joint_names("left", "arm")[:-1], 0.0))


def test_a_command_that_is_not_finite_changes_nothing(world):
    world.reset(1)
    before = world.data.ctrl.copy()
    positions = dict.fromkeys(world.rig.joint_names("left", "arm"), 0.0) | {
        "left_arm_joint2": float("nan")
    }
    with pytest.raises(XlvlaError, match="left_arm_joint2 is not a finite number"):
        world.command("left", "arm", positions)
    world.step(0.1)
    assert np.array_equal(world.data.ctrl, before)


def test_a_command_beyond_the_limits_goes_to_the_limit(world):
    world.reset(1)
    names = world.rig.joint_names("right", "hand")
    world.command("right", "hand", dict.fromkeys(names, 100.0))
    world.step(2.0)
    set_points = [world.data.actuator(name).ctrl[0] for name in names]
    assert np.allclose(set_points, world.rig.hand("right").limits("right").upper)


def test_a_world_without_cameras_says_so(world):
    with pytest.raises(XlvlaError, match="render=True"):
        world.image("front")


def test_physics_runs_where_graphics_cannot_be_had():
    code = (
        "import xlvla_sim\n"
        "from xlvla import rig_file\n"
        "from xlvla.errors import XlvlaError\n"
        "from xlvla_sim.world import World\n"
        "World(rig_file.load('bimanual'), render=False).step(0.1)\n"
        "try:\n    World(rig_file.load('bimanual'))\n"
        "except XlvlaError as error:\n    print(error)\n"
    )
    blind = {**os.environ, "MUJOCO_GL": "disable"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=blind, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "libegl1" in done.stdout
