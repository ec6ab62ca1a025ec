"""What an emulated G1 was commanded, and what became of it: how a program takes its arms and gives
them back.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from xlvla_drivers.arms.g1_frames import ARM, WAIST
from xlvla_drivers.emulators.g1_motors import MotorLaw

CURVE_S = 0.1
"""Between two points of a curve that is kept."""

_LEFT = ARM["left"]
_UPPER = slice(WAIST.start, ARM["right"].stop)


class Witness:
    """Sees every command and every period of the motors since it was made."""

    def __init__(self) -> None:
        self._began_s = time.monotonic()
        self._commands = 0
        self._last_s = 0.0
        self._weight = 0.0
        self._stiffness = 0.0
        self._steepest = 0.0
        self._curve: list[tuple[float, float]] = []
        self._first: np.ndarray | None = None
        self._moved_rad = 0.0
        self._fastest_rad_s = 0.0

    def hear(self, weight: float, law: MotorLaw) -> None:
        """A command of this weight, of which rt/lowcmd knows none: there stiffness tells."""
        now_s = time.monotonic() - self._began_s
        stiffness = float(law.kp[_LEFT].mean())
        if self._commands:
            self._steepest = max(self._steepest, abs(weight - self._weight))
        self._commands += 1
        self._last_s = now_s
        self._weight = weight
        self._stiffness = stiffness
        if not self._curve or now_s - self._curve[-1][0] > CURVE_S:
            self._curve.append((round(now_s, 3), round(weight, 3)))

    def see(self, position: np.ndarray, velocity: np.ndarray) -> None:
        """A period of the motors [29] rad, [29] rad/s."""
        upper = position[_UPPER]
        if self._first is None:
            self._first = upper
        self._moved_rad = max(self._moved_rad, float(np.abs(upper - self._first).max()))
        self._fastest_rad_s = max(self._fastest_rad_s, float(np.abs(velocity[_UPPER]).max()))

    def report(self) -> dict[str, Any]:
        """commands: how many came; silent_s: since the last one; weight, stiffness: of that one,
        the stiffness the mean of the left arm [Nm/rad]; steepest: the largest change of the weight
        from one to the next; curve: weights over time [s]; moved_rad, fastest_rad_s: of arms and
        waist.
        """
        return {
            "commands": self._commands,
            "silent_s": time.monotonic() - self._began_s - self._last_s,
            "weight": self._weight,
            "stiffness": self._stiffness,
            "steepest": self._steepest,
            "curve": self._curve,
            "moved_rad": self._moved_rad,
            "fastest_rad_s": self._fastest_rad_s,
        }
