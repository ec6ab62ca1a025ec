"""A rig that runs without cameras and policy, whose motion node can be ended and started anew,
watched and sent chunks.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import numpy as np

from xlvla import graph, rig_file
from xlvla.errors import XlvlaError
from xlvla.node_process import Listener, Running
from xlvla.rig import Rig
from xlvla.ros import convert, topics
from xlvla.ros.clock import Clock, SimClock
from xlvla.ros.convert import SECOND
from xlvla.run import Supervisor
from xlvla.types import CHUNK_HZ, PARTS, Side
from xlvla_cli.bench.ros.swinging_arm import side_joints
from xlvla_cli.ros.session import Session
from xlvla_drivers.ros.watch import Key, Watch

LOOK_S = 0.01
PATIENCE_S = 25.0

HOME_S = 6.0
"""How long going home may take."""

MOTION = "motion"
"""The node that is started apart."""

MEETS_S = 0.3
"""How long after a node's first message its services and subscriptions are discovered, too."""


def harmless(name: str) -> Rig:
    """A rig of simulated or emulated devices; refuses one with real ones."""
    rig = rig_file.load(name)
    if not rig.sim and set(rig.emulated) != set(rig.parts):
        raise XlvlaError(
            f"rig '{name}' has real devices: this is only tried on simulated and emulated ones"
        )
    return rig


class RunningRig:
    """Context manager: entered, every node is up and engaged.

    Args:
        listener: gets what nodes print.
    """

    def __init__(self, rig: Rig, domain: int, listener: Listener = lambda name, line: None):
        self.rig = replace(rig_file.with_choices(rig, policy="none"), cameras={})
        specs = {spec.name: spec for spec in graph.nodes(self.rig)}
        self._motion_spec = specs.pop(MOTION)
        specs.pop("joint_states", None)
        self._domain = domain
        self.lines = list[str]()
        self._listener = listener
        self.session = Session(
            self.rig, list(specs.values()), domain=domain, listener=self._on_output
        )
        self._publishers: dict[str, Any] = {}
        self._motion: Supervisor | None = None
        self._entered = ExitStack()

    def __enter__(self) -> RunningRig:
        with ExitStack() as stack:
            stack.enter_context(self.session)
            self.operator = self.session.operator
            self.node = self.operator.node
            self.clock = Clock()
            if self.rig.sim:
                self.clock = SimClock(self.node, self.rig.sim.speed)
            self.watch = Watch(self.node, self.rig, max(self.clock.now_ns(), 0))
            stack.callback(self._stop_motion)
            self.start_motion()
            self._entered = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._entered.close()

    def _on_output(self, name: str, line: str) -> None:
        self.lines.append(f"{name}: {line}")
        self._listener(name, line)

    def start_motion(self) -> None:
        """Starts the motion node where it has ended, and waits for its first status."""
        self._stop_motion()
        self.watch.motion_reported = False
        self._motion = Supervisor(
            self.rig, [self._motion_spec], domain=self._domain, listener=self._on_output
        ).__enter__()
        self._motion.wait_ready()
        self.until(lambda: self.watch.motion_reported, "motion publishes no status")
        self.pause(MEETS_S)

    def _stop_motion(self) -> None:
        if self._motion is not None:
            self._motion.stop()

    @property
    def motion(self) -> Running:
        """The process of the motion node."""
        assert self._motion is not None
        return self._motion.nodes[0]

    @property
    def motion_alive(self) -> bool:
        return self.motion.process.poll() is None

    def process(self, name: str) -> Running:
        """The process of another node."""
        return next(node for node in self.session.supervisor.nodes if node.spec.name == name)

    def engage(self) -> None:
        """Ends whatever stopped the rig, and engages."""
        if not self.motion_alive:
            self.start_motion()
        self.prepare(topics.SOURCE)
        self.prepare(topics.STOP)
        for side in self.rig.sides:
            self.prepare(topics.chunk(side))
        self.operator.end_stop()
        self.until(self._engages, "motion does not engage")
        self.pause(0.05)

    def _engages(self) -> bool:
        try:
            return bool(self.operator.call(topics.ENGAGE, data=True))
        except XlvlaError:
            return False

    def go_home(self) -> None:
        """As far as it gets in `HOME_S`: the path home is straight, and what is near on it slows
        it.
        """
        self.operator.call(topics.HOME)
        self.pause(0.2)
        give_up_s = self.now_s() + HOME_S
        while self.watch.state == "going home" and self.now_s() < give_up_s:
            self.pause(0.05)
        if self.watch.state == "going home":
            # Chunks wait until it is home: it stays where it is instead.
            self.operator.call(topics.ENGAGE, data=False)
            self.engage()

    def here(self, side: Side) -> np.ndarray:
        """Where a side is [N] rad by its newest reports."""
        keys: list[Key] = [(side, part) for part in PARTS]
        self.until(
            lambda: all(self.watch.reported(key) for key in keys), f"no joint states of {side}"
        )
        return np.concatenate([self.watch.pose(key) for key in keys])

    def chunk(
        self,
        side: Side,
        points: np.ndarray,
        *,
        late_s: float = 0.0,
        rate_hz: float = CHUNK_HZ,
        relative: bool = False,
    ) -> None:
        """Publishes a chunk [T, N] rad."""
        names = side_joints(self.rig, side)
        stamp_ns = self.clock.now_ns() - round(late_s * SECOND)
        topic = topics.relative_chunk(side) if relative else topics.chunk(side)
        self.send(topic, convert.trajectory(names, points, stamp_ns, rate_hz))

    def send(self, topic: topics.Topic, message: Any) -> None:
        """Publishes, once a node subscribes."""
        self.prepare(topic)
        self._publishers[topic.name].publish(message)

    def prepare(self, topic: topics.Topic) -> None:
        """Makes the publisher of a topic, and waits until a node subscribes."""
        publisher = self._publishers.get(topic.name)
        if publisher is None:
            publisher = self.node.create_publisher(topic.type, topic.relative, topic.qos)
            self._publishers[topic.name] = publisher
            self.pause(MEETS_S)
        if not publisher.get_subscription_count():
            self.until(publisher.get_subscription_count, f"no node subscribes to {topic.name}")

    def unpublish(self, topic: topics.Topic) -> None:
        """Destroys the publisher of a topic, where there is one."""
        if topic.name in self._publishers:
            self.node.destroy_publisher(self._publishers.pop(topic.name))

    def now_s(self) -> float:
        """By the clock of the stamps, as `watch` counts."""
        return self.watch.seconds(self.clock.now_ns())

    def pause(self, seconds: float) -> None:
        """Watches for some time by this machine's clock."""
        end_s = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end_s, "")

    def pass_s(self, seconds: float) -> None:
        """Watches for some time by the clock of the stamps."""
        end_s = self.now_s() + seconds
        self.until(lambda: self.now_s() >= end_s, "the clock stands still")

    def until(self, true: Callable[[], Any], otherwise: str) -> Any:
        """Watches until `true()` is; its value."""
        give_up_s = time.monotonic() + PATIENCE_S
        while not (value := true()):
            self.watch.poll()
            self.session.supervisor.check()
            if time.monotonic() > give_up_s:
                raise XlvlaError(otherwise)
            time.sleep(LOOK_S)
        self.watch.poll()
        return value
