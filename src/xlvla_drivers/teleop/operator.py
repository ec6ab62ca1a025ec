"""The interface of every teleoperation source: samples of the operator's wrists and hands, whatever
tracks them.

A source is a module `teleop/<name>.py` with two names: `Options`, a frozen dataclass of its options
in a rig's `teleop.options`, and `Driver`, a `TeleopSource` constructed with `(address, sides,
options, node)`, where `node` is the ROS node that reads it. The `Driver` of a source that reads
topics is in `ros/sources/<name>.py`. Keypoints, the hand frame and the wrist's pose are those of
`xlvla.human`; the operator's world has x forward, y left and z up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Side
from xlvla_drivers.device import LinkLost

SILENCE_S = 0.09
"""A side that was not seen for this long is lost; the robot holds within 100 ms."""

GONE_S = 1.0
"""A connection that was silent for this long is opened again."""


@dataclass(frozen=True)
class TrackedSide:
    """One side of the operator at one moment; None where the source does not track it.

    Args:
        T_world_wrist: pose [4, 4] of the hand frame in the operator's world [m].
        keypoints: [21, 3] m in any frame.
        joints: angles [rad] of a leader arm by the arm's joint names, as its calibration has them.
    """

    T_world_wrist: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    joints: Mapping[str, float] | None = None

    @property
    def finite(self) -> bool:
        """All numbers are."""
        if self.T_world_wrist is not None and not np.isfinite(self.T_world_wrist).all():
            return False
        if self.keypoints is not None and not np.isfinite(self.keypoints).all():
            return False
        if self.joints is not None:
            return bool(np.isfinite(list(self.joints.values())).all())
        return True


@dataclass(frozen=True)
class Sample:
    """What a source saw since the last sample.

    Args:
        sides: those that were seen; a side that is not tracked now is not among them.
        received_ns: when it arrived [ns, monotonic clock].
        stamp_s: the sender's own time [s], by which velocities are computed; None where it gives
            none.
        buttons: names of `BUTTONS` that were pressed or signed since the last sample.
    """

    sides: Mapping[Side, TrackedSide]
    received_ns: int = field(default_factory=time.monotonic_ns)
    stamp_s: float | None = None
    buttons: tuple[str, ...] = ()


BUTTONS = ("clutch", "record", "discard", "success", "failure", "relabel")


class TeleopSource(Protocol):
    """One source. Methods are called from one thread.

    Attributes:
        address: where it is, for people.
    """

    address: str

    def open(self) -> None:
        """Connects, within a few seconds.

        Raises:
            LinkLost: it is not there; it is tried again later.
            XlvlaError: the user has to do something first.
        """
        ...

    def read(self, timeout_s: float) -> Sample | None:
        """The newest sample not yet read; None where none came within `timeout_s`.

        Raises:
            LinkLost: the connection is gone.
        """
        ...

    def close(self) -> None:
        """Disconnects. Never raises; the source may be opened again."""
        ...


class ShowsPictures(Protocol):
    """A source whose device shows the operator what the robot's camera sees."""

    def show(self, jpeg: bytes, aspect: float) -> bool:
        """Shows a picture of that width over height; whether it was sent. From any thread, and
        without waiting for anything.
        """
        ...


class Mailbox:
    """Passes samples from a thread that receives to one that follows: the newest of each side, and
    every button.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sample: Sample | None = None
        self._failure: XlvlaError | None = None
        self._received = False
        self._received_s = time.monotonic()

    def clear(self) -> None:
        """As if nothing had come."""
        self._sample = None
        self._failure = None
        self._received = False
        self._received_s = time.monotonic()

    def put(self, sample: Sample) -> None:
        """Adds a sample; an empty one only shows that the connection is alive."""
        with self._changed:
            self._received = True
            self._received_s = time.monotonic()
            if sample.sides or sample.buttons:
                before = self._sample or Sample({})
                sides = {**before.sides, **sample.sides}
                buttons = before.buttons + sample.buttons
                self._sample = replace(sample, sides=sides, buttons=buttons)
            self._changed.notify()

    def fail(self, error: XlvlaError) -> None:
        """The next `take` raises the error, or one that came before it."""
        with self._changed:
            if self._failure is None:
                self._failure = error
            self._changed.notify()

    def take(self, timeout_s: float) -> Sample | None:
        """What came since the last call; None where nothing came within `timeout_s`."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._sample is not None or self._failure is not None, timeout_s
            )
            if self._failure is not None:
                raise self._failure
            sample = self._sample
            self._sample = None
            return sample

    def await_first(self, timeout_s: float) -> bool:
        """Whether anything came within the time."""
        with self._changed:
            self._changed.wait_for(lambda: self._received or self._failure is not None, timeout_s)
            return self._received

    @property
    def silent_s(self) -> float:
        """For how long nothing has come [s]."""
        return time.monotonic() - self._received_s


def lost(error: XlvlaError) -> LinkLost:
    """An error of a source's thread as one after which the source is opened again."""
    if isinstance(error, LinkLost):
        return error
    return LinkLost(str(error))
