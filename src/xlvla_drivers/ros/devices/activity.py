"""Whether a controller of ros2_control is active, by all that tells."""

from __future__ import annotations

import importlib
import time
from typing import Any

from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

from xlvla.ros import forms, topics
from xlvla.ros.reader import Reader
from xlvla_drivers.device import Fault
from xlvla_drivers.ros2_control import Options, absolute

SERVICES = "controller_manager_msgs"
"""The package of controller_manager's services; it comes with a ROS installation alone."""

STATUS = "Controllers Activity"
"""How the name of controller_manager's status on /diagnostics ends: its entries are the states of
controllers by name, once a second.
"""

ASKED_S = 0.5
"""How often the service is asked."""

PATIENCE_S = 5.0
"""Within this time diagnostics tell; after it a line says that nothing does."""

ACTIVE = "active"


class Activity:
    """Follows one controller, by controller_manager's service where its messages are installed, and
    by /diagnostics.

    Args:
        node: the driver's.
        executor: spins the node; answers of the service come by it.
    """

    def __init__(
        self, node: Node, executor: SingleThreadedExecutor, namespace: str, options: Options
    ):
        self._options = options
        self._executor = executor
        self._state = ""
        self._began_s = self._asked_s = time.monotonic()
        self._diagnostics = Reader(node, topics.DIAGNOSTICS, forms.FIGURES)
        self._kind = _list_controllers()
        self._answer: Future | None = None
        self._client: Any = None
        if self._kind is not None:
            manager = absolute(namespace, options.manager)
            self._client = node.create_client(self._kind, f"{manager}/list_controllers")

    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with the controller now."""
        if not self._options.has_controller:
            return ()
        self._listen()
        name = self._options.controller
        if self._state == ACTIVE:
            return ()
        if self._state:
            return (Fault(self._state, f"controller '{name}' is {self._state}"),)
        if time.monotonic() - self._began_s < PATIENCE_S:
            return ()
        services = "no controller manager answers"
        if self._kind is None:
            services = f"{SERVICES} is not installed"
        text = f"whether '{name}' is active is not known: nothing on /diagnostics, {services}"
        return (Fault("unknown", text, stops=False),)

    def _listen(self) -> None:
        for statuses in self._diagnostics.every():
            for name, entries in statuses.items():
                # Some distributions add figures behind the word.
                said = entries.get(self._options.controller, "").split()
                if name.endswith(STATUS) and said:
                    self._state = said[0]
        if self._client is not None:
            self._ask()

    def _ask(self) -> None:
        now_s = time.monotonic()
        if self._answer is None:
            if now_s - self._asked_s > ASKED_S and self._client.service_is_ready():
                self._asked_s = now_s
                self._answer = self._client.call_async(self._kind.Request())
            return
        self._executor.spin_once(timeout_sec=0)
        if not self._answer.done():
            if now_s - self._asked_s > PATIENCE_S:
                self._answer = None
            return
        answer: Any = self._answer.result()
        self._answer = None
        states = {controller.name: controller.state for controller in answer.controller}
        self._state = states.get(self._options.controller, "not loaded")


def _list_controllers() -> Any:
    """The type of controller_manager's service; None where its package is not installed."""
    try:
        return importlib.import_module(f"{SERVICES}.srv").ListControllers
    except ImportError:
        return None
