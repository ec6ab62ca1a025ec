"""A policy server behind the policy's node: what it decides reaches the robot, or a line says why not."""

import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

sys.path.insert(0, str(Path(__file__).parents[1] / "serving"))

from policy_robot import REPLAN_S, Robot, robot_of
from servers import TheirServer
from std_msgs.msg import String

from xlvla import rig_file
from xlvla.rig_parts import PolicyConfig, PolicyServer
from xlvla.ros import topics

FRAMES = 12


def answer(request):
    """What the instruction asks for."""
    actions = np.tile(request["state"], (FRAMES, 1))
    if request["prompt"] == "say nothing of a joint":
        actions[3, 0] = np.nan
    if request["prompt"] == "hurry":
        actions = actions[:3]
    if request["prompt"] == "dawdle":
        time.sleep(1.5)
    if request["prompt"] == "die":
        return None
    return {"actions": actions}


@pytest.fixture(scope="module")
def robot() -> Iterator[Robot]:
    with TheirServer(answer).running() as server:
        rig = rig_file.load("bimanual_emulated")
        there = PolicyServer(f"ws://127.0.0.1:{server.port}", FRAMES, 10.0, timeout_s=1.0)
        policy = PolicyConfig("openpi", replan_s=REPLAN_S, max_age_s=5.0, server=there)
        # nothing is too old here: a machine that stands still for a moment changes nothing
        rig = replace(rig, policy=policy, motion=replace(rig.motion, stale_s=5.0))
        with robot_of(rig) as robot:
            yield robot


def test_its_chunks_are_published_with_its_own_length_and_rate(robot):
    (chunk, *_) = robot.until(robot.chunks, "no chunk comes")
    assert len(chunk.points) == FRAMES
    step = chunk.points[1].time_from_start
    assert (step.sec, step.nanosec) == (0, 200_000_000)


@pytest.mark.parametrize(
    ("instruction", "words"),
    [
        ("say nothing of a joint", "is not finite for left_arm_joint1"),
        ("hurry", "has 3 frames, not 12: see policy.server.frames"),
        ("dawdle", "gave no answer within 1 s"),
        ("die", "ended the connection"),
    ],
)
def test_an_answer_that_is_no_chunk_is_one_line_and_the_next_one_is_played(
    robot, instruction, words
):
    robot.decides()
    robot.say(topics.INSTRUCTION, String(data=instruction))
    robot.silent_and_says(words)
    robot.say(topics.INSTRUCTION, String(data="be still"))
    robot.decides()
