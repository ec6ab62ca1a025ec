"""Stands in for the vendor's `xhand_controller.xhand_control` where its wheel does not fit, in
front of an emulated XHand.

The names, fields and error codes are the vendor's as public programs use them; what happens behind
them is ours: it speaks RS485 frames to `open_serial`'s port and knows no EtherCAT. A rig chooses it
by `sdk_module: xlvla_drivers.emulators.xhand_sdk`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from xlvla_drivers import thread_clock
from xlvla_drivers.device import LinkLost
from xlvla_drivers.hands import xhand_frames as wire
from xlvla_drivers.serial_link import SerialLink

NO_PORT = 1501001
NO_ANSWER = 1501002
_ANSWER_S = 0.03
_JOINT_FIELDS = (
    "id",
    "sensor_id",
    "position",
    "torque",
    "raw_position",
    "temperature",
    "commboard_err",
    "jointboard_err",
    "tipboard_err",
)
"""Of a joint in the frames, in the order of the fields of `FingerState_t`."""


@dataclass
class ErrorStruct:
    error_code: int = 0
    error_message: str = ""


@dataclass
class FingerCommand_t:
    id: int = 0
    kp: int = 0
    ki: int = 0
    kd: int = 0
    position: float = 0.0
    tor_max: int = 0
    mode: int = 0
    res0: int = 0
    res1: int = 0
    res2: int = 0
    res3: int = 0


def _commands() -> list[FingerCommand_t]:
    return [FingerCommand_t() for _ in range(wire.JOINTS)]


@dataclass
class HandCommand_t:
    finger_command: list[FingerCommand_t] = field(default_factory=_commands)


@dataclass
class Force_t:
    fx: int
    fy: int
    fz: int


@dataclass
class SensorData_t:
    calc_force: Force_t
    raw_force: list[Force_t]
    calc_temperature: int


@dataclass
class FingerState_t:
    id: int
    sensor_id: int
    position: float
    torque: int
    raw_position: int
    temperature: int
    commboard_err: int
    jonitboard_err: int
    tipboard_err: int


@dataclass
class HandState_t:
    finger_state: list[FingerState_t]
    sensor_data: list[SensorData_t]


class XHandControl:
    """One bus with at most one hand, whose id is 0."""

    def __init__(self) -> None:
        self._link: SerialLink | None = None
        self._state = np.zeros((), wire.STATE)[()]

    def open_serial(self, port: str, baud: int) -> ErrorStruct:
        self._link = SerialLink(port, baud, Counter())
        try:
            self._link.open()
        except LinkLost as error:
            return ErrorStruct(NO_PORT, str(error))
        return ErrorStruct()

    def open_ethercat(self, interface: str) -> ErrorStruct:
        return ErrorStruct(NO_PORT, f"{interface}: there is no emulated EtherCAT")

    def list_hands_id(self) -> list[int]:
        return [0] if self._ask(wire.VERSION) is not None else []

    def send_command(self, hand_id: int, command: HandCommand_t) -> ErrorStruct:
        records = np.zeros(wire.JOINTS, wire.COMMAND)
        for record, joint in zip(records, command.finger_command, strict=True):
            for name in ("id", "kp", "ki", "kd", "position", "tor_max", "mode"):
                record[name] = getattr(joint, name)
        response = self._ask(wire.EXCHANGE, records.tobytes())
        if response is None:
            return ErrorStruct(NO_ANSWER, "timeout")
        self._state = wire.state(response)
        return ErrorStruct()

    def read_state(self, hand_id: int, force_update: bool) -> tuple[ErrorStruct, HandState_t]:
        joints: list[FingerState_t] = []
        for joint in self._state["joints"]:
            values = [joint[name].item() for name in _JOINT_FIELDS]
            joints.append(FingerState_t(*values))
        tips: list[SensorData_t] = []
        for tip in self._state["tips"]:
            taxels = [Force_t(*taxel) for taxel in tip["taxels"].tolist()]
            tips.append(SensorData_t(_force(tip["force"]), taxels, tip["temperature"].item()))
        return ErrorStruct(), HandState_t(joints, tips)

    def close_device(self) -> None:
        if self._link is not None:
            self._link.close()

    def _ask(self, command: int, payload: bytes = b"") -> bytes | None:
        assert self._link is not None
        try:
            self._link.send(wire.frame(wire.PC, wire.HAND, command, payload))
            data = self._link.frame(_cut, thread_clock.now_s() + _ANSWER_S)
        except LinkLost:
            return None
        if data is None:
            return None
        return wire.parse(data).payload


def _cut(buffer: bytearray) -> bytes | None:
    return wire.cut(buffer, Counter())


def _force(raw: Any) -> Force_t:
    return Force_t(int(raw["x"]), int(raw["y"]), int(raw["z"]))
