"""The nodes of devices on the running graph: the emulated rig without its policy."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

import retries
from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.ros import convert, topics
from xlvla.ros.reader import Reader
from xlvla.run import interruptible, own_domain
from xlvla_cli.ros.controls import Controls
from xlvla_cli.ros.faults import FaultOrders
from xlvla_cli.ros.session import Session

WAIT_S = 60.0


class Floor:
    """The running rig and what a test needs to talk to it."""

    def __init__(self, session):
        self.session = session
        self.rig = session.rig
        self.node = session.operator.node
        self.controls = Controls(session.operator, session.rig)
        self.orders = FaultOrders(self.node)
        self.states = {
            key: Reader(self.node, topics.joint_states(*key).history(500)) for key in self.rig.parts
        }
        self.hand = self.node.create_publisher(*self._named(topics.command("left", "hand")))

    @staticmethod
    def _named(topic):
        return topic.type, topic.name, topic.qos

    def until(self, true, otherwise):
        give_up = time.monotonic() + WAIT_S
        while not (value := true()):
            assert time.monotonic() < give_up, otherwise
            self.session.tick()
        return value

    def level(self, side, part):
        word = self.controls.devices().get((side, part))
        return word.level if word else ""

    def until_level(self, side, part, level):
        self.until(
            lambda: self.level(side, part) == level,
            f"{side} {part} is never '{level}': {self.controls.devices()}",
        )
        return self.controls.devices()[(side, part)].line

    def inject(self, part, fault, on=True):
        return self.orders.order(part, fault, on)

    def pose(self, side, part):
        """A pose reported from now on."""
        since = time.time_ns()
        fresh = []

        def reported():
            message = self.states[side, part].newest()
            if message is not None and convert.nanoseconds(message.header.stamp) > since:
                fresh.append(message)
            return fresh

        message = self.until(reported, f"{side} {part} does not report")[-1]
        return convert.positions(message, self.rig.joint_names(side, part))

    def command(self, position):
        names = self.rig.joint_names("left", "hand")
        self.hand.publish(convert.JointMessage(names).fill(time.time_ns(), np.asarray(position)))


@pytest.fixture(scope="module")
@retries.once_more
def floor():
    rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), policy="none")
    with interruptible(), Session(rig, domain=own_domain()) as session:
        made = Floor(session)
        for key in rig.parts:
            made.until_level(*key, "ok")
        yield made


@pytest.fixture(autouse=True)
def _all_well(floor):
    yield
    for key in floor.rig.parts:
        floor.until_level(*key, "ok")


def test_every_device_reports_its_joints_by_name_with_stamps_of_its_own(floor):
    for key, reader in floor.states.items():
        while reader.next() is not None:
            pass
        told = []
        floor.until(
            lambda reader=reader, told=told: told.extend(iter(reader.next, None)) or len(told) > 10,
            f"{key} is silent",
        )
        stamps = [convert.nanoseconds(message.header.stamp) for message in told]
        assert (np.diff(stamps) > 0).all() and abs(stamps[-1] - time.time_ns()) < 5e9
        assert all(list(message.name) == list(floor.rig.joint_names(*key)) for message in told)


def test_arms_stand_at_home(floor):
    for side in floor.rig.sides:
        assert np.abs(floor.pose(side, "arm") - list(floor.rig.home(side).values())).max() < 0.01


def test_a_command_moves_a_device_and_one_far_away_does_not(floor):
    wanted = floor.pose("left", "hand")
    floor.until(lambda: floor.hand.get_subscription_count() > 0, "the hand listens to nobody")
    index = floor.rig.joint_names("left", "hand").index("left_hand_index_q1")
    for _ in range(3):
        floor.command(wanted + 30.0)
        time.sleep(0.02)
    assert "command refused" in floor.until_level("left", "hand", "warning")
    assert np.abs(floor.pose("left", "hand") - wanted).max() < 0.02
    for _ in range(100):
        wanted[index] += 0.005
        floor.command(wanted)
        time.sleep(0.01)
    assert abs(floor.pose("left", "hand")[index] - wanted[index]) < 0.05


def test_touch_is_told_by_name_in_newtons(floor):
    reader = Reader(floor.node, topics.tactile("left"))
    message = floor.until(reader.newest, "the hand says nothing of its touch sensors")
    assert len(message.name) == len(message.effort) == len(set(message.name)) > 5
    assert np.isfinite(message.effort).all()


def test_an_unplugged_device_is_told_to_the_graph_and_reports_again_when_it_is_back(floor):
    before = floor.pose("right", "hand")
    floor.inject("right hand", "unplug")
    assert floor.until_level("right", "hand", "fault").startswith(("lost", "connecting"))
    floor.inject("right hand", "unplug", on=False)
    floor.until_level("right", "hand", "ok")
    assert np.abs(floor.pose("right", "hand") - before).max() < 0.02


def test_a_protective_stop_lasts_until_the_operator_recovers_the_arm(floor):
    before = floor.pose("left", "arm")
    floor.inject("left arm", "protective_stop")
    floor.inject("left arm", "protective_stop", on=False)
    assert "C31" in floor.until_level("left", "arm", "fault")
    time.sleep(0.5)
    assert floor.level("left", "arm") == "fault"
    assert "left arm: " in floor.controls.press("r")
    floor.until_level("left", "arm", "ok")
    assert np.abs(floor.pose("left", "arm") - before).max() < 0.01


def test_a_fault_or_a_part_that_nobody_knows_is_told(floor):
    with pytest.raises(XlvlaError, match="did you mean 'unplug'"):
        floor.inject("left hand", "unplugg")
    with pytest.raises(XlvlaError, match="unknown emulated part 'left foot'"):
        floor.inject("left foot", "unplug")


def test_diagnostics_tell_temperatures_latencies_and_rates_of_every_device(floor):
    def told():
        figures = floor.session.operator.figures()
        return all(
            {"states [Hz]", "read p99 [ms]", "link", "faults"} <= set(figures.get(f"{s}_{p}", {}))
            for s, p in floor.rig.parts
        )

    floor.until(told, "a device is silent on /diagnostics")
    figures = floor.session.operator.figures()
    assert any(name.startswith("temperature") for name in figures["left_arm"])
