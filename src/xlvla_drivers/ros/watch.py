"""Records what a running rig is commanded, where it is, and its status."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from xlvla.rig import Rig
from xlvla.ros import command_session, convert, forms, statuses, topics
from xlvla.ros.command_session import Origin
from xlvla.ros.convert import SECOND
from xlvla.ros.reader import Raw, Reader
from xlvla.types import Part, Side
from xlvla_drivers.rest import PoseSeries

KEPT = 4000
"""Commands and joint states that wait between two polls."""

Key = tuple[Side, Part]

T = TypeVar("T")


@dataclass(frozen=True)
class Command:
    """A command [J] rad, its time, and the session and reset it belongs to."""

    stamp_s: float
    position: np.ndarray
    origin: Origin


class Heard(Generic[T]):
    """What came on a topic since the last `cut`, read when it is asked for: to read a message costs
    several times what it costs to take it, and the rig runs beside, maybe on the same processors.
    """

    def __init__(self, reader: Reader[T]):
        self._reader = reader
        self._raw: list[Raw] = []
        # The newest that was read, and what came since.
        self._newest: T | None = None
        self._unread: Raw | None = None
        # What the first of the raw messages say.
        self._read: list[T] = []
        self._read_to = 0

    def poll(self) -> None:
        """Takes what came since the last call."""
        came = list(self._reader.every_raw())
        self._raw += came
        if came:
            self._unread = came[-1]

    def cut(self) -> None:
        """Forgets all but the newest."""
        self._raw.clear()
        self._read.clear()
        self._read_to = 0

    def newest(self) -> T | None:
        """The newest message, of before the last `cut`, too; None where there is none. One that is
        refused leaves the one before.
        """
        if self._unread is not None:
            value = self._reader.read(self._unread)
            self._newest = self._newest if value is None else value
            self._unread = None
        return self._newest

    def last(self, count: int) -> list[T]:
        """The last messages since the last `cut`, oldest first."""
        return self._said(self._raw[-count:])

    def every(self) -> list[T]:
        """Every message since the last `cut`, oldest first."""
        self._read += self._said(self._raw[self._read_to :])
        self._read_to = len(self._raw)
        return self._read

    def _said(self, raws: list[Raw]) -> list[T]:
        values = [self._reader.read(raw) for raw in raws]
        return [value for value in values if value is not None]


class Watch:
    """Everything since the last `cut`, by its stamps; `poll` is to be called often.

    Args:
        origin_ns: times are seconds since then; those since 1970 would be rounded to a quarter of a
            microsecond.

    Attributes:
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
        self._commands: dict[Key, Heard[Command]] = {}
        self._states: dict[Key, Heard[convert.Joints]] = {}
        self._devices: dict[Key, Reader[forms.Device]] = {}
        for key in rig.parts:
            names = rig.joint_names(*key)
            command = topics.command(*key).history(KEPT)
            joint_states = topics.joint_states(*key).history(KEPT)
            device = topics.device(*key).history(50)
            self._joints[key] = len(names)
            form = replace(forms.command(names), read=self._command)
            self._commands[key] = Heard(Reader(node, command, form))
            self._states[key] = Heard(Reader(node, joint_states, forms.joints(names)))
            self._devices[key] = Reader(node, device, forms.DEVICE)
        self._motion = Reader(node, topics.MOTION_STATUS.history(50), statuses.MOTION)
        self._resets = Reader(node, topics.RESET.history(10))
        self.status: list[str] = []
        self.devices: dict[str, list[str]] = {}
        self.reset_id = 0
        self.reset_s = 0.0
        self.motion_reported = False
        self.state = ""

    def cut(self) -> None:
        """Forgets what was recorded."""
        for heard in (*self._commands.values(), *self._states.values()):
            heard.cut()
        self.status = []
        self.devices = {}

    def seconds(self, stamp_ns: int) -> float:
        """Seconds since `origin_ns`."""
        return (stamp_ns - self._origin_ns) / SECOND

    def poll(self) -> None:
        """Records what has come since the last call."""
        for heard in (*self._commands.values(), *self._states.values()):
            heard.poll()
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

    def reported(self, key: Key) -> bool:
        """Whether a part has ever said where it is."""
        return self._states[key].newest() is not None

    def pose(self, key: Key) -> np.ndarray:
        """The newest reported pose [J] rad of a part that has `reported`."""
        joints = self._states[key].newest()
        assert joints is not None
        return joints.position

    def latest(self, key: Key) -> np.ndarray:
        """The newest command to a part since the last `cut`, where there is none its newest
        reported pose [J] rad.
        """
        last = self._commands[key].last(1)
        return last[0].position if last else self.pose(key)

    def speed(self, key: Key) -> np.ndarray:
        """How fast the last two commands to a part move it [J] rad/s; zero where there are not two
        since the last `cut`. It costs the same however much was recorded.
        """
        last = self._commands[key].last(2)
        if len(last) < 2 or last[1].stamp_s <= last[0].stamp_s:
            return np.zeros(self._joints[key])
        way = last[1].position - last[0].position
        return np.abs(way) / (last[1].stamp_s - last[0].stamp_s)

    def commands(self, key: Key, reset_id: int | None = None) -> PoseSeries:
        """What motion commanded a part, after one reset of the simulation or after any.

        Commands without a session are not motion's.
        """
        commands: list[tuple[float, np.ndarray]] = []
        for command in self._commands[key].every():
            wanted = reset_id is None or command.origin.reset_id == reset_id
            if command.origin.session and wanted:
                commands.append((command.stamp_s, command.position))
        return PoseSeries.of(commands, self._joints[key])

    def measured(self, key: Key) -> PoseSeries:
        """The joint states of a part."""
        stamped: list[tuple[float, np.ndarray]] = []
        for joints in self._states[key].every():
            stamped.append((self.seconds(joints.stamp_ns), joints.position))
        return PoseSeries.of(stamped, self._joints[key])

    def _command(self, message: JointState) -> Command:
        origin = command_session.take_origin(message)
        stamp_s = self.seconds(convert.nanoseconds(message.header.stamp))
        return Command(stamp_s, np.array(message.position), origin)
