"""No message ends a node: each takes whatever comes on the topics it hears, counts what is invalid,
and goes on.

The topics are those that a running node has subscribed to, so a new subscription is tried without
being named here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.context import Context
from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from strange_messages import strange

from xlvla import graph, rig_file
from xlvla.errors import XlvlaError
from xlvla.recording import RecorderConfig
from xlvla.rig import Rig
from xlvla.ros import convert, topics
from xlvla.ros.clock import SimClock
from xlvla.ros.reader import Reader
from xlvla.ros.topics import Topic
from xlvla.run import Supervisor, interruptible, own_domain
from xlvla.types import PARTS
from xlvla_cli.ros.operator import Operator

DOMAIN = 140 + os.getpid() % 16
EVERY_S = 0.02
PATIENCE_S = 40.0
SETTLED_S = 2.0
OF_EVERY_NODE = {"/parameter_events", "/rosout", "/diagnostics"}
"""Topics of every node."""

FRAME_COUNTED = ("refused observations",)
"""What the policy counts where the newest picture or pose is invalid: it looks at them only when it
decides.
"""

PICTURES = (Image, CompressedImage)
"""Strange ones are recorded as what they are, as all that is not too large: the verdict says what
is wrong.
"""

UNREAD = {("sim", "/clock"), ("recorder", "/clock")}
"""Subscriptions that a node does not look into: the one makes the time, the other takes that of the
messages.
"""

ASKED = {"emulators": ((topics.EMULATED_FAULTS, ("left hand unplug on", "left hand unplug off")),)}
"""What a node says only when it is asked to, and how it is asked."""

AS_BEFORE = {"/instruction": String()}
"""What is said on a topic whose last word holds, so that a node goes on as before."""

SIMULATED = ("sim", "joint_states", "teleop", "recorder", "scripted_operator", "policy")
EMULATED = ("left_arm", "right_hand", "emulators", "mirror", "joint_states")


class Stranger:
    """Who speaks on every topic that a node hears, and listens to everything it says."""

    def __init__(
        self,
        rig: Rig,
        node: Node,
        check: Callable[[], None],
        lines: list[str],
        operator: Operator | None = None,
    ):
        self.rig = rig
        self.node = node
        self.check = check
        self.lines = lines
        self._operator = operator
        self._publishers: dict[str, Any] = {}

    def subscribed_by(self, node: str) -> dict[str, type]:
        """Types by the topics that a node has subscribed to."""
        found = self._discovered(
            lambda: self.node.get_subscriber_names_and_types_by_node(node, "/")
        )
        return {
            topic: loaded(types[0])
            for topic, types in found.items()
            if topic not in OF_EVERY_NODE - {topics.DIAGNOSTICS.name}
        }

    def published_by(self, node: str) -> dict[str, Reader]:
        """Readers of what a node publishes."""
        found = self._discovered(lambda: self.node.get_publisher_names_and_types_by_node(node, "/"))
        topics = [
            Topic(name, loaded(types[0]), _qos(reliable=False))
            for name, types in found.items()
            if name not in OF_EVERY_NODE
        ]
        return {topic.name: Reader(self.node, topic) for topic in topics}

    def _discovered(
        self, ask: Callable[[], Sequence[tuple[str, Sequence[str]]]]
    ) -> dict[str, Sequence[str]]:
        """What the graph knows of a node, once nothing was added to it for a while."""
        found = dict[str, Sequence[str]]()
        since = time.monotonic()

        def settled() -> bool:
            nonlocal found, since
            with contextlib.suppress(NodeNameNonExistentError):
                if (now := dict(ask())) != found:
                    found = now
                    since = time.monotonic()
            return bool(found) and time.monotonic() > since + SETTLED_S

        self.until(settled, "the node is not there")
        return found

    def say(self, node: str, topic: str, kind: type, message: Any) -> None:
        """As a publisher that every reader of the topic hears."""
        if topic not in self._publishers:
            durable = any(
                info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
                for info in self._listeners(topic)
            )
            self._publishers[topic] = self.node.create_publisher(
                kind, topic, _qos(reliable=True, latched=durable)
            )
            self.until(
                lambda: self._publishers[topic].get_subscription_count() > 0,
                f"{node} does not hear {topic}",
            )
            time.sleep(0.3)
        self._publishers[topic].publish(message)

    def say_all(self, node: str, topic: str, kind: type) -> None:
        """Everything strange of a type."""
        for message in strange(kind, self.names(topic)):
            self.say(node, topic, kind, message)
            time.sleep(EVERY_S)
        self.check()

    def _listeners(self, topic: str) -> list[Any]:
        return self.node.get_subscriptions_info_by_topic(topic)

    def names(self, topic: str) -> list[str]:
        """The joints that belong on a topic."""
        for side, part in self.rig.parts:
            if topic.startswith(f"/{side}/{part}/"):
                return list(self.rig.joint_names(side, part))
        return [name for part in PARTS for name in self.rig.joint_names("left", part)]

    def goes_on(self, readers: dict[str, Reader], wanted: set[str]) -> None:
        """Everything wanted is said again."""
        missing = set(wanted)

        def heard() -> bool:
            for name, reader in readers.items():
                if any(True for _ in reader.every()):
                    missing.discard(name)
            return not missing

        self.until(heard, lambda: f"no longer said: {sorted(missing)}; {self.lines[-5:]}")

    def active(self, readers: dict[str, Reader], seconds: float = 2.5) -> set[str]:
        """Topics on which something is said within the time."""
        end = time.monotonic() + seconds
        found = set[str]()
        while time.monotonic() < end:
            found |= {name for name, reader in readers.items() if any(True for _ in reader.every())}
            time.sleep(0.02)
        return found

    @property
    def operator(self) -> Operator:
        assert self._operator is not None
        return self._operator

    def counted(self, node: str, keys: Sequence[str]) -> float:
        """The sum of figures that a node tells in its diagnostics."""
        figures = self.operator.figures().get(node, {})
        return sum(float(figures.get(key, "0")) for key in keys)

    def until(self, true: Any, otherwise: Any, again: Any = lambda: None) -> Any:
        """Waits until `true()` is; its value. `again()` is done all the while."""
        give_up = time.monotonic() + PATIENCE_S
        while not (value := true()):
            self.check()
            again()
            assert time.monotonic() < give_up, otherwise() if callable(otherwise) else otherwise
            time.sleep(0.02)
        return value


def loaded(kind: str) -> type:
    """The class of `sensor_msgs/msg/JointState`."""
    package, _, name = kind.split("/")
    return getattr(import_module(f"{package}.msg"), name)


def _qos(reliable: bool, latched: bool = False) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _running(rig: Rig, without: tuple[str, ...], domain: int) -> Iterator[Stranger]:
    lines: list[str] = []
    with (
        interruptible(),
        Supervisor(
            rig,
            graph.chosen(rig, without=without),
            domain=domain,
            listener=lambda name, line: lines.append(line),
        ) as supervisor,
        Operator(domain=domain) as operator,
    ):
        supervisor.wait_ready()
        yield Stranger(rig, operator.node, supervisor.check, lines, operator)


@pytest.fixture(scope="module")
def simulated(untrained_weights, tmp_path_factory) -> Iterator[Stranger]:
    """A simulated rig with everything that can be in one; what motion takes is tried with
    motion.
    """
    driven = rig_file.load("teleop_scripted")
    decided = rig_file.with_choices(rig_file.load("bimanual"), checkpoint=str(untrained_weights(2)))
    recorder = RecorderConfig(folder=str(tmp_path_factory.mktemp("recordings")))
    yield from _running(
        replace(driven, policy=decided.policy, recorder=recorder), ("motion",), DOMAIN
    )


@pytest.fixture(scope="module")
def emulated() -> Iterator[Stranger]:
    yield from _running(
        rig_file.with_choices(rig_file.load("bimanual_emulated"), policy="none"),
        ("motion",),
        DOMAIN + 1,
    )


def takes_everything(stranger: Stranger, node: str) -> None:
    if node == "recorder":
        with contextlib.suppress(XlvlaError):  # the scripted operator may have begun one
            stranger.operator.call(topics.RECORDER_START)
    readers = stranger.published_by(node)
    said = stranger.active(readers)
    said |= {topic.name for topic, _ in ASKED.get(node, ())}
    assert said, f"{node} says nothing"
    heard = stranger.subscribed_by(node)
    for topic, kind in heard.items():
        stranger.say_all(node, topic, kind)
        if topic in AS_BEFORE:
            stranger.say(node, topic, kind, AS_BEFORE[topic])

    def again(topic: str, kind: type) -> Any:
        """What is surely refused, in case it was lost before, or overwritten by the next before
        anybody looked.
        """
        cut = strange(kind, stranger.names(topic))[-1]
        if node == "recorder":  # which looks at sizes alone
            return lambda: stranger.say_all(node, topic, kind)

        def send() -> None:
            for _ in range(20):
                stranger.say(node, topic, kind, cut)
                time.sleep(0.001)

        return send

    for topic, kind in heard.items():
        if (node, topic) in UNREAD or (node == "recorder" and kind in PICTURES):
            continue
        keys = (f"refused {topic}", *FRAME_COUNTED)
        stranger.until(
            lambda keys=keys: stranger.counted(node, keys),
            f"{node} counts nothing of {topic}",
            again(topic, kind),
        )
    for _, orders in ASKED.get(node, ()):
        for order in orders:
            stranger.say(node, topics.INJECT.name, String, String(data=order))
    stranger.goes_on(readers, said)
    own = [line for line in stranger.lines if "refused" in line]
    assert own and all(line.isprintable() for line in stranger.lines), [
        line for line in stranger.lines if not line.isprintable()
    ]
    assert not any("Traceback" in line for line in stranger.lines)


@pytest.mark.parametrize("node", SIMULATED)
def test_a_node_of_a_simulated_rig_takes_whatever_comes_and_goes_on(simulated, node):
    takes_everything(simulated, node)


@pytest.mark.parametrize("node", EMULATED)
def test_a_node_of_a_rig_of_devices_takes_whatever_comes_and_goes_on(emulated, node):
    takes_everything(emulated, node)


@pytest.fixture
def moved() -> Iterator[Stranger]:
    yield from _running(
        rig_file.with_choices(rig_file.load("bimanual"), policy="none"), (), DOMAIN + 2
    )


def test_motion_takes_whatever_comes_and_plays_the_next_chunk(moved):
    for topic, kind in moved.subscribed_by("motion").items():
        moved.say_all("motion", topic, kind)
        keys = (f"refused {topic}", *FRAME_COUNTED)
        cut = strange(kind, moved.names(topic))[-1]
        moved.until(
            lambda keys=keys: moved.counted("motion", keys),
            f"motion counts nothing of {topic}",
            lambda topic=topic, kind=kind, cut=cut: moved.say("motion", topic, kind, cut),
        )
    operator = moved.operator
    rig = moved.rig
    operator.reset()
    operator.call(topics.MOTION_RESET)

    def well() -> None:
        status = DiagnosticStatus(level=DiagnosticStatus.OK, message="well")
        for side, part in rig.parts:
            moved.say("motion", topics.device(side, part).name, DiagnosticStatus, status)
        time.sleep(0.5)

    def engaged() -> str:
        with contextlib.suppress(XlvlaError):
            return operator.call(topics.ENGAGE, data=True)
        return ""

    moved.until(engaged, "motion does not engage any more", well)
    moved.say("motion", topics.SOURCE.name, String, String())
    commands = Reader(operator.node, topics.command("left", "arm"))
    clock = SimClock(operator.node, 1.0)
    names = list(rig.start("left"))
    home = list(rig.start("left").values())

    def chunk() -> None:
        message = convert.trajectory(names, np.array([home] * 20), clock.now_ns(), 20.0)
        moved.say("motion", topics.chunk("left").name, type(message), message)

    moved.until(lambda: commands.newest() is not None, "motion plays no chunk any more", chunk)
    assert not any("Traceback" in line for line in moved.lines)


def test_a_rig_that_somebody_watches_takes_whatever_comes_and_its_terminal_stays_clean(tmp_path):
    rig = rig_file.load("teleop_scripted")
    domain = own_domain()
    path = replace(rig, recorder=RecorderConfig(folder=str(tmp_path))).save(tmp_path / "rig.yaml")
    command = [
        sys.executable,
        "-m",
        "xlvla",
        "run",
        str(path),
        "--without",
        "motion",
        "--domain",
        str(domain),
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    )
    lines: list[str] = []
    listener = threading.Thread(
        target=lambda: lines.extend(line.rstrip("\n") for line in process.stdout or ()), daemon=True
    )
    listener.start()

    def runs() -> None:
        assert process.poll() is None, "\n".join(lines)

    context = Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("stranger", context=context)
    try:
        stranger = Stranger(rig, node, runs, lines)
        stranger.until(lambda: any("is up" in line for line in lines), "the rig does not come up")
        for topic, kind in stranger.subscribed_by("operator").items():
            stranger.say_all("operator", topic, kind)
        stranger.until(
            lambda: any("/diagnostics" in line and "refused)" in line for line in lines),
            lambda: f"it says nothing: {lines}",
        )
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == 0, lines
        listener.join()
        assert any("/sim/status" in line and "refused)" in line for line in lines)
        assert any("box [a] and [/b]" in line for line in lines), "what is cued is shown as it is"
        assert all(line.isprintable() for line in lines), [
            line for line in lines if not line.isprintable()
        ]
        assert not any("Traceback" in line for line in lines)
    finally:
        process.kill()
        process.wait()
        node.destroy_node()
        rclpy.shutdown(context=context)
