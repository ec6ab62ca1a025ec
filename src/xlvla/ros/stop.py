"""The stop that binds everybody: what is said on `/motion/stop`, and by drivers that obey it in
their device status.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from rclpy.node import Node
from std_msgs.msg import String

from xlvla.errors import XlvlaError
from xlvla.ros import convert, topics
from xlvla.ros.forms import STOP_STAMP, STOPPED, Form
from xlvla.ros.reader import Raw, Reader

KEPT_FOR_LATER_NS = convert.SECOND
"""A message that comes this long after it was sent was kept for those who start later."""

KEPT = 10
"""How many messages of a stop are kept for a reader that is busy."""

LONGEST = 1000
"""A message with more characters is none of ours."""


@dataclass(frozen=True)
class Stop:
    """A stop, or the end of one.

    Args:
        stopped: drivers brake and hold; False ends it.
        by: who stopped it, for display.
        stamp_ns: when [ns, clock of the graph].
    """

    stopped: bool
    by: str = ""
    stamp_ns: int = 0


def encode(stop: Stop) -> String:
    """The message of `/motion/stop`."""
    return String(
        data=json.dumps({"stopped": stop.stopped, "by": stop.by, "stamp_ns": stop.stamp_ns})
    )


def decode(text: str) -> Stop:
    """What a message says. Only `false` itself ends a stop; any other value stops. XlvlaError where
    it says neither.
    """
    try:
        content: Any = json.loads(text) if len(text) <= LONGEST else None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or "stopped" not in content:
        raise XlvlaError(
            f'{len(text)} characters that say neither "stopped": true nor "stopped": false'
        )
    fields = cast(Mapping[str, Any], content)
    by = fields.get("by")
    stamp_ns = fields.get("stamp_ns")
    return Stop(
        stopped=fields["stopped"] is not False,
        by=_printable(by) if isinstance(by, str) else "",
        stamp_ns=stamp_ns if type(stamp_ns) is int else 0,
    )


def _printable(name: str) -> str:
    return "".join(letter for letter in name[:80] if letter.isprintable())


FORM: Form[Stop] = Form(lambda message: decode(message.data), largest=2 * LONGEST)
"""What is said on `/motion/stop`."""


class StopReader:
    """What is said on `/motion/stop`, for those who stop and go on by it.

    Whoever starts later gets the last word of every publisher, in the order in which they are
    found: the end of an earlier stop may come after a newer stop, and does not end it.
    """

    def __init__(self, node: Node):
        self._reader = Reader(node, topics.STOP.history(KEPT), FORM)
        self._stopped_ns = 0

    def every(self) -> Iterator[Stop]:
        """What was not yet read."""
        for raw in self._reader.every_raw():
            order = self._reader.read(raw)
            if order is None:
                continue
            if order.stopped:
                self._stopped_ns = max(self._stopped_ns, raw.sent_ns)
            if order.stopped or not self._is_overtaken(raw):
                yield order

    def _is_overtaken(self, raw: Raw) -> bool:
        """Whether the end of a stop was said before the newest stop.

        Only of what was kept for later: of what was just sent, by a clock that was set back, it
        cannot be told and need not.
        """
        was_kept = raw.came_ns - raw.sent_ns > KEPT_FOR_LATER_NS
        return was_kept and raw.sent_ns < self._stopped_ns


class StopPublisher:
    """Publishes on `/motion/stop` that all drivers stop, or that a stop has ended; nodes that start
    later receive it, too.
    """

    def __init__(self, node: Node, by: str):
        self._publisher = node.create_publisher(
            topics.STOP.type, topics.STOP.relative, topics.STOP.qos
        )
        self._node = node
        self._by = by

    def close(self) -> None:
        """Takes back what was said, for those who start later."""
        self._node.destroy_publisher(self._publisher)

    def say(self, stopped: bool, stamp_ns: int | None = None) -> None:
        """`stamp_ns`: when, in the clock of the graph; now by the system's clock where None."""
        self._publisher.publish(
            encode(Stop(stopped, self._by, time.time_ns() if stamp_ns is None else stamp_ns))
        )


def mark(status: DiagnosticStatus, by: str | None, stamp_ns: int = 0) -> None:
    """Adds to a device's status who stopped it and the stop's stamp, if it was stopped."""
    if by is not None:
        status.values = [
            *status.values,
            KeyValue(key=STOPPED, value=by),
            KeyValue(key=STOP_STAMP, value=str(stamp_ns)),
        ]
