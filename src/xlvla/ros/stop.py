"""The stop that binds everybody: what is said on `/motion/stop`, and by drivers that obey it in their device status."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_msgs.msg import String

from xlvla.errors import XlvlaError
from xlvla.ros import topics
from xlvla.ros.reader import Reader

STOPPED = "stopped"
"""Key in a device's status while a stop is latched; its value is who stopped."""

LONGEST = 1000
"""A message with more characters is none of ours."""


@dataclass(frozen=True)
class Stop:
    """A stop, or the end of one.

    Args:
        stopped: drivers brake and hold; False ends it.
        by: who says so, for people.
        stamp_ns: when [ns, clock of the graph].
    """

    stopped: bool
    by: str = ""
    stamp_ns: int = 0


def encode(stop: Stop) -> String:
    """The message of `/motion/stop`."""
    return String(data=json.dumps({"stopped": stop.stopped, "by": stop.by, "stamp_ns": stop.stamp_ns}))


def decode(text: str) -> Stop:
    """What a message says. Only `false` itself ends a stop; any other value stops. XlvlaError where it says neither."""
    try:
        said = json.loads(text) if len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        said = None
    if not isinstance(said, dict) or "stopped" not in said:
        raise XlvlaError(f'{len(text)} characters that say neither "stopped": true nor "stopped": false')
    by, stamp_ns = said.get("by"), said.get("stamp_ns")
    return Stop(
        stopped=said["stopped"] is not False,
        by=_printable(by) if isinstance(by, str) else "",
        stamp_ns=stamp_ns if type(stamp_ns) is int else 0,
    )


def _printable(name: str) -> str:
    return "".join(letter for letter in name[:80] if letter.isprintable())


class StopReader:
    """What is said on `/motion/stop`; `warn` is called with a line about a message that says nothing."""

    def __init__(self, node: Node, warn: Callable[[str], None]):
        self._reader = Reader(node, topics.STOP.history(10))
        self._warn = warn

    def news(self) -> list[Stop]:
        """What was said since the last call, oldest first."""
        said = list[Stop]()
        while (message := self._reader.next()) is not None:
            try:
                said.append(decode(message.data))
            except XlvlaError as error:
                self._warn(f"{topics.STOP.name}: {error}")
        return said


class StopPublisher:
    """Says on `/motion/stop` that everybody stops, or that a stop has ended; whoever starts later hears it, too."""

    def __init__(self, node: Node, by: str):
        self._publisher = node.create_publisher(topics.STOP.type, topics.STOP.name, topics.STOP.qos)
        self._node, self._by = node, by

    def close(self) -> None:
        """Takes back what was said, for those who start later."""
        self._node.destroy_publisher(self._publisher)

    def say(self, stopped: bool, stamp_ns: int | None = None) -> None:
        """`stamp_ns`: when, in the clock of the graph; now by the system's clock where None."""
        self._publisher.publish(encode(Stop(stopped, self._by, time.time_ns() if stamp_ns is None else stamp_ns)))


def mark(status: DiagnosticStatus, by: str | None) -> None:
    """Adds to a device's status who stopped it; nothing where nobody did."""
    if by is not None:
        status.values = [*status.values, KeyValue(key=STOPPED, value=by)]


def stopped_by(status: DiagnosticStatus) -> str | None:
    """Who stopped a device, by its status; None where no stop is latched."""
    return next((entry.value for entry in status.values if entry.key == STOPPED), None)
