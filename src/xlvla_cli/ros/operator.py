"""The operator's side of the graph: watches a rig and gives it orders, from a process that is not
one of its nodes.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.publisher import Publisher
from std_msgs.msg import String

from xlvla.errors import XlvlaError
from xlvla.network import reach
from xlvla.ros import forms, participant, refusals, statuses, topics
from xlvla.ros.reader import Reader
from xlvla.ros.refusals import Refusals
from xlvla.ros.stop import StopPublisher
from xlvla.text import plain

OFFER_TIMEOUT_S = 15.0
ANSWER_TIMEOUT_S = 8.0

MOST_NODES = 200
MOST_LINES = 50
"""Nodes whose figures are kept, and lines of what was refused: any node may publish any number."""


class Operator:
    """A ROS node without callbacks; a context manager, for one thread but for `stop`.

    Args:
        domain: ROS domain; None keeps the environment's.
        namespace: of the rig; '' is `/`.
        record: whether to keep the states that the simulation publishes.
    """

    def __init__(self, *, domain: int | None = None, namespace: str = "", record: bool = False):
        if fault := reach(False, os.environ).fault:
            raise XlvlaError(fault)
        self.node = participant.node_of_its_own("operator", domain, namespace)
        self._executor = SingleThreadedExecutor(context=self.node.context)
        self._executor.add_node(self.node)
        self._clients: dict[str, Any] = {}
        self._refused: deque[str] = deque(maxlen=MOST_LINES)
        refusals.tell(self.node, Refusals(self._refused.append))
        self._status = Reader(self.node, topics.SIM_STATUS, statuses.SIM)
        self._diagnostics = Reader(self.node, topics.DIAGNOSTICS, forms.FIGURES)
        self._states = None
        if record:
            self._states = Reader(self.node, topics.SIM_STATE.history(50), forms.ROW)
        self._instruction = self._publisher(topics.INSTRUCTION)
        self._button = self._publisher(topics.BUTTON)
        self._keys = self._publisher(topics.TELEOP_KEYS)
        self._seed = self._publisher(topics.SIM_SEED)
        self._source = self._publisher(topics.SOURCE)
        self._stop = StopPublisher(self.node, "operator")
        self._stopped = False
        self._stop_lock = threading.Lock()
        self._last_status: dict[str, Any] = {}
        self._figures: dict[str, dict[str, str]] = {}

    def __enter__(self) -> Operator:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._executor.shutdown()
        participant.leave(self.node)

    def _publisher(self, topic: topics.Topic) -> Publisher:
        return self.node.create_publisher(topic.type, topic.relative, topic.qos)

    def prepare(self, service: topics.Service) -> Any:
        """The client of a service, made once, so that discovery runs before it is needed."""
        if service.name not in self._clients:
            self._clients[service.name] = self.node.create_client(service.type, service.relative)
        return self._clients[service.name]

    def call(
        self, service: topics.Service, idle: Callable[[], None] = lambda: None, **fields: Any
    ) -> str:
        """The message of the service's answer; raises XlvlaError where the service does not answer
        or refuses.
        """
        answer = self.ask(self.prepare(service), service.type.Request(**fields), idle)
        if not answer.success:
            raise XlvlaError(f"{service.name}: {answer.message}")
        return answer.message

    def ask(self, client: Any, request: Any, idle: Callable[[], None] = lambda: None) -> Any:
        """The answer of any service; raises XlvlaError where there is none.

        A service is asked twice. A node that just died may have been asked first. And a server
        throws its answer away where it has not discovered the client within 100 ms (Fast DDS),
        which happens to the first question of a new client on a busy machine.
        """
        give_up = time.monotonic() + OFFER_TIMEOUT_S
        while not client.service_is_ready():
            idle()
            if time.monotonic() > give_up:
                raise self._not_offered(client.srv_name)
            time.sleep(0.02)
        answer = self._answer(client, request, idle)
        if answer is None:
            answer = self._answer(client, request, idle)
        if answer is None:
            asked_s = 2 * ANSWER_TIMEOUT_S
            name = self.node.resolve_service_name(client.srv_name)
            raise XlvlaError(f"{name} did not answer within {asked_s:.0f} s")
        return answer

    def _not_offered(self, relative: str) -> XlvlaError:
        """That nobody provides a service in this namespace, and in which others somebody does."""
        wanted = self.node.resolve_service_name(relative)
        line = f"no node provides {wanted} ({OFFER_TIMEOUT_S:.0f} s)"
        own = wanted.removesuffix(f"/{relative}")
        offered = self._places(relative, self.node.get_service_names_and_types())
        if places := [place for place in offered if place != own]:
            others = plain(" and ".join(place or "/" for place in places))
            have = "has" if len(places) == 1 else "have"
            line += f"; {others} {have} one: --namespace says which rig is meant"
        return XlvlaError(line)

    def places_that_stop(self) -> list[str]:
        """The namespaces in which somebody obeys `/motion/stop` now; '' is `/`."""
        found = self._places(topics.STOP.relative, self.node.get_topic_names_and_types())
        return [
            place
            for place in found
            if self.node.count_subscribers(f"{place}/{topics.STOP.relative}")
        ]

    def _places(self, relative: str, offered: Iterable[tuple[str, Any]]) -> list[str]:
        ending = f"/{relative}"
        return sorted(name.removesuffix(ending) for name, _ in offered if name.endswith(ending))

    def _answer(self, client: Any, request: Any, idle: Callable[[], None]) -> Any | None:
        """The answer; None when there is none in time."""
        future = client.call_async(request)
        give_up = time.monotonic() + ANSWER_TIMEOUT_S
        while not future.done() and time.monotonic() < give_up:
            idle()
            self._executor.spin_once(timeout_sec=0.02)
        if not future.done():
            client.remove_pending_request(future)
            return None
        return future.result()

    def reset(self, idle: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Begins the next simulated episode; its first status."""
        self._last_status = statuses.parsed(self.call(topics.SIM_RESET, idle), statuses.SIM_SHAPE)
        return self._last_status

    def reset_to(self, seed: int, idle: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """Begins the simulated episode of a seed; its first status.

        The seed is a message and the reset a service: which of them is there first nobody says, so
        that it is asked again until the answer bears the seed.
        """
        self._seed.publish(String(data=str(seed)))
        give_up = time.monotonic() + ANSWER_TIMEOUT_S
        while (status := self.reset(idle))["seed"] != seed:
            if time.monotonic() > give_up:
                raise XlvlaError(f"the simulation does not begin the episode of seed {seed}")
            time.sleep(0.1)
        return status

    def stop(self) -> None:
        """Tells every driver, and motion, to stop, and waits for nobody; from any thread."""
        with self._stop_lock:
            self._stop.say(True)
            self._stopped = True

    def estop(self) -> str:
        """Stops every driver, and motion; one line on what came of it.

        Raises:
            XlvlaError: motion does not answer, which keeps no driver from stopping.
        """
        self.stop()
        try:
            return self.call(topics.ESTOP)
        except XlvlaError as error:
            raise XlvlaError(f"drivers were told to stop; motion was not: {error}") from None

    def end_stop(self) -> str:
        """Ends an e-stop by motion, which tells the drivers; raises XlvlaError where it does
        not.
        """
        answer = self.call(topics.MOTION_RESET)
        self.take_back_stop()
        return answer

    def take_back_stop(self) -> None:
        """Of a stop that was ended: the latched one of this operator must not stop a driver that
        starts later. From any thread.
        """
        with self._stop_lock:
            if self._stopped:
                self._stop.close()
                self._stop = StopPublisher(self.node, "operator")
                self._stopped = False

    def let_drive(self, source: str) -> None:
        """Says whose chunks motion may play: a source, `NOBODY` for nobody's, '' for anybody's."""
        self._source.publish(String(data=source))

    def instruct(self, sentence: str) -> None:
        self._instruction.publish(String(data=sentence))

    def press(self, button: str) -> None:
        """Publishes what a button of the operator's device would."""
        self._button.publish(String(data=button))

    def type(self, key: str) -> None:
        """Publishes a key for teleoperation by keyboard."""
        if key:
            self._keys.publish(String(data=key))

    def status(self) -> dict[str, Any]:
        """The newest status of the simulation that is not older than the last reset; empty before
        the first.
        """
        status = self._status.newest()
        if status is not None and status["begun"] >= self._last_status.get("begun", 0):
            self._last_status = status
        return self._last_status

    def refused(self) -> list[str]:
        """A line for every topic on which something was invalid since the last call."""
        lines = list(self._refused)
        self._refused.clear()
        return lines

    def figures(self) -> dict[str, dict[str, str]]:
        """The newest diagnostics by node."""
        for diagnostics in self._diagnostics.every():
            for name, figures in diagnostics.items():
                if name in self._figures or len(self._figures) < MOST_NODES:
                    self._figures[name] = figures
        return self._figures

    def states(self) -> list[np.ndarray]:
        """Generalised positions of the simulated world since the last call."""
        if self._states is None:
            return []
        begun = str(self._last_status.get("begun", 0))
        return [positions for label, positions in self._states.every() if label == begun]
