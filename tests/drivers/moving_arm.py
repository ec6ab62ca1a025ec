"""An emulated left arm that is commanded to move, past motion."""

from __future__ import annotations

import time

from xlvla import rig_file
from xlvla.ros import command_session, convert, topics
from xlvla.ros.reader import Reader
from xlvla.ros.stop import StopPublisher
from xlvla_cli.ros.controls import Controls

WAIT_S = 60.0
MOVING = 3
"""The joint that is commanded to move; the elbow."""


class Writer:
    """Somebody who commands the left arm: a node with a session of its own."""

    def __init__(self, node, session=0):
        topic = topics.command("left", "arm")
        self._publisher = node.create_publisher(topic.type, topic.name, topic.qos)
        joints = rig_file.load("bimanual_emulated").joint_names("left", "arm")
        self._message = command_session.CommandMessage(joints)
        self._origin = command_session.Origin(session)

    @property
    def is_subscribed(self):
        return self._publisher.get_subscription_count() > 0

    def say(self, position, ahead_s=0.0):
        stamp_ns = time.time_ns() + round(1e9 * ahead_s)
        self._publisher.publish(self._message.fill(stamp_ns, position, self._origin))


class Floor:
    """The running devices and what a test needs to look at them."""

    def __init__(self, session):
        self.session = session
        self.node = session.operator.node
        self.controls = Controls(session.operator, session.rig)
        self.stop = StopPublisher(self.node, "a test")
        self._states = Reader(self.node, topics.joint_states("left", "arm").history(2000))
        self._names = session.rig.joint_names("left", "arm")
        self.seen = []

    @property
    def word(self):
        return self.controls.devices().get(("left", "arm"))

    def until(self, true, otherwise):
        give_up = time.monotonic() + WAIT_S
        while not (value := true()):
            assert time.monotonic() < give_up, f"{otherwise}: {self.word}"
            self.session.tick()
        return value

    def until_level(self, level):
        self.until(lambda: self.word and self.word.level == level, f"the arm is never '{level}'")
        return self.word

    def look(self):
        """Where the elbow was reported since the last look, with stamps [s]."""
        while (message := self._states.next()) is not None:
            position = convert.positions(message, self._names)
            self.seen.append((convert.nanoseconds(message.header.stamp) / 1e9, position))
        return self.seen

    def pose(self):
        since = time.time()
        return self.until(
            lambda: self.look() and self.seen[-1][0] > since and self.seen[-1],
            "the arm does not report",
        )[1]

    def stream(self, writers, start, speed, seconds, ahead_s=0.0):
        """Commands of all the writers that move the elbow evenly from a pose; the last one."""
        began = time.monotonic()
        position = start.copy()
        while (passed := time.monotonic() - began) < seconds:
            position[MOVING] = start[MOVING] + speed * passed
            for writer in writers:
                writer.say(position, ahead_s)
            time.sleep(0.005)
        return position

    def rest(self):
        """Waits until the arm's driver follows nobody; where it is."""
        self.until(
            lambda: self.word.line == "holding, ready for commands", "the driver follows somebody"
        )
        return self.pose()

    @property
    def driver(self):
        return next(
            node for node in self.session.supervisor.nodes if node.spec.name == "left_arm"
        ).process
