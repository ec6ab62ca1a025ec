"""Who commands, as told by two numbers of a command that have names of their own beside the joints:
`session` and `reset`.

A session is one writer from an engagement to the next. A driver follows one at a time: the first it
accepts when it follows none. It follows none after an anchor, a stop or a reset of the simulation,
and once it has accepted no command for `motion.stale_s` and is at rest. So a writer that begins a
new session is silent for `silence_s` first; a stranger who writes while a session is alive is
refused, with or without a session of its own.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sensor_msgs.msg import JointState

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.ros.convert import JointMessage
from xlvla.topics import COMMAND_ORIGIN

LARGEST = 1 << 53
"""Up to here a double holds every whole number: of nanoseconds, 104 days of a simulation."""

MARGIN_S = 0.3
"""What a driver may need to brake to rest once its command is stale, and a message to arrive."""


@dataclass(frozen=True)
class Origin:
    """The session that commands and the id of the reset it knows of; 0 where there is none."""

    session: int = 0
    reset_id: int = 0


def new_session() -> int:
    """A number that no other session has."""
    return 1 + secrets.randbelow((1 << 32) - 1)


class CommandMessage:
    """A command of fixed joints, filled again for every tick, as `JointMessage` is."""

    def __init__(self, names: Sequence[str]):
        self._message = JointMessage([*names, *COMMAND_ORIGIN])

    def fill(self, ns: int, position: np.ndarray, origin: Origin) -> JointState:
        """The message for position [J] rad at a stamp; publish it before the next fill."""
        numbers = np.append(position, (origin.session, origin.reset_id))
        return self._message.fill(ns, numbers)


def take_origin(message: Any) -> Origin:
    """Takes the origin out of a command, a JointState, which then holds joints alone; a writer that
    gives none belongs to no session and knows of no reset.

    Raises:
        XlvlaError: numbers that no session and no reset have.
    """
    numbers = dict.fromkeys(COMMAND_ORIGIN, 0.0)
    for name in COMMAND_ORIGIN:
        if name in message.name and len(message.name) == len(message.position):
            place = message.name.index(name)
            numbers[name] = message.position[place]
            del message.name[place], message.position[place]
    for name, number in numbers.items():
        if not (math.isfinite(number) and number == int(number) and 0 <= number <= LARGEST):
            raise XlvlaError(f"command refused: its {name} is {number}, which is no whole number")
    session, reset_id = numbers.values()
    return Origin(int(session), int(reset_id))


def silence_s(rig: Rig) -> float:
    """How long a writer is silent before it begins a new session with drivers that followed its
    last one [s].
    """
    return rig.motion.stale_s + MARGIN_S
