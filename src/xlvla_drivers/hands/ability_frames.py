"""The Ability hand's serial frames (vendor ICD): stuffed like PPP, summed to zero, angles as 16-bit
words.

Vectors are in the order of the wire, `WIRE_JOINTS`. Variants 1, 2 and 3 of a reply say position
with current and touch, velocity and touch, or current and velocity.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from math import pi

import numpy as np

WIRE_JOINTS = ("index_q1", "middle_q1", "ring_q1", "pinky_q1", "thumb_q2", "thumb_q1")
WIRE_FINGERS = ("index", "middle", "ring", "little", "thumb")
SITES = 6  # touch sensors of a finger

POSITION = 0x10
VELOCITY = 0x20
CURRENT = 0x30
DUTY = 0x40
READ_ONLY = 0xA0
MODES = (POSITION, VELOCITY, CURRENT, DUTY)
LEAVE_API = 0x7C
READ_REGISTER = 0xDA
WRITE_REGISTER = 0xDE

API_TIMEOUT_S = 0.3
RAD_PER_COUNT = 150 / 32767 * pi / 180
RAD_S_PER_COUNT = 3000 / 32767 * pi / 180  # of a velocity command
# Of a reply; the vendor's clients read it otherwise than the vendor's ICD, which we follow
ROTOR_RAD_S_PER_COUNT = 0.25
DUTY_PER_COUNT = 1 / 3546
GEAR = np.array([649.0, 649.0, 649.0, 649.0, 649.0, 162.45])
TORQUE_PER_AMPERE = 1.49e-3  # Nm, at the rotor
LOWEST = np.radians([0.0, 0.0, 0.0, 0.0, 0.0, -100.0])
HIGHEST = np.radians([100.0, 100.0, 100.0, 100.0, 100.0, 0.0])

_FLAG = 0x7E
_ESCAPE = 0x7D
_MASK = 0x20
REPLY_LENGTH = {1: 72, 2: 72, 3: 39}


@dataclass(frozen=True)
class Reply:
    """What the hand says, as it counts: `current` and `velocity` [6], `touch` [30], None where the
    variant has none; `hot` bit by joint.
    """

    variant: int
    position: np.ndarray
    current: np.ndarray | None = None
    velocity: np.ndarray | None = None
    touch: np.ndarray | None = None
    hot: int = 0


def summed(body: bytes) -> bytes:
    """The body and the byte that makes its sum zero."""
    return body + bytes([-sum(body) & 0xFF])


def stuff(frame: bytes) -> bytes:
    """As it goes over the wire: between flags, with flags and escapes inside escaped."""
    inside = frame.replace(bytes([_ESCAPE]), bytes([_ESCAPE, _ESCAPE ^ _MASK])).replace(
        bytes([_FLAG]), bytes([_ESCAPE, _FLAG ^ _MASK])
    )
    return bytes([_FLAG]) + inside + bytes([_FLAG])


def unstuff(inside: bytes) -> bytes:
    """What was between two flags."""
    return inside.replace(bytes([_ESCAPE, _FLAG ^ _MASK]), bytes([_FLAG])).replace(
        bytes([_ESCAPE, _ESCAPE ^ _MASK]), bytes([_ESCAPE])
    )


def cut(buffer: bytearray, counts: Counter[str], lengths: Collection[int] = ()) -> bytes | None:
    """The body, without its sum, of the first sound frame; what it skips is counted.

    A bad frame of none of the expected `lengths` counts as truncated, any other as corrupt.
    """
    while (end := buffer.find(_FLAG)) >= 0:
        frame = unstuff(bytes(buffer[:end]))
        del buffer[: end + 1]
        if len(frame) > 2 and sum(frame) & 0xFF == 0:
            return frame[:-1]
        if any(frame):  # some RS485 adapters put zeros between frames
            counts["truncated" if lengths and len(frame) not in lengths else "corrupt"] += 1
    return None


def command(address: int, mode: int, variant: int, words: np.ndarray) -> bytes:
    """A motion command: six 16-bit words in the units of its mode."""
    return stuff(summed(bytes([address, mode + variant - 1]) + words.astype("<i2").tobytes()))


def request(address: int, header: int) -> bytes:
    """A command without data."""
    return stuff(summed(bytes([address, header])))


def position_words(angles: np.ndarray) -> np.ndarray:
    """Angles [6] rad as the wire counts them, within the hand's range."""
    return np.rint(np.clip(angles, LOWEST, HIGHEST) / RAD_PER_COUNT)


def read_reply(body: bytes) -> Reply | None:
    """The reply in a frame's body; None when it is not one."""
    variant = (body[0] & 0x0F) + 1
    if REPLY_LENGTH.get(variant) != len(body) + 1:
        return None
    words = np.frombuffer(body, "<i2", 12, 1)
    second = words[1::2]
    if variant == 3:
        return Reply(
            variant,
            words[::2],
            current=second,
            velocity=np.frombuffer(body, "<i2", 6, 25),
            hot=body[-1],
        )
    touch = unpack_touch(body[25:70])
    return Reply(
        variant,
        words[::2],
        **{"current" if variant == 1 else "velocity": second},
        touch=touch,
        hot=body[-1],
    )


def reply(header: int, answer: Reply) -> bytes:
    """The stuffed frame of a reply; `header` is that of the command it answers."""
    variant = (header & 0x0F) + 1
    second = answer.velocity if variant == 2 else answer.current
    words = np.stack([answer.position, second if second is not None else np.zeros(6)], axis=1)
    body = bytes([header]) + words.astype("<i2").tobytes()
    if variant == 3:
        body += (
            (answer.velocity if answer.velocity is not None else np.zeros(6))
            .astype("<i2")
            .tobytes()
        )
    else:
        body += pack_touch(answer.touch if answer.touch is not None else np.zeros(30, int))
    return stuff(summed(body + bytes([answer.hot])))


def unpack_touch(packed: bytes) -> np.ndarray:
    """Thirty 12-bit counts from 45 bytes: two to three bytes, the low nibble first."""
    low, mixed, high = np.frombuffer(packed, np.uint8).reshape(-1, 3).astype(np.int32).T
    return np.stack([low | (mixed & 0x0F) << 8, mixed >> 4 | high << 4], axis=1).ravel()


def pack_touch(counts: np.ndarray) -> bytes:
    """The inverse of `unpack_touch`."""
    first, second = np.asarray(counts, dtype=np.int32).reshape(-1, 2).T
    return (
        np.stack([first & 0xFF, first >> 8 | (second & 0x0F) << 4, second >> 4], axis=1)
        .astype(np.uint8)
        .tobytes()
    )


def newtons(counts: np.ndarray) -> np.ndarray:
    """Force on a touch sensor by the ICD's own, provisional calibration; a count of 0 is no
    force.
    """
    volts = np.maximum(counts, 1) * 3.3 / 4096
    return np.where(counts > 0, 121591 / (33000 / volts + 10000) + 0.878894, 0.0)


def touch_counts(forces: np.ndarray) -> np.ndarray:
    """The inverse of `newtons`; a force below what one count says is 0."""
    pressed = np.asarray(forces) > newtons(np.array(1))
    ohms = 121591 / np.maximum(np.asarray(forces) - 0.878894, 1e-3)
    volts = 33000 / np.maximum(ohms - 10000, 33000 / 3.3)
    return np.where(pressed, np.clip(np.rint(volts * 4096 / 3.3), 1, 4095), 0).astype(np.int32)
