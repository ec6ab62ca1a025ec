"""Deadlines of loops."""

from __future__ import annotations

import threading
import time
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from rclpy.context import Context
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from rosgraph_msgs.msg import Clock as ClockMessage

from xlvla.ros import convert, refusals, topics
from xlvla.ros.clock import Clock, SimClock
from xlvla.ros.convert import SECOND
from xlvla.ros.refusals import Refusals
from xlvla.run import own_domain


def test_ticks_are_whole_periods_of_the_clock():
    stop = threading.Event()
    dues = []
    for due, _ in Clock().ticks(200.0, stop):
        dues.append(due)
        if len(dues) == 40:
            stop.set()
    assert all(due % (SECOND // 200) == 0 for due in dues)
    assert (np.diff(dues) > 0).all()


def test_a_loop_that_was_held_up_skips_what_it_missed_and_says_how_much():
    stop = threading.Event()
    seen = []
    for due, missed in Clock().ticks(100.0, stop):
        seen.append((due, missed))
        if len(seen) == 3:
            time.sleep(0.055)
        if len(seen) == 4:
            stop.set()
    assert seen[3][1] >= 4
    assert seen[3][0] - seen[2][0] == (seen[3][1] + 1) * SECOND // 100


def test_a_stopped_loop_ends_at_once():
    stop = threading.Event()
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    assert list(Clock().ticks(0.1, stop)) == []
    assert time.monotonic() - began < 1.0


def test_the_clock_that_rclpy_gives_a_node_is_the_simulations_without_a_callback_for_every_message():
    context = Context()
    rclpy.init(
        context=context, domain_id=own_domain(), signal_handler_options=SignalHandlerOptions.NO
    )
    simulated = Parameter("use_sim_time", value=True)
    node = rclpy.create_node("follower", context=context, parameter_overrides=[simulated])
    try:
        clock = SimClock(node, 1.0)
        assert [heard.topic_name for heard in node.subscriptions] == ["/clock"]
        publisher = node.create_publisher(ClockMessage, "/clock", topics.CLOCK.qos)
        give_up_s = time.monotonic() + 20
        another = SimClock(node, 1.0)
        while not (clock.running and another.running):
            assert time.monotonic() < give_up_s
            publisher.publish(ClockMessage(clock=convert.stamp(3 * SECOND)))
            time.sleep(0.01)
        assert node.get_clock().now().nanoseconds == 3 * SECOND
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


class Hand(Clock):
    """A clock that is moved by hand."""

    def __init__(self):
        self.ns = 100 * SECOND

    def now_ns(self) -> int:
        return self.ns


def test_a_loop_goes_on_when_the_clock_begins_anew():
    clock = Hand()
    stop = threading.Event()
    seen = []

    def move() -> None:
        for start in (100, 1):
            for k in range(10):
                clock.ns = start * SECOND + k * SECOND // 10
                time.sleep(0.06)
        stop.set()

    threading.Thread(target=move).start()
    for due, _ in clock.ticks(10.0, stop):
        seen.append(due / SECOND)
    assert min(seen) < 2 and max(seen) > 100.5
    assert sum(due < 2 for due in seen) > 3


def test_simulated_time_runs_smoothly_through_late_messages_and_stops_with_the_simulation():
    rng = np.random.default_rng(0)
    context = Context()
    rclpy.init(
        context=context, domain_id=own_domain(), signal_handler_options=SignalHandlerOptions.NO
    )
    node = rclpy.create_node("clock_test", context=context)
    publisher = node.create_publisher(topics.CLOCK.type, topics.CLOCK.name, topics.CLOCK.qos)
    clock = SimClock(node, speed=1.0)
    assert not clock.running
    while not publisher.get_subscription_count():
        time.sleep(0.01)
    began = time.monotonic()
    errors = []
    for k in range(100):
        due = began + k * 0.01 + rng.uniform(0, 0.015)  # up to 15 ms late
        while time.monotonic() < due:
            if k > 50:
                errors.append(clock.now_ns() / SECOND - 10.0 - (time.monotonic() - began))
            time.sleep(0.001)
        publisher.publish(ClockMessage(clock=convert.stamp(round((10 + k * 0.01) * SECOND))))
        clock.now_ns()
    assert np.percentile(np.abs(np.array(errors) - np.median(errors)), 90) < 0.005
    time.sleep(0.2)
    assert clock.now_ns() <= (10 + 0.99) * SECOND + SimClock.LONGEST_NS
    node.destroy_node()
    rclpy.shutdown(context=context)


def test_a_stray_message_of_another_time_moves_no_clock_but_another_simulation_does():
    context = Context()
    rclpy.init(
        context=context, domain_id=own_domain(), signal_handler_options=SignalHandlerOptions.NO
    )
    node = rclpy.create_node("clock_test", context=context)
    counts = Counter()
    refusals.tell(node, Refusals(lambda line: None, counts))
    publisher = node.create_publisher(topics.CLOCK.type, topics.CLOCK.name, topics.RELIABLE)
    clock = SimClock(node, speed=0.0)
    while not publisher.get_subscription_count():
        time.sleep(0.01)

    def told(seconds: float) -> float:
        publisher.publish(ClockMessage(clock=convert.stamp(round(seconds * SECOND))))
        time.sleep(0.05)
        return clock.now_ns() / SECOND

    while told(100.0) != 100.0:
        pass
    for stray in (2**31 - 1, 0.0, 50.0, 99.5):
        assert told(stray) == told(100.0) == 100.0
    assert counts["refused /clock"] == 4
    assert told(101.0) == 101.0
    assert [told(100.5), told(100.51), told(100.52)][1:] == [100.51, 100.52], "it was set back"
    assert [told(1.0), told(1.01), told(1.02)][1:] == [1.01, 1.02], "another simulation began"
    node.destroy_node()
    rclpy.shutdown(context=context)
