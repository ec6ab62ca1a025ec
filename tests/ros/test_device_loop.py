"""The loop of a device's node, with its emulated device in one process: what it is told before it
starts, and clocks that are set.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

pytest.importorskip("rclpy")

import rclpy

from xlvla import rig_file
from xlvla.ros import convert, stop, topics
from xlvla.ros.clock import Clock
from xlvla.ros.convert import SECOND
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.run import own_domain
from xlvla_drivers import registry
from xlvla_drivers.ros.device_loop import DeviceLoop

PATIENCE_S = 20.0

RIG = {
    "name": "test",
    "sides": {
        "left": {
            "arm": {"type": "xarm7", "device": {"emulated": True}},
            "hand": {"type": "ability", "device": {"emulated": True}},
        }
    },
    "policy": None,
    "sim": None,
}


class Bench:
    """A node, and the loop of its emulated hand once that is started."""

    def __init__(self):
        self.node = RigNode("left_hand")
        self.node.rig = rig_file.from_document(RIG, "test")
        self.node.clock = Clock()
        self.emulator = registry.emulator(registry.configured(self.node.rig, "left", "hand"))
        self.emulator.start()
        self._end = threading.Event()
        self._thread = None
        self.loop = None

    def start(self):
        self.loop = DeviceLoop(self.node, "left", "hand")
        self._thread = threading.Thread(target=self.loop.run, args=(self._end,))
        self._thread.start()

    def close(self):
        self._end.set()
        if self._thread is not None:
            self._thread.join()
        self.emulator.stop()
        self.node.destroy_node()


def until(true, otherwise):
    give_up_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up_s, otherwise
        time.sleep(0.01)


@pytest.fixture
def bench(monkeypatch, tmp_path):
    monkeypatch.setattr(registry, "ADDRESS", str(tmp_path / "{side}_{driver}"))
    rclpy.init(domain_id=own_domain())
    made = Bench()
    yield made
    made.close()
    rclpy.shutdown()


def test_joint_states_go_on_when_the_systems_clock_is_set_back(bench, monkeypatch):
    states = Reader(bench.node, topics.joint_states("left", "hand").history(100))
    bench.start()
    until(lambda: states.newest() is not None, "the hand does not report")
    really_ns = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: really_ns() - 3600 * SECOND)

    def comes_with_the_new_time():
        state = states.newest()
        return state and convert.nanoseconds(state.header.stamp) < really_ns() - 3000 * SECOND

    until(comes_with_the_new_time, "the hand is silent until the clock is where it was")
    assert not bench.loop.link.counts["losses"]


MOTION = """
import sys
import time

import rclpy

from xlvla.ros import stop

rclpy.init(domain_id=int(sys.argv[1]))
publisher = stop.StopPublisher(rclpy.create_node("motion"), "motion")
publisher.say(False)
print("said", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def reset_motion():
    """A process whose last word on `/motion/stop` is that a stop has ended."""
    command = [sys.executable, "-c", MOTION, str(own_domain())]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "said\n"
    yield process
    process.kill()
    process.communicate()


def test_an_older_reset_that_comes_late_does_not_end_a_stop(bench, reset_motion):
    # A node that is found later delivers its last word later, too.
    os.kill(reset_motion.pid, signal.SIGSTOP)
    pedal = stop.StopPublisher(bench.node, "pedal")
    time.sleep(stop.KEPT_FOR_LATER_NS / SECOND)
    pedal.say(True)
    orders = Reader(bench.node, topics.STOP.history(stop.KEPT), stop.FORM)
    bench.start()
    until(lambda: bench.loop.link.guard.stopped == "pedal", "the stop is not heard")
    os.kill(reset_motion.pid, signal.SIGCONT)
    until(lambda: not all(order.stopped for order in orders.every()), "the reset is not heard")
    time.sleep(0.2)
    assert bench.loop.link.guard.stopped == "pedal"
    pedal.say(False)
    until(lambda: bench.loop.link.guard.stopped is None, "a new reset does not end the stop")
