"""Emulated Dynamixel X-series servos on one line: the arm's joints, and a gripper where the options
say one.
"""

from __future__ import annotations

import struct
import threading
from collections import Counter
from collections.abc import Iterator

import numpy as np

from xlvla import catalog
from xlvla.types import Side
from xlvla_drivers.arms import dynamixel_frames as wire
from xlvla_drivers.arms.dynamixel import Options
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.emulators.serial_port import WIRE_FAULTS, SerialPort

_XC330 = 1220
_FIRMWARE = 48
_SPEED_RAD_S = 6.0
_COUNTS_PER_RAD = 400.0  # of current, by how far a joint is off its goal
_WARM_C = 32
_HOT_C = 78
_BAUDS = {
    9600: 0,
    57600: 1,
    115200: 2,
    1_000_000: 3,
    2_000_000: 4,
    3_000_000: 5,
    4_000_000: 6,
    4_500_000: 7,
}


class Servo:
    """The control table of one servo."""

    def __init__(self, servo: int, baud: int):
        self.table = bytearray(wire.TABLE_SIZE)
        self.waiting: tuple[int, bytes] | None = None
        values = {
            wire.MODEL: _XC330,
            wire.FIRMWARE: _FIRMWARE,
            wire.ID: servo,
            wire.BAUD: _BAUDS.get(baud, 1),
            wire.RETURN_DELAY: 250,
        }
        values |= {
            wire.OPERATING_MODE: 3,
            wire.MAX_POSITION: 4095,
            wire.RETURN_LEVEL: 2,
            wire.GOAL_CURRENT: 910,
        }
        values |= {wire.VOLTAGE: 50, wire.TEMPERATURE: _WARM_C, wire.GOAL_POSITION: wire.CENTRE}
        for entry, value in values.items():
            self.set(entry, value)

    def get(self, entry: wire.Field) -> int:
        return entry.unpack(self.table)

    def set(self, entry: wire.Field, value: int) -> None:
        self.table[entry.address : entry.address + entry.size] = entry.pack(value)

    @property
    def alert(self) -> int:
        return wire.ALERT if self.get(wire.HARDWARE_ERROR) else 0

    def write(self, address: int, data: bytes) -> int:
        """Writes as an instruction does; the error."""
        if address + len(data) > len(self.table):
            return wire.LENGTH_ERROR
        if address < wire.ID.address or wire.CURRENT.address <= address <= wire.TEMPERATURE.address:
            return wire.ACCESS_ERROR
        if address < wire.EEPROM_END and self.get(wire.TORQUE):
            return wire.ACCESS_ERROR
        if (
            address == wire.GOAL_POSITION.address
            and len(data) >= 4
            and not self._reaches(struct.unpack_from("<i", data)[0])
        ):
            return wire.LIMIT_ERROR
        if address == wire.TORQUE.address and data[0] and self.alert:
            return wire.RESULT_FAIL
        self.table[address : address + len(data)] = data
        return 0

    def _reaches(self, goal: int) -> bool:
        return self.get(wire.OPERATING_MODE) != 3 or self.get(
            wire.MIN_POSITION
        ) <= goal <= self.get(wire.MAX_POSITION)


class Emulator:
    """A limp arm at its servos' zeros; `plant.place` is the hand that moves it."""

    known_faults = (*WIRE_FAULTS, "stall", "over_temperature", "loose_cable")

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = catalog.arm(options.arm).joints
        self._faults = Faults(self.known_faults)
        self._port = SerialPort(
            address, self._answer, self._faults, baud=options.baud, turnaround_s=0.0005
        )
        count = len(self.joints)
        ids = [options.first_id + k for k in range(count)] + (
            [options.gripper_id] if options.gripper_id else []
        )
        self.servos = {servo: Servo(servo, options.baud) for servo in ids}
        self._ids = tuple(ids[:count])
        self.plant = Plant(
            np.zeros(count), np.full(count, -2e4), np.full(count, 2e4), np.full(count, _SPEED_RAD_S)
        )
        self.gripper_deg = options.gripper_open_deg
        self._received = bytearray()
        self._lock = threading.Lock()

    def start(self) -> None:
        self._port.start()

    def stop(self) -> None:
        self._port.stop()

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)
        with self._lock:
            self.plant.advance()
            self.plant.stalled[:] = "stall" in self._faults
        self._port.wake()

    @property
    def position(self) -> np.ndarray:
        with self._lock:
            self._refresh()
            return self.plant.position.copy()

    def _refresh(self) -> None:
        """Moves the joints on and writes what is measured into the tables."""
        if "over_temperature" in self._faults:
            for servo in self.servos.values():
                servo.set(wire.HARDWARE_ERROR, 0x04)
                servo.set(wire.TORQUE, 0)
        self._drive()
        error = np.where(self._driven, self.plant.target - self.plant.position, 0.0)
        for k, servo in enumerate(self._ids):
            self._measure(
                self.servos[servo], self.plant.position[k], self.plant.velocity[k], error[k]
            )
        for servo in self.servos.values():
            servo.set(wire.TEMPERATURE, _HOT_C if "over_temperature" in self._faults else _WARM_C)
            if servo.get(wire.ID) not in self._ids:
                servo.set(wire.POSITION, round(self.gripper_deg * 4096 / 360))

    def _drive(self) -> None:
        """Joints whose torque is on go where they are told, the others stay."""
        self.plant.advance()
        self.plant.command(np.where(self._driven, self._goals, self.plant.position))

    @property
    def _driven(self) -> np.ndarray:
        return np.array(
            [
                bool(self.servos[i].get(wire.TORQUE))
                and self.servos[i].get(wire.OPERATING_MODE) in (3, 4, 5)
                for i in self._ids
            ]
        )

    @property
    def _goals(self) -> np.ndarray:
        return np.array(
            [
                (self.servos[i].get(wire.GOAL_POSITION) - wire.CENTRE) * wire.RAD_PER_COUNT
                for i in self._ids
            ]
        )

    def _measure(self, servo: Servo, position: float, velocity: float, error: float) -> None:
        limit = servo.get(wire.GOAL_CURRENT)
        servo.set(wire.POSITION, round(position / wire.RAD_PER_COUNT) + wire.CENTRE)
        servo.set(wire.VELOCITY, round(velocity / wire.RAD_S_PER_COUNT))
        servo.set(wire.CURRENT, int(np.clip(round(error * _COUNTS_PER_RAD), -limit, limit)))

    def _answer(self, data: bytes) -> Iterator[bytes]:
        self._received += data
        while (body := wire.cut(self._received, Counter())) is not None:
            if body[1] == wire.STATUS:
                continue
            with self._lock:
                self._refresh()
                answers = list(self._obey(body[0], body[1], body[2:]))
                self._drive()
            yield from answers

    def _listening(self, servo: int) -> list[int]:
        """Who an id speaks to."""
        there = list(self.servos)[:-1] if "loose_cable" in self._faults else list(self.servos)
        return there if servo == wire.BROADCAST else [servo] if servo in there else []

    def _obey(self, servo: int, instruction: int, body: bytes) -> Iterator[bytes]:
        for who, what, parameters in self._split(servo, instruction, body):
            if who in self._listening(wire.BROADCAST):
                error, data = self._do(self.servos[who], what, parameters)
                if instruction in (wire.SYNC_WRITE, wire.BULK_WRITE) or (
                    servo == wire.BROADCAST and instruction in (wire.WRITE, wire.ACTION)
                ):
                    continue
                yield wire.status(who, error | self.servos[who].alert, data)

    def _split(self, servo: int, instruction: int, body: bytes) -> Iterator[tuple[int, int, bytes]]:
        """The instruction as one for every servo that it is for."""
        if instruction == wire.SYNC_READ:
            yield from ((who, wire.READ, body[:4]) for who in body[4:])
        elif instruction == wire.SYNC_WRITE and len(body) > 4:
            step = 1 + int.from_bytes(body[2:4], "little")
            yield from (
                (body[k], wire.WRITE, body[:2] + body[k + 1 : k + step])
                for k in range(4, len(body) - step + 1, step)
            )
        elif instruction == wire.BULK_READ:
            yield from (
                (body[k], wire.READ, body[k + 1 : k + 5]) for k in range(0, len(body) - 4, 5)
            )
        elif instruction == wire.BULK_WRITE:
            k = 0
            while k + 5 <= len(body):
                size = int.from_bytes(body[k + 3 : k + 5], "little")
                yield body[k], wire.WRITE, body[k + 1 : k + 3] + body[k + 5 : k + 5 + size]
                k += 5 + size
        else:
            yield from ((who, instruction, body) for who in self._listening(servo))

    def _do(self, servo: Servo, instruction: int, body: bytes) -> tuple[int, bytes]:
        """Error and data of an instruction for one servo."""
        address = int.from_bytes(body[:2], "little")
        if instruction == wire.PING:
            return 0, wire.MODEL.pack(servo.get(wire.MODEL)) + wire.FIRMWARE.pack(
                servo.get(wire.FIRMWARE)
            )
        if instruction == wire.READ:
            size = int.from_bytes(body[2:4], "little")
            return (
                (0, bytes(servo.table[address : address + size]))
                if address + size <= wire.TABLE_SIZE
                else (wire.LENGTH_ERROR, b"")
            )
        if instruction == wire.WRITE and len(body) > 2:
            return servo.write(address, body[2:]), b""
        if instruction == wire.REG_WRITE and len(body) > 2:
            servo.waiting = address, body[2:]
            return 0, b""
        if instruction == wire.ACTION:
            waiting = servo.waiting
            servo.waiting = None
            return servo.write(*waiting) if waiting else wire.RESULT_FAIL, b""
        if instruction == wire.REBOOT:
            servo.set(wire.HARDWARE_ERROR, 0)
            servo.set(wire.TORQUE, 0)
            return 0, b""
        return wire.INSTRUCTION_ERROR, b""
