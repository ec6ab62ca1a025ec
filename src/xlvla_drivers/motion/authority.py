"""Whether chunks may move the rig, and whose."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from xlvla import topics
from xlvla.control_source import POLICY, TELEOP
from xlvla.errors import XlvlaError
from xlvla_drivers.motion.chunk import Refused


class Level(IntEnum):
    """How a device is, in the numbers of diagnostic_msgs/DiagnosticStatus; `SILENT` is a device
    that has not reported yet.
    """

    OK = 0
    WARN = 1
    ERROR = 2
    STALE = 3
    SILENT = 4


class Authority:
    """Decides from the operator's requests and the devices' status whether chunks are played.

    Only one source drives. The operator selects it by name; otherwise it is the first one that
    publishes after engaging, until the next engagement. If another source is selected while
    engaged, it joins from where the robot is.

    The operator may take over from the policy at any moment, whoever was selected by name but
    another, and gives the robot back; an engagement or the choice of another source ends it, too.

    Args:
        engaged: whether chunks are played from the start.
        awaited: devices that must have reported ok before motion is engaged.

    Attributes:
        stopped: an e-stop is latched.
        engaged: chunks are played unless stopped.
        driver: the source that drives; None before one has published.
        taken_over: the operator drives in place of the policy.
    """

    def __init__(self, engaged: bool, awaited: Iterable[str] = ()):
        self.engaged = engaged
        self.stopped = False
        self.driver: str | None = None
        self.taken_over = False
        self._selected = ""
        self._why = ""
        self._devices: dict[str, tuple[Level, str]] = {}
        for device in awaited:
            self._devices[device] = (Level.SILENT, "no status from its driver yet")

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
            _, text = self._devices[lost[0]]
            return f"held: {lost[0]} {text}"
        if self.engaged:
            return "engaged"
        if self._why:
            return f"disengaged: {self._why}"
        return "disengaged"

    def lost(self) -> list[str]:
        """Devices that prevent an engagement."""
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
        """Engages or disengages; returns whether an engagement began.

        Raises:
            XlvlaError: an e-stop is latched or a device is not ok.
        """
        if not on:
            self.engaged = False
            self._why = ""
            return False
        if self.stopped:
            raise XlvlaError(f"an e-stop is latched: call {topics.MOTION_RESET} first")
        lost = self.lost()
        if lost:
            lines = [f"{device}: {self._devices[device][1]}" for device in lost]
            raise XlvlaError("; ".join(lines))
        began = not self.engaged
        self.engaged = True
        self._why = ""
        if began:
            self.driver = None
            self.taken_over = False
        return began

    def on_status(self, device: str, level: int, text: str) -> bool:
        """Takes a device's status; returns whether it was lost just now, which disengages."""
        before, _ = self._devices.get(device, (Level.OK, ""))
        # SILENT is ours: a device cannot report it.
        self._devices[device] = (Level(min(level, Level.STALE)), text)
        lost = level >= Level.ERROR
        if lost:
            self.engaged = False
        return lost and before < Level.ERROR

    def choose(self, source: str) -> bool:
        """The operator selects the source; returns whether another source is disengaged."""
        self._selected = source
        if self.driver is None or not source or source == self.driver:
            return False
        self.driver = None
        self.taken_over = False
        return True

    def take_over(self) -> bool:
        """The operator takes the robot; returns whether the policy is disengaged by it."""
        if not self.moves or self.taken_over or self._wanted not in (None, POLICY):
            return False
        self.driver = TELEOP
        self.taken_over = True
        return True

    def give_back(self) -> bool:
        """The operator gives back what they took; returns whether they are disengaged."""
        if not self.taken_over:
            return False
        self.taken_over = False
        # Who was selected meanwhile drives.
        self.driver = None if self._selected not in ("", POLICY) else POLICY
        return True

    @property
    def _wanted(self) -> str | None:
        """The only source that may drive; None where any may."""
        if self.taken_over:
            return self.driver
        return self._selected or self.driver

    def waits(self, source: str) -> bool:
        """Whether this source decides on while the operator drives in its place."""
        return self.taken_over and source == POLICY

    def admit(self, source: str) -> None:
        """Raises Refused where this source does not drive."""
        wanted = self._wanted
        if wanted is not None and source != wanted:
            raise Refused("source", f"'{source}' does not drive, '{wanted}' does")
        self.driver = source
