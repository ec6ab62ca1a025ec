"""A SpaceMouse: the cap moves and turns one wrist, its buttons work the hand and the clutch."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.types import Side
from xlvla_drivers.device import LinkLost
from xlvla_drivers.teleop.jog import FASTEST_CLOSING, Jog
from xlvla_drivers.teleop.operator import Sample, installed

PERIOD_S = 0.01
HAND = 0
CLUTCH = -1
"""The first button opens and closes the hand, the last one the clutch."""


@dataclass(frozen=True)
class Options:
    """What a rig may say about it.

    Args:
        side: whose wrist it moves; '' is the rig's last side's.
        speed_m_s, speed_rad_s: with the cap pushed all the way.
        dead_band: share of the way that does nothing.
    """

    side: str = ""
    speed_m_s: float = 0.2
    speed_rad_s: float = 0.8
    dead_band: float = 0.05


class Driver:
    """Read through pyspacemouse, where it is installed."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Any):
        self._library = installed("pyspacemouse", "pyspacemouse")
        self.address = address or "the first SpaceMouse"
        chosen: list[Side] = [side for side in sides if options.side in ("", side)]
        self._jog = Jog(chosen[-1] if chosen else sides[-1])
        self._options = options
        self._path = address
        self._device: Any = None
        self._last_s = 0.0
        self._pressed = (False, False)
        self._shut = False

    def open(self) -> None:
        try:
            self._device = (
                self._library.open(path=self._path) if self._path else self._library.open()
            )
        except Exception as error:  # the library raises whatever its backend does
            raise LinkLost(f"no SpaceMouse: {error}") from None
        if not self._device:
            raise LinkLost("no SpaceMouse is plugged in, or its device may not be read")
        self._last_s = time.monotonic()

    def read(self, timeout_s: float) -> Sample | None:
        time.sleep(min(timeout_s, max(self._last_s + PERIOD_S - time.monotonic(), 0.0)))
        try:
            state = self._device.read()
        except Exception as error:  # the library raises whatever its backend does
            raise LinkLost(f"the SpaceMouse is gone: {error}") from None
        if state is None or (dt := time.monotonic() - self._last_s) < PERIOD_S:
            return None
        self._last_s += dt
        buttons = self._buttons(state.buttons)
        reach = self._reach(np.array([state.y, -state.x, state.z]), self._options.speed_m_s)
        turn = self._reach(
            np.array([state.roll, state.pitch, -state.yaw]), self._options.speed_rad_s
        )
        self._jog.move(reach * dt, turn * dt)
        self._jog.close((FASTEST_CLOSING if self._shut else -FASTEST_CLOSING) * dt)
        return Sample(
            {self._jog.side: self._jog.advance(min(dt, 0.1))}, stamp_s=self._last_s, buttons=buttons
        )

    def close(self) -> None:
        if self._device is not None:
            with contextlib.suppress(Exception):
                self._device.close()
            self._device = None

    def _reach(self, pushed: np.ndarray, speed: float) -> np.ndarray:
        return speed * np.where(np.abs(pushed) < self._options.dead_band, 0.0, pushed)

    def _buttons(self, state: Any) -> tuple[str, ...]:
        """What was pressed since the last look."""
        pressed = bool(state[HAND]), bool(state[CLUTCH]) and len(state) > 1
        before = self._pressed
        self._pressed = pressed
        self._shut ^= pressed[0] and not before[0]
        return ("clutch",) if pressed[1] and not before[1] else ()
