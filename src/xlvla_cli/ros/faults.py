"""Injects faults into the emulated devices of a running rig, and measures how its graph handles
them.
"""

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
UNPLUGGED_S = 1.0
"""Time between two looks; how long an emulator may take to obey, and a driver to report; how long a
device stays unplugged.
"""


class FaultOrders:
    """Orders to the emulators of whatever rig runs on a node's ROS domain."""

    def __init__(self, node: Node):
        self._emulated_faults = Reader(node, topics.EMULATED_FAULTS, statuses.EMULATED_FAULTS)
        self._publisher = node.create_publisher(
            topics.INJECT.type, topics.INJECT.relative, topics.INJECT.qos
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
        known_faults = emulated[part]["known"]
        if fault not in known_faults:
            raise unknown("fault", fault, known_faults)
        if (fault in emulated[part]["active"]) != on:
            state = "on" if on else "off"
            self._publisher.publish(String(data=f"{part} {fault} {state}"))
            emulated = self._wait(
                lambda state: (fault in state[part]["active"]) == on,
                f"the emulator of {part} did not obey",
            )
        return emulated[part]["active"]

    def _wait(self, true: Callable[[dict[str, Any]], bool], otherwise: str) -> dict[str, Any]:
        """The first state of the emulators for which `true` holds."""
        give_up_s = time.monotonic() + OBEYED_S
        while True:
            newest = self._emulated_faults.newest()
            if newest is not None:
                self._state = newest
            if self._state is not None and true(self._state):
                return self._state
            if time.monotonic() > give_up_s:
                raise XlvlaError(otherwise)
            time.sleep(LOOK_S)


@dataclass(frozen=True)
class Unplugged:
    """What became of a device that was unplugged.

    Args:
        reported_s: from unplugging it until its driver reported it.
        line: what the driver reported.
        well_s: from plugging it in until the driver reported that all was well.
    """

    part: str
    reported_s: float
    line: str
    well_s: float


def unplug_each(session: Session) -> Iterator[Unplugged]:
    """Unplugs every emulated arm and hand of a running rig for a second, one after the other.

    Times are from when the order was sent until the driver's status was sent, so the order's own
    latency is in them.
    """
    orders = FaultOrders(session.operator.node)
    drivers = [DriverStatus(session, side, part) for side, part in session.rig.emulated]
    for driver in drivers:
        driver.wait(DiagnosticStatus.OK, 0)
        began_ns = time.time_ns()
        orders.order(driver.part, "unplug", True)
        reported_ns, line = driver.wait(DiagnosticStatus.ERROR, began_ns)
        time.sleep(UNPLUGGED_S)
        ended_ns = time.time_ns()
        orders.order(driver.part, "unplug", False)
        well_ns, _ = driver.wait(DiagnosticStatus.OK, ended_ns)
        yield Unplugged(
            part=driver.part,
            reported_s=(reported_ns - began_ns) / SECOND,
            line=line,
            well_s=(well_ns - ended_ns) / SECOND,
        )


class DriverStatus:
    """What the driver of one part of a running rig reports."""

    def __init__(self, session: Session, side: Side, part: Part):
        self.part = f"{side} {part}"
        self._session = session
        topic = topics.device(side, part).history(20)
        self._reader = Reader(session.operator.node, topic, forms.DEVICE)

    def wait(self, level: bytes, since_ns: int) -> tuple[int, str]:
        """The first status of a level from a time on: when it was sent [ns], and its line."""
        give_up_s = time.monotonic() + REPORTED_WITHIN_S
        while time.monotonic() < give_up_s:
            for status, sent_ns in self._reader.every_sent():
                if status.level == level[0] and sent_ns >= since_ns:
                    return sent_ns, status.text
            self._session.supervisor.check()
            time.sleep(LOOK_S)
        raise XlvlaError(
            f"the driver of {self.part} reported no status within {REPORTED_WITHIN_S:.0f} s"
        )
