"""Records what a running rig is commanded, where it is, and its status."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from xlvla.rig import Rig
from xlvla.ros import command_session, convert, forms, statuses, topics
from xlvla.ros.command_session import Origin
from xlvla.ros.convert import SECOND
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_drivers.rest import PoseSeries

KEPT = 4000
"""Commands and joint states that wait between two polls."""

Key = tuple[Side, Part]


@dataclass(frozen=True)
class Command:
    """A command [J] rad, its time, and the session and reset it belongs to."""

    stamp_s: float
    position: np.ndarray
    origin: Origin


class Watch:
    """Everything since the last `cut`, by its stamps; `poll` is to be called often.

    Args:
        origin_ns: times are seconds since then; those since 1970 would be rounded to a quarter of a
            microsecond.

    Attributes:
        newest: the last reported pose [J] rad of a part.
        reset_id: of the last reset of the simulation, 0 before the first.
        reset_s: its time.
        motion_reported: motion has published its status.
        state: motion's last state.
        status: motion's states since the last `cut`.
        devices: by name the lines of each device's status since the last `cut`.
    """

    def __init__(self, node: Node, rig: Rig, origin_ns: int):
        self._origin_ns = origin_ns
        self._joints: dict[Key, int] = {}
        self._commands: dict[Key, Reader[JointState]] = {}
        self._states: dict[Key, Reader[convert.Joints]] = {}
        self._devices: dict[Key, Reader[forms.Device]] = {}
        for key in rig.parts:
            names = rig.joint_names(*key)
            command = topics.command(*key).history(KEPT)
            joint_states = topics.joint_states(*key).history(KEPT)
            device = topics.device(*key).history(50)
            self._joints[key] = len(names)
            self._commands[key] = Reader(node, command, forms.command(names))
            self._states[key] = Reader(node, joint_states, forms.joints(names))
            self._devices[key] = Reader(node, device, forms.DEVICE)
        self._motion = Reader(node, topics.MOTION_STATUS.history(50), statuses.MOTION)
        self._resets = Reader(node, topics.RESET.history(10))
        self._command_log: dict[Key, list[Command]] = {}
        self._state_log: dict[Key, list[tuple[float, np.ndarray]]] = {}
        self.status: list[str] = []
        self.devices: dict[str, list[str]] = {}
        self.newest: dict[Key, np.ndarray] = {}
        self.reset_id = 0
        self.reset_s = 0.0
        self.motion_reported = False
        self.state = ""
        self.cut()

    def cut(self) -> None:
        """Forgets what was recorded."""
        self._command_log = {key: [] for key in self._joints}
        self._state_log = {key: [] for key in self._joints}
        self.status = []
        self.devices = {}

    def seconds(self, stamp_ns: int) -> float:
        """Seconds since `origin_ns`."""
        return (stamp_ns - self._origin_ns) / SECOND

    def poll(self) -> None:
        """Records what has come since the last call."""
        for key, reader in self._commands.items():
            for message in reader.every():
                origin = command_session.take_origin(message)
                stamp_s = self.seconds(convert.nanoseconds(message.header.stamp))
                position = np.array(message.position)
                self._command_log[key].append(Command(stamp_s, position, origin))
        for key, reader in self._states.items():
            for received in reader.every():
                self.newest[key] = received.position
                self._state_log[key].append((self.seconds(received.stamp_ns), received.position))
        for received in self._motion.every():
            self.motion_reported = True
            self.state = received["state"]
            self.status.append(self.state)
        for (side, part), reader in self._devices.items():
            lines = self.devices.setdefault(f"{side} {part}", [])
            for status in reader.every():
                lines.append(status.text)
        for reset in self._resets.every():
            self.reset_id = convert.nanoseconds(reset.stamp)
            self.reset_s = self.seconds(self.reset_id)

    def latest(self, key: Key) -> np.ndarray:
        """The newest command to a part since the last `cut`, where there is none its newest
        measured pose [J] rad.
        """
        commands = self._command_log[key]
        if commands:
            return commands[-1].position
        return self.newest[key]

    def speed(self, key: Key) -> np.ndarray:
        """How fast the last two commands to a part move it [J] rad/s; zero where there are not two
        since the last `cut`. It costs the same however much was recorded.
        """
        last = self._command_log[key][-2:]
        if len(last) < 2 or last[1].stamp_s <= last[0].stamp_s:
            return np.zeros(self._joints[key])
        way = last[1].position - last[0].position
        return np.abs(way) / (last[1].stamp_s - last[0].stamp_s)

    def commands(self, key: Key, reset_id: int | None = None) -> PoseSeries:
        """What motion commanded a part, after one reset of the simulation or after any.

        Commands without a session are not motion's.
        """
        commands: list[tuple[float, np.ndarray]] = []
        for command in self._command_log[key]:
            wanted = reset_id is None or command.origin.reset_id == reset_id
            if command.origin.session and wanted:
                commands.append((command.stamp_s, command.position))
        return PoseSeries.of(commands, self._joints[key])

    def measured(self, key: Key) -> PoseSeries:
        """The joint states of a part."""
        return PoseSeries.of(self._state_log[key], self._joints[key])
