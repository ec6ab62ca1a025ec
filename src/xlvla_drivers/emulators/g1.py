"""Emulated arms of a G1: two emulators at one address are the two arms of one robot, in a process
of its own (`g1_body`).
"""

from __future__ import annotations

import importlib.util
import threading
from typing import Any

import numpy as np

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.types import NONE, Side
from xlvla_drivers.arms.g1 import Options, split_address
from xlvla_drivers.emulators.body_process import BodyProcess
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant

ADDRESS = "lo@{apart}"


class Emulator:
    """`plant` places the arm before the start and is not the one that moves (`g1_motors`).

    `garbled` spoils every CRC, `other_mode` changes `mode_machine`, `remote_stop` presses L1+A.
    """

    known_faults = (
        "unplug",
        "bad_checksum",
        "duplicated",
        "late",
        "over_temperature",
        "over_current",
        "stall",
        "garbled",
        "other_mode",
        "remote_stop",
        "remote_lost",
        "battery_low",
    )

    def __init__(self, address: str, side: Side, options: Options):
        split_address(address)
        arm = catalog.arm("g1").on(side)
        self.joints = arm.joints
        self.plant = Plant(
            np.zeros(len(arm.joints)), arm.limits.lower, arm.limits.upper, arm.limits.velocity
        )
        self._address = address
        self._side = side
        self._carries = options.carries or NONE
        self._faults = Faults(self.known_faults)
        self._robot: _Robot | None = None

    def start(self) -> None:
        if importlib.util.find_spec("mujoco") is None:
            raise XlvlaError("an emulated G1 needs MuJoCo: pip install 'xlvla[sim]'")
        self._robot = _Robot.at(self._address)
        self._robot.ask(side=self._side, place=self.plant.position.tolist(), carries=self._carries)

    def stop(self) -> None:
        robot = self._robot
        self._robot = None
        if robot is not None:
            robot.leave()

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)
        self._running.ask(side=self._side, fault=fault, on=on)

    @property
    def position(self) -> np.ndarray:
        return np.array(self._running.ask(side=self._side)["position"])

    @property
    def counts(self) -> dict[str, int]:
        """Commands the robot took or refused, by reason."""
        return self._running.ask(side=self._side)["counts"]

    def watch(self) -> None:
        """`witnessed` begins anew."""
        self._running.ask(side=self._side, watch=True)

    @property
    def witnessed(self) -> dict[str, Any]:
        """What the robot was commanded (`g1_witness.Witness.report`)."""
        return self._running.ask(side=self._side)["witnessed"]

    @property
    def _running(self) -> _Robot:
        if self._robot is None:
            raise XlvlaError(f"the emulated G1 at {self._address} is not started")
        return self._robot


class _Robot:
    """The body's process, shared by the arms of this process."""

    _running: dict[str, _Robot] = {}  # noqa: RUF012
    _lock = threading.Lock()

    def __init__(self, address: str):
        self.address = address
        self.arms = 0
        self._process = BodyProcess(
            f"the emulated G1 at {address}", "xlvla_drivers.emulators.g1_body", address
        )

    @classmethod
    def at(cls, address: str) -> _Robot:
        """The robot there, started where it is not running."""
        with cls._lock:
            robot = cls._running.get(address)
            if robot is None:
                robot = cls(address)
                cls._running[address] = robot
            robot.arms += 1
            return robot

    def ask(self, **message: Any) -> Any:
        with self._lock:
            return self._process.ask(**message)

    def leave(self) -> None:
        """An arm less; the process ends with the last."""
        with self._lock:
            self.arms -= 1
            if self.arms:
                return
            self._running.pop(self.address, None)
            self._process.end()
