"""Emulated Dynamixel X-series servos on one line: the arm's joints, and a gripper where the options
say one.
"""

from __future__ import annotations

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
_COUNTS_PER_RAD = 400.0
"""Of current, by how far a joint is from its goal."""
_POSITION_MODE = 3
_FOLLOWING_MODES = (_POSITION_MODE, 4, wire.CURRENT_POSITION_MODE)
"""Operating modes in which a servo goes to its goal position."""
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
        self.set(wire.MODEL, _XC330)
        self.set(wire.FIRMWARE, _FIRMWARE)
        self.set(wire.ID, servo)
        self.set(wire.BAUD, _BAUDS.get(baud, 1))
        self.set(wire.RETURN_DELAY, 250)
        self.set(wire.OPERATING_MODE, _POSITION_MODE)
        self.set(wire.MAX_POSITION, 4095)
        self.set(wire.RETURN_LEVEL, 2)
        self.set(wire.GOAL_CURRENT, 910)
        self.set(wire.VOLTAGE, 50)
        self.set(wire.TEMPERATURE, _WARM_C)
        self.set(wire.GOAL_POSITION, wire.CENTRE)

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
        measured = wire.CURRENT.address <= address <= wire.TEMPERATURE.address
        if address < wire.ID.address or measured:
            return wire.ACCESS_ERROR
        if address < wire.EEPROM_END and self.get(wire.TORQUE):
            return wire.ACCESS_ERROR
        if address == wire.GOAL_POSITION.address and len(data) >= 4:
            goal = wire.GOAL_POSITION.unpack(data, address)
            if not self._reaches(goal):
                return wire.LIMIT_ERROR
        if address == wire.TORQUE.address and data[0] and self.alert:
            return wire.RESULT_FAIL
        self.table[address : address + len(data)] = data
        return 0

    def _reaches(self, goal: int) -> bool:
        if self.get(wire.OPERATING_MODE) != _POSITION_MODE:
            return True
        return self.get(wire.MIN_POSITION) <= goal <= self.get(wire.MAX_POSITION)

    @property
    def follows(self) -> bool:
        """Goes to its goal position."""
        return bool(self.get(wire.TORQUE)) and self.get(wire.OPERATING_MODE) in _FOLLOWING_MODES


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
        self._ids = tuple(range(options.first_id, options.first_id + count))
        ids = self._ids
        if options.gripper_id:
            ids += (options.gripper_id,)
        self.servos = {servo: Servo(servo, options.baud) for servo in ids}
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
        plant = self.plant
        error = np.where(self._driven, plant.target - plant.position, 0.0)
        for row, number in enumerate(self._ids):
            servo = self.servos[number]
            self._measure(servo, plant.position[row], plant.velocity[row], error[row])
        celsius = _HOT_C if "over_temperature" in self._faults else _WARM_C
        for servo in self.servos.values():
            servo.set(wire.TEMPERATURE, celsius)
            if servo.get(wire.ID) not in self._ids:
                servo.set(wire.POSITION, round(self.gripper_deg * 4096 / 360))

    def _drive(self) -> None:
        """Joints whose torque is on go where they are told, the others stay."""
        self.plant.advance()
        self.plant.command(np.where(self._driven, self._goals, self.plant.position))

    @property
    def _driven(self) -> np.ndarray:
        return np.array([self.servos[number].follows for number in self._ids])

    @property
    def _goals(self) -> np.ndarray:
        goals = [self.servos[number].get(wire.GOAL_POSITION) for number in self._ids]
        return (np.array(goals) - wire.CENTRE) * wire.RAD_PER_COUNT

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
        there = list(self.servos)
        if "loose_cable" in self._faults:
            del there[-1]
        if servo == wire.BROADCAST:
            return there
        return [servo] if servo in there else []

    def _obey(self, servo: int, instruction: int, body: bytes) -> Iterator[bytes]:
        # Nobody answers to what is written to several servos at once.
        silent = instruction in (wire.SYNC_WRITE, wire.BULK_WRITE)
        if servo == wire.BROADCAST and instruction in (wire.WRITE, wire.ACTION):
            silent = True
        for who, what, parameters in self._split(servo, instruction, body):
            if who not in self._listening(wire.BROADCAST):
                continue
            error, data = self._do(self.servos[who], what, parameters)
            if not silent:
                yield wire.status(who, error | self.servos[who].alert, data)

    def _split(self, servo: int, instruction: int, body: bytes) -> Iterator[tuple[int, int, bytes]]:
        """The instruction as one for every servo that it is for."""
        if instruction == wire.SYNC_READ:
            for who in body[4:]:
                yield who, wire.READ, body[:4]
        elif instruction == wire.SYNC_WRITE and len(body) > 4:
            address = body[:2]
            step = 1 + int.from_bytes(body[2:4], "little")
            for begin in range(4, len(body) - step + 1, step):
                data = body[begin + 1 : begin + step]
                yield body[begin], wire.WRITE, address + data
        elif instruction == wire.BULK_READ:
            for begin in range(0, len(body) - 4, 5):
                yield body[begin], wire.READ, body[begin + 1 : begin + 5]
        elif instruction == wire.BULK_WRITE:
            begin = 0
            while begin + 5 <= len(body):
                address = body[begin + 1 : begin + 3]
                size = int.from_bytes(body[begin + 3 : begin + 5], "little")
                data = body[begin + 5 : begin + 5 + size]
                yield body[begin], wire.WRITE, address + data
                begin += 5 + size
        else:
            for who in self._listening(servo):
                yield who, instruction, body

    def _do(self, servo: Servo, instruction: int, body: bytes) -> tuple[int, bytes]:
        """Error and data of an instruction for one servo."""
        address = int.from_bytes(body[:2], "little")
        if instruction == wire.PING:
            model = wire.MODEL.pack(servo.get(wire.MODEL))
            firmware = wire.FIRMWARE.pack(servo.get(wire.FIRMWARE))
            return 0, model + firmware
        if instruction == wire.READ:
            size = int.from_bytes(body[2:4], "little")
            if address + size > wire.TABLE_SIZE:
                return wire.LENGTH_ERROR, b""
            return 0, bytes(servo.table[address : address + size])
        if instruction == wire.WRITE and len(body) > 2:
            return servo.write(address, body[2:]), b""
        if instruction == wire.REG_WRITE and len(body) > 2:
            servo.waiting = address, body[2:]
            return 0, b""
        if instruction == wire.ACTION:
            waiting = servo.waiting
            servo.waiting = None
            if waiting is None:
                return wire.RESULT_FAIL, b""
            return servo.write(*waiting), b""
        if instruction == wire.REBOOT:
            servo.set(wire.HARDWARE_ERROR, 0)
            servo.set(wire.TORQUE, 0)
            return 0, b""
        return wire.INSTRUCTION_ERROR, b""
