"""Breaks the emulated devices of a running rig, and measures how its graph takes it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import String

from xlvla.errors import XlvlaError, unknown
from xlvla.ros import forms, statuses, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_cli.ros.session import Session

LOOK_S = 0.005
OBEYED_S = 3.0
REPORTED_WITHIN_S = 15.0


class FaultOrders:
    """Orders to the emulators of whatever rig runs on a node's ROS domain."""

    def __init__(self, node: Node):
        self._emulated_faults = Reader(node, topics.EMULATED_FAULTS, statuses.EMULATED_FAULTS)
        self._publisher = node.create_publisher(
            topics.INJECT.type, topics.INJECT.name, topics.INJECT.qos
        )
        self._state: dict[str, Any] | None = None

    def order(self, part: str, fault: str, on: bool) -> list[str]:
        """Begins or ends a fault of an emulated part ('left hand') and returns its active faults.
        XlvlaError where no emulator obeys.
        """
        emulated = self._wait(
            lambda _: self._publisher.get_subscription_count() > 0,
            "no rig with emulated devices runs on this ROS domain",
        )
        if part not in emulated:
            raise unknown("emulated part", part, emulated)
        if fault not in emulated[part]["known"]:
            raise unknown("fault", fault, emulated[part]["known"])
        if (fault in emulated[part]["active"]) != on:
            self._publisher.publish(String(data=f"{part} {fault} {'on' if on else 'off'}"))
            emulated = self._wait(
                lambda state: (fault in state[part]["active"]) == on,
                f"the emulator of {part} did not obey",
            )
        return emulated[part]["active"]

    def _wait(self, true: Callable[[dict[str, Any]], bool], otherwise: str) -> dict[str, Any]:
        """The first state of the emulators for which `true` holds."""
        give_up_s = time.monotonic() + OBEYED_S
        while True:
            told = self._emulated_faults.newest()
            self._state = self._state if told is None else told
            if self._state is not None and true(self._state):
                return self._state
            if time.monotonic() > give_up_s:
                raise XlvlaError(otherwise)
            time.sleep(LOOK_S)


@dataclass(frozen=True)
class Unplugged:
    """What became of a device that was unplugged: until its driver told the graph, and, plugged in
    again, until all was well.
    """

    part: str
    reported_s: float
    line: str
    well_s: float


def unplug_each(session: Session) -> Iterator[Unplugged]:
    """Unplugs every emulated arm and hand of a running rig for a second, one after the other.

    Times are from when the order was sent until the driver's word was sent, so the way of the order
    is in them.
    """
    orders = FaultOrders(session.operator.node)
    readers = {
        key: Reader(session.operator.node, topics.device(*key).history(20), forms.DEVICE)
        for key in session.rig.emulated
    }
    for (side, part), reader in readers.items():
        _status_line(session, reader, side, part, DiagnosticStatus.OK, 0)
        began_ns = time.time_ns()
        orders.order(f"{side} {part}", "unplug", True)
        reported_ns, line = _status_line(
            session, reader, side, part, DiagnosticStatus.ERROR, began_ns
        )
        time.sleep(1.0)
        ended_ns = time.time_ns()
        orders.order(f"{side} {part}", "unplug", False)
        well_ns, _ = _status_line(session, reader, side, part, DiagnosticStatus.OK, ended_ns)
        yield Unplugged(
            f"{side} {part}", (reported_ns - began_ns) / SECOND, line, (well_ns - ended_ns) / SECOND
        )


def _status_line(
    session: Session, reader: Reader, side: Side, part: Part, level: bytes, since_ns: int
) -> tuple[int, str]:
    """When a driver first says, from `since_ns` on, that its device is so [ns], and what it
    says.
    """
    give_up_s = time.monotonic() + REPORTED_WITHIN_S
    while time.monotonic() < give_up_s:
        for status, sent_ns in reader.every_sent():
            if status.level == level[0] and sent_ns >= since_ns:
                return sent_ns, status.text
        session.supervisor.check()
        time.sleep(LOOK_S)
    raise XlvlaError(
        f"the driver of {side} {part} reported no status within {REPORTED_WITHIN_S:.0f} s"
    )
