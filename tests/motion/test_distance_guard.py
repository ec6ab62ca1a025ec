"""Distances by the real shapes of the rig, and what they do to a robot that is told to go on."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

pytest.importorskip("pinocchio")

from xlvla import catalog, rig_file
from xlvla.motion import Box
from xlvla_drivers.motion.chunk import Refused
from xlvla_drivers.motion.clearance import SLACK_M, Clearance
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.rig_motion import RigMotion

TICK_S = 0.005
RIG = rig_file.load("bimanual")
DISTANCES = Distances(RIG)


def home(side):
    hand = np.clip(0.0, *RIG.hand(side).command_range(side))
    return np.concatenate([list(RIG.home(side).values()), hand])


HOME = np.concatenate([home(side) for side in RIG.sides])


def moved(side, **joints):
    """Home with some of the arm's joints [rad] elsewhere."""
    pose = home(side)
    for name, value in joints.items():
        pose[RIG.arm(side).joints.index(name)] += value
    return pose


def play(offers, seconds=3.0, rig=RIG, starts=None):
    """(commands [T, N] rad, motion) of a rig whose motion is offered `offers(tick, motion)`: (side,
    points [T, N], rate) each.
    """
    motion = RigMotion(rig)
    poses = []
    starts = starts or {side: home(side) for side in rig.sides}
    for tick in range(1, round(seconds / TICK_S)):
        now = tick * TICK_S
        for side, points, rate_hz in offers(tick, motion):
            player = motion.players[side]
            with suppress(Refused):
                player.offer(points, player.joints, now, rate_hz, now, measured=starts[side])
        commands = motion.step(now, TICK_S, starts)
        poses.append(np.concatenate([commands.get(side, starts[side]) for side in rig.sides]))
    return np.array(poses), motion


def drive(ends, seconds=3.0, rig=RIG, within_s=2.0):
    """Tells sides to go from home to their ends within a time, again and again."""

    def offers(tick, motion):
        if tick % 100 == 1:
            share = np.clip((tick * TICK_S + np.arange(1, 65) / 20) / within_s, 0, 1)[:, None]
            yield from (
                (side, home(side) + share * (end - home(side)), 20.0) for side, end in ends.items()
            )

    return play(offers, seconds, rig)


def least(poses, kind, distances=DISTANCES):
    """The least distance [m] of a kind over poses."""
    chosen = np.array([number for number, gap in enumerate(distances.gaps) if gap.margin is kind])
    return min(distances.some(pose, chosen).min() for pose in poses[::2])


def below(poses, distances=DISTANCES):
    """By how much [m] any distance is below its stop at any pose."""
    stop = np.array([gap.margin.stop_m for gap in distances.gaps])
    return max((stop - distances.at(pose)).max() for pose in poses)


def test_at_home_nothing_is_near_and_the_rig_goes_at_its_own_pace():
    clearance = Clearance(RIG)
    clearance.begin(HOME)
    verdict = clearance.look(HOME, [HOME, HOME], 1.0)
    assert verdict.pace == 1.0 and verdict.distance_m > 0.02


def test_two_arms_told_to_meet_stop_short_of_each_other():
    ends = {"left": moved("left", joint1=-0.9), "right": moved("right", joint1=0.9)}
    assert least(np.array([np.concatenate(list(ends.values()))]), RIG.motion.between) < 0
    poses, motion = drive(ends)
    assert (
        RIG.motion.between.stop_m - SLACK_M
        < least(poses, RIG.motion.between)
        < RIG.motion.between.slow_m
    )
    assert motion.braked == 0, "it slows in time"


@pytest.mark.parametrize(
    "frames",
    [8, 14, pytest.param(10, marks=pytest.mark.long), pytest.param(12, marks=pytest.mark.long)],
)
def test_two_arms_told_to_meet_at_full_speed_stop_short_of_each_other(frames):
    ends = {"left": moved("left", joint1=-1.5), "right": moved("right", joint1=1.5)}
    poses, _ = drive(ends, within_s=frames / 20)
    assert np.abs(np.diff(poses, axis=0)).max() / TICK_S > 2.0, "they go quickly"
    assert below(poses) < SLACK_M
    assert (poses[-1] == poses[-2]).all(), "and stand in the end"


def test_an_arm_at_full_speed_stops_short_of_one_that_stands():
    beside = moved("right", joint1=1.2)
    home_pose = home("left")
    starts = {"left": home_pose, "right": beside}
    way = home_pose + np.clip(np.arange(1, 65) / 12, 0, 1)[:, None] * (
        moved("left", joint1=-1.5) - home_pose
    )
    poses, _ = play(lambda tick, motion: [("left", way, 20.0)] if tick == 1 else [], starts=starts)
    assert below(poses) < SLACK_M and np.abs(poses[-1] - poses[0]).max() > 0.3


def test_a_hand_told_to_go_through_the_table_presses_no_further_than_it_may():
    touch = RIG.motion.touch
    ends = {"left": moved("left", joint2=0.42), "right": home("right")}
    assert least(np.array([np.concatenate(list(ends.values()))]), touch) < touch.stop_m - 0.01
    poses, _ = drive(ends)
    assert touch.stop_m - SLACK_M < least(poses, touch) < touch.slow_m


@pytest.mark.parametrize(("every", "joint", "turn"), [(20, 1, 0.45), (1, 1, 0.45), (1, 0, -0.45)])
def test_a_stream_that_always_asks_for_more_gets_no_nearer_than_it_may(every, joint, turn):
    def offers(tick, motion):
        if tick % every == 0:
            player = motion.players["left"]
            pose = (player.position if player.started else home("left")).copy()
            pose[joint] = np.clip(
                pose[joint] + turn, player.bounds.lower[joint], player.bounds.upper[joint]
            )
            yield "left", np.repeat(pose[None], 20, axis=0), 20.0

    poses, _ = play(offers)
    assert below(poses) < SLACK_M


def test_random_chunks_of_both_sides_at_any_speed_keep_every_distance():
    rng = np.random.default_rng(0)

    def offers(tick, motion):
        for side, player in motion.players.items():
            if rng.random() < 0.05:
                here = player.position if player.started else home(side)
                end = np.clip(
                    here + rng.normal(0, 1, len(here)), player.bounds.lower, player.bounds.upper
                )
                frames = rng.integers(4, 40)
                yield (
                    side,
                    here + np.clip(np.arange(1, 65) / frames, 0, 1)[:, None] * (end - here),
                    20.0,
                )

    poses, motion = play(offers, seconds=10.0)
    assert motion.braked > 0, "chunks ask for what may not be"
    assert below(poses) < SLACK_M


def test_what_makes_distances_larger_is_not_slowed():
    away = {"left": moved("left", joint1=0.5), "right": moved("right", joint1=-0.5)}
    poses, motion = drive(away, within_s=0.8)
    reached = (
        np.flatnonzero(
            np.abs(poses - np.concatenate([away["left"], away["right"]])).max(axis=1) < 0.01
        )[0]
        * TICK_S
    )
    assert motion.pace.beat.rate == 1.0 and motion.braked == 0
    assert reached < 1.6


INWARDS = {"left": -1, "right": 1}
"""The sign of the first joint's turn that brings an arm nearer to the other."""


@cache
def met():
    """Where both sides stand [N] rad when each bars the other's way."""
    meeting = {side: moved(side, joint1=1.2 * sign) for side, sign in INWARDS.items()}
    together, _ = drive(meeting, seconds=6.0)
    return dict(zip(RIG.sides, np.split(together[-1], len(RIG.sides)), strict=True))


def inwards(side, pose, turn):
    """A side's pose [N] turned further inwards [rad]."""
    pose = pose.copy()
    pose[0] += INWARDS[side] * turn
    return pose


def position(motion, side, starts):
    """The last command [N] rad of a side, or where it starts."""
    player = motion.players[side]
    return player.position if player.started else starts[side]


@pytest.mark.parametrize(
    ("comes", "goes", "guard_hz"),
    [
        ("left", "right", RIG.motion.guard_hz),
        # Sides are tried one after the other, a tick each, however often distances are looked at.
        ("left", "right", 1 / TICK_S),
        pytest.param("right", "left", RIG.motion.guard_hz, marks=pytest.mark.long),
    ],
)
def test_a_side_that_goes_away_is_not_held_by_one_that_comes_after_it(comes, goes, guard_hz):
    rig = replace(RIG, motion=replace(RIG.motion, guard_hz=guard_hz))
    here = met()
    nearer = inwards(comes, here[comes], 0.2)
    share = np.arange(1, 65)[:, None] / 20 / 8.0
    alone = set()

    def offers(tick, motion):
        alone.add(motion.goes_alone)
        if tick % 160 == 1:
            now = position(motion, goes, here)
            # One wants to be nearer at once, the other leaves slowly.
            yield comes, np.repeat(nearer[None], 64, 0), 20.0
            yield goes, now + share * (home(goes) - now), 20.0

    poses, _ = play(offers, seconds=5.0, rig=rig, starts=here)
    assert below(poses) < SLACK_M
    last = dict(zip(RIG.sides, np.split(poses[-1], len(RIG.sides)), strict=True))
    assert abs(last[goes][0] - here[goes][0]) > 0.2, "it goes away"
    assert abs(last[comes][0] - nearer[0]) < 0.05, "and the other one comes after it"
    assert alone == {None, goes}


def test_a_side_that_went_alone_and_never_rests_does_not_keep_others_from_a_place_near_it():
    comes, goes = RIG.sides
    here = met()
    away = inwards(goes, here[goes], -0.035)
    reachable = inwards(comes, here[comes], 0.03)
    beyond = inwards(comes, here[comes], 0.25)

    def offers(tick, motion):
        if tick % 40 == 1:
            now = position(motion, goes, here)
            share = np.clip(np.arange(1, 65) / 20, 0, 1)[:, None]
            yield goes, now + share * (away - now), 20.0
            wanted = beyond if tick < 300 else reachable
            yield comes, np.repeat(wanted[None], 64, 0), 20.0

    poses, motion = play(offers, seconds=4.5, starts=here)
    assert below(poses[::4]) < SLACK_M
    assert np.abs(motion.players[goes].position - away).max() < 0.005
    assert np.abs(motion.players[comes].position - reachable).max() < 0.005


def test_a_chunk_that_waited_for_the_other_side_goes_on_at_its_own_speed():
    comes, goes = RIG.sides
    here = met()
    seconds = np.arange(1, 41)[:, None] / 20
    slowly = here[comes] + 0.2 * seconds * (inwards(comes, here[comes], 1.0) - here[comes])
    more_slowly = 0.05 * seconds * (inwards(goes, here[goes], -1.0) - here[goes])
    waited = []

    def offers(tick, motion):
        waited.append(motion.goes_alone == goes)
        if tick == 1:
            yield comes, slowly, 20.0
        if tick % 100 == 1:
            yield goes, position(motion, goes, here) + more_slowly, 20.0

    poses, motion = play(offers, seconds=4.5, starts=here)
    assert below(poses[::4]) < SLACK_M
    assert sum(waited) * TICK_S > 0.2
    # The first joint of the first side.
    speed = np.abs(np.diff(poses[:, 0])) / TICK_S
    assert 0.2 < speed.max() < 0.35
    assert np.abs(motion.players[comes].position - slowly[-1]).max() < 0.005


def test_a_side_that_went_alone_and_rests_is_not_counted_as_braked():
    comes, goes = RIG.sides
    here = met()
    share = np.clip(np.arange(1, 21) / 14, 0, 1)[:, None]
    away = here[goes] + share * (inwards(goes, here[goes], -0.03) - here[goes])
    beyond = inwards(comes, here[comes], 0.3)
    alone = []
    braked = []

    def offers(tick, motion):
        alone.append(motion.goes_alone == goes)
        braked.append(motion.braked)
        if tick == 1:
            yield goes, away, 20.0
        if tick % 40 == 1:
            yield comes, np.repeat(beyond[None], 64, 0), 20.0

    play(offers, seconds=1.8, starts=here)
    first, *_, last = np.flatnonzero(alone)
    assert (last - first) * TICK_S > 1.0, "it goes alone to the end of its chunk"
    assert braked[last + 5] == braked[first]


def test_a_robot_that_begins_too_near_may_go_away_but_not_nearer():
    angles = np.arange(0.6, 1.0, 0.01)
    between = RIG.motion.between
    poses = [
        np.concatenate([moved("left", joint1=-angle), moved("right", joint1=angle)])
        for angle in angles
    ]
    near = next(pose for pose in poses if least(pose[None], between) < between.stop_m - 0.005)
    starts = dict(zip(RIG.sides, np.split(near, 2), strict=True))
    for further, arrives in ((0.3, False), (-0.3, True)):
        end = {"left": starts["left"].copy(), "right": starts["right"].copy()}
        end["left"][0] -= further
        end["right"][0] += further
        ways = [
            (side, starts[side] + np.arange(1, 65)[:, None] / 64 * (end[side] - starts[side]), 20.0)
            for side in RIG.sides
        ]
        path, _ = play(
            lambda tick, motion, ways=ways: ways if tick == 1 else [], seconds=5.0, starts=starts
        )
        assert least(path, between) > least(near[None], between) - SLACK_M - 1e-6
        assert (np.abs(path[-1] - near).max() > 0.15) == arrives


def test_nothing_moves_while_it_is_not_known_where_a_side_is():
    motion = RigMotion(RIG)
    far = moved("left", joint4=0.4)
    player = motion.players["left"]
    player.offer(
        np.repeat(far[None], 20, axis=0), player.joints, 0.0, 20.0, 0.0, measured=home("left")
    )
    assert motion.step(TICK_S, TICK_S, {"left": home("left"), "right": None}) == {}
    both = {side: home(side) for side in RIG.sides}
    moving = [motion.step(k * TICK_S, TICK_S, both)["left"] for k in range(2, 80)]
    blind = [motion.step(k * TICK_S, TICK_S, {"right": None})["left"] for k in range(80, 160)]
    path = np.array(moving + blind)
    assert np.abs(np.diff(moving, axis=0))[-1].max() > 0 and (path[-1] == path[-2]).all()
    acceleration = np.diff(path, n=2, axis=0) / TICK_S**2
    assert (np.abs(acceleration) <= player.bounds.acceleration * (1 + 1e-6)).all()


def test_a_side_that_somebody_moves_by_hand_counts_where_it_is():
    motion = RigMotion(RIG)
    player = motion.players["left"]
    starts = {side: home(side) for side in RIG.sides}
    far = moved("left", joint1=-1.5)
    way = home("left") + np.clip(np.arange(1, 65) / 40, 0, 1)[:, None] * (far - home("left"))
    player.offer(way, player.joints, 0.0, 20.0, 0.0, measured=home("left"))
    poses = []
    for tick in range(1, 600):
        starts["right"] = moved("right", joint1=min(tick * 0.004, 0.7))
        command = motion.step(tick * TICK_S, TICK_S, starts)["left"]
        poses.append(np.concatenate([command, starts["right"]]))
    assert least(poses, RIG.motion.between) > RIG.motion.between.stop_m - SLACK_M


@pytest.mark.parametrize("sag", [pytest.param(2e-4, marks=pytest.mark.long), 2e-3])
def test_an_arm_that_stands_at_its_stop_may_go_away_when_the_other_sags_towards_it(sag):
    motion = RigMotion(RIG)
    starts = {"left": home("left"), "right": moved("right", joint1=0.7)}
    player = motion.players["left"]
    far = moved("left", joint1=-1.5)
    ways = [(1, far), (400, home("left"))]
    for tick in range(1, 900):
        if tick == 395:
            near = player.position
            starts["right"] = moved("right", joint1=0.7 + sag)
        for when, end in ways:
            if tick == when:
                here = player.position if player.started else home("left")
                points = here + np.clip(np.arange(1, 65) / 30, 0, 1)[:, None] * (end - here)
                player.offer(
                    points, player.joints, tick * TICK_S, 20.0, tick * TICK_S, measured=here
                )
        motion.step(tick * TICK_S, TICK_S, starts)
    assert np.abs(player.position - near).max() > 0.3


@pytest.mark.parametrize("hand", catalog.hands())
def test_no_distance_shrinks_by_more_than_joints_turn_times_their_levers(hand):
    rig = rig_file.with_choices(RIG, hands=dict.fromkeys(RIG.sides, hand))
    distances = Distances(rig)
    rng = np.random.default_rng(1)
    pose = np.concatenate([list(rig.start(side).values()) for side in rig.sides])
    for spread in (0.001, 0.03, 0.3, 1.0):
        here = pose + rng.normal(0, 0.3, len(pose))
        there = here + rng.normal(0, spread, len(pose)) * (rng.random(len(pose)) < 0.5)
        before = distances.at(here)
        levers = distances.levers()
        assert (before - distances.at(there) <= levers @ np.abs(there - here) + 1e-5).all()


@pytest.mark.parametrize("within_s", [0.4, pytest.param(2.0, marks=pytest.mark.long)])
def test_the_workspace_holds_flange_and_fingertips_inside(within_s):
    box = Box((-0.2, 0.1, 0.0), (0.9, 0.9, 1.0))
    rig = replace(RIG, motion=replace(RIG.motion, workspace={"left": box}))
    distances = Distances(rig)
    ends = {"left": moved("left", joint1=-0.6), "right": home("right")}
    edges = np.array(
        [
            number
            for number, gap in enumerate(distances.gaps)
            if gap.second.endswith("of the workspace")
        ]
    )
    assert len(edges) == 6 * (1 + len(RIG.hand("left").tips))
    poses, _ = drive(ends, rig=rig, within_s=within_s)
    free, _ = drive(ends, within_s=within_s)
    inside = min(distances.some(pose, edges).min() for pose in poses[::2])
    outside = min(distances.some(pose, edges).min() for pose in free[::5])
    assert outside < 0 <= inside + SLACK_M


@pytest.mark.parametrize("hand", catalog.hands())
def test_every_hand_is_watched_and_nothing_touches_at_home(hand):
    rig = rig_file.with_choices(RIG, hands=dict.fromkeys(RIG.sides, hand))
    distances = Distances(rig)
    here = np.concatenate(
        [
            [*rig.home(side).values(), *np.clip(0.0, *rig.hand(side).command_range(side))]
            for side in rig.sides
        ]
    )
    watched = {gap.first for gap in distances.gaps} | {gap.second for gap in distances.gaps}
    assert {"table"} < watched and any("left_hand" in link for link in watched)
    assert distances.at(here).min() > 0
