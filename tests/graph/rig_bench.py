"""A running rig and what a test needs to talk to it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from xlvla.ros import convert, topics
from xlvla.ros.clock import SimClock
from xlvla.ros.reader import Reader
from xlvla.types import PARTS, Part, Side
from xlvla_cli.ros.session import Session

WAIT_S = 60.0


class Bench:
    """A session with what a test needs to talk to it."""

    def __init__(self, session: Session):
        self.session = session
        self.rig = session.rig
        self.node = session.operator.node
        self.clock = SimClock(self.node, 1.0)
        self._readers: dict[tuple[str, int], Reader] = {}
        self._publishers: dict[str, Any] = {}
        # Discovery has two directions: only an answer shows that motion knows this node, too. Until
        # then what is published here may reach motion seconds late.
        session.operator.call(topics.ENGAGE, data=True)

    def read(self, topic: topics.Topic) -> Reader:
        """The reader of a topic with this history; made once, since each one subscribes."""
        key = (topic.name, topic.qos.depth)
        if key not in self._readers:
            self._readers[key] = Reader(self.node, topic)
        return self._readers[key]

    def publisher(self, topic: topics.Topic) -> Any:
        """The publisher of a topic that somebody listens to."""
        publisher = self._publishers.get(topic.name)
        if publisher is None:
            publisher = self._publishers[topic.name] = self.node.create_publisher(
                topic.type, topic.name, topic.qos
            )
            self.until(
                lambda: publisher.get_subscription_count() > 0,
                f"no node subscribes to {topic.name}",
            )
            time.sleep(0.2)  # the listener must have found the speaker too
        return publisher

    def send(self, topic: topics.Topic, message: Any) -> None:
        """Publishes once somebody listens. Prepare the publisher of a message with a stamp before
        it is made: stamps get old.
        """
        self.publisher(topic).publish(message)

    def hush(self) -> None:
        """Takes back the publishers of commands: motion moves nothing while somebody else may
        command the same devices.
        """
        for name in [name for name in self._publishers if name.endswith("/command")]:
            self.node.destroy_publisher(self._publishers.pop(name))

    def until(self, true: Callable[[], Any], otherwise: str) -> Any:
        """Waits until `true()` is; its value."""
        give_up = time.monotonic() + WAIT_S
        while not (value := true()):
            assert time.monotonic() < give_up, f"{otherwise}; motion: {self._motion()}"
            self.session.supervisor.check()
            time.sleep(0.01)
        return value

    def _motion(self) -> dict[str, str]:
        """What motion reports of itself."""
        return self.session.operator.figures().get("motion", {})

    def begin(self) -> None:
        """A new episode of an engaged robot, whatever the test before has left."""
        self.session.operator.reset()
        self.pass_time(0.1)
        self.session.operator.call(topics.MOTION_RESET)
        self.session.operator.call(topics.ENGAGE, data=True)

    def pass_time(self, seconds: float) -> None:
        """Lets simulated time pass."""
        end_ns = self.now_ns() + round(seconds * convert.SECOND)
        self.until(lambda: self.clock.now_ns() >= end_ns, "the clock stands still")

    def now_ns(self) -> int:
        return self.until(lambda: max(self.clock.now_ns(), 0), "there is no clock")

    def pose(self, side: Side, part: Part) -> np.ndarray:
        """The pose [J] rad measured from now on."""
        reader = self.read(topics.joint_states(side, part))
        since = self.now_ns()

        def fresh() -> Any:
            message = reader.newest()
            return (
                message
                if message is not None and convert.nanoseconds(message.header.stamp) >= since
                else None
            )

        return convert.positions(
            self.until(fresh, f"no joint states of {side} {part}"), self.rig.joint_names(side, part)
        )

    def home(self, side: Side) -> np.ndarray:
        """The pose [N] of arm and hand at the start of an episode."""
        return np.concatenate(
            [list(self.rig.home(side).values()), np.zeros(len(self.rig.joint_names(side, "hand")))]
        )

    def chunk(
        self,
        side: Side,
        end: np.ndarray,
        *,
        age_s: float = 0.0,
        frames: int = 64,
        names: list[str] | None = None,
    ) -> None:
        """Sends a chunk from home to `end` [N] that takes all its frames."""
        way = np.linspace(self.home(side), end, frames)
        joints = [name for part in PARTS for name in self.rig.joint_names(side, part)]
        publisher = self.publisher(topics.chunk(side))
        stamp_ns = self.now_ns() - round(age_s * convert.SECOND)
        publisher.publish(convert.trajectory(names or joints, way, stamp_ns, 20.0))

    def figure(self, node: str, name: str) -> str:
        return self.session.operator.figures().get(node, {}).get(name, "0")

    def until_figure(self, node: str, name: str, at_least: int) -> None:
        self.until(
            lambda: float(self.figure(node, name)) >= at_least,
            f"{node} does not report {name} >= {at_least}",
        )
