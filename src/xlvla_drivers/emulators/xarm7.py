"""An emulated xArm7 on its TCP ports, as the vendor's SDK and our driver know it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterable
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
        "type": 7,
        "axes": 7,
        "version": VERSION,
        "collision_sensitivity": 3,
        "teach_sensitivity": 3,
        "gravity": (0, 0, -1),
        "tcp_limits": (1e5, 1, 5e4, 0.1, 1e3),
        "joint_limits": (500, 0.01, 20, 1e-4, SPEED),
        "brakes": 0x7F,
        "voltage": 4800,
    },
    wire.NORMAL_PORT: {
        "collision_sensitivity": 3,
        "teach_sensitivity": 3,
        "gravity": (0, 0, -1),
        "brakes": 0x7F,
    },
}


class Emulator:
    """The control port is the address's and, where this user may open it, the real one, 502, too:
    the vendor's SDK knows no other. Report ports are the real ones.

    So two arms on one machine need two hosts, such as 127.0.0.1 and 127.0.0.2.
    """

    running: ClassVar[dict[tuple[str, int], Emulator]] = {}
    """Those of this process, by host and control port: what is at the end of their arms finds them
    here.
    """
    rates_hz: ClassVar[dict[int, float]] = wire.REPORT_RATE_HZ
    known_faults = (*WIRE_FAULTS, *DEVICE_FAULTS)

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = catalog.arm("xarm7").joints
        self._lock = threading.Lock()
        self._faults = Faults(self.known_faults)
        self._controller = Controller(self._faults)
        self._forms = {port: _form(port) for port in self.rates_hz}
        self.plant = self._controller.plant
        self._where = split_address(address)
        host, control = self._where
        ports: dict[int, Answers | Pushes] = {control: Answers(self._answer)}
        if _may_open(host, wire.CONTROL_PORT):
            ports[wire.CONTROL_PORT] = Answers(self._answer)
        for port, rate_hz in self.rates_hz.items():
            ports[port] = Pushes(rate_hz, partial(self._report, port))
        self._ports = TcpPorts(host, ports, self._faults, _corrupt)

    def start(self) -> None:
        self._ports.start()
        self.running[self._where] = self

    def stop(self) -> None:
        self.running.pop(self._where, None)
        self._ports.stop()

    def attach(self, end_effector: Callable[[bytes], bytes | None] | None) -> None:
        """Puts something at the end of the arm, or takes it off (`Controller.end_effector`)."""
        with self._lock:
            self._controller.end_effector = end_effector

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
        report, changing = self._forms[port]
        with self._lock:
            self._controller.advance()
            for name, read in changing:
                report[name] = read(self._controller)
        return report.tobytes()


def _may_open(host: str, port: int) -> bool:
    """Whether this user may serve at a port, and nobody does."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


_CHANGING: dict[str, Callable[[Controller], Any]] = {
    "stamp_us": lambda arm: time.time_ns() // 1000,
    "state_mode": lambda arm: arm.state | arm.mode << 4,
    "q": lambda arm: arm.plant.position,
    "dq": lambda arm: arm.plant.velocity,
    "target_q": lambda arm: arm.plant.target,
    "pose": Controller.pose,
    "enabled": lambda arm: arm.enabled,
    "error": lambda arm: arm.error,
    "warning": lambda arm: arm.warning,
    "tool": lambda arm: arm.tool,
    "load": lambda arm: arm.load,
    "servo": lambda arm: arm.servo,
    "temperature": lambda arm: arm.temperature,
}


def _form(port: int) -> tuple[np.ndarray, list[tuple[str, Callable[[Controller], Any]]]]:
    """A port's report with all that never changes, and what is to be filled in."""
    layout = wire.REPORTS[port]
    report = np.zeros((), layout)
    report["size"] = layout.itemsize
    for name, value in _CONSTANT.get(port, {}).items():
        report[name] = value
    changing: list[tuple[str, Callable[[Controller], Any]]] = []
    for name, read in _CHANGING.items():
        if name in (layout.names or ()):
            changing.append((name, read))
    return report, changing


def _corrupt(fault: str, port: int, frame: bytes) -> bytes:
    """A reply is corrupted within its frame, since TCP loses no bytes; a report, whose length is
    fixed, is not spared.
    """
    truncated = fault == "truncated"
    if port in wire.REPORTS:
        if truncated:
            return frame[: 2 * len(frame) // 3]
        return bytes([frame[0] ^ 1]) + frame[1:]
    if truncated:
        # Nothing but the register, and a length that says so.
        return frame[:4] + (1).to_bytes(2, "big") + frame[6:7]
    return frame[:6] + bytes([frame[6] ^ 0x40]) + frame[7:]
