"""What every device driver is: joints in SI units by name, behind one interface, whatever its wire
speaks.

A driver is a module `hands/<name>.py` or `arms/<name>.py` with two names: `Options`, a frozen
dataclass of what a rig may say about it under `device.options`, and `Driver`, a class with the
constructor and the methods of `Device`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Side

LINK_TIMEOUT_S = 0.07
"""A device that has not answered soundly for this long is gone; the rig is told within 100 ms."""


class LinkLost(XlvlaError):
    """The device does not answer: unplugged, switched off, or never there."""


@dataclass(frozen=True)
class Fault:
    """Something wrong that the device itself reports.

    Args:
        code: the vendor's code or bit, as its manual writes it.
        text: what it means, in a few words.
        joint: whose fault it is, '' when the device's.
        stops: the device no longer follows commands until `recover`.
    """

    code: str
    text: str
    joint: str = ""
    stops: bool = True

    @property
    def line(self) -> str:
        """`index_q1: too hot (hot/cold)`"""
        return (
            f"{self.joint}: {self.text} ({self.code})"
            if self.joint
            else f"{self.text} ({self.code})"
        )


@dataclass(frozen=True)
class DeviceState:
    """What a device reported, vectors in the order of `Device.joints`.

    Args:
        stamp_ns: when the report arrived [ns, system clock].
        position: [J] rad.
        velocity: [J] rad/s, None where the device measures none.
        effort: [J] Nm, None where the device measures none.
        tactile: force [N] by sensor's name; a field of taxels keeps its own shape.
        temperature: deg C by joint or part.
        faults: everything the device reports as wrong now.
        facts: what else it says of itself, by name with its unit, for diagnostics.
    """

    stamp_ns: int
    position: np.ndarray
    velocity: np.ndarray | None = None
    effort: np.ndarray | None = None
    tactile: Mapping[str, np.ndarray] = field(default_factory=dict[str, np.ndarray])
    temperature: Mapping[str, float] = field(default_factory=dict[str, float])
    faults: tuple[Fault, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict[str, str])


class Device(Protocol):
    """One device. Methods are called from one thread, block for at most `LINK_TIMEOUT_S` and raise
    LinkLost after that.

    Attributes:
        joints: names as in the catalogue (`Hand.joint_names(side)`, `Arm.joints`).
        counts: what the link had to survive, by name: corrupt, truncated, duplicated, late,
            unexpected, retries.
    """

    joints: tuple[str, ...]
    counts: Counter[str]

    def __init__(self, address: str, side: Side, options: Any): ...

    def connect(self) -> None:
        """Opens the link and makes the device ready to be commanded, without moving it. May take
        seconds.
        """
        ...

    def read(self) -> DeviceState:
        """The newest state, never one that was already old when the link stopped answering."""
        ...

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        """Sends positions [rad] for all joints by name; what was really sent, after the device's
        own range and resolution.

        Empty where nothing was sent, since the device has stopped; `read` then says why.

        The caller has checked names, limits and speed (`guard`); a driver clips to what its wire
        can say.
        """
        ...

    def recover(self) -> str:
        """Clears what can be cleared of the device's faults, without moving it; one line on what
        was done; XlvlaError if it could not.
        """
        ...

    def disconnect(self) -> None:
        """Leaves the device holding still or relaxed, as its manual asks, and closes the link;
        never raises.
        """
        ...
