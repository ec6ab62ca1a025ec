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

from xlvla.types import NONE, SIDES, Side
from xlvla_drivers.arms import g1_dds as dds
from xlvla_drivers.arms import g1_frames as wire
from xlvla_drivers.arms.g1 import split_address
from xlvla_drivers.arms.g1_remote import REMOTE, combinations
from xlvla_drivers.emulators.body_process import serve
from xlvla_drivers.emulators.g1_motors import MotorLaw, Motors
from xlvla_drivers.emulators.g1_witness import Witness

RATE_HZ = 500.0
MODE_MACHINE = 5
"""29 joints, revision 1.0."""
OTHER_MODE_MACHINE = 9
UNSTATED = 0
"""mode_machine of programs that leave it out, which Unitree's simulators tolerate."""
HIT_EVERY = 3
LATE_S = 0.03

OWN_KP = 150.0
OWN_KD = 4.0
"""With which the robot's own service holds a joint [Nm/rad, Nm s/rad], beside its weight."""

BATTERY_EVERY = 50
"""Periods from one message of the battery to the next."""

_ELBOW = 3
"""Of an arm's motors; the one that suffers."""
_CELSIUS = 35
_HOT_CELSIUS = 95
_OVER_CURRENT = 0x2
"""Any bit: what they mean is not published."""
_CHARGE = 80
_LOW_CHARGE = 8
_BATTERY_MV = 52_000
_BATTERY_MA = -4_000
_STOP_KEYS = combinations(["L1+A"])["L1+A"]
_REMOTE_HEAD = (0x55, 0x51)
"""Any bytes that are not zero."""


class Body:
    """Motors that the robot's own service holds where they were placed, as far as commands do not
    outweigh it; what a command said last goes on.

    Attributes:
        motors: 29, with their mechanics.
        suffered: faults by the side they were injected on.
        counts: commands taken and refused, by reason.
        witness: what was commanded since when.
    """

    def __init__(self, bus: dds.Bus):
        self.carries: dict[Side, str] = dict.fromkeys(SIDES, NONE)
        self.motors = Motors(self.carries, 1 / RATE_HZ)
        self.suffered: dict[str, set[str]] = {side: set() for side in SIDES}
        self.counts: Counter[str] = Counter()
        self.witness = Witness()
        # The pose that the robot holds by itself [29] rad, what motors were told last, and how much
        # of that counts [29].
        self._own = np.zeros(wire.JOINTS)
        self._told = self._own_law()
        self._share = np.zeros(wire.JOINTS)
        # Kept, since its end is that of its readers and writers.
        self._bus = bus
        self._states = bus.writer(wire.STATE_TOPIC, dds.LowState)
        self._batteries = bus.writer(wire.BATTERY_TOPIC, dds.BmsState)
        self._readers = {
            wire.ARM_TOPIC: bus.reader(wire.ARM_TOPIC, dds.LowCmd),
            wire.LOW_TOPIC: bus.reader(wire.LOW_TOPIC, dds.LowCmd),
        }
        self._state = wire.LOW_STATE.new()
        self._state["quaternion"] = (1, 0, 0, 0)
        self._late: deque[tuple[float, bytes, int]] = deque()
        self._ticks = 0

    def place(self, side: Side, position: list[float], carries: str) -> None:
        """An arm is there, at rest, and stays there of its own; it has that hand."""
        pose = self.motors.position
        pose[wire.ARM[side]] = position
        if carries != self.carries[side]:
            self.carries[side] = carries
            self.motors = Motors(self.carries, 1 / RATE_HZ)
        self.motors.place(pose)
        self._own[wire.ARM[side]] = position

    def suffers(self, fault: str) -> bool:
        return any(fault in faults for faults in self.suffered.values())

    @property
    def mode_machine(self) -> int:
        return OTHER_MODE_MACHINE if self.suffers("other_mode") else MODE_MACHINE

    def step(self) -> None:
        """One period: commands in, motors on, state out."""
        for topic, reader in self._readers.items():
            for data, _ in dds.samples(reader):
                if not self.suffers("unplug"):
                    self._obey(topic, data)
        for side in SIDES:
            elbow = wire.ARM[side].start + _ELBOW
            self.motors.stalled[elbow] = "stall" in self.suffered[side]
        self.motors.step(self._told.blended(self._own_law(), self._share))
        self.witness.see(self.motors.position, self.motors.velocity)
        self._speak()
        if self._ticks % BATTERY_EVERY == 0 and not self.suffers("unplug"):
            self._speak_of_battery()

    def _own_law(self) -> MotorLaw:
        """What the robot's own service tells its motors."""
        return MotorLaw(
            q=self._own,
            dq=np.zeros(wire.JOINTS),
            tau=self.motors.weight(),
            kp=np.full(wire.JOINTS, OWN_KP),
            kd=np.full(wire.JOINTS, OWN_KD),
        )

    def _obey(self, topic: str, data: bytes) -> None:
        command = wire.LOW_CMD.decode(data)
        # Unitree's own example of rt/arm_sdk in C++ sends no CRC.
        without_crc = topic == wire.ARM_TOPIC and command is not None and command["crc"] == 0
        if command is None or not (without_crc or wire.is_sound(command)):
            self.counts["corrupt"] += 1
            return
        if command["mode_machine"] not in (self.mode_machine, UNSTATED):
            self.counts["wrong mode_machine"] += 1
            return
        self.counts["taken"] += 1
        motors = command["motor_cmd"][: wire.JOINTS]
        share = (motors["mode"] == 1).astype(float)
        weight = 1.0
        if topic == wire.ARM_TOPIC:
            # Legs are never commanded there.
            share[: wire.WAIST.start] = 0.0
            weight = float(np.clip(command["motor_cmd"]["q"][wire.WEIGHT], 0, 1))
            share *= weight
        told = (motors[name].astype(float) for name in ("q", "dq", "tau", "kp", "kd"))
        self._told = MotorLaw(*told)
        self._share = share
        self.witness.hear(weight, self._told)

    def _speak(self) -> None:
        self._ticks += 1
        state = self._state
        motors = state["motor_state"][: wire.JOINTS]
        state["tick"] = self._ticks
        state["mode_machine"] = self.mode_machine
        state["wireless_remote"] = self._remote()
        motors["mode"] = 1
        motors["q"] = self.motors.position
        motors["dq"] = self.motors.velocity
        motors["tau_est"] = self.motors.torque
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

    def _remote(self) -> np.ndarray:
        """What the robot hears of its remote [40] bytes."""
        remote = np.zeros(1, REMOTE)
        if not self.suffers("remote_lost"):
            remote["head"] = _REMOTE_HEAD
            remote["keys"] = _STOP_KEYS if self.suffers("remote_stop") else 0
        return remote.view("u1")

    def _speak_of_battery(self) -> None:
        battery = np.zeros((), wire.BATTERY)
        battery["soc"] = _LOW_CHARGE if self.suffers("battery_low") else _CHARGE
        battery["bmsvoltage"] = (_BATTERY_MV, 0, 0)
        battery["current"] = _BATTERY_MA
        self._batteries.write(dds.BmsState.of(wire.HEADER + battery.tobytes()))

    def _send(self, frame: bytes) -> None:
        """Sends a frame as its faults have it."""
        copies = 1
        delay_s = 0.0
        hit = self._ticks % HIT_EVERY == 0
        if self.suffers("garbled") or (hit and self.suffers("bad_checksum")):
            frame = frame[:-1] + bytes([frame[-1] ^ 1])
        if hit:
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
    if message.get("watch"):
        body.witness = Witness()
    return {
        "position": body.motors.position[wire.ARM[side]].tolist(),
        "counts": body.counts,
        "witnessed": body.witness.report(),
    }


def main() -> None:
    """Until the parent is gone."""
    body = Body(dds.Bus(*split_address(sys.argv[1])))
    serve(int(sys.argv[2]), RATE_HZ, body.step, lambda message: obey(body, message))


if __name__ == "__main__":
    main()
    os._exit(0)  # DDS takes seconds to take its leave
