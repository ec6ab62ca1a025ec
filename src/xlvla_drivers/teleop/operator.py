"""What every source of an operator's movements is: samples behind one interface, whatever tracks
them.

A source is a module `teleop/<name>.py` with two names: `Options`, a frozen dataclass of what a rig
may say about it under `teleop.options`, and `Driver`, which makes a `TeleopSource` of `(address,
sides,
options, node)`: `node` is the ROS node that reads it. The `Driver` of a source that comes by topics
stands in `ros/sources/<name>.py`. Keypoints, the hand frame and the wrist's pose are those of
`xlvla.human`; the operator's world has x forward, y left and z up.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Protocol

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Side

SILENCE_S = 0.09
"""A side that was not seen for so long is lost; the rig is told within 100 ms."""

GONE_S = 1.0
"""A connection that brought nothing for so long is opened anew."""


@dataclass(frozen=True)
class TrackedSide:
    """One side of the operator at one moment; None is what its source does not know.

    Args:
        T_world_wrist: pose [4, 4] of the hand frame in the operator's world [m].
        keypoints: [21, 3] m in any frame.
        joints: angles [rad] of a leader arm by the arm's joint names, as its calibration has them.
    """

    T_world_wrist: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    joints: Mapping[str, float] | None = None

    @property
    def sound(self) -> bool:
        """Says something of the arm, and every number is one."""
        arm = self.T_world_wrist is not None or self.joints is not None
        numbers = [
            self.T_world_wrist,
            self.keypoints,
            list(self.joints.values()) if self.joints is not None else None,
        ]
        return arm and all(np.isfinite(given).all() for given in numbers if given is not None)


@dataclass(frozen=True)
class Sample:
    """What a source saw anew.

    Args:
        sides: those that were seen; a side that is not tracked now is not among them.
        received_ns: when it arrived [ns, monotonic clock].
        stamp_s: the sender's own time [s], by which speeds are told; None where it gives none.
        buttons: pressed or signed since the last sample, by the words of `BUTTONS`.
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
        """Connects, within a few seconds; LinkLost where it is not there, XlvlaError where that
        will not mend itself.
        """
        ...

    def read(self, timeout_s: float) -> Sample | None:
        """The newest sample not yet read, waiting for one at most so long; LinkLost when the
        connection is gone.
        """
        ...

    def close(self) -> None:
        """Never raises; may be opened again."""
        ...


class Mailbox:
    """Between a thread that listens and one that follows: the newest of each side, and every
    button.
    """

    def __init__(self) -> None:
        self._there = threading.Condition()
        self.clear()

    def clear(self) -> None:
        self._sample: Sample | None = None
        self._failure: XlvlaError | None = None
        self._received = False
        self._received_s = time.monotonic()

    def put(self, sample: Sample) -> None:
        """Adds a sample; one that has seen nothing only says that the connection lives."""
        with self._there:
            self._received = True
            self._received_s = time.monotonic()
            if sample.sides or sample.buttons:
                before = self._sample or Sample({})
                self._sample = replace(
                    sample,
                    sides={**before.sides, **sample.sides},
                    buttons=before.buttons + sample.buttons,
                )
            self._there.notify()

    def fail(self, error: XlvlaError) -> None:
        """The next `take` raises it."""
        with self._there:
            self._failure = self._failure or error
            self._there.notify()

    def take(self, timeout_s: float) -> Sample | None:
        """What came since the last time, waiting for something at most so long."""
        with self._there:
            self._there.wait_for(
                lambda: self._sample is not None or self._failure is not None, timeout_s
            )
            if self._failure is not None:
                raise self._failure
            sample = self._sample
            self._sample = None
            return sample

    def await_first(self, timeout_s: float) -> bool:
        """Whether anything came within the time."""
        with self._there:
            self._there.wait_for(lambda: self._received or self._failure is not None, timeout_s)
            return self._received

    @property
    def silent_s(self) -> float:
        """How long nothing came."""
        return time.monotonic() - self._received_s


def installed(module: str, package: str) -> ModuleType:
    """A module that not everybody needs; one line on what to install where it is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        raise XlvlaError(f"this source needs '{module}': pip install {package}") from None
