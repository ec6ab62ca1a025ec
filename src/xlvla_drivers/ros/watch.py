"""Writes down what a running rig is commanded, where it is, and what is said about it."""

from __future__ import annotations

import numpy as np
from rclpy.node import Node

from xlvla.rig import Rig
from xlvla.ros import command_session, convert, forms, statuses, topics
from xlvla.ros.command_session import Origin
from xlvla.ros.convert import SECOND
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_drivers.rest import PoseSeries

KEPT = 4000
"""Commands and reports that wait for whoever looks late."""

Key = tuple[Side, Part]


class Watch:
    """Everything since the last `cut`, by its stamps; `poll` is to be called often.

    Args:
        origin_ns: times are seconds since then; those since 1970 would be rounded to a quarter of a
            microsecond.

    Attributes:
        newest: the last reported pose [J] rad of a part.
        status: what motion said of itself, and devices by name what their drivers said.
    """

    def __init__(self, node: Node, rig: Rig, origin_ns: int):
        self._origin_ns = origin_ns
        self._joints = {key: len(rig.joint_names(*key)) for key in rig.parts}
        self._commands = {
            key: Reader(
                node, topics.command(*key).history(KEPT), forms.command(rig.joint_names(*key))
            )
            for key in rig.parts
        }
        self._states = {
            key: Reader(
                node, topics.joint_states(*key).history(KEPT), forms.joints(rig.joint_names(*key))
            )
            for key in rig.parts
        }
        self._motion = Reader(node, topics.MOTION_STATUS.history(50), statuses.MOTION)
        self._devices = {
            key: Reader(node, topics.device(*key).history(50), forms.DEVICE) for key in rig.parts
        }
        self._resets = Reader(node, topics.RESET.history(10))
        self.newest: dict[Key, np.ndarray] = {}
        self.reset_id = 0
        self.reset_s = 0.0
        self.motion_reported = False
        self.state = ""
        self.cut()

    def cut(self) -> None:
        """Forgets what was written down."""
        self._command_log: dict[Key, list[tuple[float, np.ndarray, Origin]]] = {
            key: [] for key in self._joints
        }
        self._state_log: dict[Key, list[tuple[float, np.ndarray]]] = {
            key: [] for key in self._joints
        }
        self.status = list[str]()
        self.devices: dict[str, list[str]] = {}

    def seconds(self, stamp_ns: int) -> float:
        return (stamp_ns - self._origin_ns) / SECOND

    def poll(self) -> None:
        for key, reader in self._commands.items():
            for message in reader.every():
                origin = command_session.take_origin(message)
                stamp_s = self.seconds(convert.nanoseconds(message.header.stamp))
                self._command_log[key].append((stamp_s, np.array(message.position), origin))
        for key, reader in self._states.items():
            for received in reader.every():
                self.newest[key] = received.position
                self._state_log[key].append((self.seconds(received.stamp_ns), received.position))
        for received in self._motion.every():
            self.motion_reported = True
            self.state = received["state"]
            self.status.append(self.state)
        for (side, part), reader in self._devices.items():
            self.devices.setdefault(f"{side} {part}", []).extend(
                received.text for received in reader.every()
            )
        for reset in self._resets.every():
            self.reset_id = convert.nanoseconds(reset.stamp)
            self.reset_s = self.seconds(self.reset_id)

    def latest(self, key: Key) -> np.ndarray:
        """The newest command to a part since the last `cut`, where there is none its newest
        measured pose [J] rad.
        """
        commands = self._command_log[key]
        return commands[-1][1] if commands else self.newest[key]

    def commands(self, key: Key, reset_id: int | None = None) -> PoseSeries:
        """What motion commanded a part, after one reset or after any: strangers here have no
        session.
        """
        commands = [
            (stamp_s, pose)
            for stamp_s, pose, origin in self._command_log[key]
            if origin.session and reset_id in (None, origin.reset_id)
        ]
        return PoseSeries.of(commands, self._joints[key])

    def measured(self, key: Key) -> PoseSeries:
        return PoseSeries.of(self._state_log[key], self._joints[key])
