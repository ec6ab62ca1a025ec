"""Disturbed demonstrations: what is executed keeps to the limits, what is recorded is the plan."""

import numpy as np
import pytest

from xlvla.holdout import parse
from xlvla.types import PARTS, SIDES
from xlvla_cli.sim import collect as command
from xlvla_data import store
from xlvla_sim.disturbance import disturbed
from xlvla_sim.expert import Expert
from xlvla_sim.variation import USUAL, WIDE
from xlvla_sim.world import World

HZ = 20


@pytest.fixture(scope="module")
def world(rig_with):
    return World(rig_with("inspire"), render=False)


@pytest.fixture(scope="module")
def expert(rig_with, codec):
    return Expert(rig_with("inspire"), codec)


@pytest.fixture(scope="module")
def script(world, expert):
    world.reset(900_001)
    return expert.script(world, np.random.default_rng(0))


def aside(script, seed, expert):
    return disturbed(script, expert, np.random.default_rng(seed), 0.0)


def test_a_disturbed_command_is_within_the_limits_of_position_speed_and_acceleration(
    script, expert
):
    rig = expert.rig
    for seed in range(20):
        executed, stretches = aside(script, seed, expert)
        assert stretches
        for side in SIDES:
            limits = {"arm": rig.arm(side).limits, "hand": rig.hand(side).limits(side)}
            for part in PARTS:
                rows = np.concatenate(
                    [script.before[side][part][None], executed.actions[side][part]]
                )
                bounds = limits[part]
                assert (rows >= bounds.lower - 1e-9).all() and (rows <= bounds.upper + 1e-9).all()
                speed = np.diff(rows, axis=0) * HZ
                assert (np.abs(speed) <= bounds.velocity + 1e-6).all()
                if part == "arm":
                    acceleration = np.diff(speed, axis=0, prepend=0 * speed[:1]) * HZ
                    assert np.abs(acceleration).max() <= rig.arm(side).acceleration + 1e-6


def test_it_is_the_experts_command_but_in_the_stretches_that_are_told(script, expert):
    executed, stretches = aside(script, 1, expert)
    for side in SIDES:
        for part in PARTS:
            apart = np.abs(executed.actions[side][part] - script.actions[side][part]).max(1) > 1e-9
            told = np.zeros(len(apart), bool)
            for stretch in stretches:
                if (stretch.side, stretch.part) == (side, part):
                    told[round(stretch.begin_s * HZ) : round(stretch.end_s * HZ)] = True
            assert not (apart & ~told).any() and apart.any() == told.any()


def test_arms_are_led_aside_by_centimetres_and_never_down(script, expert, world):
    furthest = 0.0
    for seed in range(10):
        executed, _ = aside(script, seed, expert)
        for side in SIDES:
            rows = zip(executed.actions[side]["arm"], script.actions[side]["arm"], strict=True)
            for done, wanted in rows:
                by = (expert.wrist(side, done) - expert.wrist(side, wanted))[:3]
                assert by[2] > -0.005
                furthest = max(furthest, float(np.linalg.norm(by)))
    assert 0.02 < furthest < 0.06


def test_a_seed_disturbs_alike(script, expert):
    first, told = aside(script, 7, expert)
    again, told_again = aside(script, 7, expert)
    assert told == told_again
    assert np.array_equal(first.actions["left"]["arm"], again.actions["left"]["arm"])
    other, _ = aside(script, 8, expert)
    assert not np.array_equal(first.actions["left"]["arm"], other.actions["left"]["arm"])


def test_a_wide_variation_moves_all_things_together_and_changes_colours_and_light(world):
    world.reset(900_002)
    cans = [world.state.position(can) for can in ("can_left", "can_right")]
    colours = world.model.mat_rgba.copy()
    light = world.model.light_diffuse.copy()
    world.reset(900_002, None, WIDE)
    moved = [world.state.position(can) for can in ("can_left", "can_right")]
    by = moved[0] - cans[0]
    assert np.allclose(moved[1] - cans[1], by) and by[2] == 0
    assert 0 < np.abs(by[:2]).max() <= WIDE.place_m
    assert np.abs(world.model.mat_rgba - colours).max() > 0.02
    assert np.abs(world.model.light_diffuse - light).max() > 0.02
    world.reset(900_002, None, USUAL)
    assert np.array_equal(world.model.mat_rgba, colours)
    assert np.array_equal(world.state.position("can_left"), cans[0])


def jobs(disturb, episodes=20):
    return command.jobs(
        "bimanual", ("push_cans",), ("inspire",), episodes, 0.0, 0, parse(""), disturb
    )


def test_which_episodes_are_disturbed_depends_on_their_number_and_the_share():
    half = [job.disturb for job in jobs(0.5)]
    assert 4 < sum(half) < 16 and half[:5] == [job.disturb for job in jobs(0.5, episodes=5)]
    assert all(job.disturb for job in jobs(1.0))
    assert {job.disturb for job in jobs(0.0)} == {None}


@pytest.mark.long
def test_a_disturbed_episode_keeps_the_plan_what_was_executed_and_what_was_disturbed(tmp_path):
    job = jobs(1.0, episodes=1)[0]
    command.CollectionState(tmp_path).enter(job.key, command.collect_one(job))
    (stored,) = store.find(tmp_path)
    read = stored.read()
    assert read.info.success
    assert stored.disturbed.startswith("looks and places, left arm ")
    arm = read.executed["left"]["arm"]
    assert arm.shape == read.action["left"]["arm"].shape
    assert np.abs(arm - read.action["left"]["arm"]).max() > 0.02
    # What was measured followed what was executed.
    lag = np.abs(read.measured["left"]["arm"][1:] - arm[:-1]).max()
    assert lag < np.abs(read.measured["left"]["arm"][1:] - read.action["left"]["arm"][:-1]).max()
