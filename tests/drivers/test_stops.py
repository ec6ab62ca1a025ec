"""What stops the devices of a running rig, and who cannot move them: the emulated rig without its
policy.
"""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import pytest

rclpy = pytest.importorskip("rclpy")

from moving_arm import MOVING, WAIT_S, Floor, Writer

import retries
from xlvla import graph, rig_file
from xlvla.ros import command_session, topics
from xlvla.ros.forms import stopped_by
from xlvla.ros.reader import Reader
from xlvla.ros.stop import StopPublisher
from xlvla.run import Supervisor, interruptible, own_domain
from xlvla_cli.ros.session import Session


@pytest.fixture(scope="module")
@retries.once_more
def floor():
    rig = rig_file.with_choices(rig_file.load("bimanual_emulated"), policy="none")
    specs = graph.chosen(rig, ["emulators", "left_arm", "motion"])
    with interruptible(), Session(rig, specs, domain=own_domain()) as session:
        made = Floor(session)
        made.until_level("ok")
        yield made


@pytest.fixture
def writer(floor):
    made = Writer(floor.node, command_session.new_session())
    floor.until(lambda: made.is_subscribed, "the arm listens to nobody")
    floor.stop.say(False)
    floor.until_level("ok")
    floor.rest()
    time.sleep(0.2)
    return made


@pytest.fixture
def stranger(floor):
    """Another node, of which nobody of the rig knows."""
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=own_domain())
    node = rclpy.create_node("stranger", context=context)
    yield Writer(node)
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_stop_brakes_the_arm_whoever_commands_it_and_after_its_end_a_near_command_moves_it_again(
    floor, writer, stranger
):
    start = floor.pose()
    floor.stream([writer], start, 0.8, 0.6)
    floor.stop.say(True)
    floor.until(lambda: floor.word and floor.word.stopped == "a test", "the arm is not stopped")
    assert floor.word.level == "warning" and "stopped by a test" in floor.word.line
    time.sleep(0.3)
    held = floor.pose()
    floor.until(lambda: stranger.is_subscribed, "no node subscribes to the rogue node")
    time.sleep(0.2)
    floor.stream([writer, stranger], held, 1.0, 1.0, ahead_s=0.035)
    assert np.abs(floor.pose() - held).max() < 0.01
    assert floor.word.stopped == "a test"
    floor.stop.say(False)
    floor.until_level("ok")
    floor.stream([writer], held, -0.5, 0.5)
    assert floor.pose()[MOVING] < held[MOVING] - 0.1
    assert floor.word.stopped is None


def test_garbage_on_the_stop_topic_neither_stops_nor_starts_anything(floor, writer):
    publisher = floor.node.create_publisher(topics.STOP.type, topics.STOP.name, topics.STOP.qos)
    floor.until(lambda: publisher.get_subscription_count() > 0, "nobody hears")
    for text in ("", "stop", "[]", '{"by": "me"}', '{"stopped": tru', "[" * 900):
        publisher.publish(topics.STOP.type(data=text))
    time.sleep(0.3)
    assert floor.word.stopped is None
    publisher.publish(
        topics.STOP.type(data='{"stopped": "perhaps", "by": "x\\u001b[31m", "stamp_ns": "?"}')
    )
    assert "x[31m" in floor.until_level("warning").line
    publisher.publish(topics.STOP.type(data="{}"))
    time.sleep(0.3)
    assert floor.word.stopped is not None
    floor.node.destroy_publisher(publisher)


def test_an_operators_stop_reaches_the_drivers_by_itself(floor, writer):
    assert floor.controls.press(" ")
    assert floor.until_level("warning").stopped == "operator"
    assert floor.session.operator.end_stop()
    assert floor.until_level("ok").stopped is None


def test_a_driver_that_starts_when_the_one_who_stopped_has_ended_is_stopped_too(floor, writer):
    words = Reader(floor.node, topics.device("right", "arm"))
    heard = []
    passer_by = StopPublisher(floor.node, "a passer-by")
    passer_by.say(True)
    floor.until_level("warning")
    passer_by.close()
    with Supervisor(
        floor.session.rig, graph.chosen(floor.session.rig, ["right_arm"]), domain=own_domain()
    ) as later:
        later.wait_ready()

        def stopped():
            heard.extend(iter(words.next, None))
            return heard and stopped_by(heard[-1]) is not None

        floor.until(stopped, "the driver that started later is not stopped")
        floor.stop.say(False)
        floor.until(lambda: not stopped(), "the driver stays stopped")


def test_a_second_writer_moves_nothing_and_is_named(floor, writer, stranger):
    floor.until(lambda: stranger.is_subscribed, "no node subscribes to the rogue node")
    time.sleep(0.2)
    start = floor.pose()
    began = time.monotonic()
    position = start.copy()
    away = start.copy()
    away[MOVING] -= 0.05
    named = set()
    while (passed := time.monotonic() - began) < 2.0 or not named:
        assert passed < WAIT_S, f"the second writer is not named: {floor.word}"
        position[MOVING] = start[MOVING] + 0.2 * min(passed, 2.0)
        writer.say(position)
        if passed > 0.3:
            stranger.say(away, ahead_s=0.035)
        time.sleep(0.005)
        if "second writer: " in floor.word.line and "/stranger" in floor.word.line:
            named.add(floor.word.level)
    assert named == {"warning"}
    assert abs(floor.pose()[MOVING] - position[MOVING]) < 0.03
    floor.until_level("ok")


def test_an_arm_whose_driver_stood_still_does_not_leap_when_it_returns(floor, writer):
    start = floor.pose()
    floor.stream([writer], start, -0.4, 0.5)
    os.kill(floor.driver.pid, signal.SIGSTOP)
    last = floor.stream([writer], floor.seen[-1][1], -0.5, 2.0)
    floor.look()
    floor.seen.clear()
    os.kill(floor.driver.pid, signal.SIGCONT)
    floor.stream([writer], last, -0.5, 0.7)
    floor.pose()
    elbow = np.array([position[MOVING] for _, position in floor.look()])
    assert len(elbow) > 5 and np.ptp(elbow) < 0.03, (
        "it went after the commands of the time it slept"
    )
    floor.rest()
    floor.stream([writer], floor.pose(), 0.3, 0.5)
    assert floor.pose()[MOVING] > elbow[-1] + 0.05
