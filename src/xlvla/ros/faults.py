"""Breaks the emulated devices of a running rig."""

from __future__ import annotations

import json
import time
from typing import Any

from rclpy.node import Node
from std_msgs.msg import String

from xlvla.errors import XlvlaError, unknown
from xlvla.ros import topics
from xlvla.ros.reader import Reader

LOOK_S = 0.01


def order_fault(node: Node, part: str, fault: str, on: bool, timeout_s: float) -> list[str]:
    """Begins or ends a fault of an emulated part ('left hand'); the faults it suffers from then. XlvlaError where nobody obeys."""
    told = Reader(node, topics.EMULATED_FAULTS)
    publisher = node.create_publisher(topics.INJECT.type, topics.INJECT.name, topics.INJECT.qos)
    give_up_s = time.monotonic() + timeout_s
    state = _wait(
        told, lambda state: publisher.get_subscription_count() > 0, give_up_s, "no rig with emulated devices runs on this ROS domain"
    )
    if part not in state:
        raise unknown("emulated part", part, state)
    if fault not in state[part]["known"]:
        raise unknown("fault", fault, state[part]["known"])
    if (fault in state[part]["active"]) != on:
        publisher.publish(String(data=f"{part} {fault} {'on' if on else 'off'}"))
        state = _wait(told, lambda state: (fault in state[part]["active"]) == on, give_up_s, f"{part} did not obey")
    return state[part]["active"]


def _wait(told: Reader, true: Any, give_up_s: float, otherwise: str) -> dict[str, Any]:
    """The first state of the emulators for which `true` holds."""
    state: dict[str, Any] | None = None
    while state is None or not true(state):
        if time.monotonic() > give_up_s:
            raise XlvlaError(otherwise)
        time.sleep(LOOK_S)
        message = told.newest()
        state = json.loads(message.data) if message is not None else state
    return state
