"""The base of every node: a lifecycle node that starts itself, reports on itself and stops
cleanly.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.clock import Clock as RclClock
from rclpy.clock import ClockType  # pyright: ignore[reportPrivateImportUsage]
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher

from xlvla import rig_file
from xlvla.errors import XlvlaError, last_words
from xlvla.ros import neighbours, refusals, topics
from xlvla.ros.clock import Clock, SimClock
from xlvla.ros.diagnostics import Health
from xlvla.ros.forms import Form
from xlvla.ros.refusals import Refusals
from xlvla.text import RepeatFilter, plain

T = TypeVar("T")

_PARAMETERS = {
    "rig": ("bimanual", "Name of a rig of the catalogue, or path of a rig's YAML file."),
    "part": ("", "The part of the rig this node serves; empty: all of it."),
    "autostart": (True, "Configure and activate at once, without a lifecycle manager."),
}

_OWN_CLOCK = ["--ros-args", "-r", f"{topics.CLOCK.name}:={topics.CLOCK.relative}"]
"""rclpy asks for the simulated time on `/clock`, wherever the node is; a rig's is in its
namespace.
"""

WORK_ENDS_S = 5.0
"""How long `work` may take to end once it is to stop."""


class RigNode(LifecycleNode):
    """A node of a rig.

    A node says what it does in `configure`, `activate`, `deactivate` and `work`. `work` runs in its
    own thread while the node is active; whatever it raises ends the process with one line.
    XlvlaError is the user's to mend, so it shows no traceback.

    Attributes:
        rig: the rig; from `configure` on.
        clock: time of every stamp and deadline of this node; from `configure` on.
        health: what /diagnostics says.
        failure: why the process must end, None while it need not.
    """

    def __init__(self, name: str):
        super().__init__(name, cli_args=_OWN_CLOCK)
        self._began_s = time.monotonic()
        self._held_name: socket.socket | None = None
        self._declare()
        self.health = Health(name)
        self.failure: str | None = None
        self._worker: threading.Thread | None = None
        self._stop = threading.Event()
        self._repeat_filter = RepeatFilter()
        self._refusals = Refusals(self.warn, self.health.counts)
        refusals.tell(self, self._refusals)
        self._permanent: list[Any] = []
        self._diagnostics = self.publisher(topics.DIAGNOSTICS)
        self.every(1.0, self._report)

    def configure(self) -> None:
        """Loads what the node needs and makes its publishers and readers."""

    def activate(self) -> None:
        """Called before `work` begins."""

    def deactivate(self) -> None:
        """Called after `work` has ended."""

    def work(self, stop: threading.Event) -> None:
        """What the node does until `stop` is set."""

    @property
    def up(self) -> bool:
        """Whether the active node does its job; a node that is slow to get going says so here."""
        return True

    def publisher(self, topic: topics.Topic) -> Publisher:
        return self.create_publisher(topic.type, topic.relative, topic.qos)

    def listen(self, topic: topics.Topic, form: Form[T], on_value: Callable[[T], None]) -> None:
        """Calls `on_value` in the executor's thread with the value of every message; what is not of
        the
        form is counted and said.
        """

        def take(data: Any) -> None:
            try:
                value = form(topic, data)
            except XlvlaError as error:
                self.refuse(topic, error)
            else:
                on_value(value)

        self.create_subscription(topic.type, topic.relative, take, topic.qos, raw=True)

    def refuse(self, topic: topics.Topic, why: XlvlaError) -> None:
        """Counts an invalid message, and logs it at a limited rate."""
        self._refusals.add(topic.name, why)

    def serve(self, service: topics.Service, answer: Callable[[Any], str]) -> None:
        """Offers a service; `answer` gets the request and returns the message of a success or
        raises XlvlaError.
        """

        def respond(request: Any, response: Any) -> Any:
            try:
                response.message = answer(request)
                response.success = True
            except XlvlaError as error:
                response.message = str(error)
                response.success = False
            return response

        self.create_service(service.type, service.relative, respond)

    def every(self, period_s: float, call: Callable[[], None]) -> None:
        """Calls something periodically, by a clock that no simulation stops."""
        self.create_timer(period_s, call, clock=RclClock(clock_type=ClockType.STEADY_TIME))

    def parameter(self, name: str) -> Any:
        return self.get_parameter(name).value

    def info(self, line: str) -> None:
        """One line for who reads the log."""
        self.get_logger().info(plain(line))

    def warn(self, line: str) -> None:
        """One line for the operator; the same one at most every 2 s."""
        if self._repeat_filter(line):
            self.get_logger().warning(plain(line))

    def fail(self, error: BaseException) -> None:
        """Ends the process, with one line for a user's mistake or a machine's lack, and a traceback
        for our mistake.
        """
        self.failure = "\n".join(
            plain(line, longest=len(line)) for line in last_words(error).splitlines()
        )

    def destroy_node(self) -> None:
        """Leaves the graph, and its shared memory: the state machine would keep hold of the node,
        and that of its files.
        """
        if self._held_name is not None:
            self._held_name.close()
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self._configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self._activate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self._deactivate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self._cleanup)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        return self._transition(self._deactivate)

    def _transition(self, do: Callable[[], None]) -> TransitionCallbackReturn:
        try:
            do()
        except Exception as error:
            self.fail(error)
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    def _configure(self) -> None:
        self._permanent = self._entities()
        self.rig = rig_file.load(self.parameter("rig"))
        if self._held_name is None:
            self._held_name = neighbours.refuse_namesake(self, self.health.name, self._began_s)
        self.clock: Clock = SimClock(self, self.rig.sim.speed) if self.rig.sim else Clock()
        self.configure()

    def _cleanup(self) -> None:
        """Takes back what `configure` and all it made have put into the graph, so that it can be
        done again.
        """
        for kind in ("subscription", "service", "client", "timer", "publisher"):
            for entity in list(getattr(self, f"{kind}s")):
                if entity not in self._permanent:
                    getattr(self, f"destroy_{kind}")(entity)

    def _entities(self) -> list[Any]:
        return list(
            itertools.chain(
                self.publishers, self.subscriptions, self.services, self.clients, self.timers
            )
        )

    def _activate(self) -> None:
        self.activate()
        self._stop.clear()
        self._worker = threading.Thread(
            target=self._work, name=f"{self.get_name()} work", daemon=True
        )
        self._worker.start()

    def _deactivate(self) -> None:
        if self._worker is None:
            return
        self._stop.set()
        self._worker.join(WORK_ENDS_S)
        still_works = self._worker.is_alive()
        self._worker = None
        self.deactivate()
        if still_works:  # activated anew there would be two of them
            raise XlvlaError(f"its work did not stop within {WORK_ENDS_S:.0f} s")

    def _work(self) -> None:
        try:
            self.work(self._stop)
        except Exception as error:
            self.fail(error)

    def _declare(self) -> None:
        for name, (default, text) in _PARAMETERS.items():
            self.declare_parameter(
                name, default, ParameterDescriptor(description=text, read_only=True)
            )

    def _report(self) -> None:
        self._diagnostics.publish(self.health.message(time.time_ns()))
