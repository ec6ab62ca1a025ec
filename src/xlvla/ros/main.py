"""The main of every node's module."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from rclpy.executors import SingleThreadedExecutor

from xlvla.errors import last_words
from xlvla.ros import neighbours, participant, supervision
from xlvla.ros.node import RigNode


def run(kind: Callable[[], RigNode]) -> None:
    """The main of every node's module: runs until SIGINT, SIGTERM or failure, then exits with 0 or
    1.
    """
    supervision.follow_parent()
    stop = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
    given = _given("__node")
    name = given or "node"
    failure = None
    try:
        node = _joined(kind, given)
        name = node.get_name()
        failure = _served(node, stop)
    except Exception as error:
        failure = last_words(error)
    if failure:
        print(f"{name}: {failure}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    # Native libraries have nothing left to do, and some hang in their destructors.
    os._exit(1 if failure else 0)


def _joined(kind: Callable[[], RigNode], given: str | None) -> RigNode:
    """The node in the graph."""
    supervision.busy_with("joins the ROS graph (rclpy.init)")
    participant.join()
    if given:
        neighbours.refuse_held(neighbours.full_name(given, _given("__ns") or "/"))
    supervision.busy_with("makes its node (create_node)")
    try:
        return kind()
    except RuntimeError as error:
        raise participant.no_node(error) from None


def _served(node: RigNode, stop: threading.Event) -> str | None:
    """Serves the node until asked to stop, and leaves the graph in order; the reason where it
    failed.
    """
    try:
        return _spin(node, stop)
    finally:
        with contextlib.suppress(Exception):
            node.trigger_shutdown()
        with contextlib.suppress(Exception):
            participant.leave(node)  # says goodbye: others would wait for its services for 20 s


def _spin(node: RigNode, stop: threading.Event) -> str | None:
    if node.parameter("autostart"):
        supervision.busy_with("configures itself")
        node.trigger_configure()
        if node.failure is None and not stop.is_set():
            node.trigger_activate()
    supervision.started()
    supervision.busy_with("is active, but its job has not begun")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    announced = False
    while not stop.is_set() and node.failure is None:
        if not announced and node.up:
            supervision.ready()
            announced = True
        executor.spin_once(timeout_sec=0.2)
    return node.failure


def _given(rule: str) -> str | None:
    """What whoever starts the node sets by `__node` or `__ns`; of use before it exists."""
    for argument in sys.argv:
        if argument.startswith(f"{rule}:="):
            return argument.removeprefix(f"{rule}:=")
    return None
