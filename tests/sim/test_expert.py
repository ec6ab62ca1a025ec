from dataclasses import replace

import numpy as np
import pytest

from rows import TAUGHT
from xlvla.errors import XlvlaError
from xlvla_sim import wrist
from xlvla_sim.demonstration import demonstrate
from xlvla_sim.expert import Expert
from xlvla_sim.task import WayPoint
from xlvla_sim.world import World


# Of the other hands `test_tasks.py` plays every one in some task.
@pytest.mark.parametrize(
    "hand",
    [pytest.param(hand, marks=() if hand == "allegro" else pytest.mark.long) for hand in TAUGHT],
)
def test_the_expert_pushes_the_cans_together_with_every_hand(rig_with, codec, hand):
    rig = rig_with(hand)
    world = World(rig, render=False)
    expert = Expert(rig, codec)
    results = [demonstrate(world, expert, seed).status for seed in (900_001, 900_002, 900_003)]
    assert sum(status.success for status in results) >= 2, [status.text for status in results]


def test_the_expert_works_with_two_different_hands(rig_with, codec):
    rig = rig_with("paxini", "ability")
    assert demonstrate(World(rig, render=False), Expert(rig, codec), 900_004).status.success


def without_left_arm(rig, task):
    return replace(rig, sides={"right": rig.sides["right"]}, sim=replace(rig.sim, task=task))


def test_an_expert_with_one_arm_does_what_one_arm_can(rig_with, codec):
    rig = without_left_arm(rig_with("inspire"), "stack_cans")
    assert demonstrate(World(rig, render=False), Expert(rig, codec), 0).status.success


@pytest.mark.parametrize(("task", "seed"), [("stack_cans", 2), ("push_cans", 0)])
def test_an_episode_that_needs_a_missing_arm_is_refused_in_one_line(rig_with, codec, task, seed):
    rig = without_left_arm(rig_with("inspire"), task)
    with pytest.raises(XlvlaError, match=r"needs a left arm in this .*'bimanual' has only right"):
        demonstrate(World(rig, render=False), Expert(rig, codec), seed)


def test_a_demonstration_repeats_itself(rig_with, codec):
    rig = rig_with("inspire")
    world = World(rig, render=False)
    expert = Expert(rig, codec)
    first = demonstrate(world, expert, 900_005)
    again = demonstrate(world, expert, 900_005)
    assert np.array_equal(first.measured["left"]["arm"], again.measured["left"]["arm"])


def test_commands_are_smooth_slow_and_within_limits(rig_with, codec):
    rig = rig_with("paxini")
    world = World(rig, render=False)
    expert = Expert(rig, codec)
    script = demonstrate(world, expert, 900_006).script
    for side, parts in script.actions.items():
        speed = np.diff(parts["arm"], axis=0) * 20
        assert np.abs(speed).max() < 2.0
        assert np.abs(np.diff(speed, axis=0)).max() * 20 < rig.arm(side).acceleration
        for part, limits in (("arm", rig.arm(side).limits), ("hand", rig.hand(side).limits(side))):
            assert (parts[part] >= limits.lower - 1e-9).all() and (
                parts[part] <= limits.upper + 1e-9
            ).all()


def test_fingers_move_during_a_demonstration(rig_with, codec):
    for hand in TAUGHT:
        rig = rig_with(hand)
        world = World(rig, render=False)
        expert = Expert(rig, codec)
        world.reset(900_007)
        script = expert.script(world, np.random.default_rng(0))
        assert np.ptp(script.actions["right"]["hand"], axis=0).max() > 0.4


def test_doing_nothing_is_not_a_success(rig_with):
    world = World(rig_with("xhand"), render=False)
    world.step(1.0)
    status = world.status()
    assert not status.success and status.stage == 0 and not status.done
    world.step(world.task.time_limit_s)
    assert world.status().done and world.status().text == "time is over"


def test_cans_put_side_by_side_count_only_after_they_were_touched(rig_with):
    world = World(rig_with("xhand"), render=False)
    world.state.place("can_left", np.array([0.4, 0.034, 0.0505]))
    world.state.place("can_right", np.array([0.4, -0.034, 0.0505]))
    world.step(1.0)
    assert not world.status().success


def test_a_can_that_fell_over_ends_the_episode(rig_with):
    world = World(rig_with("xhand"), render=False)
    world.data.joint("can_left").qpos[3:7] = [np.sqrt(0.5), np.sqrt(0.5), 0, 0]
    world.step(0.2)
    assert world.status().done and "left can fell over" in world.status().text


def test_a_wrist_is_the_six_numbers_of_its_pose():
    rng = np.random.default_rng(0)
    for side in ("left", "right"):
        numbers = rng.uniform(-1, 1, 6)
        assert np.allclose(wrist.wrist(wrist.pose(numbers, side), side), numbers)


def test_left_and_right_wrists_are_mirror_images():
    numbers = np.array([0.3, 0.2, 0.1, 0.3, 0.4, 0.2])
    left = wrist.pose(numbers * [1, -1, 1, 1, 1, 1], "left")
    right = wrist.pose(numbers, "right")
    mirror = np.diag([1, -1, 1])
    assert np.allclose(left[:3, 3], mirror @ right[:3, 3])
    assert np.allclose(left[:3, 2], mirror @ right[:3, 2]), "fingers"
    assert np.allclose(left[:3, 0], mirror @ right[:3, 0]), "palms"
    assert np.allclose(left[:3, 1], -mirror @ right[:3, 1]), (
        "thumbs: +y on the right hand, -y on the left"
    )


def test_a_path_ends_where_its_last_way_point_is():
    ends = [np.full(6, 1.0), np.full(6, -2.0)]
    path = wrist.path(
        np.zeros(6), ends, [WayPoint(ends[0], 1.0), WayPoint(ends[1], 0.5, overlap_s=0.2)], 20
    )
    assert np.allclose(path[0], 0) and np.allclose(path[-1], ends[-1])
    assert len(path) == 27
