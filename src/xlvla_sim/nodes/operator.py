"""A scripted operator: solves the rig's task by hand, episode after episode, through whatever
follows a person's hands.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
from rclpy.client import Client
from rclpy.publisher import Publisher
from std_msgs.msg import String

from xlvla.errors import XlvlaError
from xlvla.ros import forms, geometry, priority, statuses, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import Side
from xlvla_sim.expert import Script
from xlvla_sim.scripted_operator import ScriptedOperator

RATE_HZ = 60.0
FRAME = "operator"
"""The coordinate frame of the wrists."""
SEEN_S = 0.5
"""How long hands are shown before the clutch is closed [s, simulated]."""
JOINED_S = 1.1
"""How long hands are held still until the robot's fingers have joined them [s, simulated]."""
JUDGED_S = 1.5
"""How long it may take until the task is known to be done [s, simulated]."""
OPEN_S = 0.2
"""How long hands rest once the robot was let go, and before it is taken up again."""
REFUSED_S = 5.0
"""How long the clutch may refuse to close [s, simulated]."""
SWITCH_S = 0.0005
"""How long the thread that plans may keep the one that shows the hands from running."""
PATIENCE_S = 20.0
"""How long an answer may take."""

Answer = TypeVar("Answer")
Wait = Generator[None, None, None]
"""Something that takes a while; it is looked at every tick."""


class OperatorNode(RigNode):
    """Publishes where its hands are 60 times a second, whatever else it does or waits for; its plan
    is played in simulated time.

    With a recorder in the rig it presses `start` before and `stop` after each episode, then
    `success` or `failure`.
    """

    def __init__(self) -> None:
        super().__init__("scripted_operator")
        self._wrists: dict[Side, Publisher] = {}
        self._keypoints: dict[Side, Publisher] = {}
        self._services_asked: dict[str, Client] = {}
        # Newest status by topic.
        self._readers: dict[str, Reader[dict[str, Any]]] = {}
        self._statuses: dict[str, dict[str, Any]] = {}
        # The newest positions of everything [nq] in the episode that was begun last, and its id.
        self._positions = np.zeros(0)
        self._begun = 0
        self._now_ns = 0
        self._passed_s = 0.0

    def configure(self) -> None:
        if self.rig.sim is None or self.rig.teleop is None:
            raise XlvlaError(
                f"rig '{self.rig.name}' has no scripted operator: it needs `sim` and `teleop`"
            )
        self._operator = ScriptedOperator(self.rig)
        sys.setswitchinterval(SWITCH_S)
        self.health.fact("scheduling", priority.hasten())
        self._episodes = int(self.rig.teleop.options.get("episodes", 0))
        for side in self.rig.sides:
            self._wrists[side] = self.publisher(topics.tracked_wrist(side))
            self._keypoints[side] = self.publisher(topics.tracked_keypoints(side))
        self._button = self.publisher(topics.BUTTON)
        self._instruction = self.publisher(topics.INSTRUCTION)
        for service in (topics.SIM_RESET, topics.TELEOP_CLUTCH):
            self._services_asked[service.name] = self.create_client(service.type, service.relative)
        watched = {
            topics.SIM_STATUS: statuses.SIM,
            topics.TELEOP_STATUS: statuses.TELEOP,
            topics.RECORDER_STATUS: statuses.RECORDER,
        }
        for topic, form in watched.items():
            self._readers[topic.name] = Reader(self, topic, form)
            self._statuses[topic.name] = {}
        self._states = Reader(self, topics.SIM_STATE, forms.ROW)
        self._positions = np.zeros(0)
        self._begun = 0
        self._now_ns = 0
        self._passed_s = 0.0

    def activate(self) -> None:
        self._instruction.publish(String(data=self._operator.sentence))

    def work(self, stop: threading.Event) -> None:
        with ThreadPoolExecutor(1, "operator plans") as self._planner:
            errand = self._all_episodes()
            for now_ns in self._ticks(stop):
                if self._now_ns:
                    self._passed_s = (now_ns - self._now_ns) / SECOND
                self._now_ns = now_ns
                self._read()
                next(errand)
                self._publish_hands(now_ns)
                self.health.tick("hands")

    def _ticks(self, stop: threading.Event) -> Iterator[int]:
        """The simulation's time [ns], as often in real time as a tracker sees: however slow a
        simulation is, tracking is never lost.
        """
        due_s = time.monotonic()
        while not stop.wait(max(due_s - time.monotonic(), 0.0)):
            due_s = max(due_s + 1 / RATE_HZ, time.monotonic())
            now_ns = self.clock.now_ns()
            if now_ns > 0:
                yield now_ns

    def _read(self) -> None:
        for name, reader in self._readers.items():
            status = reader.newest()
            if status is not None:
                # In place: `_record` waits for a change of the status that it holds.
                self._statuses[name].clear()
                self._statuses[name].update(status)
        state = self._states.newest()
        if state is None:
            return
        episode, positions = state
        if episode == str(self._begun):
            self._positions = positions

    def _publish_hands(self, now_ns: int) -> None:
        """The wrist comes last, so that a subscriber to it has the fingers already."""
        for side in self.rig.sides:
            hands = self._operator.hands(side)
            if hands is None:
                continue
            keypoints = geometry.cloud(hands.keypoints, now_ns, f"{FRAME}/{side}_wrist")
            self._keypoints[side].publish(keypoints)
            self._wrists[side].publish(geometry.pose(hands.T_world_wrist, now_ns, FRAME))

    def _all_episodes(self) -> Wait:
        for number in itertools.count(1):
            try:
                yield from self._episode()
            except XlvlaError as error:
                self.health.counts["given up"] += 1
                self.warn(f"the scripted operator gives this episode up: {error}")
                if self._statuses[topics.RECORDER_STATUS.name].get("state") == "recording":
                    self._button.publish(String(data="stop"))
                yield from self._pass(1.0)
            self.health.counts["episodes"] = number
            while number == self._episodes:
                self.health.ok(f"{number} episodes are done")
                yield

    def _episode(self) -> Wait:
        answer = yield from self._call(topics.SIM_RESET)
        status = statuses.parsed(answer, statuses.SIM_SHAPE)
        self._begun = status["begun"]
        self._positions = np.zeros(0)
        script = yield from self._planned(partial(self._operator.begin, status["seed"]))
        self._operator.play(script)
        yield from self._pass(SEEN_S)
        tracked = partial(self._every, "tracked")
        yield from self._until(tracked, "teleoperation does not see the operator's hands")
        yield from self._record("recording")
        yield from self._clutch()
        yield from self._pass(JOINED_S)
        why = yield from self._solve(script)
        yield from self._call(topics.TELEOP_CLUTCH, data=False)
        yield from self._record("stopped")
        self._button.publish(String(data="failure" if why else "success"))
        self.health.counts["failures" if why else "successes"] += 1
        self.info(f"episode {status['episode']}, seed {status['seed']}: {why or 'success'}")
        yield from self._pass(SEEN_S)

    def _solve(self, script: Script | None) -> Generator[None, None, str]:
        """Drives through the whole plan; why the task is not done then, '' where it is."""
        while script is not None:
            self._operator.play(script)
            while not self._operator.arrived:
                if self._lost:
                    return self._lost
                if self._every("clutched"):
                    self._operator.advance(self._passed_s)
                    yield
                else:
                    yield from self._take_up()
            positions = yield from self._seen()
            script = yield from self._planned(partial(self._operator.go_on, positions))
        end_ns = self._now_ns + round(JUDGED_S * SECOND)
        while not self._task.get("success") and self._now_ns < end_ns:
            yield
        if self._task.get("success"):
            return ""
        return str(self._task.get("text"))

    def _take_up(self) -> Wait:
        """The clutch opened: hands move to the robot's pose and close the clutch again."""
        self.health.counts["taken up again"] += 1
        yield from self._pass(OPEN_S)
        positions = yield from self._seen()
        self._operator.rejoin(positions)
        yield from self._pass(OPEN_S)
        yield from self._clutch()

    def _clutch(self) -> Wait:
        """Closes the clutch, again and again where hands are not seen just then, until every side
        follows.
        """
        refused = ""
        end_ns = self._now_ns + round(REFUSED_S * SECOND)
        while not self._every("clutched"):
            if self._now_ns > end_ns:
                raise XlvlaError(f"the clutch does not close: {refused}")
            try:
                refused = yield from self._call(topics.TELEOP_CLUTCH, data=True)
            except XlvlaError as error:
                refused = str(error)
            yield from self._pass(OPEN_S)

    def _seen(self) -> Generator[None, None, np.ndarray]:
        """Where everything is in this episode, as the simulation published last."""
        yield from self._until(self._has_positions, "the simulation publishes no positions")
        return self._positions

    def _has_positions(self) -> bool:
        return len(self._positions) > 0

    @property
    def _task(self) -> dict[str, Any]:
        """What the simulation published last of this episode."""
        status = self._statuses[topics.SIM_STATUS.name]
        if status.get("begun") != self._begun:
            return {}
        return status

    @property
    def _lost(self) -> str:
        """Why the task cannot be done any more."""
        if self._task.get("done") and not self._task["success"]:
            return str(self._task["text"])
        return ""

    def _every(self, what: str) -> bool:
        """Whether every side is `tracked`, or `clutched`, as teleoperation published last."""
        sides = self._statuses[topics.TELEOP_STATUS.name].get("sides", {})
        return all(sides.get(side, {}).get(what) for side in self.rig.sides)

    def _record(self, state: str) -> Wait:
        """Presses `start` or `stop` and waits until the recorder is in a state."""
        if self.rig.recorder is None:
            return
        status = self._statuses[topics.RECORDER_STATUS.name]

        def reported() -> bool:
            return bool(status)

        def reached() -> bool:
            return status.get("state") == state

        yield from self._until(reported, "the recorder publishes no status")
        self._button.publish(String(data="start" if state == "recording" else "stop"))
        yield from self._until(reached, f"the recorder was to be {state}")

    def _call(self, service: topics.Service, **fields: Any) -> Generator[None, None, str]:
        """The message of a service's answer; XlvlaError where the answer is no, or none comes."""
        client = self._services_asked[service.name]
        yield from self._until(client.service_is_ready, f"no node provides {service.name}")
        asked = client.call_async(service.type.Request(**fields))
        try:
            yield from self._until(asked.done, f"{service.name} did not answer")
        finally:
            client.remove_pending_request(asked)
        answer = asked.result()
        if answer is None:
            raise XlvlaError(f"{service.name}: no answer")
        if not answer.success:
            raise XlvlaError(f"{service.name}: {answer.message}")
        return answer.message

    def _planned(self, plan: Callable[[], Answer]) -> Generator[None, None, Answer]:
        """What another thread plans meanwhile."""
        planned: Future[Answer] = self._planner.submit(plan)
        while not planned.done():
            yield
        return planned.result()

    def _until(self, true: Callable[[], bool], otherwise: str) -> Wait:
        give_up_s = time.monotonic() + PATIENCE_S
        while not true():
            if time.monotonic() > give_up_s:
                raise XlvlaError(f"{otherwise} within {PATIENCE_S:.0f} s")
            yield

    def _pass(self, seconds: float) -> Wait:
        """Lets simulated time pass."""
        end_ns = self._now_ns + round(seconds * SECOND)
        while self._now_ns < end_ns:
            yield


def main() -> None:
    run(OperatorNode)


if __name__ == "__main__":
    main()
