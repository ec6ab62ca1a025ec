"""Distances by the real shapes of the rig, and what they do to a robot that is told to go on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("pinocchio")

from xlvla import rig as rigs
from xlvla.motion import Box
from xlvla.types import PARTS
from xlvla_drivers.motion.guard import AHEAD_S, Guard
from xlvla_drivers.motion.pace import Pace
from xlvla_drivers.motion.sides import side_player

TICK_S, LOOK_EVERY = 0.005, 4
RIG = rigs.load("bimanual")


def home(side):
    hand = np.clip(0.0, *RIG.hand(side).command_range(side))
    return np.concatenate([list(RIG.home(side).values()), hand])


def moved(side, **joints):
    """Home with some of the arm's joints [rad] elsewhere."""
    pose = home(side)
    for name, value in joints.items():
        pose[RIG.arm(side).joints.index(name)] += value
    return pose


@pytest.fixture(scope="module")
def guard():
    return Guard(RIG)


def drive(guard, ends, seconds=3.0, rig=RIG):
    """Tells every side to go from home to its end within 2 s, again and again; (poses [T, N], their least distances by margin)."""
    players = {side: side_player(rig, side) for side in rig.sides}
    names = {side: [name for part in PARTS for name in rig.joint_names(side, part)] for side in rig.sides}
    pace, allowed, answers, poses = Pace(), 0.0, [], []
    for tick in range(round(seconds / TICK_S)):
        now = tick * TICK_S
        beat = pace.step(allowed, TICK_S)
        for side, player in players.items():
            if tick % 100 == 0:
                share = np.clip((now + np.arange(1, 65) / 20) / 2, 0, 1)[:, None]
                player.offer(home(side) + share * (ends[side] - home(side)), names[side], now, 20, now)
        poses.append(np.concatenate([player.command(now, home(side), beat) for side, player in players.items()]))
        if tick % LOOK_EVERY == 0:
            ahead = [np.concatenate([player.ahead(s) for player in players.values()]) for s in AHEAD_S]
            answers.append(guard.look(poses[-1], ahead, beat.rate).pace)
            allowed = answers[-2] if len(answers) > 1 else 0.0  # an answer is one look late
    return np.array(poses)


def least(guard, poses, kind):
    """The least distance [m] of a kind over poses."""
    chosen = [number for number, gap in enumerate(guard.distances.gaps) if gap.margin is kind]
    return min(guard.distances.at(pose)[chosen].min() for pose in poses[::10])


def test_at_home_nothing_is_near_and_the_rig_goes_at_its_own_pace(guard):
    here = np.concatenate([home(side) for side in RIG.sides])
    verdict = guard.look(here, [here, here], 1.0)
    assert verdict.pace == 1.0 and verdict.distance_m > 0.02


def test_two_arms_told_to_meet_stop_short_of_each_other(guard):
    ends = {"left": moved("left", joint1=-0.9), "right": moved("right", joint1=0.9)}
    assert least(guard, np.array([np.concatenate(list(ends.values()))]), RIG.motion.between) < 0
    poses = drive(guard, ends)
    assert 0.9 * RIG.motion.between.stop_m < least(guard, poses, RIG.motion.between) < RIG.motion.between.slow_m


def test_a_hand_told_to_go_through_the_table_presses_no_further_than_it_may(guard):
    touch, ends = RIG.motion.touch, {"left": moved("left", joint2=0.42), "right": home("right")}
    assert least(guard, np.array([np.concatenate(list(ends.values()))]), touch) < 2 * touch.stop_m
    poses = drive(guard, ends)
    assert touch.stop_m - 0.002 < least(guard, poses, touch) < touch.slow_m


def test_a_robot_that_is_too_near_may_go_away_but_not_nearer(guard):
    home_pose = np.concatenate([home(side) for side in RIG.sides])
    angles = np.arange(0.6, 1.0, 0.01)
    poses = [np.concatenate([moved("left", joint1=-angle), moved("right", joint1=angle)]) for angle in angles]
    near = next(pose for pose in poses if least(guard, pose[None], RIG.motion.between) < RIG.motion.between.stop_m)
    assert guard.look(near, [0.5 * (near + home_pose), home_pose], 0.0).pace == 1.0
    further = near + 0.05 * (near - home_pose)
    assert guard.look(near, [further, further], 0.0).pace == 0.0


def test_the_workspace_holds_flange_and_fingertips_inside():
    box = Box((-0.2, 0.1, 0.0), (0.9, 0.9, 1.0))
    rig = replace(RIG, motion=replace(RIG.motion, workspace={"left": box}))
    guard = Guard(rig)
    poses = drive(guard, {"left": moved("left", joint1=-0.6), "right": home("right")}, rig=rig)
    free = drive(Guard(RIG), {"left": moved("left", joint1=-0.6), "right": home("right")})
    edges = [number for number, gap in enumerate(guard.distances.gaps) if gap.second.endswith("of the workspace")]
    assert len(edges) == 6 * (1 + len(RIG.hand("left").tips))
    inside = min(guard.distances.at(pose)[edges].min() for pose in poses[::10])
    outside = min(guard.distances.at(pose)[edges].min() for pose in free[::5])
    assert outside < 0 <= inside + 1e-3


@pytest.mark.parametrize("hand", ["inspire", "ability", "xhand", "paxini", "allegro"])
def test_every_hand_is_watched_and_nothing_touches_at_home(hand):
    rig = RIG.with_choices(hands=dict.fromkeys(RIG.sides, hand))
    guard = Guard(rig)
    here = np.concatenate([[*rig.home(side).values(), *np.clip(0.0, *rig.hand(side).command_range(side))] for side in rig.sides])
    watched = {gap.first for gap in guard.distances.gaps} | {gap.second for gap in guard.distances.gaps}
    assert {"table"} < watched and any("left_hand" in link for link in watched)
    assert guard.distances.at(here).min() > 0
