"""Motion alone, as on hardware: a stand-in for everything around it sends it chunks and times what
it does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus

from xlvla.errors import XlvlaError
from xlvla.graph import NodeSpec
from xlvla.rig import Rig
from xlvla.ros import convert, supervision, topics
from xlvla.ros.reader import Reader
from xlvla.run import Supervisor
from xlvla.types import CHUNK_FRAMES, CHUNK_HZ, PARTS, Side
from xlvla_cli.bench.processor import processor_s
from xlvla_cli.bench.ros.bare_thread import BEAT
from xlvla_cli.bench.ros.rclpy_baseline import RclpyBaseline
from xlvla_cli.bench.ros.swinging_arm import side_joints
from xlvla_cli.ros.measure import MS
from xlvla_cli.ros.operator import Operator

MOVING = 3
SPEED = 0.2
"""The joint of the arm that moves, and how fast [rad/s]."""

BRAKES = 0.002
"""A command slower than the plan by this share is one that brakes."""


class MotionTrial:
    """Context manager: entered, the motion node of a rig without simulation runs beside a bare
    thread and a bare ping-pong.
    """

    def __init__(self, rig: Rig, domain: int):
        self.rig = rig
        spec = NodeSpec("xlvla_drivers", "motion", "motion")
        self._supervisor = Supervisor(rig, [spec], domain=domain)
        self._domain = domain
        self._publishers: dict[str, Any] = {}
        self._entered = ExitStack()

    def __enter__(self) -> MotionTrial:
        with ExitStack() as stack:
            stack.enter_context(self._supervisor)
            self.operator = stack.enter_context(Operator(domain=self._domain))
            node = self.operator.node
            self.baseline = stack.enter_context(RclpyBaseline(node, self._domain))
            bare_thread = self._start_bare_thread()
            stack.callback(bare_thread.wait)
            stack.callback(bare_thread.terminate)
            first = next(iter(self.rig.sides))
            self._commands = Reader(node, topics.command(first, "arm").history(4000))
            self._beats = Reader(node, BEAT.history(4000))
            self._supervisor.wait_ready()
            well = DiagnosticStatus(level=DiagnosticStatus.OK, message="well")
            for side, part in self.rig.parts:
                self._send(topics.device(side, part), well)
            self._stand()
            self.chunk()
            self._until(lambda: self._beats.next() is not None, "the bare thread publishes nothing")
            self._until(self._subscribed, "motion does not subscribe")
            self._until(self._may_move, "motion has no status of its devices")
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._entered.close()

    def _start_bare_thread(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            supervision.PARENT: str(os.getpid()),
            "ROS_DOMAIN_ID": str(self._domain),
        }
        rate_hz = str(self.rig.motion.rate_hz)
        command = [sys.executable, "-m", "xlvla_cli.bench.ros.bare_thread", rate_hz]
        return subprocess.Popen(command, env=environment)

    def _subscribed(self) -> bool:
        return all(entry.get_subscription_count() for entry in self._publishers.values())

    def begin(self) -> None:
        """Resets and engages motion, with a robot that stands at home."""
        self.operator.call(topics.MOTION_RESET)
        self._stand()
        self.operator.call(topics.ENGAGE, data=True)
        time.sleep(0.05)
        _drain(self._commands)

    def _may_move(self) -> bool:
        """Whether motion engages, which it does once all devices are well."""
        try:
            return bool(self.operator.call(topics.ENGAGE, data=True))
        except XlvlaError:
            return False

    def first_command_ms(self) -> float:
        """From a chunk's sending to the first command, of a motion that had none to give."""
        self.begin()
        chunk_ns = self.chunk()
        _, command_ns = self._until(self._commands.next_sent, "no command follows a chunk")
        return (command_ns - chunk_ns) / MS

    def stop_ms(self, tries: int = 5) -> tuple[float, float]:
        """From the call of an e-stop to the first command that brakes, and to the first at rest."""
        for _ in range(tries):
            self.begin()
            self.chunk()
            self._until(lambda: self._commands.next() is not None, "no command follows a chunk")
            self._stand_for(self.rig.motion.blend_s + 0.3)
            called_ns = time.time_ns()
            self.operator.call(topics.ESTOP)
            time.sleep(0.4)
            sent_ns, speed = _speeds(_drain(self._commands))
            before = sent_ns <= called_ns
            brakes = ~before & (speed < (1 - BRAKES) * SPEED)
            rests = ~before & (speed == 0)
            moved = before.any() and abs(speed[before][-1] - SPEED) < BRAKES * SPEED
            if moved and rests.any():
                brakes_ms = (sent_ns[brakes][0] - called_ns) / MS
                rests_ms = (sent_ns[rests][0] - called_ns) / MS
                return brakes_ms, rests_ms
        raise XlvlaError(
            f"in {tries} tries the arm never moved as commanded: this machine is too busy"
        )

    def stream(
        self, seconds: float, every_s: float = 0.8
    ) -> tuple[list[float], list[float], float]:
        """Plays chunks; the intervals [ms] of the commands and of the bare thread, and motion's
        share of a core.
        """
        self.begin()
        _drain(self._beats)
        commands = list[int]()
        beats = list[int]()
        next_s = 0.0
        pid = self._supervisor.nodes[0].process.pid
        began_s = time.monotonic()
        used_s = processor_s(pid)
        while (passed_s := time.monotonic() - began_s) < seconds:
            if passed_s >= next_s:
                self.chunk(turn=(-1) ** round(next_s / every_s))
                next_s += every_s
            self._stand()
            self.baseline.poll()
            commands += [sent for _, sent in _drain(self._commands)]
            beats += [sent for _, sent in _drain(self._beats)]
            time.sleep(0.02)
        share = (processor_s(pid) - used_s) / (time.monotonic() - began_s)
        return (np.diff(commands) / MS).tolist(), (np.diff(beats) / MS).tolist(), share

    def chunk(self, turn: int = 1) -> int:
        """Sends every side a chunk in which one joint of the arm moves evenly; when the first was
        sent [ns].
        """
        ns = time.time_ns()
        sent_ns = 0
        path = turn * SPEED / CHUNK_HZ * np.arange(1, CHUNK_FRAMES + 1)[:, None]
        for side in self.rig.sides:
            names = side_joints(self.rig, side)
            joint = self.rig.joint_names(side, "arm")[MOVING]
            moving = np.array([name == joint for name in names])
            message = convert.trajectory(names, self._home(side) + path * moving, ns, CHUNK_HZ)
            sent_ns = sent_ns or time.time_ns()
            self._send(topics.chunk(side), message)
        return sent_ns

    def _home(self, side: Side) -> np.ndarray:
        return np.array(list(self.rig.start(side).values()))

    def _stand_for(self, seconds: float) -> None:
        """Reports again and again where the robot stands: motion disengages from one that falls
        silent.
        """
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            self._stand()
            time.sleep(0.02)

    def _stand(self) -> None:
        """Joint states of a robot at home."""
        for side in self.rig.sides:
            split = len(self.rig.joint_names(side, "arm"))
            for part, pose in zip(PARTS, np.split(self._home(side), [split]), strict=True):
                joints = convert.JointMessage(self.rig.joint_names(side, part))
                self._send(topics.joint_states(side, part), joints.fill(time.time_ns(), pose))

    def _send(self, topic: topics.Topic, message: Any) -> None:
        if topic.name not in self._publishers:
            self._publishers[topic.name] = self.operator.node.create_publisher(
                topic.type, topic.relative, topic.qos
            )
        self._publishers[topic.name].publish(message)

    def _until(self, there: Callable[[], Any], otherwise: str, timeout_s: float = 20.0) -> Any:
        give_up = time.monotonic() + timeout_s
        stood_s = time.monotonic()
        while not (value := there()):
            self._supervisor.check()
            if time.monotonic() > give_up:
                raise XlvlaError(otherwise)
            if time.monotonic() > stood_s + 0.1:  # motion discards a pose that is old
                stood_s = time.monotonic()
                self._stand()
            time.sleep(0.0005)
        return value


def _drain(reader: Reader) -> list[tuple[Any, int]]:
    return list(iter(reader.next_sent, None))


def _speeds(stream: list[tuple[Any, int]]) -> tuple[np.ndarray, np.ndarray]:
    """When commands were sent [ns], and the speed [rad/s] of the joint that moves."""
    stamps = np.array([convert.nanoseconds(message.header.stamp) for message, _ in stream])
    times = stamps / convert.SECOND
    position = np.array([message.position[MOVING] for message, _ in stream])
    sent_ns = np.array([sent for _, sent in stream])
    return sent_ns[1:], np.diff(position) / np.diff(times)
