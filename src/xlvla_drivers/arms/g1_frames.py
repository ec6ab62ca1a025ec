"""The two messages a Unitree G1 is commanded and heard with, as bytes: LowCmd_ and LowState_ of
unitree_hg.

A message is kept as the image of its C struct, which the CRC is taken over, its padding named so
that copies keep it. On the wire (classic CDR, little-endian) only the padding before the first
motor differs.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

MOTORS = 35
WAIST = slice(12, 15)
ARM = {"left": slice(15, 22), "right": slice(22, 29)}
"""Where the motors of the waist (yaw, roll, pitch) and of an arm (shoulder to wrist) are."""

JOINTS = 29
WEIGHT = 29
"""The motor whose `q` is the weight of rt/arm_sdk."""

STATE_TOPIC = "rt/lowstate"
LOW_TOPIC = "rt/lowcmd"
ARM_TOPIC = "rt/arm_sdk"
BATTERY_TOPIC = "rt/lf/bmsstate"

HEADER = b"\0\1\0\0"

MOTOR_CMD = np.dtype(
    {
        "names": ["mode", "pad", "q", "dq", "tau", "kp", "kd", "reserve"],
        "formats": ["u1", "(3,)u1", "<f4", "<f4", "<f4", "<f4", "<f4", "<u4"],
        "offsets": [0, 1, 4, 8, 12, 16, 20, 24],
        "itemsize": 28,
    }
)
MOTOR_STATE = np.dtype(
    {
        "names": [
            "mode",
            "pad",
            "q",
            "dq",
            "ddq",
            "tau_est",
            "temperature",
            "vol",
            "sensor",
            "motorstate",
            "reserve",
        ],
        "formats": [
            "u1",
            "(3,)u1",
            "<f4",
            "<f4",
            "<f4",
            "<f4",
            "(2,)<i2",
            "<f4",
            "(2,)<u4",
            "<u4",
            "(4,)<u4",
        ],
        "offsets": [0, 1, 4, 8, 12, 16, 20, 24, 28, 36, 40],
        "itemsize": 56,
    }
)


@dataclass(frozen=True)
class Layout:
    """One message: its C struct, and the offset of the first motor in it."""

    struct: np.dtype
    motors: int

    def new(self) -> np.ndarray:
        """All zero; a 0-d structured array whose fields are set by name."""
        return np.zeros((), self.struct)

    def encode(self, message: np.ndarray) -> bytes:
        """CDR with its header; the CRC is made right first."""
        message["crc"] = crc(message)
        image = message.tobytes()
        first = self.motors
        return HEADER + image[: first - 2] + image[first : first + 1] + b"\0" + image[first + 4 :]

    def decode(self, data: bytes) -> np.ndarray | None:
        """The message in CDR bytes; None when they are not one. The CRC is not looked at
        (`is_sound`).
        """
        first = self.motors
        if len(data) != len(HEADER) + self.struct.itemsize - 4 or data[:2] != HEADER[:2]:
            return None
        body = data[len(HEADER) :]
        image = body[: first - 2] + b"\0\0" + body[first - 2 : first - 1] + b"\0\0\0" + body[first:]
        return np.frombuffer(image, self.struct)[0]


LOW_CMD = Layout(
    np.dtype(
        {
            "names": ["mode_pr", "mode_machine", "pad", "motor_cmd", "reserve", "crc"],
            "formats": ["u1", "u1", "(2,)u1", (MOTOR_CMD, (MOTORS,)), "(4,)<u4", "<u4"],
            "offsets": [0, 1, 2, 4, 984, 1000],
            "itemsize": 1004,
        }
    ),
    motors=4,
)
LOW_STATE = Layout(
    np.dtype(
        {
            "names": [
                "version",
                "mode_pr",
                "mode_machine",
                "pad",
                "tick",
                "quaternion",
                "gyroscope",
                "accelerometer",
                "rpy",
                "imu_temperature",
                "imu_pad",
                "motor_state",
                "wireless_remote",
                "reserve",
                "crc",
            ],
            "formats": [
                "(2,)<u4",
                "u1",
                "u1",
                "(2,)u1",
                "<u4",
                "(4,)<f4",
                "(3,)<f4",
                "(3,)<f4",
                "(3,)<f4",
                "<i2",
                "(2,)u1",
                (MOTOR_STATE, (MOTORS,)),
                "(40,)u1",
                "(4,)<u4",
                "<u4",
            ],
            "offsets": [0, 8, 9, 10, 12, 16, 32, 44, 56, 68, 70, 72, 2032, 2072, 2088],
            "itemsize": 2092,
        }
    ),
    motors=72,
)

BATTERY = np.dtype(
    {
        "names": ["bmsvoltage", "current", "soc", "soh", "temperature", "bmsstate"],
        "formats": ["(3,)<u4", "<i4", "u1", "u1", "(12,)<i2", "(5,)<u4"],
        "offsets": [84, 96, 100, 101, 102, 132],
        "itemsize": 164,
    }
)
"""What of BmsState_ is looked at, as CDR has it without its header; `soc` is the charge in percent.
UNCONFIRMED: voltage in mV, current in mA.
"""

_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc(message: np.ndarray) -> int:
    """CRC-32/MPEG-2 over the image's 32-bit words but the last, most significant bit first.

    zlib has the same polynomial from the other end, so bits are turned around before and after.
    """
    words = np.frombuffer(message.tobytes()[:-4], "<u4").byteswap().tobytes()
    found = zlib.crc32(words.translate(_REVERSED)) ^ 0xFFFFFFFF
    return int(f"{found:032b}"[::-1], 2)


def is_sound(message: np.ndarray) -> bool:
    return int(message["crc"]) == crc(message)


def battery(data: bytes) -> np.ndarray | None:
    """The battery's state in CDR bytes; None when they are not one. It bears no CRC."""
    if len(data) != len(HEADER) + BATTERY.itemsize or data[:2] != HEADER[:2]:
        return None
    return np.frombuffer(data, BATTERY, offset=len(HEADER))[0]
