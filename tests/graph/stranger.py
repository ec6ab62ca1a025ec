"""Who says everything strange to the nodes of a running rig, and looks whether they go on.

The topics are those that a running node has subscribed to, so a new subscription is tried without
being named here.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from itertools import zip_longest
from typing import Any

from rclpy.node import Node, NodeNameNonExistentError
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Bool, String
from strange_messages import strange

from xlvla import graph
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.ros import sizes, topics
from xlvla.ros.reader import Reader
from xlvla.ros.topics import Topic
from xlvla.run import Supervisor, interruptible, own_domain
from xlvla.types import PARTS
from xlvla_cli.ros.operator import Operator

EVERY_S = 0.02
PATIENCE_S = 40.0
SETTLED_S = 1.0
MET_S = 0.3
"""Readers must have found a new publisher, too."""

WATCHED_S = 2.5
"""Whatever a node publishes again and again it has published once within this time."""

OF_EVERY_NODE = {"/parameter_events", "/rosout", "/diagnostics"}
"""Topics of every node."""

FRAME_COUNTED = ("refused observations",)
"""What the policy counts where the newest picture or pose is invalid: it looks at them only when it
decides.
"""

PICTURES = (Image, CompressedImage)
"""Strange ones are recorded as what they are, as all that is not too large: the verdict says what
is wrong. A Bool is never too large.
"""

UNREAD = {("sim", "/clock"), ("recorder", "/clock"), ("recorder", "/robot_description")}
"""Subscriptions that a node does not look into: the one makes the time, the other takes that of the
messages, and a description may be larger than any of these messages.
"""

ASKED = {"emulators": ((topics.EMULATED_FAULTS, ("left hand unplug on", "left hand unplug off")),)}
"""What a node says only when it is asked to, and how it is asked."""

AS_BEFORE = {"/instruction": String()}
"""What is said on a topic whose last word holds, so that a node goes on as before."""

Types = dict[str, Sequence[str]]


@dataclass
class Target:
    """A node to which everything strange is said: the types of what it subscribes to, readers of
    what it publishes, and on which topics it did before.
    """

    subscriptions: dict[str, type]
    readers: dict[str, Reader]
    published: set[str] = field(default_factory=set)

    def fresh(self) -> set[str]:
        """Topics on which anything was published since the last call."""
        return {name for name, reader in self.readers.items() if list(reader.every())}


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
        self.cut: dict[str, bytes] = {}
        """By topic, the beginning of a message, which is none."""

    def targets(self, nodes: Sequence[str]) -> dict[str, Target]:
        """What each of the nodes subscribes to and publishes, by node."""
        found = self._discovered(nodes)
        made = dict[str, Target]()
        for node, (subscribed, published) in found.items():
            heard = {
                topic: loaded(types[0])
                for topic, types in subscribed.items()
                if topic not in OF_EVERY_NODE - {topics.DIAGNOSTICS.name}
            }
            said = [
                Topic(name, loaded(types[0]), _qos(reliable=False))
                for name, types in published.items()
                if name not in OF_EVERY_NODE
            ]
            made[node] = Target(heard, {topic.name: Reader(self.node, topic) for topic in said})
        return made

    def _discovered(self, nodes: Sequence[str]) -> dict[str, tuple[Types, Types]]:
        """Types by the topics that each node has subscribed to, and by those that it publishes,
        once nothing was added to them for a while.
        """
        found = dict[str, tuple[Types, Types]]()
        since = time.monotonic()

        def now() -> dict[str, tuple[Types, Types]]:
            return {
                node: (
                    dict(self.node.get_subscriber_names_and_types_by_node(node, "/")),
                    dict(self.node.get_publisher_names_and_types_by_node(node, "/")),
                )
                for node in nodes
            }

        def settled() -> bool:
            nonlocal found, since
            with contextlib.suppress(NodeNameNonExistentError):
                if (seen := now()) != found:
                    found = seen
                    since = time.monotonic()
            return bool(found) and time.monotonic() > since + SETTLED_S

        self.until(settled, f"not all of {', '.join(nodes)} are there")
        return found

    def meet(self, heard: dict[str, type]) -> None:
        """Becomes a publisher of each of these topics that every reader of it hears."""
        fresh = {topic: kind for topic, kind in heard.items() if topic not in self._publishers}
        for topic, kind in fresh.items():
            durable = any(
                info.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL
                for info in self._listeners(topic)
            )
            self._publishers[topic] = self.node.create_publisher(
                kind, topic, _qos(reliable=True, latched=durable)
            )
        for topic in fresh:
            self.until(
                lambda topic=topic: self._publishers[topic].get_subscription_count() > 0,
                f"nobody hears {topic}",
            )
        if fresh:
            time.sleep(MET_S)

    def say(self, topic: str, kind: type, message: Any) -> None:
        """Publishes a message, or the bytes of one."""
        self.meet({topic: kind})
        self._publishers[topic].publish(message)

    def say_all(self, heard: dict[str, type], only_too_large: bool = False) -> None:
        """Everything strange of its type on each of these topics, the types side by side; perhaps
        only what is larger than any message of its type may be.
        """
        self.meet(heard)
        speakers = [
            self._saying(kind, [topic for topic in heard if heard[topic] is kind], only_too_large)
            for kind in dict.fromkeys(heard.values())
        ]
        for _ in zip_longest(*speakers):
            time.sleep(EVERY_S)
            self.check()

    def _saying(
        self, kind: type, topics_of_kind: Sequence[str], only_too_large: bool
    ) -> Iterator[None]:
        """Says everything strange of a type on all of its topics at once, a message for each
        step.
        """
        alike = dict[tuple[str, ...], list[str]]()
        for topic in topics_of_kind:
            alike.setdefault(tuple(self.names(topic)), []).append(topic)
        batteries = [strange(kind, names) for names in alike]
        for same, battery in zip(alike.values(), batteries, strict=True):
            self.cut |= dict.fromkeys(same, battery[-1])
        for messages in zip(*batteries, strict=True):
            data = [_serialised(message) for message in messages]
            if only_too_large and len(data[0]) <= sizes.LARGEST.get(kind, 0):
                continue
            for same, some in zip(alike.values(), data, strict=True):
                for topic in same:
                    self._publishers[topic].publish(some)
            yield

    def _listeners(self, topic: str) -> list[Any]:
        return self.node.get_subscriptions_info_by_topic(topic)

    def names(self, topic: str) -> list[str]:
        """The joints that belong on a topic."""
        for side, part in self.rig.parts:
            if topic.startswith(f"/{side}/{part}/"):
                return list(self.rig.joint_names(side, part))
        return [name for part in PARTS for name in self.rig.joint_names("left", part)]

    def watch(self, targets: dict[str, Target]) -> None:
        """Notes on which topics the nodes publish anything: until each has, and for `WATCHED_S`."""
        end = time.monotonic() + WATCHED_S

        def seen() -> bool:
            for target in targets.values():
                target.published |= target.fresh()
            heard = all(targets[name].published for name in targets if name not in ASKED)
            return time.monotonic() > end and heard

        self.until(
            seen, lambda: f"silent: {[name for name in targets if not targets[name].published]}"
        )

    def until_counted(self, node: str, heard: dict[str, type]) -> None:
        """Until the node has counted something invalid on each of these topics, which is said again
        meanwhile: it may have been lost before, or overwritten by the next before anybody looked.
        """
        missing = dict(heard)

        def counted() -> bool:
            for topic in list(missing):
                if self.counted(node, (f"refused {topic}", *FRAME_COUNTED)):
                    del missing[topic]
            return not missing

        def again() -> None:
            if node == "recorder":  # which looks at sizes alone
                self.say_all(missing, only_too_large=True)
                return
            for _ in range(20):
                for topic, kind in missing.items():
                    self.say(topic, kind, self.cut[topic])
                time.sleep(0.001)

        self.until(counted, lambda: f"{node} counts nothing of {', '.join(missing)}", again)

    def goes_on(self, target: Target, wanted: set[str]) -> None:
        """Everything wanted is published again."""
        target.fresh()  # what was published before does not count
        missing = set(wanted)

        def heard() -> bool:
            missing.difference_update(target.fresh())
            return not missing

        self.until(heard, lambda: f"no longer said: {sorted(missing)}; {self.lines[-5:]}")

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


def _serialised(message: Any) -> bytes:
    """A message, or bytes that are none, as it is published; long ones are serialised only once."""
    return message if isinstance(message, bytes) else serialize_message(message)


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


@contextlib.contextmanager
def running(rig: Rig, without: tuple[str, ...] = ()) -> Iterator[Stranger]:
    """The nodes of a rig, and a stranger among them."""
    lines: list[str] = []
    domain = own_domain()
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


Attacked = tuple[Stranger, dict[str, Target]]


def told_everything(stranger: Stranger, nodes: Sequence[str]) -> Attacked:
    """Says everything strange on every topic that one of the nodes has subscribed to."""
    if "recorder" in nodes:
        with contextlib.suppress(XlvlaError):  # the scripted operator may have begun one
            stranger.operator.call(topics.RECORDER_START)
    targets = stranger.targets(nodes)
    stranger.watch(targets)
    heard = dict[str, type]()
    for target in targets.values():
        heard |= target.subscriptions
    stranger.say_all(heard)
    for topic, message in AS_BEFORE.items():
        if topic in heard:
            stranger.say(topic, heard[topic], message)
    return stranger, targets


def took_everything(attacked: Attacked, node: str) -> None:
    """The node has counted what is invalid on each topic, said so in clean lines, and goes on."""
    stranger, targets = attacked
    target = targets[node]
    wanted = target.published | {topic.name for topic, _ in ASKED.get(node, ())}
    assert wanted, f"{node} says nothing"

    read = {
        topic: kind
        for topic, kind in target.subscriptions.items()
        if (node, topic) not in UNREAD and not (node == "recorder" and kind in (*PICTURES, Bool))
    }
    stranger.until_counted(node, read)
    for _, orders in ASKED.get(node, ()):
        for order in orders:
            stranger.say(topics.INJECT.name, String, String(data=order))
    stranger.goes_on(target, wanted)
    own = [line for line in stranger.lines if "refused" in line]
    assert own and all(line.isprintable() for line in stranger.lines), [
        line for line in stranger.lines if not line.isprintable()
    ]
    assert not any("Traceback" in line for line in stranger.lines)
