"""The policy's node alone, as on a machine of its own: what it decides on, what it refuses, and
what it says of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

import pytest

pytest.importorskip("rclpy")

from policy_robot import Robot, policy_alone
from std_msgs.msg import String

import retries
from xlvla.ros import convert, topics

SDKS_AND_WORLDS = (
    "xlvla_sim",
    "mujoco",
    "serial",
    "pymodbus",
    "dynamixel_sdk",
    "xarm",
    "cyclonedds",
    "unitree_sdk2py",
    "pyrealsense2",
)


@pytest.fixture(scope="module")
@retries.once_more
def running(untrained_weights) -> Iterator[Robot]:
    with policy_alone(untrained_weights(2, frames=48, rate_hz=25.0)) as robot:
        yield robot


@pytest.fixture
def robot(running) -> Robot:
    running.as_new()
    return running


def test_a_camera_that_never_publishes_is_waited_for_by_name(robot):
    robot.silent_and_says(
        "waiting for /cameras/front/image_raw: no node publishes it", camera=False
    )


def test_a_chunk_bears_the_stamp_of_its_image_and_the_names_of_the_joints(robot):
    (chunk, *_) = robot.until(robot.chunks, "no chunk comes")
    assert convert.nanoseconds(chunk.header.stamp) in robot.stamps
    assert list(chunk.joint_names) == [
        *robot.rig.joint_names("left", "arm"),
        *robot.rig.joint_names("left", "hand"),
    ]


def test_a_chunk_has_the_frames_and_the_rate_of_its_policy(robot):
    (chunk, *_) = robot.until(robot.chunks, "no chunk comes")
    points, rate_hz = convert.points(chunk)
    assert len(points) == 48 and rate_hz == pytest.approx(25)


def test_the_process_imports_no_device_and_no_world(robot):
    imported = {
        line.rpartition("|")[2].strip() for line in robot.lines if line.startswith("import time:")
    }
    assert {"torch", "rclpy", "xlvla_policy.vla.model"} <= imported
    assert not {name.partition(".")[0] for name in imported} & set(SDKS_AND_WORLDS)
    ours = {name for name in imported if name.startswith("xlvla_drivers")}
    assert all(
        (spec := find_spec(name)) and spec.submodule_search_locations for name in ours
    )  # packages, whose modules are listed: no module


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"encoding": "mono8"},
            "/cameras/front/image_raw: image encoding 'mono8' is not supported",
        ),
        (
            {"height": 241},
            "/cameras/front/image_raw: an image of 320x241 with rows of 960 bytes cannot have "
            "230400 bytes",
        ),
        (
            {"height": 320, "width": 240, "step": 720},
            "is 240x320: this policy wants 1.333 times as wide as high",
        ),
    ],
)
def test_an_image_of_another_size_or_encoding_is_refused(robot, fields, words):
    for name, value in fields.items():
        setattr(robot.picture, name, value)
    robot.silent_and_says(words)
    robot.as_new()
    robot.decides()


def test_a_pose_that_is_no_number_or_of_other_joints_is_refused(robot):
    arm = robot.joints["right", "arm"]
    arm.position[2] = float("nan")
    robot.silent_and_says(
        "/right/arm/joint_states: position of 'right_arm_joint3' is not a finite number"
    )
    robot.as_new()
    robot.decides()
    robot.joints["right", "arm"].name[2] = "right_arm_joint33"
    robot.silent_and_says("/right/arm/joint_states: unknown joint 'right_arm_joint33'")
    robot.as_new()
    robot.decides()


def test_a_sentence_too_long_is_refused_until_another_is_said(robot):
    robot.say(topics.INSTRUCTION, String(data="push it " * 100))
    robot.silent_and_says("this policy reads at most 64")
    robot.say(topics.INSTRUCTION, String(data="Push the two tomato cans together."))
    robot.decides()


def test_old_images_are_not_decided_on(robot):
    robot.silent_and_says("stamped 5 s ago: do the clocks of all machines agree?", age_s=5.0)
    robot.decides()


def test_a_camera_that_falls_silent_is_spoken_of(robot):
    robot.silent_and_says(
        "waiting for /cameras/front/image_raw: it has fallen silent", camera=False
    )
    robot.decides()
