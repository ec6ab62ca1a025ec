"""The node of teleoperation on a running graph: the simulated robot follows whoever is tracked, and
nobody who is not.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from std_msgs.msg import String

import retries
from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.graph import nodes
from xlvla.ros import convert, forms, geometry, topics
from xlvla.ros.clock import SimClock
from xlvla.ros.reader import Reader
from xlvla.run import Supervisor, interruptible
from xlvla_cli.ros.operator import Operator
from xlvla_drivers.motion.sides import side_player
from xlvla_drivers.teleop.closing import closed

DOMAIN = 121 + os.getpid() % 16  # apart from the domain of the session's other graphs
WAIT_S = 30.0
HZ = 60.0
SIDES = ("left", "right")


class Person(threading.Thread):
    """Somebody whose tracker speaks ROS; `at` is where their wrists are [m] but for a `sway`, and
    `shown` whether they are seen.
    """

    def __init__(self, node):
        super().__init__(daemon=True)
        self.at = np.zeros(3)
        self.sway = 0.0
        self.closing = 0.0
        self.shown = True
        self._ended = threading.Event()
        self._topics = {
            side: (topics.tracked_keypoints(side), topics.tracked_wrist(side)) for side in SIDES
        }
        self._publishers = {
            topic.name: node.create_publisher(topic.type, topic.name, topic.qos)
            for pair in self._topics.values()
            for topic in pair
        }

    def run(self):
        here = self.at.copy()
        closing = self.closing
        while not self._ended.wait(1 / HZ):
            here += np.clip(self.at - here, -0.3 / HZ, 0.3 / HZ)
            closing += np.clip(self.closing - closing, -1 / HZ, 1 / HZ)
            if self.shown:
                self._show(here + self.sway * np.sin(2.0 * time.monotonic()), closing)

    def stop(self):
        self._ended.set()
        self.join()

    def _show(self, here, closing):
        ns = time.time_ns()
        pose = np.eye(4)
        pose[:3, 3] = here
        for side, (keypoints, wrist) in self._topics.items():
            self._publishers[keypoints.name].publish(
                geometry.cloud(closed(side, closing), ns, "wrist")
            )
            self._publishers[wrist.name].publish(geometry.pose(pose, ns, "operator"))


class Graph:
    """A running rig and somebody before it."""

    def __init__(self, rig, operator, supervisor):
        self.rig = rig
        self.operator = operator
        self.supervisor = supervisor
        self._status = Reader(operator.node, topics.TELEOP_STATUS)
        self._states = {
            (side, part): Reader(operator.node, topics.joint_states(side, part))
            for side in SIDES
            for part in ("arm", "hand")
        }
        self.person = Person(operator.node)
        self.status = {}

    def until(self, true, otherwise):
        give_up = time.monotonic() + WAIT_S
        while not (value := true()):
            self.supervisor.check()
            assert time.monotonic() < give_up, f"{otherwise}: {self.status}"
            time.sleep(0.01)
        return value

    def side(self, side="right"):
        if (message := self._status.newest()) is not None:
            self.status = json.loads(message.data)
        return self.status.get("sides", {}).get(
            side, {"clutched": False, "tracked": False, "why": "nothing said"}
        )

    def pose(self, side="right", part="arm"):
        reader = self._states[side, part]
        reader.newest()
        message = self.until(reader.newest, "no joint states")
        return convert.positions(message, self.rig.joint_names(side, part))

    def rest(self):
        """The pose once the arm has come to rest."""
        poses = [self.pose()]

        def still():
            time.sleep(0.3)
            poses.append(self.pose())
            return np.abs(poses[-1] - poses[-2]).max() < 2e-3

        self.until(still, "the arm does not come to rest")
        return poses[-1]

    def follow(self):
        """Begins a scene and closes the clutch."""
        self.person.shown, self.person.at, self.person.sway, self.person.closing = (
            True,
            np.zeros(3),
            0.0,
            0.0,
        )
        self.operator.call(topics.MOTION_RESET)
        self.operator.call(topics.ENGAGE, data=True)
        self.operator.reset()

        self.until(self.following, "it does not follow")

    def following(self):
        """Closes the clutch where it is open: a machine that stands still for a moment has lost the
        operator, too.
        """
        if self.side("left")["clutched"] and self.side("right")["clutched"]:
            return True
        try:
            self.operator.call(topics.TELEOP_CLUTCH, data=True)
        except XlvlaError:
            return False
        time.sleep(0.2)
        return self.side("left")["clutched"] and self.side("right")["clutched"]


@pytest.fixture(scope="module")
@retries.once_more
def graph():
    rig = dataclasses.replace(rig_file.load("teleop_topics"), cameras={}, recorder=None)
    with (
        interruptible(),
        Supervisor(rig, nodes(rig), domain=DOMAIN) as supervisor,
        Operator(domain=DOMAIN) as operator,
    ):
        made = Graph(rig, operator, supervisor)
        supervisor.wait_ready()
        made.person.start()
        yield made
        made.person.stop()


def test_the_robot_follows_wrist_and_fingers_without_a_jump(graph):
    graph.follow()
    home = graph.rest()
    hand = graph.pose(part="hand")
    time.sleep(1.0)
    assert np.abs(graph.pose() - home).max() < 0.02, "closing the clutch moves no arm"
    graph.person.sway, graph.person.closing = 0.05, 1.0
    graph.until(
        lambda: graph.following() and np.abs(graph.pose() - home).max() > 0.1,
        "the arm does not follow",
    )
    graph.until(
        lambda: graph.following() and np.abs(graph.pose(part="hand") - hand).max() > 0.5,
        "the fingers do not follow",
    )


def test_who_is_no_longer_seen_is_let_go_and_must_close_the_clutch_again(graph):
    graph.follow()
    graph.person.shown = False
    graph.until(
        lambda: not graph.side()["clutched"] and "not seen" in graph.side()["why"],
        "it does not disengaged",
    )
    held = graph.rest()
    graph.person.at, graph.person.shown = np.array([0.0, 0.08, 0.0]), True
    graph.until(lambda: graph.side()["tracked"], "it does not see them again")
    time.sleep(0.7)
    assert not graph.side()["clutched"] and np.abs(graph.pose() - held).max() < 0.01
    graph.until(graph.following, "it does not follow again")
    time.sleep(0.5)
    assert np.abs(graph.pose() - held).max() < 0.05


def test_a_new_scene_an_emergency_stop_and_the_way_home_open_the_clutch(graph):
    graph.follow()
    graph.operator.reset()
    graph.until(lambda: not graph.side()["clutched"], "it follows into the new scene")
    graph.until(graph.following, "it does not follow again")
    graph.operator.call(topics.ESTOP)
    graph.until(lambda: _refused_to_clutch(graph), "it does not hear of the stop")
    graph.until(lambda: not graph.side()["clutched"], "it goes on after the stop")
    graph.operator.call(topics.MOTION_RESET)
    graph.operator.call(topics.ENGAGE, data=True)
    time.sleep(0.5)
    assert not graph.side()["clutched"], "only the operator takes hold again"
    graph.follow()
    graph.operator.call(topics.HOME)
    graph.until(lambda: not graph.side()["clutched"], "it fights the way home")


def _refused_to_clutch(graph):
    try:
        graph.operator.call(topics.TELEOP_CLUTCH, data=True)
    except XlvlaError as error:
        assert "motion plays nothing: e-stop latched" in str(error)
        return True
    return False


def test_while_somebody_else_drives_the_clutch_does_not_close(graph):
    graph.follow()
    publisher = graph.operator.node.create_publisher(
        topics.SOURCE.type, topics.SOURCE.name, topics.SOURCE.qos
    )
    topic = topics.chunk("right", "replay")
    chunks = graph.operator.node.create_publisher(topic.type, topic.name, topic.qos)
    graph.until(
        lambda: publisher.get_subscription_count() and chunks.get_subscription_count(),
        "motion does not listen",
    )
    publisher.publish(String(data="replay"))
    names = [name for part in ("arm", "hand") for name in graph.rig.joint_names("right", part)]
    clock = SimClock(graph.operator.node, 1.0)
    here = np.concatenate([graph.pose(part=part) for part in ("arm", "hand")])

    def others():
        chunks.publish(convert.trajectory(names, np.tile(here, (5, 1)), clock.now_ns(), 20.0))
        return not graph.side()["clutched"] and "'replay' drives" in graph.side()["why"]

    graph.until(others, "it goes on while another drives")
    with pytest.raises(XlvlaError, match="'replay' drives until"):
        graph.operator.call(topics.TELEOP_CLUTCH, data=True)
    publisher.publish(String(data=""))


def test_an_open_clutch_leaves_the_robot_where_it_is(graph):
    graph.follow()
    assert graph.operator.call(topics.TELEOP_CLUTCH, data=False) == "the robot stays where it is"
    held = graph.rest()
    graph.person.at = np.array([0.0, 0.1, 0.1])
    time.sleep(1.0)
    assert np.abs(graph.pose() - held).max() < 0.01


class SwingingPolicy(threading.Thread):
    """Publishes chunks as a policy does, all the time: both arms sway about where they began."""

    def __init__(self, graph):
        super().__init__(daemon=True)
        self._graph = graph
        self._ended = threading.Event()
        self._clock = SimClock(graph.operator.node, 1.0)
        self._names = {}
        self._start = {}
        self._publishers = {}
        for side in SIDES:
            self._names[side] = [
                name for part in ("arm", "hand") for name in graph.rig.joint_names(side, part)
            ]
            self._start[side] = np.concatenate([graph.pose(side, part) for part in ("arm", "hand")])
            topic = topics.chunk(side, "policy")
            self._publishers[side] = graph.operator.node.create_publisher(
                topic.type, topic.name, topic.qos
            )

    def run(self):
        # Decided on pictures that are a little old.
        while not self._ended.wait(0.1):
            ns = self._clock.now_ns() - round(0.05 * convert.SECOND)
            times_s = ns / convert.SECOND + np.arange(1, 41) / 20
            for side, publisher in self._publishers.items():
                points = np.tile(self._start[side], (40, 1))
                points[:, 3] += 0.15 * np.sin(2.5 * times_s)
                points[:, 1] += 0.05 * np.sin(1.7 * times_s)
                publisher.publish(convert.trajectory(self._names[side], points, ns, 20.0))

    def stop(self):
        self._ended.set()
        self.join()


class Commands:
    """What motion commanded the arms, and who drove, in order; read by one thread."""

    def __init__(self, graph):
        self.graph = graph
        node = graph.operator.node
        self.sides = {}
        self._readers = {}
        for side in SIDES:
            names = graph.rig.joint_names(side, "arm")
            form = forms.commanded(names, lambda: 1 << 62)
            topic = topics.command(side, "arm").history(2000)
            self._readers[side] = Reader(node, topic, form)
            self.sides[side] = []
        self._sources = Reader(node, topics.CONTROL_SOURCE.history(100))
        self.sources = []

    def look(self):
        for side, reader in self._readers.items():
            self.sides[side] += [(each.stamp_ns, each.position) for each in reader.every()]
        for message in self._sources.every():
            self.sources.append((convert.nanoseconds(message.stamp), message.frame_id))
        return self.sources[-1][1] if self.sources else ""

    def until_driven_by(self, source):
        self.graph.until(lambda: self.look() == source, f"'{source}' does not drive")

    def largest(self, side):
        """Largest step [rad], velocity and acceleration of every joint between commands that
        follow each other closely, the last two as a share of the limits.
        """
        bounds = side_player(self.graph.rig, side).bounds
        arm = len(self.graph.rig.joint_names(side, "arm"))
        stamps = np.array([stamp for stamp, _ in self.sides[side]]) / convert.SECOND
        poses = np.array([pose for _, pose in self.sides[side]])
        spans = np.diff(stamps)
        # A simulation's clock may tick more slowly than motion.
        close = (spans > 0) & (spans < 1.5 * np.median(spans))
        steps = np.diff(poses, axis=0)
        velocity = steps / spans[:, None]
        both = close[1:] & close[:-1]
        middles = (spans[1:] + spans[:-1]) / 2
        acceleration = (np.diff(velocity, axis=0) / middles[:, None])[both]
        return {
            "commands": int(close.sum()),
            "step": np.abs(steps[close]).max(),
            "velocity": (np.abs(velocity[close]) / bounds.velocity[:arm]).max(),
            "acceleration": (np.abs(acceleration) / bounds.acceleration[:arm]).max(),
        }


@pytest.fixture
def policy_and_operator(graph):
    """A policy drives, and somebody who moves too stands by."""
    graph.person.shown, graph.person.at, graph.person.closing = True, np.zeros(3), 0.0
    graph.operator.call(topics.MOTION_RESET)
    graph.operator.call(topics.ENGAGE, data=True)
    graph.operator.reset()
    graph.rest()
    policy = SwingingPolicy(graph)
    commands = Commands(graph)
    policy.start()
    commands.until_driven_by("policy")
    graph.person.sway = 0.05
    yield commands
    policy.stop()
    graph.person.sway = 0.0


def test_the_clutch_takes_the_robot_from_the_policy_and_gives_it_back(graph, policy_and_operator):
    commands = policy_and_operator
    _hand_over(graph, True)
    commands.until_driven_by("take over")
    graph.person.shown = False
    graph.until(lambda: "not seen" in graph.side()["why"], "it is not let go")
    time.sleep(0.5)
    assert commands.look() == "take over", "who is lost sight of keeps the robot"
    held = graph.rest()
    time.sleep(0.5)
    assert np.abs(graph.pose() - held).max() < 0.01
    _hand_over(graph, False)
    commands.until_driven_by("policy")
    graph.until(lambda: np.abs(graph.pose() - held).max() > 0.05, "the policy does not go on")
    with pytest.raises(XlvlaError, match="not seen"):
        graph.operator.call(topics.TELEOP_CLUTCH, data=True)
    assert commands.look() == "policy", "who is not seen takes nothing"


@pytest.mark.parametrize("times", [4, pytest.param(200, marks=pytest.mark.long)])
def test_random_hand_overs_keep_every_limit(graph, policy_and_operator, times):
    commands = policy_and_operator
    generator = np.random.default_rng(0)
    for number in range(times):
        close = number % 2 == 0
        end_s = time.monotonic() + generator.uniform(0.1, 0.6)
        while time.monotonic() < end_s:
            commands.look()
            time.sleep(0.02)
        _hand_over(graph, close)
        commands.until_driven_by("take over" if close else "policy")
    words = [source for _, source in commands.sources]
    assert words.count("take over") >= times // 2
    for side in SIDES:
        largest = commands.largest(side)
        print(f"{times} hand-overs, {side}:", largest)
        assert largest["commands"] > 20
        assert largest["velocity"] <= 1.001
        assert largest["acceleration"] <= 1.001


def _hand_over(graph, close):
    """A machine that stands still for a moment has lost the operator, who then tries again."""

    def done():
        try:
            graph.operator.call(topics.TELEOP_CLUTCH, data=close)
        except XlvlaError:
            return False
        return True

    graph.until(done, "the clutch does not do it")
