"""Unitree Dex3-1 over the DDS topics of its robot; each hand has a process of its own that talks
DDS (`dex3_server`), since that may not be beside ROS's.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.hands.dex3 import HAND
from xlvla.ranges import Range
from xlvla.types import Side
from xlvla_drivers.arms.g1 import split_address
from xlvla_drivers.device import DeviceState, Fault
from xlvla_drivers.hands.server_link import ServerLink


@dataclass(frozen=True)
class Options:
    """What a rig may say of a Dex3-1.

    Args:
        kp, kd: gains of every joint [Nm/rad, Nms/rad]; published programs use 1.5 with 0.1 and
            with 0.2.
        rate_hz: of the commands to the hand.
        pressure_n: newton per unit of the pressure sensors, UNCONFIRMED: no unit is published.
        hot_c: temperature from which a motor is reported [deg C].
    """

    kp: Annotated[float, Range(0.01, 20)] = 1.5
    kd: Annotated[float, Range(0, 5)] = 0.1
    rate_hz: Annotated[float, Range(20, 500)] = 100.0
    pressure_n: Annotated[float, Range(0, 100)] = 1.0
    hot_c: Annotated[float, Range(40, 120)] = 80.0


def claim(address: str, side: Side, options: Options) -> str:
    """Both hands of a robot are on its network, each on topics of its own."""
    interface, domain = split_address(address)
    return f"{interface}@{domain}, {side} hand"


class Driver:
    """One Dex3-1. Its motors are driven from the first `write` on and let go by `disconnect`, as
    the vendor's example does.

    Args:
        address: network interface of the robot, with @domain where that is not 0 (`split_address`).
    """

    def __init__(self, address: str, side: Side, options: Options):
        split_address(address)
        self.joints = HAND.joint_names(side)
        self.counts: Counter[str] = Counter()
        self._address = address
        self._side: Side = side
        self._options = options
        self._link = ServerLink(self.counts, f"the {side} Dex3 at {address}")
        self._known: dict[str, Any] = {}
        self._counted: Counter[str] = Counter()
        limits = HAND.limits(side)
        self._lower = limits.lower
        self._upper = limits.upper

    def connect(self) -> None:
        self._known = {}
        self._counted.clear()
        options = json.dumps(dataclasses.asdict(self._options))
        server = "xlvla_drivers.hands.dex3_server"
        self._link.open([sys.executable, "-m", server, self._address, self._side, options])

    def read(self) -> DeviceState:
        for state in self._link.states():
            self._known |= state
        self._count(self._known["counts"])
        warmth = np.max(self._known["temperature"], axis=1)
        pressure = self._options.pressure_n * np.array(self._known["pressure"], dtype=float)
        return DeviceState(
            self._known["stamp"],
            position=np.array(self._known["q"], dtype=float),
            velocity=np.array(self._known["dq"], dtype=float),
            effort=np.array(self._known["torque"], dtype=float),
            tactile={f"sensor_{number}": values for number, values in enumerate(pressure)},
            temperature=dict(zip(self.joints, warmth.astype(float).tolist(), strict=True)),
            faults=tuple(self._faults(warmth)),
        )

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        wanted = [target[joint] for joint in self.joints]
        angles = np.clip(wanted, self._lower, self._upper).astype(np.float32).astype(float)
        self._link.say(target=angles.tolist())
        return dict(zip(self.joints, angles.tolist(), strict=True))

    def recover(self) -> str:
        """No command clears an error of the hand; one with an error is commanded to where it is."""
        wrong = [fault.line for fault in self.read().faults if fault.stops]
        if wrong:
            raise XlvlaError(
                f"the {self._side} Dex3 at {self._address}: {'; '.join(wrong)}: no command clears "
                "this, switch the hand off and on"
            )
        return "no motor reports an error; held where it is"

    def disconnect(self) -> None:
        self._link.close()

    def _count(self, counts: Mapping[str, int]) -> None:
        """Adds what the server has counted since the last time."""
        for name, count in counts.items():
            self.counts[name] += count - self._counted[name]
        self._counted = Counter(counts)

    def _faults(self, warmth: np.ndarray) -> Iterator[Fault]:
        for joint, error, celsius in zip(
            self.joints, self._known["motor_errors"], warmth, strict=True
        ):
            if error:
                yield Fault(f"0x{error:X}", "its motor reports an error", joint)
            if celsius >= self._options.hot_c:
                yield Fault("hot", f"its motor has {celsius:.0f} deg C", joint, stops=False)
        for number, error in enumerate(self._known["errors"]):
            if error:
                yield Fault(f"0x{error:X}", f"the hand reports an error in word {number}")
