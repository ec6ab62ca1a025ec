"""The process that is an emulated Dex3-1: a DDS peer with 7 motors and 9 pressure sensors.

Imports DDS, so it may not share a process with rclpy: `python -m xlvla_drivers.emulators.dex3_body
lo@1 left DESCRIPTOR`.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from dataclasses import replace
from typing import Any, cast

import numpy as np

from xlvla.hands.dex3 import HAND
from xlvla.types import Side
from xlvla_drivers.arms import g1_dds as dds
from xlvla_drivers.arms.g1 import split_address
from xlvla_drivers.emulators.body_process import serve
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.hands import dex3_frames as wire

RATE_HZ = 200.0
"""Of the states; the device's own is not published."""
HIT_EVERY = 3
"""One frame in so many is the one that a fault of frames hits."""
LATE_S = 0.03

_STALLED = 5  # index 0
_SUFFERING = 2  # thumb 2
_FEW = 3  # motors in a truncated state
_CELSIUS = 35
_HOT_CELSIUS = 95
_OVER_CURRENT = 0x2  # any bit: what they mean is not published
_SUPPLY_V = 48.0


class Body:
    """Motors that stay where they are until they are commanded.

    Attributes:
        plant: 7 joints.
        suffered: the faults that are on.
        counts: commands taken and refused, by reason.
        pressure: of every sensor [9].
    """

    def __init__(self, bus: dds.Bus, side: Side):
        limits = HAND.limits(side)
        self.plant = Plant(np.zeros(wire.MOTORS), limits.lower, limits.upper, limits.velocity)
        self.suffered: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.pressure = np.zeros(wire.SENSORS)
        self.driven = np.zeros(wire.MOTORS, dtype=bool)
        self._kp = np.zeros(wire.MOTORS)
        # The bus ends when the readers and writers do.
        self._bus = bus
        self._states = bus.writer(wire.state_topic(side), dds.HandState)
        self._commands = bus.reader(wire.command_topic(side), dds.HandCmd)
        self._state = wire.new_state()
        self._late: deque[tuple[float, bytes, int]] = deque()
        self._ticks = 0

    def step(self) -> None:
        """One period: commands in, motors on, state out."""
        for data, _ in dds.samples(self._commands):
            if "unplug" not in self.suffered:
                self._obey(data)
        self.plant.stalled[_STALLED] = "stall" in self.suffered
        self.plant.advance()
        self._report()

    def _obey(self, data: bytes) -> None:
        motors = wire.decode_command(data)
        if motors is None or len(motors) != wire.MOTORS:
            self.counts["corrupt"] += 1
            return
        modes = [wire.split_mode(int(byte)) for byte in motors["mode"]]
        if [number for number, _, _ in modes] != list(range(wire.MOTORS)):
            self.counts["wrong motor number"] += 1
            return
        self.counts["taken"] += 1
        enabled = np.array([status == wire.ENABLED and not end for _, status, end in modes])
        self.driven = enabled & (motors["kp"] > 0)
        self._kp = np.where(self.driven, motors["kp"], 0)
        # A motor that is not driven stays where friction holds it.
        self.plant.advance()
        self.plant.command(np.where(self.driven, motors["q"], self.plant.position))

    def _report(self) -> None:
        self._ticks += 1
        motors = self._state.motors
        motors["mode"] = [wire.mode(motor) for motor in range(wire.MOTORS)]
        motors["q"] = self.plant.position
        motors["dq"] = self.plant.velocity
        motors["tau_est"] = self._kp * (self.plant.target - self.plant.position)
        motors["temperature"] = _CELSIUS
        motors["motorstate"] = 0
        if "over_temperature" in self.suffered:
            motors["temperature"][_SUFFERING] = _HOT_CELSIUS
        if "over_current" in self.suffered:
            motors["motorstate"][_SUFFERING] = _OVER_CURRENT
        self._state.sensors["pressure"] = self.pressure[:, None]
        self._state.rest["power_v"] = _SUPPLY_V
        if "unplug" not in self.suffered:
            self._send(self._state)

    def _send(self, state: wire.HandState) -> None:
        """Sends a state as its faults have it."""
        suffered = self.suffered if self._ticks % HIT_EVERY == 0 else set[str]()
        if "truncated" in suffered:
            # DDS itself passes on no bytes that are not a state.
            state = replace(state, motors=state.motors[:_FEW])
        frame = wire.encode_state(state)
        due_s = time.monotonic() + (LATE_S if "late" in suffered else 0.0)
        sent_ns = time.time_ns()
        for _ in range(2 if "duplicated" in suffered else 1):
            self._late.append((due_s, frame, sent_ns))
        for _ in range(len(self._late)):
            due_s, data, sent_ns = self._late.popleft()
            if due_s <= time.monotonic():
                self._states.write(dds.HandState.of(data), sent_ns)
            else:
                self._late.append((due_s, data, sent_ns))


def obey(body: Body, message: dict[str, Any]) -> Any:
    """What the parent asked for."""
    if "place" in message:
        body.plant.place(np.array(message["place"]))
    if "sensor" in message:
        body.pressure[message["sensor"]] = message["pressure"]
    if "fault" in message:
        change = body.suffered.add if message["on"] else body.suffered.discard
        change(message["fault"])
    return {
        "position": body.plant.position.tolist(),
        "counts": body.counts,
        "released": not body.driven.any(),
    }


def main() -> None:
    """Until the parent is gone."""
    address, side, descriptor = sys.argv[1:]
    body = Body(dds.Bus(*split_address(address)), cast(Side, side))
    serve(int(descriptor), RATE_HZ, body.step, lambda message: obey(body, message))


if __name__ == "__main__":
    main()
    os._exit(0)  # DDS takes seconds to take its leave
