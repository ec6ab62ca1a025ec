"""An arm or a hand whose own ROS driver moves it: joint states from a topic, commands to a
controller's.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rcl_interfaces.srv import GetParameters
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from xlvla.errors import XlvlaError
from xlvla.ros import convert, participant
from xlvla.ros.reader import Reader
from xlvla.ros.topics import RELIABLE, SENSOR, Topic
from xlvla.types import Side
from xlvla_drivers import ros2_control, thread_clock
from xlvla_drivers.device import LINK_TIMEOUT_S, DeviceState, LinkLost
from xlvla_drivers.ros.devices.activity import Activity
from xlvla_drivers.ros2_control import Options, absolute

PATIENCE_S = 3.0
"""How long a robot's topics are waited for; to be found takes a second on a busy machine."""

ANSWER_S = 1.0
"""What a service may take."""

STALE_NS = convert.SECOND // 2
"""Age from which a joint state is none of now."""

KEPT = 16
"""Joint states that may come between two looks."""

_MESSAGES: Mapping[ros2_control.Kind, Any] = {
    "positions": Float64MultiArray,
    "trajectory": JointTrajectory,
    "joint_state": JointState,
}


class Driver:
    """A node of its own speaks to the robot; like any device it is read and commanded by one
    thread.

    Args:
        address: namespace of the robot's driver.
        joints: our names, in the order of every vector here.
    """

    def __init__(self, address: str, side: Side, options: Options, joints: Sequence[str]):
        self.joints = tuple(joints)
        self.counts: Counter[str] = Counter()
        self._namespace = address
        self._options = options
        self._theirs = ros2_control.their_names(self.joints, options)
        self._states = Topic(absolute(address, options.states), JointState, SENSOR, foreign=True)
        self._name = f"{side}_{options.controller}_client"
        self._node: Node | None = None
        self._reader: Reader[JointState] | None = None
        self._publisher: Any = None
        self._activity: Activity | None = None
        # Where in a command's numbers each of our joints stands.
        self._order = list(range(len(self.joints)))
        # The names of the last joint state, and where ours stand in it.
        self._given: list[str] = []
        self._columns: list[int] = []
        self._newest: DeviceState | None = None
        self._heard_s = 0.0
        self._why = ""

    def connect(self) -> None:
        """Waits for joint states and for who hears commands; moves nothing."""
        self.disconnect()
        try:
            self._open()
        except Exception:
            self.disconnect()
            raise

    def read(self) -> DeviceState:
        """The newest joint state with all of our joints; what is stale, not finite or of other
        names is never one.
        """
        self._listen()
        if self._newest is None or thread_clock.now_s() - self._heard_s > LINK_TIMEOUT_S:
            why = f": {self._why}" if self._why else ""
            raise LinkLost(
                f"no joint states on {self._states.name} for {1e3 * LINK_TIMEOUT_S:.0f} ms{why}"
            )
        assert self._activity is not None
        state = self._newest
        faults = self._activity.faults()
        return DeviceState(
            state.stamp_ns, state.position, state.velocity, state.effort, faults=faults
        )

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        """Publishes one command in the form that the controller takes."""
        if self._publisher.get_subscription_count() == 0:
            raise LinkLost(self._nobody())
        self._publisher.publish(self._command(np.array([target[name] for name in self.joints])))
        return dict(target)

    def recover(self) -> str:
        """Clears nothing: to make a controller active moves what is under its load."""
        assert self._activity is not None
        stopping = [fault.text for fault in self._activity.faults() if fault.stops]
        if stopping:
            raise XlvlaError(
                f"{stopping[0]}: `ros2 control switch_controllers --activate "
                f"{self._options.controller}` makes it active"
            )
        return "nothing to clear"

    def disconnect(self) -> None:
        """A controller holds what it was commanded last."""
        node = self._node
        self._node = None
        self._newest = None
        self._why = ""
        if node is not None:
            participant.leave(node)

    def _open(self) -> None:
        node = self._node = participant.node_of_its_own(self._name)
        self._reader = Reader(node, self._states.history(KEPT))
        topic = ros2_control.command_topic(self._namespace, self._options)
        message = _MESSAGES[self._options.commands]
        self._publisher = node.create_publisher(message, topic, RELIABLE)
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        self._activity = Activity(node, executor, self._namespace, self._options)
        self._await_states()
        if not _waited(lambda: self._publisher.get_subscription_count() > 0):
            raise LinkLost(self._nobody())
        if self._options.commands == "positions":
            self._order = self._find_order(node, executor)

    def _await_states(self) -> None:
        def heard() -> bool:
            self._listen()
            return self._newest is not None

        if not _waited(heard):
            why = self._why or "is the robot's driver running, in this ROS domain?"
            raise LinkLost(f"no joint states on {self._states.name}: {why}")

    def _nobody(self) -> str:
        topic = ros2_control.command_topic(self._namespace, self._options)
        return f"nobody hears commands on {topic}: is the controller loaded?"

    def _find_order(self, node: Node, executor: SingleThreadedExecutor) -> list[int]:
        """Where each number of the controller's array stands in ours: by its parameter `joints`,
        else by the rig. An order that nobody says is not guessed: a wrong one moves other joints.
        """
        controller = absolute(self._namespace, self._options.controller)
        client = node.create_client(GetParameters, f"{controller}/get_parameters")
        asked = None
        if _waited(client.service_is_ready, ANSWER_S):
            asked = client.call_async(GetParameters.Request(names=["joints"]))
            executor.spin_until_future_complete(asked, ANSWER_S)
        answer = asked.result() if asked is not None and asked.done() else None
        node.destroy_client(client)
        named = list(answer.values[0].string_array_value) if answer and answer.values else []
        where = f"the parameter `joints` of {controller}"
        if not named and not self._options.order:
            raise LinkLost(f"{where} does not answer in which order: say device.options.order")
        if not named:
            named = self._options.order
            where = "device.options.order"
        return ros2_control.columns(named, self._theirs, where)

    def _listen(self) -> None:
        """Takes the newest joint state that came; others on the topic may be of other joints."""
        assert self._reader is not None
        for raw in reversed(list(self._reader.every_raw())):
            message = self._reader.read(raw)
            if message is None:
                continue
            try:
                state = self._state(message)
            except XlvlaError as error:
                self.counts["refused"] += 1
                self._why = str(error)
                continue
            if state is not None:
                self._newest = state
                self._heard_s = thread_clock.now_s()
                self._why = ""
                return

    def _state(self, message: JointState) -> DeviceState | None:
        """What a joint state says of our joints; None of one that is of others."""
        if list(message.name) != self._given:
            self._columns = self._find_columns(list(message.name))
            self._given = list(message.name)
        if not self._columns:
            return None
        now_ns = time.time_ns()
        stamp_ns = convert.timely_ns(message.header.stamp, now_ns, STALE_NS)
        if now_ns - stamp_ns > STALE_NS:
            if not stamp_ns:
                raise XlvlaError("a joint state without a stamp is refused: it may be of any time")
            age_s = (now_ns - stamp_ns) / convert.SECOND
            raise XlvlaError(
                f"a joint state that is {age_s:.1f} s old is refused: do the clocks of all "
                "machines agree?"
            )
        if len(message.position) != len(self._given):
            raise XlvlaError(
                f"{len(self._given)} joints are named but {len(message.position)} positions given"
            )
        position = self._picked(message.position)
        convert.refuse_no_angles(position, self._theirs)
        return DeviceState(
            now_ns, position, self._measured(message.velocity), self._measured(message.effort)
        )

    def _find_columns(self, given: list[str]) -> list[int]:
        """Where our joints stand among others; none where all of them are of others."""
        missing = [name for name in self._theirs if name not in given]
        if not missing:
            return [given.index(name) for name in self._theirs]
        shown = ", ".join(given)
        self._why = f"it has the joints {shown}, and not '{missing[0]}'"
        if len(missing) == len(self._theirs):
            return []
        raise XlvlaError(self._why)

    def _picked(self, values: Sequence[float]) -> np.ndarray:
        return np.array(values, dtype=float)[self._columns]

    def _measured(self, values: Sequence[float]) -> np.ndarray | None:
        """Velocities or efforts, which many drivers leave out or fill with NaN."""
        if len(values) != len(self._given):
            return None
        picked = self._picked(values)
        return picked if np.isfinite(picked).all() else None

    def _command(self, positions: np.ndarray) -> Any:
        """The message of positions [J] rad in our order."""
        if self._options.commands == "positions":
            return Float64MultiArray(data=convert.doubles(positions[self._order]))
        if self._options.commands == "trajectory":
            # Without a stamp: a controller begins it at once.
            rate_hz = 1 / self._options.ahead_s
            return convert.trajectory(self._theirs, positions[None], 0, rate_hz)
        return convert.JointMessage(self._theirs).fill(time.time_ns(), positions)


def _waited(true: Any, timeout_s: float = PATIENCE_S) -> bool:
    """Whether something becomes true in time."""
    give_up_s = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() > give_up_s:
            return False
        time.sleep(0.01)
    return True
