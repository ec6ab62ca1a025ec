"""How a rig says what a foot pedal or a gamepad does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

from xlvla import catalog
from xlvla.errors import unknown_line

RecorderAction = Literal["record", "start", "stop", "discard", "success", "failure", "relabel"]
ClutchAction = Literal["clutch", "hold"]
Action = Literal[RecorderAction, ClutchAction, "estop"]
"""What a key does when it is pressed: a button of the recorder; `clutch` closes or opens the
clutch; `hold` closes it and opens it when the key is let go; `estop` is the e-stop.
"""

RECORDER: tuple[Action, ...] = get_args(RecorderAction)
CLUTCH: tuple[Action, ...] = get_args(ClutchAction)


@dataclass(frozen=True)
class ButtonsConfig:
    """A foot pedal, a gamepad, or another thing with keys that Linux knows.

    Args:
        type: what it is: a module of `xlvla_drivers.buttons`.
        address: its file, best one below /dev/input/by-id; '' is the first of its type.
        keys: what each key does, by the kernel's name (KEY_A, BTN_SOUTH; `evtest` shows them);
            without any, what is usual for its type.
        exclusive: nobody else hears its keys: a pedal types letters, which would else be keys at
            the terminal, too.
        stop_when_lost: the robot is stopped whenever it is unplugged or not found.
    """

    type: str
    address: str = ""
    keys: Mapping[str, Action] = field(default_factory=dict[str, Action])
    exclusive: bool = True
    stop_when_lost: bool = False

    def faults(self, where: str, lacking: Collection[Action]) -> list[str]:
        """Everything wrong with what a rig says that cannot do what is `lacking`."""
        known = catalog.buttons()
        faults: list[str] = []
        if self.type not in known:
            faults.append(f"{where}.type: {unknown_line('type of buttons', self.type, known)}")
        for key, action in self.keys.items():
            if action in lacking:
                section = "recorder: {}" if action in RECORDER else "teleop: {source: ...}"
                faults.append(
                    f"{where}.keys.{key}: '{action}' does nothing in this rig: add `{section}`, or "
                    "leave it out"
                )
        return faults
