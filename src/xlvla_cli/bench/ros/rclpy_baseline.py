"""Bare rclpy beside which the graph is measured: a ping answered by another process, and a
timer.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import rclpy
from rclpy.node import Node
from sensor_msgs.msg import JointState

from xlvla.ros import convert, participant, supervision
from xlvla.ros.reader import Reader
from xlvla.ros.topics import RELIABLE, Topic
from xlvla_cli.ros.measure import MS

PING = Topic("/bench/ping", JointState, RELIABLE)
PONG = Topic("/bench/pong", JointState, RELIABLE)
TIMER = Topic("/bench/timer", JointState, RELIABLE)
JOINTS = 12
PING_HZ = 20.0
TIMER_HZ = 100.0


class RclpyBaseline:
    """Measures the round trip of a hand's command and the period of an rclpy timer; a context
    manager, call `poll` often.

    The other process is a plain node with a callback and a timer in rclpy's single-threaded
    executor.
    """

    def __init__(self, node: Node, domain: int | None):
        self._pong = Reader(node, PONG.history(10))
        self._timer = Reader(node, TIMER.history(1000))
        self._ping = node.create_publisher(PING.type, PING.name, PING.qos)
        self._message = convert.JointMessage([f"joint{i}" for i in range(JOINTS)])
        self._domain = domain
        self._sent_s = 0.0
        self._last_timer_ns: int | None = None
        self.round_trip_ms: list[float] = []
        self.periods_ms: list[float] = []

    def __enter__(self) -> RclpyBaseline:
        environment = {**os.environ, supervision.PARENT: str(os.getpid())}
        if self._domain is not None:
            environment["ROS_DOMAIN_ID"] = str(self._domain)
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__], env=environment, start_new_session=True
        )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def poll(self) -> None:
        """Sends a ping when it is time and waits for its answer, at most 50 ms."""
        for _, sent_ns in self._timer.every_sent():
            if self._last_timer_ns is not None:
                self.periods_ms.append((sent_ns - self._last_timer_ns) / MS)
            self._last_timer_ns = sent_ns
        due = time.monotonic() >= self._sent_s + 1 / PING_HZ
        if not due or not self._ping.get_subscription_count():
            return
        self._sent_s = time.monotonic()
        sent_ns = time.time_ns()
        self._ping.publish(self._message.fill(sent_ns, np.zeros(JOINTS)))
        while time.monotonic() < self._sent_s + 0.05:
            answer = self._pong.next()
            if answer is not None and convert.nanoseconds(answer.header.stamp) == sent_ns:
                self.round_trip_ms.append((time.time_ns() - sent_ns) / MS)
                return
            time.sleep(0.0002)


def main() -> None:
    """The other process."""
    supervision.follow_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit())
    participant.join()
    node = rclpy.create_node("bench_echo")
    pong = node.create_publisher(PONG.type, PONG.name, PONG.qos)
    ticks = node.create_publisher(TIMER.type, TIMER.name, TIMER.qos)
    tick = convert.JointMessage([f"joint{i}" for i in range(JOINTS)])
    node.create_subscription(PING.type, PING.name, pong.publish, PING.qos)
    node.create_timer(
        1 / TIMER_HZ, lambda: ticks.publish(tick.fill(time.time_ns(), np.zeros(JOINTS)))
    )
    try:
        rclpy.spin(node)  # until SIGTERM
    finally:
        participant.leave(node)


if __name__ == "__main__":
    main()
