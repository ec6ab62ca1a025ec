"""A policy of one's own behind the policy's node: what it decides reaches the robot, or a line says why not."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

pytest.importorskip("rclpy")

from policy_robot import REPLAN_S, Robot, robot_of
from std_msgs.msg import String

from xlvla import rig_file
from xlvla.ros import topics

OBEDIENT = """
import numpy as np
from xlvla.policy import Chunk

class Obedient:
    frames, rate_hz = 30, 10.0

    def predict(self, observation):
        sides = observation.executed.items()
        positions = {
            side: {part: np.repeat(rows[-1:], self.frames, axis=0) for part, rows in parts.items()}
            for side, parts in sides
        }
        if observation.instruction == "forget a hand":
            del positions["left"]["hand"]
        if observation.instruction == "forget a joint":
            positions["right"]["arm"] = positions["right"]["arm"][:, 1:]
        if observation.instruction == "hurry a hand":
            positions["right"]["hand"] = positions["right"]["hand"][:20]
        if observation.instruction == "grow a tail":
            positions["tail"] = positions["left"]
        return Chunk(observation.stamp_ns, self.rate_hz, positions, {})

def load(rig, *, threads=1):
    return Obedient()
"""


@pytest.fixture(scope="module")
def robot(tmp_path_factory) -> Iterator[Robot]:
    folder = tmp_path_factory.mktemp("policies")
    (folder / "obedient.py").write_text(OBEDIENT)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XLVLA_POLICIES", str(folder))
        rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), policy="obedient")
        assert rig.policy is not None
        # nothing is too old here: a machine that stands still for a moment changes nothing
        policy = replace(rig.policy, replan_s=REPLAN_S, max_age_s=5.0)
        rig = replace(rig, policy=policy, motion=replace(rig.motion, stale_s=5.0))
        with robot_of(rig) as robot:
            yield robot


def test_its_chunks_are_published_with_its_own_length_and_rate(robot):
    (chunk, *_) = robot.until(robot.chunks, "no chunk comes")
    assert len(chunk.points) == 30
    step = chunk.points[1].time_from_start
    assert (step.sec, step.nanosec) == (0, 200_000_000)


@pytest.mark.parametrize(
    ("instruction", "words"),
    [
        ("forget a hand", "needs positions [30, 6] of the left hand, it has none"),
        ("forget a joint", "needs positions [30, 7] of the right arm, it has [30, 6]"),
        ("hurry a hand", "needs positions [30, 6] of the right hand, it has [20, 6]"),
        ("grow a tail", "unknown side of the policy's chunk 'tail': known are left, right"),
    ],
)
def test_a_chunk_that_does_not_fit_the_robot_is_refused_in_one_line(robot, instruction, words):
    robot.decides()
    robot.say(topics.INSTRUCTION, String(data=instruction))
    robot.silent_and_says(words)
    robot.say(topics.INSTRUCTION, String(data="be still"))
