"""An emulated Dex3-1, in a process of its own (`dex3_body`). Hands at one address share its DDS
domain, as those of one robot do.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.hands.dex3 import HAND
from xlvla.types import Side
from xlvla_drivers.arms.g1 import split_address
from xlvla_drivers.emulators.body_process import BodyProcess
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.hands.dex3 import Options

ADDRESS = "lo@{apart}"


class Emulator:
    """`plant` places the hand before the start and is not the one that moves.

    `stall` blocks the first joint of the index finger, `over_temperature` heats and `over_current`
    breaks the last motor of the thumb.
    """

    known_faults = (
        "unplug",
        "truncated",
        "duplicated",
        "late",
        "over_temperature",
        "over_current",
        "stall",
    )

    def __init__(self, address: str, side: Side, options: Options):
        split_address(address)
        self.joints = HAND.joint_names(side)
        limits = HAND.limits(side)
        self.plant = Plant(np.zeros(len(self.joints)), limits.lower, limits.upper, limits.velocity)
        self._address = address
        self._side: Side = side
        self._faults = Faults(self.known_faults)
        self._body: BodyProcess | None = None

    def start(self) -> None:
        self._body = BodyProcess(
            f"the emulated {self._side} Dex3 at {self._address}",
            "xlvla_drivers.emulators.dex3_body",
            self._address,
            self._side,
        )
        self._body.ask(place=self.plant.position.tolist())

    def stop(self) -> None:
        body = self._body
        self._body = None
        if body is not None:
            body.end()

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)
        self._ask(fault=fault, on=on)

    @property
    def position(self) -> np.ndarray:
        return np.array(self._ask()["position"])

    @property
    def counts(self) -> dict[str, int]:
        """Commands the hand took or refused, by reason."""
        return self._ask()["counts"]

    @property
    def released(self) -> bool:
        """Whether no motor is driven."""
        return self._ask()["released"]

    def press(self, sensor: int, pressure: float) -> None:
        """All values of a pressure sensor are this from now on, in the sensor's own unit."""
        self._ask(sensor=sensor, pressure=pressure)

    def _ask(self, **message: Any) -> Any:
        if self._body is None:
            raise XlvlaError(f"the emulated Dex3 at {self._address} is not started")
        return self._body.ask(**message)
