"""Motion takes whatever comes on the topics it hears, and plays the next chunk."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import String
from stranger import Stranger, running

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.ros import convert, topics
from xlvla.ros.clock import SimClock
from xlvla.ros.reader import Reader


@pytest.fixture
def moved() -> Iterator[Stranger]:
    rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    with running(rig) as stranger:
        yield stranger


def test_motion_takes_whatever_comes_and_plays_the_next_chunk(moved):
    heard = moved.targets(["motion"])["motion"].subscriptions
    moved.say_all(heard)
    moved.until_counted("motion", heard)
    operator = moved.operator
    rig = moved.rig
    operator.reset()
    operator.call(topics.MOTION_RESET)

    def well() -> None:
        status = DiagnosticStatus(level=DiagnosticStatus.OK, message="well")
        for side, part in rig.parts:
            moved.say(topics.device(side, part).name, DiagnosticStatus, status)
        time.sleep(0.5)

    def engaged() -> str:
        with contextlib.suppress(XlvlaError):
            return operator.call(topics.ENGAGE, data=True)
        return ""

    moved.until(engaged, "motion does not engage any more", well)
    moved.say(topics.SOURCE.name, String, String())
    commands = Reader(operator.node, topics.command("left", "arm"))
    clock = SimClock(operator.node, 1.0)
    names = list(rig.start("left"))
    home = list(rig.start("left").values())

    def chunk() -> None:
        message = convert.trajectory(names, np.array([home] * 20), clock.now_ns(), 20.0)
        moved.say(topics.chunk("left").name, type(message), message)

    moved.until(lambda: commands.newest() is not None, "motion plays no chunk any more", chunk)
    assert not any("Traceback" in line for line in moved.lines)
