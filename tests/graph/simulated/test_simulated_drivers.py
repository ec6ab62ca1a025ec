"""The simulation keeps the rules of drivers: a stop binds it, and it follows one session."""

from __future__ import annotations

import numpy as np
import pytest

from xlvla.ros import command_session, convert, topics
from xlvla.ros.forms import stopped_by
from xlvla.ros.reader import Reader
from xlvla.ros.stop import StopPublisher

MOVING = 3


@pytest.fixture(scope="module")
def stop(bench):
    return StopPublisher(bench.node, "a test")


@pytest.fixture(scope="module")
def words(bench):
    """What the simulation says of the right arm, until now: `words()` is the newest."""
    reader = Reader(bench.node, topics.device("right", "arm").history(50))
    heard = []

    def newest():
        heard.extend(iter(reader.next, None))
        return heard[-1] if heard else None

    return newest


@pytest.fixture(autouse=True)
def _fresh_episode(bench, stop):
    stop.say(False)
    bench.session.operator.reset()
    bench.pass_time(0.1)
    yield
    stop.say(False)


def stream(bench, sessions, start, speed, seconds, reset_id=0):
    """Commands of all the sessions that move the right elbow evenly; the last one."""
    names = bench.rig.joint_names("right", "arm")
    position = start.copy()
    message = command_session.CommandMessage(names)
    began_ns = bench.now_ns()
    while (passed_ns := bench.now_ns() - began_ns) < seconds * convert.SECOND:
        position[MOVING] = start[MOVING] + speed * passed_ns / convert.SECOND
        for session in sessions:
            origin = command_session.Origin(session, reset_id)
            bench.send(
                topics.command("right", "arm"), message.fill(bench.now_ns(), position, origin)
            )
        bench.pass_time(0.004)
    return position


def test_a_stop_brakes_a_simulated_arm_and_holds_it_whoever_commands(bench, stop, words):
    session = command_session.new_session()
    start = bench.pose("right", "arm")
    stream(bench, [session], start, 0.6, 0.6)
    stop.say(True)
    bench.until(
        lambda: (word := words()) and stopped_by(word) == "a test",
        "the simulation does not say that it is stopped",
    )
    bench.pass_time(0.5)
    held = bench.pose("right", "arm")
    assert held[MOVING] > start[MOVING] + 0.1
    stream(bench, [session, 0, command_session.new_session()], held, 0.5, 0.6)
    assert np.abs(bench.pose("right", "arm") - held).max() < 0.01
    stop.say(False)
    bench.until(
        lambda: (word := words()) and stopped_by(word) is None, "the simulation stays stopped"
    )
    stream(bench, [session], bench.pose("right", "arm"), 0.5, 0.5)
    assert bench.pose("right", "arm")[MOVING] > held[MOVING] + 0.1


def test_a_stop_outlasts_a_new_episode(bench, stop, words):
    stop.say(True)
    bench.until(
        lambda: (word := words()) and stopped_by(word) is not None, "the simulation does not stop"
    )
    bench.session.operator.reset()
    bench.pass_time(0.1)
    held = bench.pose("right", "arm")
    stream(bench, [0], held, 0.5, 0.4)
    assert np.abs(bench.pose("right", "arm") - held).max() < 0.01


def test_a_second_session_is_refused_and_named_and_follows_when_the_first_is_silent(bench, words):
    first = command_session.new_session()
    second = command_session.new_session()
    start = bench.pose("right", "arm")
    wanted = stream(bench, [first], start, 0.2, 0.4)
    wanted = stream(bench, [first, second], wanted, 0.2, 0.4)
    assert "second writer: " in words().message and "/operator" in words().message
    bench.pass_time(command_session.silence_s(bench.rig))
    there = bench.pose("right", "arm")
    assert abs(there[MOVING] - wanted[MOVING]) < 0.03
    wanted = stream(bench, [second], there, -0.3, 0.5)
    bench.until(
        lambda: abs(bench.pose("right", "arm")[MOVING] - wanted[MOVING]) < 0.03,
        "the second session is not followed",
    )


def test_a_new_episode_is_anybodys_and_a_command_of_the_last_one_is_void(bench):
    first = command_session.new_session()
    second = command_session.new_session()
    start = bench.pose("right", "arm")
    stream(bench, [first], start, 0.2, 0.3)
    bench.session.operator.reset()
    bench.pass_time(0.1)
    start = bench.pose("right", "arm")
    stream(bench, [first], start, 0.3, 0.3, reset_id=7)
    assert np.abs(bench.pose("right", "arm") - start).max() < 0.01
    wanted = stream(bench, [second], start, 0.3, 0.4)
    bench.until(
        lambda: abs(bench.pose("right", "arm")[MOVING] - wanted[MOVING]) < 0.03,
        "the new session is not followed",
    )
