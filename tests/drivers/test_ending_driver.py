"""A driver that is told to end while its arm moves."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from moving_arm import MOVING, Floor, Writer

from xlvla import graph, rig_file
from xlvla.ros import command_session
from xlvla.run import interruptible, own_domain
from xlvla_cli.ros.session import Session


def test_a_driver_that_is_told_to_end_brakes_the_arm_first():
    rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), policy="none")
    specs = graph.chosen(rig, ["emulators", "left_arm"])
    with interruptible(), Session(rig, specs, domain=own_domain()) as session:
        floor = Floor(session)
        floor.until_level("ok")
        writer = Writer(floor.node, command_session.new_session())
        floor.until(lambda: writer.is_subscribed, "the arm listens to nobody")
        time.sleep(0.3)
        start = floor.pose()
        floor.stream([writer], start, 1.0, 0.5)
        floor.driver.send_signal(signal.SIGINT)
        floor.stream([writer], floor.look()[-1][1], 1.0, 0.6)
        assert floor.driver.wait(timeout=10) == 0
        times, elbow = zip(
            *((stamp, position[MOVING]) for stamp, position in floor.look()), strict=True
        )
        speed = np.diff(elbow) / np.diff(times)
        assert speed.max() > 0.5 and abs(np.mean(speed[-5:])) < 0.05
