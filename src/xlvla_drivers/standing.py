"""How a device is, for people."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from xlvla_drivers.device import Fault


@dataclass(frozen=True)
class Standing:
    """How a device is, in one line. `ok`: commands flow; `fault`: they do not; `warning`: look after it; `stopped`: by whom."""

    level: Literal["ok", "warning", "fault"]
    line: str
    stopped: str | None = None


def told(faults: Iterable[Fault]) -> str:
    """Faults in one line, each with all the joints that suffer from it."""
    joints: dict[str, list[str]] = {}
    for fault in faults:
        joints.setdefault(fault.text, []).extend([fault.joint] if fault.joint else [f"({fault.code})"])
    return "; ".join(f"{text} {', '.join(whose)}" for text, whose in joints.items())
