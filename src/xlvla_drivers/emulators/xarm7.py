"""An emulated xArm7 on its TCP ports, as the vendor's SDK and our driver know it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from functools import partial
from typing import Any, ClassVar

import numpy as np

from xlvla import catalog
from xlvla.types import Side
from xlvla_drivers.arms import xarm7_frames as wire
from xlvla_drivers.arms.xarm7 import Options, split_address
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.tcp_ports import WIRE_FAULTS, Answers, Pushes, TcpPorts
from xlvla_drivers.emulators.xarm7_controller import DEVICE_FAULTS, SPEED, VERSION, Controller

ADDRESS = "127.0.{domain}.{number}:1502"

_EVENTS = {"protective_stop": 31, "over_speed": 24}
"""Faults that happen at once and can be cleared at once, by their error."""

_CONSTANT = {
    wire.RICH_PORT: {
        "type": 7, "axes": 7, "version": VERSION, "collision_sensitivity": 3, "teach_sensitivity": 3, "gravity": (0, 0, -1),
        "tcp_limits": (1e5, 1, 5e4, 0.1, 1e3), "joint_limits": (500, 0.01, 20, 1e-4, SPEED), "brakes": 0x7F, "voltage": 4800,
    },
    wire.NORMAL_PORT: {"collision_sensitivity": 3, "teach_sensitivity": 3, "gravity": (0, 0, -1), "brakes": 0x7F},
}  # fmt: skip


class Emulator:
    """The control port is the address's, 502 where it has none (which only root may open); report ports are the real ones.

    So two arms on one machine need two hosts, such as 127.0.0.1 and 127.0.0.2.
    """

    rates_hz: ClassVar[dict[int, float]] = wire.REPORT_RATE_HZ
    known_faults = (*WIRE_FAULTS, *DEVICE_FAULTS)

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = catalog.arm("xarm7").joints
        self._lock = threading.Lock()
        self._faults = Faults(self.known_faults)
        self._controller = Controller(self._faults)
        self.plant = self._controller.plant
        host, control = split_address(address)
        pushes = {port: Pushes(rate, partial(self._report, port)) for port, rate in self.rates_hz.items()}
        self._ports = TcpPorts(host, {control: Answers(self._answer), **pushes}, self._faults, _spoil)

    def start(self) -> None:
        self._ports.start()

    def stop(self) -> None:
        self._ports.stop()

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)
        if on and fault in _EVENTS:
            with self._lock:
                self._controller.stop(_EVENTS[fault])

    @property
    def position(self) -> np.ndarray:
        with self._lock:
            self._controller.advance()
            return self.plant.position.copy()

    def _answer(self, buffer: bytearray) -> Iterable[bytes]:
        with self._lock:
            return [self._controller.answer(request) for request in wire.requests(buffer)]

    def _report(self, port: int) -> bytes:
        arm, layout = self._controller, wire.REPORTS[port]
        with self._lock:
            arm.advance()
            known = self._known(arm)
        known |= {"size": layout.itemsize, "stamp_us": time.time_ns() // 1000, **_CONSTANT.get(port, {})}
        report = np.zeros((), layout)
        for name in known.keys() & set(layout.names or ()):
            report[name] = known[name]
        return report.tobytes()

    @staticmethod
    def _known(arm: Controller) -> dict[str, Any]:
        return {
            "state_mode": arm.state | arm.mode << 4, "q": arm.plant.position, "dq": arm.plant.velocity, "target_q": arm.plant.target,
            "pose": arm.pose(), "enabled": arm.enabled, "error": arm.error, "warning": arm.warning, "load": arm.load,
            "servo": arm.servo, "temperature": arm.temperature,
        }  # fmt: skip


def _spoil(fault: str, port: int, frame: bytes) -> bytes:
    """A reply is spoiled within its frame, since TCP loses no bytes; a report, whose length is fixed, is not spared."""
    if port in wire.REPORTS:
        return frame[: 2 * len(frame) // 3] if fault == "truncated" else bytes([frame[0] ^ 1]) + frame[1:]
    if fault == "truncated":
        return frame[:4] + (1).to_bytes(2, "big") + frame[6:7]
    return frame[:6] + bytes([frame[6] ^ 0x40]) + frame[7:]
