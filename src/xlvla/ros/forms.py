"""What messages of a topic must be like, and what they are read as: said once per topic, where it
is read.

A form raises XlvlaError for an invalid message. Its readers (`Reader`, `RigNode.listen`) count and
log it and go on with the next message.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import numpy as np
from rclpy.serialization import deserialize_message

from xlvla.errors import XlvlaError
from xlvla.ros import command_session, convert, sizes
from xlvla.ros.topics import Topic
from xlvla.text import plain
from xlvla.topics import COMMAND_ORIGIN

T = TypeVar("T")

FUTURE_NS = convert.SECOND // 2
"""A stamp further ahead of the clock is of another clock."""

_KIB = 1 << 10

NUMBERED = ("[Hz]", "[ms]", "[MB]", "[C]")
"""What a figure's name ends with that must be a number."""


@dataclass(frozen=True)
class Form(Generic[T]):
    """How a message is read.

    Args:
        read: what a message is read as.
        look: looks at a serialised message before it is made into objects; None: at its size alone.
        largest: bytes of a serialised message; None: by its type.
    """

    read: Callable[[Any], T]
    look: Callable[[bytes], None] | None = None
    largest: int | None = None

    def __call__(self, topic: Topic, data: bytes) -> T:
        """What a serialised message says."""
        self.check(topic, data)
        return self.read_as(topic, data)

    def check(self, topic: Topic, data: bytes) -> None:
        """Looks at a serialised message without reading it."""
        of_type = sizes.LARGEST.get(topic.type, sizes.OTHERWISE)
        sizes.check(data, self.largest or topic.largest or of_type)
        if self.look is not None:
            self.look(data)

    def read_as(self, topic: Topic, data: bytes) -> T:
        """What a serialised message says that was looked at."""
        try:
            message = deserialize_message(data, topic.type)
        except Exception:  # of many kinds, by type support
            what = f"{len(data)} bytes that are no {topic.type.__name__}"
            raise XlvlaError(f"{what} are refused") from None
        return self.read(message)


def _stamped(message: Any) -> Any:
    """The message; refused where it bears a stamp that is no time."""
    header = getattr(message, "header", None)
    if header is not None:
        convert.time_ns(header.stamp)
    return message


MESSAGE: Form[Any] = Form(_stamped)
"""Any message whose stamp is a time."""

CLOCK: Form[int] = Form(lambda message: convert.time_ns(message.clock))
"""Simulated time [ns]."""

LONGEST_WORDS = 1000
"""Characters of a sentence."""


def _text_line(message: Any) -> str:
    text = " ".join(message.data.split())
    if len(text) > LONGEST_WORDS:
        raise XlvlaError(
            f"a text of {len(text)} characters is refused: at most {LONGEST_WORDS} are read"
        )
    return plain(text, longest=LONGEST_WORDS)


WORDS: Form[str] = Form(_text_line, largest=8 << 10)
"""A name, a sentence or an order, on one line."""

LARGEST_SEED = 2**32 - 1


def _seed(message: Any) -> int:
    digits = message.data.strip()
    if len(digits) > len(str(LARGEST_SEED)) or not (digits.isascii() and digits.isdigit()):
        raise XlvlaError(f"'{plain(digits, 60)}' is no seed: say 0 to {LARGEST_SEED} in digits")
    if int(digits) > LARGEST_SEED:
        raise XlvlaError(f"a seed of {digits} is refused: it is at most {LARGEST_SEED}")
    return int(digits)


SEED: Form[int] = Form(_seed, largest=_KIB)
"""Of a simulated episode, in digits."""

SWITCH: Form[bool] = Form(lambda message: message.data)
"""On or off."""

KEYS: Form[str] = Form(lambda message: message.data, largest=_KIB)
"""What was typed."""


def joints(names: Sequence[str], now_ns: Callable[[], int] | None = None) -> Form[convert.Joints]:
    """JointStates with finite positions of exactly these joints, in any order, none stamped ahead
    of `now_ns`.
    """

    def read(message: Any) -> convert.Joints:
        stamp = message.header.stamp
        if now_ns is None:
            stamp_ns = convert.time_ns(stamp)
        else:
            stamp_ns = convert.timely_ns(stamp, now_ns(), FUTURE_NS)
        return convert.Joints(stamp_ns, convert.positions(message, names), message)

    return Form(read, largest=sizes.of_joints(names))


def command(names: Sequence[str]) -> Form[Any]:
    """JointStates that are no larger than commands of these joints; what else a command must be its
    receiver says.
    """
    return replace(MESSAGE, largest=sizes.of_joints([*names, *COMMAND_ORIGIN]))


def commanded(names: Sequence[str], now_ns: Callable[[], int]) -> Form[convert.Joints]:
    """As `joints`, of commands of whatever origin."""
    positions = joints(names, now_ns)

    def read(message: Any) -> convert.Joints:
        command_session.take_origin(message)
        return positions.read(message)

    return Form(read, largest=sizes.of_joints([*names, *COMMAND_ORIGIN]))


def chunk(names: Sequence[str]) -> Form[Any]:
    """JointTrajectories of at most as many joints as `names` and at most `convert.MOST_FRAMES`
    frames; what else a chunk must be motion says.
    """
    largest = sizes.of_chunk(names)
    return Form(_stamped, lambda data: sizes.check_chunk(data, largest, len(names)), largest)


def reset(now_ns: Callable[[], int]) -> Form[convert.Reset]:
    """Resets that are not of the future, by a clock."""
    return Form(lambda message: convert.reset(message, now_ns()))


def picture(width: int, height: int) -> Form[Any]:
    """Pictures of a camera that publishes this size."""
    return replace(MESSAGE, largest=sizes.of_picture(width, height))


def _positions(message: Any) -> tuple[str, np.ndarray]:
    if len(message.layout.dim) != 1:
        raise XlvlaError(f"a row of numbers has one dimension, not {len(message.layout.dim)}")
    values = np.array(message.data, dtype=float)
    if not np.isfinite(values).all():
        raise XlvlaError("a number is not finite")
    return message.layout.dim[0].label, values


ROW: Form[tuple[str, np.ndarray]] = Form(_positions)
"""A label and the finite numbers under it, as `convert.vector` says them."""


STOPPED = "stopped"
"""Key in a device's status while a stop is latched; its value is who stopped."""

LONGEST_STAMP = 20
"""Digits of a time [ns]."""

STOP_STAMP = "stop stamp_ns"
"""Key beside it; its value is the stamp of the stop, which tells one stop from another."""


@dataclass(frozen=True)
class Device:
    """Device status: the level of a DiagnosticStatus, its line, and who stopped the device (None:
    not stopped) with the stamp of that stop (0: not known).
    """

    level: int
    text: str
    stopped_by: str | None = None
    stop_stamp_ns: int = 0


def stopped_by(status: Any) -> str | None:
    """Who stopped a device, by its status; None where no stop is latched."""
    for entry in status.values:
        if entry.key == STOPPED:
            return plain(entry.value)
    return None


def _stop_stamp_ns(status: Any) -> int:
    for entry in status.values:
        if entry.key == STOP_STAMP and _is_stamp(entry.value):
            return int(entry.value)
    return 0


def _is_stamp(text: str) -> bool:
    return text.isdecimal() and len(text) <= LONGEST_STAMP


def _device(message: Any) -> Device:
    level = message.level
    number = level[0] if isinstance(level, bytes) else int(level)
    return Device(number, plain(message.message), stopped_by(message), _stop_stamp_ns(message))


DEVICE: Form[Device] = Form(_device)
"""How a device is, as its driver says it."""


def _figures(message: Any) -> dict[str, dict[str, str]]:
    return {plain(status.name): _figures_of(status) for status in message.status}


def _figures_of(status: Any) -> dict[str, str]:
    values = {plain(entry.key): plain(entry.value) for entry in status.values}
    for key, value in values.items():
        if key.endswith(NUMBERED) and not _is_number(value):
            raise XlvlaError(f"'{status.name}' says that '{key}' is '{value}', which is no number")
    return {"": plain(status.message), **values}


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


FIGURES: Form[dict[str, dict[str, str]]] = Form(_figures)
"""Figures of diagnostics by node; '' is what the node says of itself."""
