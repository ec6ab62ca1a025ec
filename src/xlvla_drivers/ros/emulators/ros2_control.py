"""An emulated robot behind ros2_control: a controller with its parameters, joint states, and the
controller's state on /diagnostics.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from xlvla.errors import XlvlaError
from xlvla.ros import convert, participant, topics
from xlvla.ros.reader import Reader
from xlvla.ros.topics import RELIABLE, Topic
from xlvla.types import Side
from xlvla_drivers import ros2_control
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.ros2_control import Options, absolute

ADDRESS = "/{side}_{driver}_{domain}"

RATE_HZ = 200.0

TOLD_S = 0.1
"""How often the controller's state is on /diagnostics; a real one says it once a second."""

STRANGER = "gripper_finger_joint"
"""A joint of somebody else, as joint states of a whole robot have them."""

TURNS_RAD = 4 * np.pi
SPEED_RAD_S = 4.0

STALE_S = 3.0


class Emulator:
    """Joints of the robot in the opposite order of ours, so that nobody gets by without names.

    A controller without an `order` in the rig says its own by the parameter `joints`.
    """

    known_faults = (
        "unplug",
        "wrong_names",
        "not_finite",
        "stale",
        "unstamped",
        "inactive",
        "unmanaged",
        "unnamed",
        "stall",
    )

    def __init__(self, address: str, side: Side, options: Options, joints: Sequence[str] = ()):
        self.joints = tuple(joints) or tuple(options.names)
        if not self.joints:
            raise XlvlaError(
                "an emulated controller must know its joints: say `emulated: true` in a rig, or "
                "--option 'names={joint: joint, ...}'"
            )
        self._options = options
        self._namespace = address
        self._name = f"{side}_{options.controller}"
        self._theirs = ros2_control.their_names(self.joints, options)
        # Positions of ours in the order of the controller's array.
        named = options.order or list(reversed(self._theirs))
        self._order = ros2_control.columns(named, self._theirs, "device.options.order")
        self._faults = Faults(self.known_faults)
        self._lock = threading.Lock()
        size = len(self.joints)
        far = np.full(size, TURNS_RAD)
        self.plant = Plant(np.zeros(size), -far, far, np.full(size, SPEED_RAD_S))
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._stop.clear()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready.set,), daemon=True)
        self._thread.start()
        ready.wait(10.0)

    def stop(self) -> None:
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)
        with self._lock:
            self.plant.advance()
            self.plant.stalled[:] = "stall" in self._faults
            if "inactive" in self._faults:
                self.plant.halt()

    @property
    def position(self) -> np.ndarray:
        with self._lock:
            self.plant.advance()
            return self.plant.position.copy()

    def _run(self, ready: Callable[[], None]) -> None:
        context = Context()
        participant.join(context)
        node = rclpy.create_node(
            self._options.controller,
            context=context,
            namespace=absolute(self._namespace, "").rstrip("/"),
            # The process has a name of its own, which is not the controller's.
            use_global_arguments=False,
        )
        try:
            self._serve(node, ready)
        finally:
            participant.leave(node)

    def _serve(self, node: Node, ready: Callable[[], None]) -> None:
        if not self._options.order:
            node.declare_parameter("joints", [self._theirs[k] for k in self._order])
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        states = node.create_publisher(
            JointState, absolute(self._namespace, self._options.states), RELIABLE
        )
        diagnostics = node.create_publisher(
            topics.DIAGNOSTICS.type, topics.DIAGNOSTICS.name, topics.DIAGNOSTICS.qos
        )
        commands = self._reader(node)
        ready()
        told_s = 0.0
        while not self._stop.wait(1 / RATE_HZ):
            # Parameters are asked for by a service.
            if "unnamed" not in self._faults:
                executor.spin_once(timeout_sec=0)
            messages = list(commands.every())
            if "unplug" in self._faults:
                continue
            for message in messages:
                self._obey(message)
            states.publish(self._joint_state())
            is_managed = self._options.has_controller and "unmanaged" not in self._faults
            if is_managed and time.monotonic() - told_s > TOLD_S:
                told_s = time.monotonic()
                diagnostics.publish(self._told())

    def _reader(self, node: Node) -> Reader[Any]:
        types = {
            "positions": Float64MultiArray,
            "trajectory": JointTrajectory,
            "joint_state": JointState,
        }
        name = ros2_control.command_topic(self._namespace, self._options)
        topic = Topic(name, types[self._options.commands], RELIABLE, foreign=True)
        return Reader(node, topic.history(16))

    def _obey(self, message: Any) -> None:
        if "inactive" in self._faults:
            return
        target = np.zeros(len(self.joints))
        if isinstance(message, Float64MultiArray):
            target[self._order] = message.data
        elif isinstance(message, JointTrajectory):
            by_name = dict(zip(message.joint_names, message.points[-1].positions, strict=True))
            target[:] = [by_name[name] for name in self._theirs]
        else:
            target[:] = convert.positions(message, self._theirs)
        with self._lock:
            self.plant.command(target)

    def _joint_state(self) -> JointState:
        with self._lock:
            self.plant.advance()
            position = self.plant.position[::-1].copy()
            velocity = self.plant.velocity[::-1].copy()
        names = list(reversed(self._theirs))
        if "wrong_names" in self._faults:
            names[0] += "_x"
        if "not_finite" in self._faults:
            position[0] = np.nan
        age_s = STALE_S if "stale" in self._faults else 0.0
        message = JointState(name=[STRANGER, *names])
        message.header.stamp = convert.stamp(time.time_ns() - round(age_s * convert.SECOND))
        if "unstamped" in self._faults:
            message.header.stamp = convert.stamp(0)
        message.position = [0.0, *position]
        message.velocity = [0.0, *velocity]
        return message

    def _told(self) -> DiagnosticArray:
        state = "inactive" if "inactive" in self._faults else "active"
        entry = KeyValue(key=self._options.controller, value=state)
        status = DiagnosticStatus(
            level=DiagnosticStatus.OK,
            name=f"{self._options.manager}: Controllers Activity",
            values=[entry],
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = convert.stamp(time.time_ns())
        return message
