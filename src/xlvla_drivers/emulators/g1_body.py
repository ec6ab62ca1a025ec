"""The process that is an emulated G1: a DDS peer with 29 motors. Told by its parent what to suffer
from, over a socket.

Imports DDS, so it may not share a process with rclpy: `python -m xlvla_drivers.emulators.g1_body
lo@1 DESCRIPTOR`.
"""

from __future__ import annotations

import os
import sys
import time
from collections import Counter, deque
from typing import Any

import numpy as np

from xlvla import catalog
from xlvla.types import SIDES, Side
from xlvla_drivers.arms import g1_dds as dds
from xlvla_drivers.arms import g1_frames as wire
from xlvla_drivers.arms.g1 import split_address
from xlvla_drivers.arms.g1_load import Load
from xlvla_drivers.emulators.body_process import serve
from xlvla_drivers.emulators.plant import Plant

RATE_HZ = 500.0
MODE_MACHINE = 5
"""29 joints, revision 1.0."""
UNSTATED = 0
"""mode_machine of programs that leave it out, which Unitree's simulators tolerate."""
HIT_EVERY = 3
LATE_S = 0.03

_ELBOW = 3
"""Of an arm's motors; the one that suffers."""
_CELSIUS = 35
_HOT_CELSIUS = 95
_OVER_CURRENT = 0x2
"""Any bit: what they mean is not published."""


class Body:
    """Motors that hold a pose of their own, and follow commands as far as they are weighted. Those
    of arms give way to what they carry, as springs do, where a command does not hold it up.

    Attributes:
        plant: 29 joints.
        suffered: faults by the side they were injected on.
        counts: commands taken and refused, by reason.
    """

    def __init__(self, bus: dds.Bus):
        self.plant = _plant()
        self.suffered: dict[str, set[str]] = {side: set() for side in SIDES}
        self.counts: Counter[str] = Counter()
        # The pose that the robot holds by itself, and the one it goes to.
        self._own = self.plant.position.copy()
        self._target = self._own.copy()
        self._kp = np.zeros(wire.JOINTS)
        self._weight = np.zeros(wire.JOINTS)
        self._loads: dict[Side, Load] = {side: Load(side) for side in SIDES}
        # Kept, since its end is that of its readers and writers.
        self._bus = bus
        self._states = bus.writer(wire.STATE_TOPIC, dds.LowState)
        self._readers = {
            wire.ARM_TOPIC: bus.reader(wire.ARM_TOPIC, dds.LowCmd),
            wire.LOW_TOPIC: bus.reader(wire.LOW_TOPIC, dds.LowCmd),
        }
        self._state = wire.LOW_STATE.new()
        self._state["mode_machine"] = MODE_MACHINE
        self._state["quaternion"] = (1, 0, 0, 0)
        self._late: deque[tuple[float, bytes, int]] = deque()
        self._ticks = 0

    def place(self, side: Side, position: list[float], carries: str) -> None:
        """An arm is there, at rest, and stays there of its own; it has that hand."""
        self._loads[side].take(carries)
        self._loads[side].rise(1.0)
        motors = wire.ARM[side]
        pose = self.plant.position.copy()
        pose[motors] = position
        self.plant.place(pose)
        self._own[motors] = position
        self._target[motors] = position

    def suffers(self, fault: str) -> bool:
        return any(fault in faults for faults in self.suffered.values())

    def step(self) -> None:
        """One period: commands in, motors on, state out."""
        for topic, reader in self._readers.items():
            for data, _ in dds.samples(reader):
                if not self.suffers("unplug"):
                    self._obey(topic, data)
        for side in SIDES:
            elbow = wire.ARM[side].start + _ELBOW
            self.plant.stalled[elbow] = "stall" in self.suffered[side]
        self.plant.command(self._target)
        self._speak()

    def _obey(self, topic: str, data: bytes) -> None:
        command = wire.LOW_CMD.decode(data)
        # Unitree's own example of rt/arm_sdk in C++ sends no CRC.
        without_crc = topic == wire.ARM_TOPIC and command is not None and command["crc"] == 0
        if command is None or not (without_crc or wire.is_sound(command)):
            self.counts["corrupt"] += 1
            return
        if command["mode_machine"] not in (MODE_MACHINE, UNSTATED):
            self.counts["wrong mode_machine"] += 1
            return
        self.counts["taken"] += 1
        motors = command["motor_cmd"][: wire.JOINTS]
        driven = (motors["mode"] == 1) & (motors["kp"] > 0)
        weight = 1.0
        if topic == wire.ARM_TOPIC:
            # Legs are never commanded there.
            driven[: wire.WAIST.start] = False
            weight = float(np.clip(command["motor_cmd"]["q"][wire.WEIGHT], 0, 1))
        self._weight = np.where(driven, self._weights(), 0)
        given_way = np.zeros(wire.JOINTS)
        given_way[driven] = (self._weight - motors["tau"])[driven] / motors["kp"][driven]
        blended = weight * (motors["q"] - given_way) + (1 - weight) * self._own
        self._target = np.where(driven, blended, self._target)
        self._kp = np.where(driven, motors["kp"], 0)

    def _weights(self) -> np.ndarray:
        """The torques that would hold the arms up where they are [29] Nm."""
        weights = np.zeros(wire.JOINTS)
        for side, load in self._loads.items():
            weights[wire.ARM[side]] = load.torques(self.plant.position[wire.ARM[side]])
        return weights

    def _speak(self) -> None:
        self._ticks += 1
        state = self._state
        motors = state["motor_state"][: wire.JOINTS]
        state["tick"] = self._ticks
        motors["mode"] = 1
        motors["q"] = self.plant.position
        motors["dq"] = self.plant.velocity
        motors["tau_est"] = self._weight + self._kp * (self._target - self.plant.position)
        motors["temperature"] = _CELSIUS
        motors["motorstate"] = 0
        for side in SIDES:
            elbow = wire.ARM[side].start + _ELBOW
            if "over_temperature" in self.suffered[side]:
                motors["temperature"][elbow] = _HOT_CELSIUS
            if "over_current" in self.suffered[side]:
                motors["motorstate"][elbow] = _OVER_CURRENT
        if not self.suffers("unplug"):
            self._send(wire.LOW_STATE.encode(state))

    def _send(self, frame: bytes) -> None:
        """Sends a frame as its faults have it."""
        copies = 1
        delay_s = 0.0
        if self._ticks % HIT_EVERY == 0:
            if self.suffers("bad_checksum"):
                frame = frame[:-1] + bytes([frame[-1] ^ 1])
            if self.suffers("duplicated"):
                copies = 2
            if self.suffers("late"):
                delay_s = LATE_S
        now_ns = time.time_ns()
        for _ in range(copies):
            self._late.append((time.monotonic() + delay_s, frame, now_ns))
        # One that is late lets those behind it pass.
        for _ in range(len(self._late)):
            due_s, data, sent_ns = self._late.popleft()
            if due_s <= time.monotonic():
                self._states.write(dds.LowState.of(data), sent_ns)
            else:
                self._late.append((due_s, data, sent_ns))


def _plant() -> Plant:
    """Arms with the limits of the catalogue; what is not commanded in tests may turn by pi."""
    lower = np.full(wire.JOINTS, -np.pi)
    upper = np.full(wire.JOINTS, np.pi)
    for side in SIDES:
        limits = catalog.arm("g1").on(side).limits
        lower[wire.ARM[side]] = limits.lower
        upper[wire.ARM[side]] = limits.upper
    return Plant(np.zeros(wire.JOINTS), lower, upper, np.full(wire.JOINTS, 20.0))


def obey(body: Body, message: dict[str, Any]) -> Any:
    """What the parent asked for."""
    if "place" in message:
        body.place(message["side"], message["place"], message["carries"])
    if "fault" in message:
        suffered = body.suffered[message["side"]]
        if message["on"]:
            suffered.add(message["fault"])
        else:
            suffered.discard(message["fault"])
    side: Side = message["side"]
    return {"position": body.plant.position[wire.ARM[side]].tolist(), "counts": body.counts}


def main() -> None:
    """Until the parent is gone."""
    body = Body(dds.Bus(*split_address(sys.argv[1])))
    serve(int(sys.argv[2]), RATE_HZ, body.step, lambda message: obey(body, message))


if __name__ == "__main__":
    main()
    os._exit(0)  # DDS takes seconds to take its leave
