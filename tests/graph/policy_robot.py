"""A robot for a policy's node that runs alone, as on a machine of its own."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from std_msgs.msg import String

from xlvla import graph, rig_file
from xlvla.rig import Rig
from xlvla.ros import camera_publisher, convert, topics
from xlvla.ros.reader import Reader
from xlvla.run import Supervisor, interruptible, own_domain
from xlvla.types import Part, Side
from xlvla_cli.ros.operator import Operator

REPLAN_S = 0.2
SILENT_S = 3 * REPLAN_S
"""How often the policy decides, and how long it is watched that must not: three times as long."""


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
        self._chunks = Reader(self.node, topics.chunk("left", "policy").history(100))
        self.seen = camera_publisher.seen("front", rig.cameras["front"])
        self.as_new()

    def as_new(self) -> None:
        """A sound picture, all joints at home, and a sentence that the policy understands, whatever
        was sent before.
        """
        camera = self.rig.cameras["front"]
        grey = np.full((240, 320, 3), 90, np.uint8)
        self.picture: Any = (
            convert.jpeg(grey, camera.jpeg, 0, "front")
            if camera.jpeg
            else convert.image(grey, 0, "front")
        )
        self.joints = {key: self._at_home(*key) for key in self.rig.parts}
        if topics.INSTRUCTION.name in self._publishers:
            self.say(topics.INSTRUCTION, String(data="Push the two tomato cans together."))

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
        give_up = time.monotonic() + 60
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
        end = time.monotonic() + SILENT_S
        while time.monotonic() < end:
            self.tell(**told)
            time.sleep(0.05)
        assert not self.chunks()
        assert sum(words in line for line in self.lines[already:]) == 1
        assert not any("Traceback" in line for line in self.lines)


@contextmanager
def policy_alone(
    weights: Path, replan_s: float = REPLAN_S, jpeg: int | None = None
) -> Iterator[Robot]:
    """The policy's node with these weights, which prints what it imports, and its robot."""
    rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), checkpoint=str(weights))
    assert rig.policy is not None
    camera = replace(rig.cameras["front"], jpeg=jpeg)
    policy = replace(rig.policy, replan_s=replan_s)
    rig = replace(rig, policy=policy, cameras={"front": camera})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPROFILEIMPORTTIME", "1")
        with robot_of(rig) as robot:
            yield robot


@contextmanager
def robot_of(rig: Rig) -> Iterator[Robot]:
    """The node of a rig's policy, and its robot."""
    lines: list[str] = []
    domain = own_domain()
    with (
        interruptible(),
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
