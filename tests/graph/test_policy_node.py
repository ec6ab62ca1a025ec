"""The policy's node alone, as on a machine of its own: what it decides on, what it refuses, and
what it says of it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import Header, String

from xlvla import graph, rig_file
from xlvla.rig import Rig
from xlvla.ros import camera_publisher, convert, topics
from xlvla.ros.reader import Reader
from xlvla.run import Supervisor, interruptible, own_domain
from xlvla.types import Part, Side
from xlvla_cli.ros.operator import Operator

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


class Robot:
    """Stands in for cameras and drivers of a rig whose policy runs in a process of its own."""

    def __init__(self, rig: Rig, operator: Operator, supervisor: Supervisor, lines: list[str]):
        self.rig = rig
        self.node = operator.node
        self.lines = lines
        self._supervisor = supervisor
        self._operator = operator
        self._publishers = dict[str, Any]()
        self.stamps = list[int]()
        self._chunks = Reader(self.node, topics.chunk("left").history(100))
        camera = rig.cameras["front"]
        grey = np.full((240, 320, 3), 90, np.uint8)
        self.seen = camera_publisher.seen("front", camera)
        self.picture: Any = (
            convert.jpeg(grey, camera.jpeg, 0, "front")
            if camera.jpeg
            else convert.image(grey, 0, "front")
        )
        self.joints = {key: self._at_home(*key) for key in rig.parts}

    def _at_home(self, side: Side, part: Part) -> Any:
        names = self.rig.joint_names(side, part)
        pose = list(self.rig.home(side).values()) if part == "arm" else [0.0] * len(names)
        return convert.JointMessage(names).fill(0, np.array(pose))

    def say(self, topic: topics.Topic, message: Any) -> None:
        if topic.name not in self._publishers:
            self._publishers[topic.name] = self.node.create_publisher(
                topic.type, topic.name, topic.qos
            )
        self._publishers[topic.name].publish(message)

    def tell(self, *, camera: bool = True, age_s: float = 0.0) -> None:
        """Everything once, as a robot does 20 times a second."""
        stamp_ns = time.time_ns() - round(age_s * 1e9)
        for key, message in self.joints.items():
            message.header.stamp = convert.stamp(time.time_ns())
            self.say(topics.joint_states(*key), message)
        if camera:
            self.picture.header.stamp = convert.stamp(stamp_ns)
            self.say(self.seen, self.picture)
            self.stamps.append(stamp_ns)

    def chunks(self) -> list[Any]:
        return list(iter(self._chunks.next, None))

    def until(self, true, otherwise: str, **told) -> Any:
        """Tells, 20 times a second, until `true()` is; its value."""
        give_up = time.monotonic() + 20
        while not (value := true()):
            assert time.monotonic() < give_up, f"{otherwise}; it said {self.lines[-3:]}"
            self._supervisor.check()
            self.tell(**told)
            time.sleep(0.05)
        return value

    def figures(self) -> dict[str, str]:
        return self._operator.figures().get("policy", {})

    def decides(self) -> None:
        self.chunks()
        self.until(self.chunks, "no chunk comes")

    def silent_and_says(self, words: str, **told) -> None:
        """No chunk comes, and one line says why."""
        already = len(self.lines)
        self.until(
            lambda: any(words in line for line in self.lines[already:]),
            f"it never says '{words}'",
            **told,
        )
        self.chunks()
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            self.tell(**told)
            time.sleep(0.05)
        assert not self.chunks()
        assert sum(words in line for line in self.lines[already:]) == 1
        assert not any("Traceback" in line for line in self.lines)


@pytest.fixture(scope="module")
def started(untrained_weights):
    """Starts the policy's node alone with a policy of so many steps."""

    def start(
        steps: int, replan_s: float = 0.2, jpeg: int | None = None, **changes: Any
    ) -> Iterator[Robot]:
        weights = untrained_weights(steps, **changes)
        rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), checkpoint=str(weights))
        assert rig.policy is not None
        camera = replace(rig.cameras["front"], jpeg=jpeg)
        rig = replace(rig, policy=replace(rig.policy, replan_s=replan_s), cameras={"front": camera})
        lines: list[str] = []
        domain = 1 + (own_domain() + steps) % 100  # two of them run at a time
        with (
            interruptible(),
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setenv("PYTHONPROFILEIMPORTTIME", "1")
            with (
                Operator(domain=domain) as operator,
                Supervisor(
                    rig,
                    graph.chosen(rig, only=["policy"]),
                    domain=domain,
                    listener=lambda name, line: lines.append(line),
                ) as supervisor,
            ):
                supervisor.wait_ready()
                yield Robot(rig, operator, supervisor, lines)

    return start


@pytest.fixture(scope="module")
def robot(started) -> Iterator[Robot]:
    yield from started(2, frames=48, rate_hz=25.0)


@pytest.fixture(scope="module")
def slow(started) -> Iterator[Robot]:
    yield from started(200, replan_s=0.02, jpeg=90)


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
    before = {name: getattr(robot.picture, name) for name in fields}
    for name, value in fields.items():
        setattr(robot.picture, name, value)
    robot.silent_and_says(words)
    for name, value in before.items():
        setattr(robot.picture, name, value)
    robot.decides()


def test_a_pose_that_is_no_number_or_of_other_joints_is_refused(robot):
    arm = robot.joints["right", "arm"]
    arm.position[2] = float("nan")
    robot.silent_and_says(
        "/right/arm/joint_states: position of 'right_arm_joint3' is not a finite number"
    )
    arm.position[2] = 0.0
    robot.decides()
    arm.name[2] = "right_arm_joint33"
    robot.silent_and_says("/right/arm/joint_states: unknown joint 'right_arm_joint33'")
    arm.name[2] = "right_arm_joint3"
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


def test_compressed_pictures_are_read_and_what_is_none_is_refused(slow):
    slow.decides()
    data, slow.picture.data = slow.picture.data, b"no picture"
    slow.silent_and_says(
        "/cameras/front/image_raw/compressed: a compressed image of 10 bytes ('rgb8; jpeg "
        "compressed bgr8') cannot be read"
    )
    slow.picture.data = data
    slow.decides()


def test_it_looks_on_while_it_thinks(slow):
    slow.decides()
    end = time.monotonic() + 4.0
    while time.monotonic() < end:
        slow.tell()
        time.sleep(0.05)
    figures = slow.figures()
    looks_ms = 1e3 / float(figures["looks [Hz]"])
    thinks_ms = float(figures["inference p50 [ms]"])
    assert looks_ms < thinks_ms / 2, figures


def test_what_was_thought_about_before_a_reset_is_not_published(slow):
    slow.say(
        topics.RESET, Header(stamp=convert.stamp(1), frame_id="start")
    )  # who says it is found before it matters
    time.sleep(0.5)
    slow.decides()
    for number in range(3):
        slow.until(slow.chunks, "no chunk comes")  # the next thought begins with the next image
        for _ in range(3 + number):
            slow.tell()
            time.sleep(0.05)
        began_ns = time.time_ns()
        slow.say(topics.RESET, Header(stamp=convert.stamp(began_ns), frame_id=f"episode {number}"))
        time.sleep(0.05)
        slow.chunks()
        (chunk, *_) = slow.until(slow.chunks, "no chunk comes")
        assert convert.nanoseconds(chunk.header.stamp) >= began_ns
    slow.until(
        lambda: int(slow.figures().get("discarded chunks", 0)) > 0, "no reset came while it thought"
    )
