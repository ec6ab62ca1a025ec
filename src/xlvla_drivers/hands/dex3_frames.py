"""The two messages a Unitree Dex3-1 is commanded and heard with, as bytes: HandCmd_ and HandState_
of unitree_hg.

They hold lists of motors and of pressure sensors and no CRC, unlike the robot's own (`g1_frames`).
Classic CDR, little-endian; every list begins with its length and at a multiple of four bytes, so
that its elements are as they lie in a C struct.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla.types import Side
from xlvla_drivers.arms.g1_frames import HEADER, MOTOR_CMD, MOTOR_STATE

MOTORS = 7
"""Thumb 0 to 2, middle 0 and 1, index 0 and 1: the order of `Hand.joints`. One published driver
names the right hand's last four index before middle; this is UNCONFIRMED on hardware.
"""
SENSORS = 9
TAXELS = 12
"""Pressure sensors, and the values that each reports."""

ENABLED = 1
"""Status of a motor that follows its command."""

_COUNT = np.dtype("<u4")
_RESERVE = bytes(4 * 4)
_MOST = 64
"""A list longer than this is none of a hand's."""

PRESS_SENSOR = np.dtype(
    [
        ("pressure", "<f4", TAXELS),
        ("temperature", "<f4", TAXELS),
        ("lost", "<u4"),
        ("reserve", "<u4"),
    ]
)
REST = np.dtype(
    [
        ("quaternion", "<f4", 4),
        ("gyroscope", "<f4", 3),
        ("accelerometer", "<f4", 3),
        ("rpy", "<f4", 3),
        ("imu_temperature", "<i2"),
        ("pad", "u1", 2),
        ("power_v", "<f4"),
        ("power_a", "<f4"),
        ("system_v", "<f4"),
        ("device_v", "<f4"),
        ("error", "<u4", 2),
        ("reserve", "<u4", 2),
    ]
)
"""What a HandState_ holds after its two lists."""


@dataclass(frozen=True)
class HandState:
    """A HandState_: motors [M] of `MOTOR_STATE`, sensors [S] of `PRESS_SENSOR`, rest of `REST`."""

    motors: np.ndarray
    sensors: np.ndarray
    rest: np.ndarray


def command_topic(side: Side) -> str:
    return f"rt/dex3/{side}/cmd"


def state_topic(side: Side) -> str:
    return f"rt/dex3/{side}/state"


def mode(motor: int, timeout: bool = False) -> int:
    """A motor's mode byte: its number, that it is enabled, and whether it is to be released."""
    return motor | ENABLED << 4 | timeout << 7


def split_mode(byte: int) -> tuple[int, int, bool]:
    """Number, status and timeout in a motor's mode byte."""
    return byte & 0x0F, byte >> 4 & 0x07, bool(byte >> 7)


def command(position: np.ndarray, kp: float, kd: float) -> bytes:
    """A HandCmd_ with which every motor goes to a position [7] rad.

    Torque [Nm] of a motor is kp (q - measured q) - kd (measured dq); kp [Nm/rad], kd [Nms/rad].
    """
    motors = _motors()
    motors["q"] = position
    motors["kp"] = kp
    motors["kd"] = kd
    return encode_command(motors)


def release() -> bytes:
    """A HandCmd_ that lets all motors go limp, as the vendor's example does in the end."""
    motors = _motors()
    motors["mode"] = [mode(motor, timeout=True) for motor in range(MOTORS)]
    return encode_command(motors)


def encode_command(motors: np.ndarray) -> bytes:
    """CDR with its header of a HandCmd_ with motors [M] of `MOTOR_CMD`."""
    return HEADER + _list(motors) + _RESERVE


def decode_command(data: bytes) -> np.ndarray | None:
    """Motors [M] of a HandCmd_; None where the bytes are not one."""
    if data[:2] != HEADER[:2]:
        return None
    motors, end = _read_list(data, len(HEADER), MOTOR_CMD)
    if motors is None or len(data) != end + len(_RESERVE):
        return None
    return motors


def new_state() -> HandState:
    """All zero, with as many motors and sensors as a Dex3-1 has; fields are set in place."""
    return HandState(
        np.zeros(MOTORS, MOTOR_STATE), np.zeros(SENSORS, PRESS_SENSOR), np.zeros((), REST)
    )


def encode_state(state: HandState) -> bytes:
    """CDR with its header."""
    return HEADER + _list(state.motors) + _list(state.sensors) + state.rest.tobytes()


def decode_state(data: bytes) -> HandState | None:
    """A HandState_; None where the bytes are not one."""
    if data[:2] != HEADER[:2]:
        return None
    motors, end = _read_list(data, len(HEADER), MOTOR_STATE)
    if motors is None:
        return None
    sensors, end = _read_list(data, end, PRESS_SENSOR)
    if sensors is None or len(data) != end + REST.itemsize:
        return None
    return HandState(motors, sensors, np.frombuffer(data, REST, 1, end)[0])


def _motors() -> np.ndarray:
    """Enabled motors [7] that are told nothing yet."""
    motors = np.zeros(MOTORS, MOTOR_CMD)
    motors["mode"] = [mode(motor) for motor in range(MOTORS)]
    return motors


def _list(elements: np.ndarray) -> bytes:
    return len(elements).to_bytes(4, "little") + elements.tobytes()


def _read_list(data: bytes, start: int, element: np.dtype) -> tuple[np.ndarray | None, int]:
    """The list that begins there, None where there is none, and where it ends."""
    first = start + _COUNT.itemsize
    if len(data) < first:
        return None, start
    count = int.from_bytes(data[start:first], "little")
    end = first + count * element.itemsize
    if count > _MOST or len(data) < end:
        return None, start
    return np.frombuffer(data, element, count, first), end
