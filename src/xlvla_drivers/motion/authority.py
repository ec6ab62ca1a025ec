"""Whether chunks may move the rig, and whose."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from xlvla import topics
from xlvla.errors import XlvlaError
from xlvla_drivers.motion.chunk import Refused


class Level(IntEnum):
    """How a device is, in the numbers of diagnostic_msgs/DiagnosticStatus; `SILENT` has not
    said.
    """

    OK, WARN, ERROR, STALE, SILENT = range(5)


class Authority:
    """What the operator and the devices have said.

    Only one source drives. Who is chosen by name; without a choice it is the first one heard after
    engaging, until the next engagement. Another choice while engaged lets the new source join from
    where the robot is.

    Args:
        engaged: whether chunks are played from the start.
        awaited: devices that must have reported ok before motion is engaged.

    Attributes:
        stopped: an e-stop is latched.
        engaged: chunks are played unless stopped.
        driver: the source that drives; None before one has published.
    """

    def __init__(self, engaged: bool, awaited: Iterable[str] = ()):
        self.engaged = engaged
        self.stopped = False
        self.driver: str | None = None
        self._chosen = self._why = ""
        self._devices: dict[str, tuple[Level, str]] = dict.fromkeys(
            awaited, (Level.SILENT, "no status from its driver yet")
        )

    @property
    def moves(self) -> bool:
        return self.engaged and not self.stopped

    @property
    def state(self) -> str:
        """For people."""
        if self.stopped:
            return "e-stop latched"
        lost = self.lost()
        if lost:
            return f"held: {lost[0]} {self._devices[lost[0]][1]}"
        if self.engaged:
            return "engaged"
        return f"disengaged: {self._why}" if self._why else "disengaged"

    def lost(self) -> list[str]:
        """Devices that nothing may be engaged with."""
        return [device for device, (level, _) in self._devices.items() if level >= Level.ERROR]

    def stop(self) -> None:
        self.stopped = True

    def disengage(self, why: str) -> None:
        """Nothing moves any more, for a reason that the operator is to see to before engaging
        again.
        """
        self.engaged = False
        self._why = why

    def reset(self) -> None:
        """Ends an e-stop; nothing moves until it is engaged."""
        self.stopped = False
        self.engaged = False
        self._why = ""

    def engage(self, on: bool) -> bool:
        """Engages or disengages; whether an engagement began. Raises XlvlaError where it may
        not.
        """
        if not on:
            self.engaged = False
            self._why = ""
            return False
        if self.stopped:
            raise XlvlaError(f"an e-stop is latched: call {topics.MOTION_RESET} first")
        if lost := self.lost():
            raise XlvlaError("; ".join(f"{device}: {self._devices[device][1]}" for device in lost))
        began = not self.engaged
        self.engaged = True
        self._why = ""
        self.driver = None if began else self.driver
        return began

    def on_status(self, device: str, level: int, text: str) -> bool:
        """What a device says of itself; whether it was lost just now, which disengages."""
        before = self._devices.get(device, (Level.OK, ""))[0]
        self._devices[device] = Level(min(level, Level.STALE)), text
        lost = level >= Level.ERROR
        self.engaged = self.engaged and not lost
        return lost and before < Level.ERROR

    def choose(self, source: str) -> bool:
        """The operator selects the source; returns whether another source is disengaged."""
        self._chosen = source
        if self.driver is None or not source or source == self.driver:
            return False
        self.driver = None
        return True

    def admit(self, source: str) -> None:
        """Raises Refused where this source does not drive."""
        wanted = self._chosen or self.driver
        if wanted is not None and source != wanted:
            raise Refused("source", f"'{source}' does not drive, '{wanted}' does")
        self.driver = source
