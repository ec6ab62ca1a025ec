"""An emulated DexH13, behind a Unix socket at its address.

Its wire is not published, so this emulates what the vendor's SDK does, not what the hand says:
`paxini_sdk` stands in for the SDK and asks this hand. Driver, server process and everything between
them are the real ones; the SDK, its timing and its faults are a guess.
"""

from __future__ import annotations

import contextlib
import json
import os
import socketserver
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.hands.paxini import HAND
from xlvla.types import Side
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.hands.paxini import DIP, MODULES, PIP, SLOTS, Options

POSITION_MODE = 3
LATE_S = 0.03
LATE_EVERY = 3
POINTS = 1140
FASTEST_RPM = 24000
WARM = 33.0
HOT = 80.0
HOT_ERROR = 3
STALL_ERROR = 5
_HOT_SLOT = 13
_STALLED_SLOT = 1


class Emulator:
    """One hand.

    `stall` blocks the index finger's base joint, which stands still until the error is cleared;
    `over_temperature` disables the motors; `crash` ends the server's process.

    Attributes:
        contact: forces [11, 3] on the modules of the skin, the SDK's units.
    """

    known_faults = ("unplug", "late", "stall", "over_temperature", "crash")

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = HAND.joint_names(side)
        limits = HAND.limits(side)
        self._path = Path(address)
        self._side = side
        self._ratio = options.dip_ratio
        self._faults = Faults(self.known_faults)
        self._lock = threading.RLock()
        self._fastest = limits.velocity
        self.plant = Plant(np.zeros(SLOTS), limits.lower, limits.upper, self._fastest.copy())
        self.contact = np.zeros((len(MODULES), 3))
        self.enabled = False
        self._mode = 0
        self._calls = 0
        self._errors: list[tuple[str, int, int]] = []
        self._server: Any = None

    def start(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(self._path):
            if not self._path.is_socket():
                raise XlvlaError(
                    f"cannot emulate a device at {self._path}: it exists and is not a socket; "
                    "choose another address"
                )
            self._path.unlink()
        self._server = socketserver.ThreadingUnixStreamServer(str(self._path), _handler(self))
        self._server.daemon_threads = True
        threading.Thread(
            target=self._server.serve_forever,
            args=(0.05,),
            name=f"hand {self._path.name}",
            daemon=True,
        ).start()

    def stop(self) -> None:
        server = self._server
        self._server = None
        if server is not None:
            server.shutdown()
            server.server_close()
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()

    def inject(self, fault: str, on: bool = True) -> None:
        self._faults.inject(fault, on)
        with self._lock:
            self._live()

    @property
    def position(self) -> np.ndarray:
        with self._lock:
            self._live()
            return self._where()

    def answer(self, name: str, arguments: list[Any]) -> Any:
        """What the stand-in for the SDK is told: a list with the answer, 'crash', or None for a
        hand that is gone.
        """
        self._calls += 1
        if "late" in self._faults and self._calls % LATE_EVERY == 0:
            time.sleep(LATE_S)
        # Unplugged it says nothing for as long.
        while "unplug" in self._faults:
            if self._server is None:
                return None
            time.sleep(0.01)
        if "crash" in self._faults:
            return "crash"
        with self._lock:
            self._live()
            return [self._does[name](self, *arguments)]

    def _live(self) -> None:
        """Lets time pass until now, then lets errors arise."""
        self.plant.advance()
        stalled = "stall" in self._faults or self._has_error(STALL_ERROR)
        self.plant.stalled[_STALLED_SLOT] = stalled
        if "over_temperature" in self._faults:
            self._enable(False)
            self._errors = [("thumb", 11, HOT_ERROR)]
        blocked = self._stalled_rad > 0.1
        if "stall" in self._faults and blocked and not self._errors:
            self._errors = [("index", 2, STALL_ERROR)]

    def _has_error(self, wanted: int) -> bool:
        return any(code == wanted for _, _, code in self._errors)

    @property
    def _stalled_rad(self) -> float:
        """How far the joint that stalls is from its target."""
        return abs(self.plant.target[_STALLED_SLOT] - self.plant.position[_STALLED_SLOT])

    def _where(self) -> np.ndarray:
        slots = self.plant.position.copy()
        slots[DIP] = self._ratio * slots[PIP]
        return slots

    def _enable(self, on: bool) -> bool:
        if on and self._has_error(HOT_ERROR):
            return False
        if not on:
            self.plant.halt()
        self.enabled = on
        return True

    def _set_mode(self, mode: int) -> bool:
        self._mode = mode
        return True

    def _set_speed(self, rpm: int) -> bool:
        self.plant.speed = self._fastest * rpm / FASTEST_RPM
        return 0 < rpm <= FASTEST_RPM

    def _go(self, angles: list[float], degrees: bool) -> bool:
        if not (self.enabled and self._mode == POSITION_MODE and len(angles) == SLOTS):
            return False
        self.plant.command(np.radians(angles) if degrees else np.array(angles))
        return True

    def _position(self, degrees: bool) -> list[float]:
        slots = self._where()
        return (np.degrees(slots) if degrees else slots).tolist()

    def _home(self) -> int:
        self.plant.position[:] = np.clip(0.0, self.plant.lower, self.plant.upper)
        self.plant.halt()
        return 1

    def _forces(self) -> list[list[float]]:
        felt = self.contact.copy()
        if self.plant.stalled[_STALLED_SLOT]:
            felt[MODULES.index("index_tip"), 2] += 100 * self._stalled_rad
        return felt.tolist()

    def _points(self) -> list[list[float]]:
        # How many points each module has is a guess: about as many as any other.
        ends = np.linspace(0, POINTS, len(MODULES) + 1).astype(int)
        shares = np.repeat(self._forces(), np.diff(ends), axis=0)
        return (shares * len(MODULES) / POINTS).tolist()

    def _temperatures(self) -> list[float]:
        temperatures = [WARM] * len(MODULES)
        if "over_temperature" in self._faults:
            for row, name in enumerate(MODULES):
                if name.startswith("thumb"):
                    temperatures[row] = HOT
        return temperatures

    def _clear(self) -> bool:
        self._errors = []
        # What is still wrong is an error again.
        self._live()
        return True

    def _side_number(self) -> int:
        return 1 if self._side == "left" else 0

    def _is_online(self) -> bool:
        return True

    def _get_mode(self) -> int:
        return self._mode

    def _is_enabled(self) -> bool:
        return self.enabled

    def _get_errors(self) -> list[tuple[str, int, int]]:
        return self._errors

    _does: dict[str, Callable[..., Any]] = {  # noqa: RUF012
        "side": _side_number,
        "online": _is_online,
        "home": _home,
        "set_mode": _set_mode,
        "mode": _get_mode,
        "set_speed": _set_speed,
        "enable": _enable,
        "enabled": _is_enabled,
        "go": _go,
        "position": _position,
        "forces": _forces,
        "points": _points,
        "temperatures": _temperatures,
        "faults": _get_errors,
        "clear": _clear,
    }


def _handler(hand: Emulator) -> type[socketserver.StreamRequestHandler]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                name, arguments = json.loads(line)
                answer = hand.answer(name, arguments)
                with contextlib.suppress(OSError):
                    self.wfile.write(json.dumps(answer).encode() + b"\n")

    return Handler
