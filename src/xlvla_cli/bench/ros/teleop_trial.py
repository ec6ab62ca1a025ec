"""Teleoperation and motion, as on hardware: a stand-in for robot and operator times what happens to
every sample.
"""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus

from xlvla.errors import XlvlaError
from xlvla.graph import NodeSpec
from xlvla.rig import Rig
from xlvla.ros import convert, forms, geometry, statuses, topics
from xlvla.ros.reader import Reader
from xlvla.ros.topics import Topic
from xlvla.run import Supervisor
from xlvla.types import Part, Side
from xlvla_cli.bench.processor import processor_s
from xlvla_cli.bench.ros.rclpy_baseline import RclpyBaseline
from xlvla_cli.ros.measure import MS
from xlvla_cli.ros.operator import Operator

Moves = Callable[[Side, float], tuple[np.ndarray, np.ndarray]]
"""Wrist [4, 4] m and keypoints [21, 3] m of a side at a time [s]."""

STANDS_S = 0.05
"""Period of the joint states of the robot."""

SETTLES_S = 1.5
"""How long after the clutch has closed fingers have joined, and whatever was begun is over."""

Sent = tuple[int, int]
"""A message's stamp and when it was sent [ns]."""


@dataclass(frozen=True)
class SampleTimes:
    """What became of the samples of one side.

    Args:
        to_chunk_ms, to_command_ms: from a sample's arrival to its chunk, and to the first command
            made with that.
        share: of a core, by node.
        disengaged: how often the clutch had to be closed again.
    """

    rate_hz: float
    to_chunk_ms: list[float]
    to_command_ms: list[float]
    share: dict[str, float]
    disengaged: int


class TeleopTrial:
    """Context manager: entered, both nodes of a rig without simulation run, and its clutch can be
    closed.

    Args:
        moves: the operator's hands, published on the tracker's topics at `rate_hz`; None where
            another source sees them.
    """

    def __init__(self, rig: Rig, domain: int, moves: Moves | None, rate_hz: float = 90.0):
        assert rig.teleop is not None
        self.rig = rig
        self._moves = moves
        self._rate_hz = rate_hz
        self._domain = domain
        specs = [
            NodeSpec("xlvla_drivers", "motion", "motion"),
            NodeSpec("xlvla_drivers", "teleop", "teleop", part=rig.teleop.source),
        ]
        self._supervisor = Supervisor(rig, specs, domain=domain)
        self._publishers: dict[str, Any] = {}
        self._ended = threading.Event()
        self._stand_in = threading.Thread(target=self._publish, name="operator", daemon=True)
        self._clutched = False
        self.disengaged = 0
        self._refusal = "no answer"
        self._entered = ExitStack()

    def __enter__(self) -> TeleopTrial:
        with ExitStack() as stack:
            stack.enter_context(self._supervisor)
            self.operator = stack.enter_context(Operator(domain=self._domain))
            baseline = RclpyBaseline(self.operator.node, self._domain)
            self.baseline = stack.enter_context(baseline)
            self._listen()
            self._supervisor.wait_ready()
            well = DiagnosticStatus(level=DiagnosticStatus.OK, message="well")
            for side, part in self.rig.parts:
                self._send(topics.device(side, part), well)
            self._stand_in.start()
            stack.callback(self._end_stand_in)
            self._until(lambda: self._agrees(topics.ENGAGE), "motion does not engage")
            self._until(lambda: self._agrees(topics.TELEOP_CLUTCH), "the clutch does not close")
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._entered.close()

    def _listen(self) -> None:
        """Subscribes what is measured, and what the robot is commanded."""
        node = self.operator.node
        self._side = next(iter(self.rig.sides))
        self._commands = Reader(node, topics.command(self._side, "arm").history(4000))
        self._status = Reader(node, topics.TELEOP_STATUS, statuses.TELEOP)
        self._chunks = Reader(node, topics.chunk(self._side, "teleop").history(2000))
        self._command_readers = {}
        for key in self.rig.parts:
            form = forms.commanded(self.rig.joint_names(*key), time.time_ns)
            self._command_readers[key] = Reader(node, topics.command(*key), form)
        self._poses = {(side, part): self._home(side, part) for side, part in self.rig.parts}

    def _end_stand_in(self) -> None:
        self._ended.set()
        self._stand_in.join()

    def measure(self, seconds: float) -> SampleTimes:
        """Lets the operator drive for some time."""
        time.sleep(SETTLES_S)
        _drained(self._chunks)
        _drained(self._commands)
        began_s = time.monotonic()
        used = self._used_s()
        chunks: list[Sent] = []
        commands: list[Sent] = []
        while time.monotonic() < began_s + seconds:
            chunks += _drained(self._chunks)
            commands += _drained(self._commands)
            self.baseline.poll()
            if not self._followed():
                self.disengaged += self._agrees(topics.TELEOP_CLUTCH)
            time.sleep(0.02)
        passed_s = time.monotonic() - began_s
        share = {name: (after - used[name]) / passed_s for name, after in self._used_s().items()}
        return SampleTimes(
            rate_hz=len(chunks) / passed_s,
            to_chunk_ms=[(sent - seen) / MS for seen, sent in chunks],
            to_command_ms=_to_commands(chunks, commands),
            share=share,
            disengaged=self.disengaged,
        )

    def _used_s(self) -> dict[str, float]:
        return {node.spec.name: processor_s(node.process.pid) for node in self._supervisor.nodes}

    def _followed(self) -> bool:
        """Whether the measured side's clutch is closed."""
        if (status := self._status.newest()) is not None:
            self._clutched = status["sides"].get(self._side, {}).get("clutched", False)
        return self._clutched

    def _agrees(self, service: topics.Service) -> bool:
        """Asks a service to engage or to close; whether it does."""
        try:
            self.operator.call(service, data=True)
        except XlvlaError as error:
            self._refusal = str(error)
            return False
        self._clutched = True
        return True

    def _publish(self) -> None:
        """What robot and operator publish, in a thread."""
        began_s = time.monotonic()
        stood_s = began_s
        due_s = began_s
        while not self._ended.is_set():
            if time.monotonic() >= stood_s:
                stood_s += STANDS_S
                self._stand()
            if self._moves is not None:
                self._publish_hands(self._moves, time.monotonic() - began_s)
            # After a pause of the machine at most 0.1 s of samples is made up for.
            due_s = max(due_s + 1 / self._rate_hz, time.monotonic() - 0.1)
            self._ended.wait(max(due_s - time.monotonic(), 0.0))

    def _publish_hands(self, moves: Moves, now_s: float) -> None:
        ns = time.time_ns()
        for side in self.rig.sides:
            wrist, keypoints = moves(side, now_s)
            self._send(topics.tracked_keypoints(side), geometry.cloud(keypoints, ns, "operator"))
            self._send(topics.tracked_wrist(side), geometry.pose(wrist, ns, "operator"))

    def _stand(self) -> None:
        """Joint states of a robot that is where it was commanded last, and at home before: motion
        disengages from one that strays.
        """
        for (side, part), reader in self._command_readers.items():
            names = self.rig.joint_names(side, part)
            if (command := reader.newest()) is not None:
                self._poses[side, part] = command.position
            message = convert.JointMessage(names).fill(time.time_ns(), self._poses[side, part])
            self._send(topics.joint_states(side, part), message)

    def _home(self, side: Side, part: Part) -> np.ndarray:
        start = self.rig.start(side)
        return np.array([start[name] for name in self.rig.joint_names(side, part)])

    def _send(self, topic: Topic, message: Any) -> None:
        if topic.name not in self._publishers:
            self._publishers[topic.name] = self.operator.node.create_publisher(
                topic.type, topic.relative, topic.qos
            )
        self._publishers[topic.name].publish(message)

    def _until(self, there: Callable[[], bool], otherwise: str, timeout_s: float = 30.0) -> None:
        give_up_s = time.monotonic() + timeout_s
        while not there():
            self._supervisor.check()
            if time.monotonic() > give_up_s:
                raise XlvlaError(f"{otherwise}: {self._refusal}")
            time.sleep(0.1)


def _drained(reader: Reader) -> list[Sent]:
    messages = reader.every_sent()
    return [(convert.nanoseconds(message.header.stamp), sent) for message, sent in messages]


def _to_commands(chunks: list[Sent], commands: list[Sent]) -> list[float]:
    """From a sample's arrival to the sending of the first command whose tick began after the chunk
    was sent [ms].
    """
    ticks = [stamp for stamp, _ in commands]
    latencies: list[float] = []
    for seen_ns, chunk_ns in chunks:
        first = bisect.bisect_left(ticks, chunk_ns)
        if first < len(commands):
            _, command_ns = commands[first]
            latencies.append((command_ns - seen_ns) / MS)
    return latencies
