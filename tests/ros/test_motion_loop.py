"""Motion's loop in one process with what it reads: a simulation's resets and joint states."""

from __future__ import annotations

import json
import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from std_msgs.msg import Header

from xlvla import rig_file
from xlvla.ros import command_session, convert, topics
from xlvla.ros.clock import Clock
from xlvla.ros.convert import SECOND
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.run import own_domain
from xlvla.types import PARTS, SIDES
from xlvla_drivers.ros.motion_loop import MotionLoop

PATIENCE_S = 20.0


class SimulatedTime(Clock):
    """Counts from 1 s on, as a simulation's does: the stamp of a reset is its id, and small."""

    def __init__(self):
        self._began_ns = time.monotonic_ns()

    def now_ns(self):
        return SECOND + time.monotonic_ns() - self._began_ns


class Simulation:
    """A robot that is where it was commanded, until a reset."""

    def __init__(self):
        self.node = RigNode("motion")
        self.node.rig = rig_file.load("bimanual")
        self.node.clock = SimulatedTime()
        self.joints = {
            side: [name for part in PARTS for name in self.node.rig.joint_names(side, part)]
            for side in SIDES
        }
        self.pose = self.home()
        self.reset_id = 0
        self._resets = self.node.publisher(topics.RESET)
        self._chunks = {side: self.node.publisher(topics.chunk(side)) for side in SIDES}
        self._states = {}
        self._commands = {}
        for side, part in self.node.rig.parts:
            self._states[side, part] = self.node.publisher(topics.joint_states(side, part))
            self._commands[side, part] = Reader(self.node, topics.command(side, part))
        self._words = Reader(self.node, topics.MOTION_STATUS.history(100))
        self.said = []
        self._end = threading.Event()
        self._loop = MotionLoop(self.node)
        self._thread = threading.Thread(target=self._loop.run, args=(self._end,))
        self._thread.start()

    def close(self):
        self._end.set()
        self._thread.join()
        self.node.destroy_node()

    def home(self):
        return {side: np.array(list(self.node.rig.start(side).values())) for side in self.joints}

    def reset(self, lifted_rad):
        """Begins anew with both elbows lifted: the reset first, at once what is measured then."""
        self.pose = self.home()
        for side in SIDES:
            self.pose[side][3] += lifted_rad
        self.reset_id = self.node.clock.now_ns()
        self._resets.publish(Header(stamp=convert.stamp(self.reset_id)))
        self.measure()

    def measure(self):
        stamp_ns = max(self.node.clock.now_ns(), self.reset_id)
        for (side, part), publisher in self._states.items():
            names = self.node.rig.joint_names(side, part)
            by_name = dict(zip(self.joints[side], self.pose[side], strict=True))
            position = np.array([by_name[name] for name in names])
            publisher.publish(convert.JointMessage(names).fill(stamp_ns, position))

    def hold(self):
        """Sends chunks that stay where the robot is."""
        stamp_ns = self.node.clock.now_ns()
        for side, publisher in self._chunks.items():
            frames = np.tile(self.pose[side], (20, 1))
            publisher.publish(convert.trajectory(self.joints[side], frames, stamp_ns, 20.0))

    def commanded(self):
        """Whether all parts were commanded after the last reset since the last call."""
        commanded = [self._was_commanded(reader) for reader in self._commands.values()]
        return all(commanded)

    def _was_commanded(self, reader):
        newest = reader.newest()
        return newest is not None and command_session.take_origin(newest).reset_id == self.reset_id

    def listen(self):
        self.said += [json.loads(word.data)["state"] for word in self._words.every()]


@pytest.fixture
def simulation():
    rclpy.init(domain_id=own_domain())
    made = Simulation()
    yield made
    made.close()
    rclpy.shutdown()


def test_a_robot_that_a_reset_put_elsewhere_has_not_strayed(simulation):
    """Joint states of after a reset may be read before it."""
    for number in range(40):
        simulation.reset(lifted_rad=0.5 * (number % 2))
        give_up_s = time.monotonic() + PATIENCE_S
        while not simulation.commanded():
            simulation.listen()
            assert time.monotonic() < give_up_s, simulation.said
            simulation.measure()
            simulation.hold()
            time.sleep(0.005)
        simulation.listen()
    assert set(simulation.said) == {"engaged"}
