"""Any topic on a ROS domain, whatever its type, for people: the graph is asked for its type and its
QoS, messages are shown as text.
"""

from __future__ import annotations

import array
import importlib
import importlib.util
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from xlvla.errors import XlvlaError, unknown
from xlvla.network import reach
from xlvla.ros import participant
from xlvla.ros.neighbours import DISCOVERY_S, UNNAMED, full_name, own_name
from xlvla.ros.reader import Reader
from xlvla.ros.topics import Topic
from xlvla.text import plain

LARGEST = 64 << 20
"""Bytes of a message that is still shown."""

DEPTH = 100
"""Messages kept between two looks."""

LONGEST_TEXT = 2000
MOST_NUMBERS = 40
MOST_PARTS = 20
"""What of a text, of numbers and of a list of messages is shown."""

LOOK_S = 0.05
SETTLES_S = 1.2
"""Once no topic has appeared for so long, all that are on this machine have."""


@dataclass(frozen=True)
class Published:
    """A topic that is published.

    Args:
        types: its message types (`sensor_msgs/msg/JointState`); more than one where publishers
            disagree.
        publishers: full names of the nodes that publish it; viewers are left out.
    """

    name: str
    types: tuple[str, ...]
    publishers: tuple[str, ...]


class TopicViewer:
    """A participant of a ROS domain that only listens; context manager.

    Args:
        domain: ROS domain; None: the environment's.
    """

    def __init__(self, domain: int | None = None):
        if fault := reach(False, os.environ).fault:
            raise XlvlaError(fault)
        self._node = participant.node_of_its_own("topic_viewer", domain)

    def __enter__(self) -> TopicViewer:
        return self

    def __exit__(self, *exc_info: object) -> None:
        participant.leave(self._node)

    def published(self) -> list[Published]:
        """Every topic that is published now, by name; waits until the nodes were discovered."""
        found = self._settled()
        return [found[name] for name in sorted(found)]

    def find(self, name: str) -> Published:
        """The topic of that name, with or without its first slash; XlvlaError where nobody
        publishes it.
        """
        wanted = f"/{name.lstrip('/')}"
        found = self._settled(wanted)
        if not found:
            raise self.nothing
        if wanted not in found:
            domain = self._node.context.get_domain_id()
            raise unknown(f"topic published on ROS domain {domain}", wanted, sorted(found))
        return found[wanted]

    @property
    def nothing(self) -> XlvlaError:
        """The error where nobody else is on the domain."""
        domain = self._node.context.get_domain_id()
        return XlvlaError(
            f"nothing is published on ROS domain {domain}: is a rig up, and on this domain "
            "(ROS_DOMAIN_ID, --domain)?"
        )

    def is_published(self, name: str) -> bool:
        """Whether somebody publishes a topic of this full name now."""
        return bool(self._node.get_publishers_info_by_topic(name))

    def subscribe(self, topic: Published) -> Reader[Any]:
        """A reader of a topic, with the QoS of its publishers."""
        name, *others = topic.types
        if others:
            kinds = " and ".join(plain(kind) for kind in topic.types)
            raise XlvlaError(f"{topic.name} is published as {kinds}: two programs disagree")
        kind = message_type(name)
        return Reader(
            self._node, Topic(topic.name, kind, self._qos(topic), largest=LARGEST, foreign=True)
        )

    def _settled(self, wanted: str = "") -> dict[str, Published]:
        """What is published once every node had the time to be discovered; sooner where `wanted`
        was and nothing new is.
        """
        give_up_s = time.monotonic() + DISCOVERY_S
        settled_s = time.monotonic() + SETTLES_S
        found = self._published()
        while time.monotonic() < give_up_s:
            if wanted in found and time.monotonic() > settled_s:
                break
            time.sleep(LOOK_S)
            before = found
            found = self._published()
            unnamed = any(UNNAMED in topic.publishers for topic in found.values())
            if unnamed or found != before:
                settled_s = time.monotonic() + SETTLES_S
        return found

    def _published(self) -> dict[str, Published]:
        found: dict[str, Published] = {}
        for name, types in self._node.get_topic_names_and_types():
            publishers = {
                full_name(entry.node_name, entry.node_namespace)
                for entry in self._node.get_publishers_info_by_topic(name)
            }
            # Every node publishes a log and its parameters, this one and other viewers, too.
            if publishers := publishers - {own_name(self._node)}:
                found[name] = Published(name, tuple(types), tuple(sorted(publishers)))
        return found

    def _qos(self, topic: Published) -> QoSProfile:
        """The strictest QoS that every publisher of the topic meets."""
        publishers = self._node.get_publishers_info_by_topic(topic.name)
        offered = [publisher.qos_profile for publisher in publishers]
        reliable = all(qos.reliability == ReliabilityPolicy.RELIABLE for qos in offered)
        latched = all(qos.durability == DurabilityPolicy.TRANSIENT_LOCAL for qos in offered)
        return QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=DEPTH,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
        )


def message_type(name: str) -> Any:
    """The class of a message type, as `sensor_msgs/msg/JointState`; XlvlaError where it is not
    installed.
    """
    missing = XlvlaError(
        f"messages of type {plain(name)} are not installed here: install their Python package, "
        "or source the workspace that builds it"
    )
    package, _, kind = name.partition("/msg/")
    # The name is a stranger's: only a package of messages is imported for it.
    if not package.isidentifier() or not _has_messages(package):
        raise missing
    found = getattr(importlib.import_module(f"{package}.msg"), kind, None)
    if not hasattr(found, "get_fields_and_field_types"):
        raise missing
    return found


def _has_messages(package: str) -> bool:
    try:
        spec = importlib.util.find_spec(package)
    except ValueError:  # `__main__`, of a script
        return False
    folders = spec.submodule_search_locations if spec else None
    return any((Path(folder) / "msg" / "__init__.py").is_file() for folder in folders or ())


def lines(message: Any, indent: str = "") -> Iterator[str]:
    """A message as text, a line for every field; what is long is cut and counted.

    >>> from std_msgs.msg import Header
    >>> print(*lines(Header(frame_id="world")), sep="\\n")
    stamp: 0.000000000
    frame_id: world
    """
    for name in message.get_fields_and_field_types():
        value = getattr(message, name)
        if _is_time(value):
            yield f"{indent}{name}: {value.sec}.{value.nanosec:09d}"
        elif _is_message(value):
            yield f"{indent}{name}:"
            yield from lines(value, indent + "  ")
        elif isinstance(value, list) and value and _is_message(value[0]):
            yield from _parts(name, value, indent)
        else:
            yield f"{indent}{name}: {_text(value)}"


def _parts(name: str, messages: Sequence[Any], indent: str) -> Iterator[str]:
    for number, part in enumerate(messages[:MOST_PARTS]):
        yield f"{indent}{name}[{number}]:"
        yield from lines(part, indent + "  ")
    if len(messages) > MOST_PARTS:
        yield f"{indent}{name}: {len(messages) - MOST_PARTS} more"


def _is_message(value: Any) -> bool:
    return hasattr(value, "get_fields_and_field_types")


def _is_time(value: Any) -> bool:
    return _is_message(value) and set(value.get_fields_and_field_types()) == {"sec", "nanosec"}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return plain(value, longest=LONGEST_TEXT)
    if isinstance(value, bytes):  # an octet
        return str(int.from_bytes(value, "little"))
    if isinstance(value, (list, tuple, array.array, np.ndarray)):
        shown = ", ".join(_text(entry) for entry in value[:MOST_NUMBERS])
        more = len(value) - MOST_NUMBERS
        return f"[{shown}, and {more} more]" if more > 0 else f"[{shown}]"
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    return plain(value)
