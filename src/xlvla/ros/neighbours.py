"""Who else is on this ROS domain: a second rig with nodes of the same names, and others who write
commands.
"""

from __future__ import annotations

import errno
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable

from rclpy.node import Node

from xlvla import environment
from xlvla.errors import XlvlaError
from xlvla.graph import nodes
from xlvla.rig import Rig
from xlvla.ros import topics
from xlvla.ros.reader import Reader

DISCOVERY_S = 3.5
"""Within this time from the start of a node it has found those that were there before it, which
announce themselves every 3 s.
"""

SPEAKS_S = 5.0
"""A node reports on itself every second: one that has not for so long has ended, though discovery
still lists it.
"""

MOTION = "motion"

UNNAMED = "a node whose name is not known yet"
"""Discovery tells of a publisher before it tells whose it is, by a moment."""

_NOT_KNOWN = "_NODE_NAME_UNKNOWN_"
"""What rmw says of it."""


def full_name(name: str, namespace: str) -> str:
    """`/sim`, `/lab/sim`; `UNNAMED` where discovery does not know yet."""
    if name == _NOT_KNOWN:
        return UNNAMED
    return f"{namespace.rstrip('/')}/{name}"


def own_name(node: Node) -> str:
    return full_name(node.get_name(), node.get_namespace())


def beside(node: Node, name: str) -> str:
    """The full name of a node in the namespace of another."""
    return full_name(name, node.get_namespace())


def present(node: Node) -> Counter[str]:
    """How many nodes of each full name are on the domain, `node` itself included."""
    return Counter(
        full_name(name, namespace) for name, namespace in node.get_node_names_and_namespaces()
    )


def writers(node: Node, topic: topics.Topic) -> list[str]:
    """Full names of the nodes that publish a topic, once for every publisher."""
    found = node.get_publishers_info_by_topic(topic.relative)
    return sorted(full_name(entry.node_name, entry.node_namespace) for entry in found)


def second_writer(node: Node, topic: topics.Topic) -> str:
    """`second writer: /name` for a topic of commands that more than motion writes."""
    found = writers(node, topic)
    motion = beside(node, MOTION)
    if motion in found:
        found.remove(motion)
    return f"second writer: {', '.join(found) if found else UNNAMED}"


def refuse_namesake(
    node: Node, health_name: str = "", since_s: float | None = None
) -> socket.socket | None:
    """Raises XlvlaError where another node of this name already runs on the domain: two would
    command the same devices.

    On this machine the name is a socket's, which the kernel takes back however its process ends.
    Where the graph reaches further it is looked at until `DISCOVERY_S` after `since_s` (monotonic;
    now where None); a namesake found there counts when it reports on itself. To be called before
    the node reports itself.

    Args:
        health_name: what the node is called on `/diagnostics`; '' is its own name.

    Returns:
        What holds the name while it is kept; None on a system without such sockets.
    """
    name = own_name(node)
    held = _claim(node.context.get_domain_id(), name)
    if os.environ.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() == "LOCALHOST":
        return held
    found_by_s = (time.monotonic() if since_s is None else since_s) + DISCOVERY_S
    while present(node)[name] < 2:
        if time.monotonic() > found_by_s:
            return held
        time.sleep(0.02)
    if _speaks(node, health_name or node.get_name()):
        raise _runs_already(name)
    return held


def refuse_held(full_name: str) -> None:
    """Raises XlvlaError where a node of this full name runs on the domain of this machine.

    To be called before there is a node, in an environment without faults: the rig that runs would
    disengage when it sees one, if only for a moment.
    """
    held = _claim(environment.domain(), full_name)
    if held is not None:
        held.close()


def _claim(number: int, name: str) -> socket.socket | None:
    """What holds the name of a node on a domain of this machine; XlvlaError where another process
    has it.
    """
    held = socket.socket(socket.AF_UNIX)
    try:
        held.bind(f"\0xlvla-{number}-{name}")
    except OSError as error:
        held.close()
        if error.errno == errno.EADDRINUSE:
            raise _runs_already(name) from None
        return None
    return held


def _runs_already(name: str) -> XlvlaError:
    return XlvlaError(
        f"a node {name} already runs on {domain()}: stop the other rig, or start with another "
        "ROS_DOMAIN_ID or namespace"
    )


def domain() -> str:
    return f"ROS domain {os.environ.get('ROS_DOMAIN_ID') or 0}"


def _speaks(node: Node, name: str) -> bool:
    """Whether somebody of a name reports on itself within `SPEAKS_S`, or a node that may not listen
    must believe so.
    """
    try:
        reader = Reader(node, topics.DIAGNOSTICS.history(100))
    except RuntimeError:  # a secured graph lets no node hear more than it needs
        return True
    until_s = time.monotonic() + SPEAKS_S
    try:
        while time.monotonic() < until_s:
            if any(status.name == name for message in reader.every() for status in message.status):
                return True
            time.sleep(0.02)
    finally:
        reader.close()
    return False


class Neighbours:
    """Strangers beside the nodes of a rig, by the graph alone: cheap enough to ask every second.

    To be made after `refuse_namesake`. What bears a name of the rig by then has ended without a
    word, and is in the graph only until its lease is over.

    Args:
        node: who asks; it may itself write commands.
        written: topics that `node` alone may write; None: all commands of the rig.
    """

    def __init__(self, node: Node, rig: Rig, written: Iterable[topics.Topic] | None = None):
        self._node = node
        self._names = {beside(node, spec.name) for spec in nodes(rig)}
        self._written = (
            tuple(topics.command(*key) for key in rig.parts) if written is None else tuple(written)
        )
        self._ended = self._more()

    def writers(self) -> list[str]:
        """Full names of the other nodes that write commands."""
        others = set[str]()
        for topic in self._written:
            found = Counter(writers(self._node, topic))
            full = self._node.resolve_topic_name(topic.relative)
            found[own_name(self._node)] -= sum(
                publisher.topic_name == full for publisher in self._node.publishers
            )
            others |= set(found - self._ended)
        return sorted(others)

    def doubles(self) -> list[str]:
        """Full names of the rig's nodes that are on the domain more than once."""
        more = self._more()
        self._ended &= more
        return sorted(more - self._ended)

    def _more(self) -> Counter[str]:
        """How many nodes of each of the rig's names there are beside the first."""
        there = present(self._node)
        return Counter({name: there[name] - 1 for name in self._names if there[name] > 1})

    def line(self) -> str:
        """What is wrong and what to do, in one line; '' where nothing is."""
        wrong = list[str]()
        if others := self.writers():
            wrong.append(f"second writer of commands: {', '.join(others)}")
        if doubles := self.doubles():
            wrong.append(f"running twice: {', '.join(doubles)}")
        return (
            f"{'; '.join(wrong)} on {domain()}: stop the other one, or use another ROS_DOMAIN_ID"
            if wrong
            else ""
        )
