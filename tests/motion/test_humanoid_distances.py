"""A humanoid's arms keep their distance from its torso, head and legs, whatever they are told."""

import numpy as np
import pytest

pytest.importorskip("pinocchio")

from xlvla import rig_file
from xlvla.humanoid import PREFIX
from xlvla.types import SIDES
from xlvla_drivers.motion.clearance import SLACK_M
from xlvla_drivers.motion.distance import NEIGHBOURS, Distances
from xlvla_drivers.motion.rig_motion import RigMotion

RIG = rig_file.load("g1")
DISTANCES = Distances(RIG)
TICK_S = 0.005
OF_BODY = np.array([str(gap).startswith(PREFIX) for gap in DISTANCES.gaps])


def home(side):
    return np.array(list(RIG.start(side).values()))


HOME = np.concatenate([home(side) for side in SIDES])


def turned(side, **joints):
    """Home with some joints of an arm there [rad], outwards on both sides."""
    names = RIG.arm(side).joints
    pose = home(side)
    for name, value in joints.items():
        mirrored = side == "right" and ("roll" in name or "yaw" in name)
        pose[names.index(f"{name}_joint")] = -value if mirrored else value
    return pose


TOWARDS = {
    "torso_link": {"shoulder_roll": -0.6, "elbow": 0.6, "shoulder_yaw": -0.9},
    "head_link": {"shoulder_pitch": -2.4, "elbow": -1.0, "shoulder_yaw": -0.9},
}
"""Where the arm would be in a part of the body."""


def least_to(link, poses):
    rows = np.array([gap.first == PREFIX + link for gap in DISTANCES.gaps])
    return min(DISTANCES.at(pose)[rows].min() for pose in poses)


def test_arms_and_hands_are_watched_against_torso_head_pelvis_and_legs():
    firsts = {gap.first for gap in DISTANCES.gaps}
    for link in ("torso_link", "head_link", "pelvis", "left_hip_yaw_link", "right_knee_link"):
        assert PREFIX + link in firsts
    against_torso = {
        gap.second.removeprefix("left_arm_")
        for gap in DISTANCES.gaps
        if gap.first == PREFIX + "torso_link" and gap.second.startswith("left_arm")
    }
    first_links = RIG.arm("left").description.links[1 : NEIGHBOURS + 1]
    assert not against_torso & set(first_links)
    assert "shoulder_yaw_link" in against_torso and "wrist_yaw_link" in against_torso


def test_at_home_nothing_of_the_body_is_near():
    assert DISTANCES.at(HOME)[OF_BODY].min() > RIG.motion.itself.slow_m


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("link", TOWARDS)
def test_an_arm_told_to_go_into_its_body_stops_short_of_it(side, link):
    motion = RigMotion(RIG)
    starts = {each: home(each) for each in SIDES}
    goal = turned(side, **TOWARDS[link])
    into = {**starts, side: goal}
    assert least_to(link, [np.concatenate(list(into.values()))]) < 0, "the goal is in the body"
    way = starts[side] + np.minimum(np.arange(1, 65) / 20, 1)[:, None] * (goal - starts[side])
    player = motion.players[side]
    player.offer(way, player.joints, 0.0, 20.0, 0.0, measured=starts[side])
    poses = []
    for tick in range(1, 600):
        commands = motion.step(tick * TICK_S, TICK_S, starts)
        poses.append(np.concatenate([commands.get(each, starts[each]) for each in SIDES]))
    stop_m = RIG.motion.itself.stop_m
    assert np.abs(poses[-1] - HOME).max() > 0.1, "it went there"
    assert least_to(link, poses) > stop_m - SLACK_M
