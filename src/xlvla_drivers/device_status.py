"""Device status for display."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from xlvla.guard import Refused
from xlvla_drivers.device import Fault

REFUSAL_SHOWN_S = 1.0
"""How long a refused command is shown."""


@dataclass(frozen=True)
class DeviceStatus:
    """Device status in one line. `ok`: commands flow; `fault`: they do not; `warning`: look
    after it; `stopped`: by whom, with the stamp of that stop (0: none).
    """

    level: Literal["ok", "warning", "fault"]
    line: str
    stopped: str | None = None
    stop_stamp_ns: int = 0


def faults_line(faults: Iterable[Fault]) -> str:
    """Faults in one line, each with all the joints that suffer from it."""
    joints: dict[str, list[str]] = {}
    for fault in faults:
        joints.setdefault(fault.text, []).extend(
            [fault.joint] if fault.joint else [f"({fault.code})"]
        )
    return "; ".join(f"{text} {', '.join(whose)}" for text, whose in joints.items())


class Refusals:
    """The last refused command, as long as it is shown."""

    def __init__(self) -> None:
        self._refusal: Refused | None = None
        self._refused_s = 0.0

    @property
    def line(self) -> str:
        """Why commands are refused; '' where none was refused recently."""
        fresh = time.monotonic() < self._refused_s + REFUSAL_SHOWN_S
        return str(self._refusal) if self._refusal is not None and fresh else ""

    def add(self, refusal: Refused) -> None:
        same = self._refusal is not None and refusal.reason == self._refusal.reason
        if (
            not (self.line and same) or refusal.reason == "session"
        ):  # else its first words stay; who it is may be known later
            self._refusal = refusal
        self._refused_s = time.monotonic()

    def accepted(self) -> None:
        """A command was accepted, which ends a refusal but that of a stranger's."""
        if self._refusal is not None and self._refusal.reason != "session":
            self._refusal = None
