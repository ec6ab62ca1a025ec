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
SITES = 6
"""Touch sensors of a finger."""

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
# Of a velocity command.
RAD_S_PER_COUNT = 3000 / 32767 * pi / 180
# Of a reply. The vendor's clients read it otherwise than the vendor's ICD, which is followed here.
ROTOR_RAD_S_PER_COUNT = 0.25
DUTY_PER_COUNT = 1 / 3546
GEAR = np.array([649.0, 649.0, 649.0, 649.0, 649.0, 162.45])
TORQUE_PER_AMPERE = 1.49e-3
"""Nm, at the rotor."""
LOWEST = np.radians([0.0, 0.0, 0.0, 0.0, 0.0, -100.0])
HIGHEST = np.radians([100.0, 100.0, 100.0, 100.0, 100.0, 0.0])

_FLAG = 0x7E
_ESCAPE = 0x7D
_MASK = 0x20
_ESCAPED_FLAG = bytes([_ESCAPE, _FLAG ^ _MASK])
_ESCAPED_ESCAPE = bytes([_ESCAPE, _ESCAPE ^ _MASK])

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
    # Escapes first: those that come with the flags must not be escaped again.
    inside = frame.replace(bytes([_ESCAPE]), _ESCAPED_ESCAPE)
    inside = inside.replace(bytes([_FLAG]), _ESCAPED_FLAG)
    return bytes([_FLAG]) + inside + bytes([_FLAG])


def unstuff(inside: bytes) -> bytes:
    """What was between two flags."""
    frame = inside.replace(_ESCAPED_FLAG, bytes([_FLAG]))
    return frame.replace(_ESCAPED_ESCAPE, bytes([_ESCAPE]))


def cut(buffer: bytearray, counts: Counter[str], lengths: Collection[int] = ()) -> bytes | None:
    """The body, without its sum, of the first sound frame; what it skips is counted.

    A bad frame of none of the expected `lengths` counts as truncated, any other as corrupt.
    """
    while (end := buffer.find(_FLAG)) >= 0:
        frame = unstuff(bytes(buffer[:end]))
        del buffer[: end + 1]
        if len(frame) > 2 and sum(frame) & 0xFF == 0:
            return frame[:-1]
        # Some RS485 adapters put zeros between frames.
        if not any(frame):
            continue
        if lengths and len(frame) not in lengths:
            counts["truncated"] += 1
        else:
            counts["corrupt"] += 1
    return None


def command(address: int, mode: int, variant: int, words: np.ndarray) -> bytes:
    """A motion command: six 16-bit words in the units of its mode."""
    head = bytes([address, mode + variant - 1])
    return stuff(summed(head + _words(words)))


def _words(values: np.ndarray) -> bytes:
    return values.astype("<i2").tobytes()


def request(address: int, header: int) -> bytes:
    """A command without data."""
    return stuff(summed(bytes([address, header])))


def position_words(angles: np.ndarray) -> np.ndarray:
    """Angles [6] rad as the wire counts them, within the hand's range."""
    within = np.clip(angles, LOWEST, HIGHEST)
    return np.rint(within / RAD_PER_COUNT)


def read_reply(body: bytes) -> Reply | None:
    """The reply in a frame's body; None when it is not one."""
    variant = (body[0] & 0x0F) + 1
    if REPLY_LENGTH.get(variant) != len(body) + 1:
        return None
    # Position and a second number of each joint in turn.
    words = np.frombuffer(body, "<i2", 12, 1)
    position = words[::2]
    second = words[1::2]
    hot = body[-1]
    if variant == 3:
        velocity = np.frombuffer(body, "<i2", 6, 25)
        return Reply(variant, position, current=second, velocity=velocity, hot=hot)
    touch = unpack_touch(body[25:70])
    if variant == 1:
        return Reply(variant, position, current=second, touch=touch, hot=hot)
    return Reply(variant, position, velocity=second, touch=touch, hot=hot)


def reply(header: int, answer: Reply) -> bytes:
    """The stuffed frame of a reply; `header` is that of the command it answers."""
    variant = (header & 0x0F) + 1
    second = answer.velocity if variant == 2 else answer.current
    if second is None:
        second = np.zeros(6)
    body = bytes([header]) + _words(np.stack([answer.position, second], axis=1))
    if variant == 3:
        velocity = np.zeros(6) if answer.velocity is None else answer.velocity
        body += _words(velocity)
    else:
        touch = np.zeros(30, int) if answer.touch is None else answer.touch
        body += pack_touch(touch)
    return stuff(summed(body + bytes([answer.hot])))


def unpack_touch(packed: bytes) -> np.ndarray:
    """Thirty 12-bit counts from 45 bytes: two to three bytes, the low nibble first."""
    low, mixed, high = np.frombuffer(packed, np.uint8).reshape(-1, 3).astype(np.int32).T
    first = low | (mixed & 0x0F) << 8
    second = mixed >> 4 | high << 4
    return np.stack([first, second], axis=1).ravel()


def pack_touch(counts: np.ndarray) -> bytes:
    """The inverse of `unpack_touch`."""
    first, second = np.asarray(counts, dtype=np.int32).reshape(-1, 2).T
    low = first & 0xFF
    mixed = first >> 8 | (second & 0x0F) << 4
    high = second >> 4
    return np.stack([low, mixed, high], axis=1).astype(np.uint8).tobytes()


def newtons(counts: np.ndarray) -> np.ndarray:
    """Force on a touch sensor by the ICD's own, provisional calibration; a count of 0 is no
    force.
    """
    volts = np.maximum(counts, 1) * 3.3 / 4096
    force = 121591 / (33000 / volts + 10000) + 0.878894
    return np.where(counts > 0, force, 0.0)


def touch_counts(forces: np.ndarray) -> np.ndarray:
    """The inverse of `newtons`; a force below what one count says is 0."""
    forces = np.asarray(forces)
    pressed = forces > newtons(np.array(1))
    ohms = 121591 / np.maximum(forces - 0.878894, 1e-3)
    volts = 33000 / np.maximum(ohms - 10000, 33000 / 3.3)
    counts = np.clip(np.rint(volts * 4096 / 3.3), 1, 4095)
    return np.where(pressed, counts, 0).astype(np.int32)
