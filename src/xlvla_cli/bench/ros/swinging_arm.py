"""An arm of a running rig that chunks move to and fro, and the status reported meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.node_process import Running
from xlvla.rig import Rig
from xlvla.ros import convert, forms, statuses, topics
from xlvla.ros.clock import Clock
from xlvla.ros.convert import SECOND, Joints
from xlvla.ros.reader import Reader
from xlvla.ros.topics import Topic
from xlvla.types import CHUNK_HZ, PARTS, Side
from xlvla_cli.ros.session import Session

JOINT = 3
SWING_RAD = 0.4
SWING_HZ = 0.25
"""Which joint of the arm moves, how far and how often."""

MOVES_RAD = 0.03
"""An arm that has gone this far does move."""

FRAMES = 50
EVERY_S = 0.2
"""Frames of a chunk, and the time between two chunks."""

LATE_S = 0.4
"""How late an arm may be on its path: what motion and servos take."""

PATIENCE_S = 15.0
LOOK_S = 0.002


@dataclass(frozen=True)
class StatusLine:
    """What motion, the arm's driver or a node's log reported, and when it was sent [ns, system
    clock].
    """

    who: str
    line: str
    sent_ns: int


class SwingingArm:
    """Moves an arm of a running rig and listens; for one thread.

    Args:
        clock: of the graph; chunks bear its time.

    Attributes:
        reports: joint states of the arm since `begin`.
        status_lines: what motion and the driver reported since `begin`.
        plays: whether motion plays chunks, by its newest status.
        names: joints of the arm.
    """

    def __init__(self, session: Session, side: Side, clock: Clock):
        self.session = session
        self.rig = session.rig
        self.clock = clock
        self.side: Side = side
        self.reports = list[Joints]()
        self.status_lines = list[StatusLine]()
        self.plays = False
        self.names = self.rig.joint_names(side, "arm")
        node = session.operator.node
        self._states = Reader(
            node, topics.joint_states(side, "arm").history(1000), forms.joints(self.names)
        )
        self._motion = Reader(node, topics.MOTION_STATUS.history(50), statuses.MOTION)
        self._device = Reader(node, topics.device(side, "arm").history(50), forms.DEVICE)
        chunk = topics.chunk(side)
        self._chunks = node.create_publisher(chunk.type, chunk.relative, chunk.qos)
        self._home = np.array(list(self.rig.start(side).values()))
        self._start = self._home
        self._began_ns = 0
        self._next_s = 0.0
        self._reach = 0.0

    @property
    def driver(self) -> Running:
        """The process of the arm's driver."""
        name = f"{self.side}_arm"
        return next(node for node in self.session.supervisor.nodes if node.spec.name == name)

    @property
    def pose(self) -> np.ndarray:
        """Where the arm was last [J] rad."""
        return self.reports[-1].position

    @property
    def error_rad(self) -> float:
        """How far the joint that moves is from its path, where it should be at the stamp of the
        newest report or was to be just before.
        """
        newest = self.reports[-1]
        now_s = (newest.stamp_ns - self._began_ns) / SECOND
        path = self._target(np.linspace(max(now_s - LATE_S, 0.0), now_s, 50))
        position = float(newest.position[JOINT])
        return float(np.abs(path - position).min())

    def begin(self) -> None:
        """Engages motion anew and moves the arm until it is seen to move; only then anything
        counts. XlvlaError where it does not.
        """
        operator = self.session.operator
        operator.call(topics.MOTION_RESET)
        self._until(lambda: self.reports, "publishes no joint states")
        self._start = np.concatenate([self.pose, self._home[len(self.names) :]])
        up = self._start[JOINT] < self._home[JOINT] + SWING_RAD / 2
        self._began_ns = self.clock.now_ns()
        self._reach = SWING_RAD if up else -SWING_RAD
        self._until(self._moves, "does not move", chunks=True)
        self.reports = self.reports[-1:]
        self.status_lines = []

    def watch(
        self, seconds: float, also: Callable[[], None] = lambda: None, chunks: bool = True
    ) -> None:
        """Watches for some time, and moves the arm on by `chunks`; `also` is called at every
        look.
        """
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            also()
            self._look(chunks)

    def wait(
        self, true: Callable[[], bool], seconds: float, also: Callable[[], None] = lambda: None
    ) -> bool:
        """Watches until something is true, at most for some time; whether it was."""
        end_s = time.monotonic() + seconds
        while not (met := true()) and time.monotonic() < end_s:
            also()
            self._look(True)
        return met

    def listeners(self, topic: Topic) -> int:
        """How many subscriptions to a topic the graph has."""
        return self.session.operator.node.count_subscribers(topic.relative)

    def moved(self, since: np.ndarray, joints: slice = slice(None)) -> float:
        """How far [rad] the joint that went furthest is from a pose [J]."""
        return float(np.abs(self.pose - since)[joints].max())

    def first_line(self, text: str, who: str, since_ns: int = 0) -> StatusLine | None:
        """The first line of `who` from then on that holds a text."""
        return first_line(self.status_lines, who, text, since_ns)

    def _moves(self) -> bool:
        start = self._start[: len(self.names)]
        return self._engaged() and self.moved(start) > MOVES_RAD

    def _engaged(self) -> bool:
        if not self.plays:
            try:
                self.session.operator.call(topics.ENGAGE, data=True)
            except XlvlaError:  # a device that is not well yet, or a stop that is not over
                return False
        return True

    def _until(self, true: Callable[[], object], otherwise: str, chunks: bool = False) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > give_up:
                newest = self.status_lines[-1].line if self.status_lines else ""
                raise XlvlaError(f"{self.side} arm {otherwise} within {PATIENCE_S:.0f} s: {newest}")
            self._look(chunks)

    def _look(self, chunks: bool) -> None:
        self.session.supervisor.check()
        self.reports += self._states.every()
        for status, sent_ns in self._motion.every_sent():
            self.plays = status["plays"]
            self.status_lines.append(StatusLine("motion", status["state"], sent_ns))
        for device, sent_ns in self._device.every_sent():
            self.status_lines.append(StatusLine("driver", device.text, sent_ns))
        if chunks and time.monotonic() > self._next_s:
            self._next_s = time.monotonic() + EVERY_S
            self._send()
        time.sleep(LOOK_S)

    def _send(self) -> None:
        """The next two and a half seconds of the swing, from where it began to the other end and
        back.
        """
        now_ns = self.clock.now_ns()
        seconds = (now_ns - self._began_ns) / SECOND + np.arange(1, FRAMES + 1) / CHUNK_HZ
        points = np.tile(self._start, (FRAMES, 1))
        points[:, JOINT] = self._target(seconds)
        names = side_joints(self.rig, self.side)
        self._chunks.publish(convert.trajectory(names, points, now_ns, CHUNK_HZ))

    def _target(self, seconds: Any) -> Any:
        """Where the joint that moves should be [rad] at times since the swing began."""
        return self._start[JOINT] + self._reach * (1 - np.cos(2 * np.pi * SWING_HZ * seconds)) / 2


def first_line(
    lines: Iterable[StatusLine], who: str, text: str, since_ns: int
) -> StatusLine | None:
    """The first line of `who` from a time on that holds a text."""
    for line in lines:
        if line.who == who and text in line.line and line.sent_ns >= since_ns:
            return line
    return None


def side_joints(rig: Rig, side: Side) -> list[str]:
    """The joints of a side in the order of its chunks, those of the arm first."""
    names: list[str] = []
    for part in PARTS:
        names += rig.joint_names(side, part)
    return names
