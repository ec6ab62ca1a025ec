"""Paxini DexH13 through the vendor's SDK (pxdex), the only way there is: its wire is not published.

The SDK's wheels fit Python 3.10 alone, so `paxini_server.py` serves the hand from a process under
that Python, and its death is a lost link. At an address that is an emulator's socket the emulator's
SDK is served instead, under this Python.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.hands.paxini import HAND
from xlvla.ranges import Range
from xlvla.text import plain
from xlvla.types import Side
from xlvla_drivers.device import DeviceState, Fault
from xlvla_drivers.hands.server_link import ServerLink

SLOTS = 16
PIP = [2, 6, 10]
DIP = [3, 7, 11]
"""Slots of the three fingers' middle joints, and of the last joints that have no motor and follow
them.
"""
MODULES: tuple[str, ...] = (
    "index_proximal",
    "index_middle",
    "index_tip",
    "middle_proximal",
    "middle_middle",
    "middle_tip",
    "ring_proximal",
    "ring_middle",
    "ring_tip",
    "thumb_proximal",
    "thumb_tip",
)
"""Modules of the skin; that the SDK lists them in this order is UNCONFIRMED."""
RECOVER_S = 1.0

PYTHON_VARIABLE = "XLVLA_PXDEX_PYTHON"
_PYTHON = re.compile(r"python3(\.\d{1,2})?")


@dataclass(frozen=True)
class Options:
    """What a rig may say of a DexH13.

    Args:
        python: command of the Python (3.10) where pxdex is installed, `python3` or `python3.10`;
            one at a path is named by the environment variable XLVLA_PXDEX_PYTHON alone, so that
            no file chooses what is run.
        unit: which of the SDK's two ways to say angles is used.
        dip_ratio: last joint's angle over the middle joint's, UNCONFIRMED: nobody published it, 1.0
            is a placeholder.
        passive: where the last joints are, worked out by `dip_ratio` or as the SDK reports them.
        rate_hz: how often the SDK is asked; what it can do is UNCONFIRMED, others ran it at 83 Hz.
        tactile_hz: how often the skin is read; 0: never.
        detail: read all 1140 points too.
        force_n: newton per unit of the SDK's forces, UNCONFIRMED; steps of 0.1 N are common with
            this vendor.
        max_speed: of the motors [rpm]; 0: as the hand has it.
        camera: the palm camera's device, only for the SDK's own use.
        home: find the motors' zero on connecting (initMotorPosition), needed once after the hand is
            switched on. The hand MOVES.
    """

    python: str = "python3.10"
    unit: Literal["radian", "degree"] = "radian"
    dip_ratio: Annotated[float, Range(0, 2)] = 1.0
    passive: Literal["coupled", "reported"] = "coupled"
    rate_hz: Annotated[float, Range(30, 500)] = 83.0
    tactile_hz: Annotated[float, Range(0, 500)] = 20.0
    detail: bool = False
    force_n: Annotated[float, Range(0, 10)] = 0.1
    max_speed: Annotated[int, Range(0, 24000)] = 0
    camera: str = "none"
    home: bool = False

    def __post_init__(self):
        if not _PYTHON.fullmatch(self.python):
            raise XlvlaError(
                f"paxini: python is a command such as python3.10, not '{plain(self.python, 60)}': "
                f"set {PYTHON_VARIABLE} to use a Python at a path"
            )


class Driver:
    """One DexH13. Its motors are enabled by the first `write` and disabled by `disconnect`."""

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = HAND.joint_names(side)
        self.counts: Counter[str] = Counter()
        self._address = address
        self._side = side
        self._options = options
        self._link = ServerLink(
            self.counts,
            "the vendor's SDK",
            "options.python must be a Python 3.10 with the vendor's pxdex installed",
        )
        self._known: dict[str, Any] = {}

    def connect(self) -> None:
        self._known = {"faults": [], "tactile": [], "temperature": [], "detail": []}
        side = self._link.open(self._command())
        if side != self._side:
            self._link.close()
            raise XlvlaError(
                f"the hand at {self._address} is a {side} one, the rig has it as the {self._side} "
                "hand"
            )

    def read(self) -> DeviceState:
        for state in self._link.states():
            self._known |= state
        return self._reported()

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        slots = self._coupled(np.array([target[name] for name in self.joints]))
        self._link.say(target=slots.tolist())
        return dict(zip(self.joints, slots.tolist(), strict=True))

    def recover(self) -> str:
        """Tells the motors to stay where they are and clears the fault codes."""
        done = self._link.ask("recover", "recovered", RECOVER_S)
        if done is None:
            faults = "; ".join(fault.text for fault in self.read().faults)
            raise XlvlaError(f"a fault remains after clearing: {faults or 'see the hand'}")
        return done

    def disconnect(self) -> None:
        self._link.close()

    def _command(self) -> list[str]:
        """That of the server, but for its socket."""
        options = self._options
        python = os.environ.get(PYTHON_VARIABLE) or options.python
        sdk = "pxdex.dh13"
        if _is_socket(self._address):
            python = sys.executable
            sdk = str(Path(__file__).parents[1] / "emulators" / "paxini_sdk.py")
        command = [python, str(Path(__file__).with_name("paxini_server.py"))]
        if options.detail:
            command.append("--detail")
        if options.home:
            command.append("--home")
        command.append(f"--sdk={sdk}")
        command.append(f"--camera={options.camera}")
        command.append(f"--unit={options.unit}")
        command.append(f"--rate-hz={options.rate_hz}")
        command.append(f"--tactile-hz={options.tactile_hz}")
        command.append(f"--max-speed={options.max_speed}")
        command.append(self._address)
        return command

    def _coupled(self, slots: np.ndarray) -> np.ndarray:
        """Angles [16] rad with the last joints where the middle ones have them, in place."""
        slots[DIP] = self._options.dip_ratio * slots[PIP]
        return slots

    def _reported(self) -> DeviceState:
        position = np.array(self._known["position"], dtype=float)
        if position.shape != (SLOTS,):
            raise XlvlaError(
                f"the SDK reports {position.size} angles, expected {SLOTS}: is this a DexH13?"
            )
        if self._options.passive == "coupled":
            position = self._coupled(position)
        faults: list[Fault] = []
        for finger, motor, code in self._known["faults"]:
            faults.append(Fault(str(code), f"motor fault at {finger} {motor}".strip()))
        return DeviceState(
            self._known["stamp"],
            position,
            tactile=self._tactile(),
            temperature=self._temperature(),
            faults=tuple(faults),
        )

    def _temperature(self) -> dict[str, float]:
        """Degrees by module, where there are as many as there are modules."""
        warm = np.ravel(self._known["temperature"]).tolist()
        names = MODULES
        if len(warm) != len(MODULES):
            names = [f"part_{number}" for number in range(len(warm))]
        return dict(zip(names, warm, strict=True))

    def _tactile(self) -> dict[str, np.ndarray]:
        forces = self._options.force_n * np.reshape(self._known["tactile"], (-1, 3))
        if len(forces) not in (0, len(MODULES)):
            raise XlvlaError(
                f"the SDK reports forces of {len(forces)} modules, expected {len(MODULES)}"
            )
        felt = dict(zip(MODULES, forces, strict=False))
        if self._known["detail"]:
            felt["points"] = self._options.force_n * _points(self._known["detail"])
        return felt


def _points(nested: list[Any]) -> np.ndarray:
    """Points [P, 3] of all modules, whether the SDK nests them by module or not."""
    if not isinstance(nested[0][0], list):
        return np.array(nested)
    points: list[list[float]] = []
    for module in nested:
        points += module
    return np.array(points)


def _is_socket(address: str) -> bool:
    """Whether there is a socket, which only an emulator has."""
    try:
        return stat.S_ISSOCK(os.stat(address).st_mode)
    except OSError:
        return False
