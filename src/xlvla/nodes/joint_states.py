"""Merges the joint states of all parts into `/joint_states`, and publishes the assembled
description.
"""

from __future__ import annotations

import threading

import numpy as np
from std_msgs.msg import String

from xlvla import robot
from xlvla.ros import convert, forms, topics
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side

RATE_HZ = 30.0


class JointStatesNode(RigNode):
    """Publishes once every part has reported, stamped with the newest of them."""

    def __init__(self) -> None:
        super().__init__("joint_states")

    def configure(self) -> None:
        self._names = {key: self.rig.joint_names(*key) for key in self.rig.parts}
        self._readers = {
            key: Reader(self, topics.joint_states(*key), forms.joints(names, self.clock.now_ns))
            for key, names in self._names.items()
        }
        self._newest: dict[tuple[Side, Part], convert.Joints] = {}
        self._merged = convert.JointMessage(
            [name for names in self._names.values() for name in names]
        )
        self._topic = self.publisher(topics.JOINT_STATES)
        self.publisher(topics.ROBOT_DESCRIPTION).publish(
            String(data=robot.rig_description(self.rig).text)
        )

    def work(self, stop: threading.Event) -> None:
        self.health.warn("waiting for joint states")
        for _ in self.clock.ticks(RATE_HZ, stop):
            fresh = {
                key: message
                for key, reader in self._readers.items()
                if (message := reader.newest()) is not None
            }
            self._newest |= fresh
            if fresh and len(self._newest) == len(self._readers):
                self._publish()

    def _publish(self) -> None:
        columns = [self._columns(key) for key in self._readers]
        newest_ns = max(state.stamp_ns for state in self._newest.values())
        self._topic.publish(self._merged.fill(newest_ns, *np.concatenate(columns, axis=1)))
        self.health.tick("joint_states")
        self.health.ok("all parts report")

    def _columns(self, key: tuple[Side, Part]) -> np.ndarray:
        """Position, velocity, effort [3, J] in the rig's order; zeros where a driver does not
        report one.
        """
        message = self._newest[key].message
        names = self._names[key]
        order = convert.order(list(message.name), names)
        kinds = (message.position, message.velocity, message.effort)
        return np.array(
            [
                np.array(kind)[order] if len(kind) == len(names) else np.zeros(len(names))
                for kind in kinds
            ]
        )


def main() -> None:
    run(JointStatesNode)


if __name__ == "__main__":
    main()
