"""The bytes an xArm controller speaks: request and reply on its control port, pushed reports on its
report ports.

UFACTORY private TCP protocol; layouts of the reports as in xarm-python-sdk 1.18.4.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

CONTROL_PORT = 502
REALTIME_PORT = 30000
NORMAL_PORT = 30001
RICH_PORT = 30002
REAL_PORT = 30003

PRIVATE_PROTOCOL = 2
HEARTBEAT_PROTOCOL = 1

GET_VERSION = 1
GET_SERIAL = 2
MOTION_ENABLE = 11
SET_STATE = 12
GET_STATE = 13
GET_QUEUE = 14
GET_ERROR = 15
CLEAN_ERROR = 16
CLEAN_WARNING = 17
SET_BRAKE = 18
SET_MODE = 19
MOVE_LINE = 21
MOVE_JOINT = 23
MOVE_JOINT_BLENDED = 24
MOVE_HOME = 25
MOVE_SERVO = 29
MOVE_SERVO_CARTESIAN = 30
SET_TOOL = 35
SET_LOAD = 36
GET_POSE = 41
GET_JOINTS = 42
GET_IK = 43
GET_FK = 44
IS_JOINT_LIMIT = 45
IS_TCP_LIMIT = 46
GET_TORQUE = 55
JOINT_VELOCITY = 81
MOVE_RELATIVE = 83
GET_POSE_ROTATION_VECTOR = 91
MOVE_SERVO_ROTATION_VECTOR = 93

SETTINGS = (31, 32, 33, 34, 37, 38, 39, 40, 51, 66, 77)
"""Jerks and accelerations, sensitivities, the stored configuration, gravity, checks."""
RESTRICTIONS = (50, 59, 60, 73)
"""Reduced mode, fence, rebound, and the base's offset."""

HAS_ERROR = 0x40
HAS_WARNING = 0x20
CANNOT_MOVE = 0x10
INVALID = 0x08
"""Bits of the state byte of a reply."""

POSITION_MODE = 0
SERVO_MODE = 1
JOINT_VELOCITY_MODE = 4
ONLINE_JOINT_MODE = 6
ONLINE_CARTESIAN_MODE = 7
READY = 0
MOVING = 1
SLEEPING = 2
PAUSED = 3
STOPPED = 4
RESET = 5
"""States; READY is only ever asked for."""

RUNNING = (READY, MOVING, SLEEPING)

_HEADER = struct.Struct(">HHHB")
_MOST_BYTES = 1024


@dataclass(frozen=True)
class Request:
    transaction: int
    protocol: int
    register: int
    payload: bytes

    def encode(self) -> bytes:
        length = 1 + len(self.payload)
        head = _HEADER.pack(self.transaction, self.protocol, length, self.register)
        return head + self.payload


def requests(buffer: bytearray) -> Iterator[Request]:
    """Takes the whole requests off the front of a buffer, heartbeats left out; what cannot be a
    request empties it.
    """
    while len(buffer) >= _HEADER.size:
        transaction, protocol, length, register = _HEADER.unpack_from(buffer)
        if not 1 <= length <= _MOST_BYTES:
            buffer.clear()
            return
        if len(buffer) < 6 + length:
            return
        payload = bytes(buffer[_HEADER.size : 6 + length])
        del buffer[: 6 + length]
        if protocol != HEARTBEAT_PROTOCOL:
            yield Request(transaction, protocol, register, payload)


def reply(request: Request, state: int, payload: bytes = b"") -> bytes:
    length = 2 + len(payload)
    head = _HEADER.pack(request.transaction, request.protocol, length, request.register)
    return head + bytes([state]) + payload


def _layout(size: int, fields: dict[str, tuple[str, int]]) -> np.dtype:
    """A packed structure from `name: (format, offset)`."""
    formats, offsets = zip(*fields.values(), strict=True)
    return np.dtype(
        {
            "names": list(fields),
            "formats": list(formats),
            "offsets": list(offsets),
            "itemsize": size,
        }
    )


_SEVEN = "(7,)<f4"
_SIX = "(6,)<f4"
_HEAD = {
    "size": (">u4", 0),
    "state_mode": ("u1", 4),
    "queued": (">u2", 5),
    "q": (_SEVEN, 7),
    "pose": (_SIX, 35),
    "torque": (_SEVEN, 59),
}
_STATUS = {
    "brakes": ("u1", 87),
    "enabled": ("u1", 88),
    "error": ("u1", 89),
    "warning": ("u1", 90),
    "tool": (_SIX, 91),
    "load": ("(4,)<f4", 115),
    "collision_sensitivity": ("u1", 131),
    "teach_sensitivity": ("u1", 132),
    "gravity": ("(3,)<f4", 133),
}
_RICH = {
    "type": ("u1", 145),
    "axes": ("u1", 146),
    "version": ("S30", 151),
    "tcp_limits": ("(5,)<f4", 181),
    "joint_limits": ("(5,)<f4", 201),
    "servo": ("(7,2)u1", 229),
    "temperature": ("(7,)i1", 245),
    "counter": (">u4", 284),
    "voltage": ("(7,)>u2", 341),
    "current": (_SEVEN, 355),
}
_REALTIME = {
    "size": (">u4", 0),
    "stamp_us": (">u8", 4),
    "state_mode": ("u1", 12),
    "queued": (">u2", 13),
    "target_q": (_SEVEN, 32),
    "target_dq": (_SEVEN, 60),
    "q": (_SEVEN, 116),
    "dq": (_SEVEN, 144),
    "current": (_SEVEN, 200),
    "torque": (_SEVEN, 228),
    "target_pose": (_SIX, 424),
    "pose": (_SIX, 472),
}

REPORTS = {
    REALTIME_PORT: _layout(804, _REALTIME),
    NORMAL_PORT: _layout(145, _HEAD | _STATUS),
    RICH_PORT: _layout(587, _HEAD | _STATUS | _RICH),
    REAL_PORT: _layout(135, _HEAD),
}
"""What each report port pushes: angles [rad, rad/s], torques [Nm], currents [A], poses [mm, rad],
`state_mode` = state | mode << 4.
"""

REPORT_RATE_HZ = {REALTIME_PORT: 200.0, NORMAL_PORT: 5.0, RICH_PORT: 5.0, REAL_PORT: 100.0}


def reports(buffer: bytearray, port: int, counts: Counter[str]) -> Iterator[np.void]:
    """Takes the sound reports of a port off the front of a buffer; counts what it skips as corrupt
    or truncated.
    """
    layout = REPORTS[port]
    head = layout.itemsize.to_bytes(4, "big")
    size = layout.itemsize
    while len(buffer) >= size:
        start = buffer.find(head, 0, size)
        following = buffer.find(head, 1, size) if start == 0 else -1
        if start == 0 and following < 0:
            report = np.frombuffer(bytes(buffer[:size]), layout)[0]
            del buffer[:size]
            if np.isfinite(report["q"]).all():
                yield report
            else:
                counts["corrupt"] += 1
        elif start == 0:
            # Another report begins within this one, so that its end is missing.
            counts["truncated"] += 1
            del buffer[:following]
        else:
            counts["corrupt"] += 1
            # Without a head anywhere, its first bytes may be the last three here.
            del buffer[: start if start > 0 else size - 3]
