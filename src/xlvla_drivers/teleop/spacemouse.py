"""A SpaceMouse: the cap moves and turns one wrist, its buttons work the hand and the clutch."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from xlvla.ranges import Range
from xlvla.types import Side
from xlvla_drivers.device import LinkLost
from xlvla_drivers.optional import installed
from xlvla_drivers.teleop.jog import FASTEST_CLOSING, Jog
from xlvla_drivers.teleop.operator import Sample

MAKES_UP_HAND = True
"""Buttons close a hand that is nobody's."""

PERIOD_S = 0.01

HAND = 0
CLUTCH = -1
"""The first button opens and closes the hand, the last one the clutch."""

MOST_REPORTS = 256
"""Looked at in one turn; more than any kernel keeps."""

LONGEST_STEP_S = 0.1
"""After a longer pause the wrist moves as if only this much time had passed."""


@dataclass(frozen=True)
class Options:
    """Options in a rig's file.

    Args:
        side: whose wrist it moves; '' is the rig's last side's.
        speed_m_s, speed_rad_s: with the cap pushed all the way.
        dead_band: share of the cap's travel that does nothing.
    """

    side: str = ""
    speed_m_s: Annotated[float, Range(0.005, 0.5)] = 0.2
    speed_rad_s: Annotated[float, Range(0.01, 3)] = 0.8
    dead_band: Annotated[float, Range(0, 0.9)] = 0.05


class Driver:
    """Read through pyspacemouse, where it is installed."""

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Any):
        self._library = installed("pyspacemouse", "pip install pyspacemouse")
        self.address = address or "the first SpaceMouse"
        side = sides[-1]
        for known in sides:
            if known == options.side:
                side = known
        self._jog = Jog(side)
        self._options = options
        self._path = address
        self._device: Any = None
        self._last_s = 0.0
        # Whether the buttons of the hand and of the clutch were pressed at the last look.
        self._pressed = (False, False)
        # Whether the hand closes, or opens.
        self._shut = False
        # Buttons pressed since the last sample.
        self._unsent: tuple[str, ...] = ()

    def open(self) -> None:
        # The library raises whatever its backend does.
        try:
            self._device = self._opened()
        except Exception as error:
            raise LinkLost(f"no SpaceMouse: {error}") from None
        if not self._device:
            raise LinkLost("no SpaceMouse is plugged in, or its device may not be read")
        self._last_s = time.monotonic()

    def read(self, timeout_s: float) -> Sample | None:
        wait_s = max(self._last_s + PERIOD_S - time.monotonic(), 0.0)
        time.sleep(min(timeout_s, wait_s))
        # The library raises whatever its backend does.
        try:
            state, pressed = self._newest()
        except Exception as error:
            raise LinkLost(f"the SpaceMouse is gone: {error}") from None
        self._unsent += pressed
        dt = time.monotonic() - self._last_s
        if state is None or dt < PERIOD_S:
            return None
        self._last_s += dt
        buttons = self._unsent
        self._unsent = ()
        pushed = np.array([state.y, -state.x, state.z])
        turned = np.array([state.roll, state.pitch, -state.yaw])
        velocity = self._speeds(pushed, self._options.speed_m_s)
        turn = self._speeds(turned, self._options.speed_rad_s)
        closing = FASTEST_CLOSING if self._shut else -FASTEST_CLOSING
        self._jog.move(velocity * dt, turn * dt)
        # A cap that is let go is at its middle: nothing of what was asked before is made up for.
        self._jog.rest(moves=not velocity.any(), turns=not turn.any())
        self._jog.close(closing * dt)
        tracked = self._jog.advance(min(dt, LONGEST_STEP_S))
        return Sample({self._jog.side: tracked}, stamp_s=self._last_s, buttons=buttons)

    def close(self) -> None:
        if self._device is not None:
            with contextlib.suppress(Exception):
                self._device.close()
            self._device = None

    def _opened(self) -> Any:
        if not self._path:
            return self._library.open()
        # What pyspacemouse 1 takes as an argument, is a function of its own from 2 on.
        if hasattr(self._library, "open_by_path"):
            return self._library.open_by_path(self._path)
        return self._library.open(path=self._path)

    def _newest(self) -> tuple[Any, tuple[str, ...]]:
        """What the newest report says, and every button pressed on the way to it.

        The device sends two reports every 8 ms and the kernel keeps 64: whoever reads one in turn
        hears of the cap half a second late.
        """
        buttons: tuple[str, ...] = ()
        state = None
        read_s = None
        for _ in range(MOST_REPORTS):
            state = self._device.read()
            # A report changes the time of the state, which is the same one without a report.
            if state is None or state.t == read_s:
                break
            read_s = state.t
            buttons += self._buttons(state.buttons)
        return state, buttons

    def _speeds(self, pushed: np.ndarray, speed: float) -> np.ndarray:
        """Speeds [3] for how far the cap is pushed [3], -1 to 1."""
        return speed * np.where(np.abs(pushed) < self._options.dead_band, 0.0, pushed)

    def _buttons(self, state: Any) -> tuple[str, ...]:
        """What was pressed since the last look."""
        hand = bool(state[HAND])
        # A mouse with one button has none for the clutch.
        clutch = bool(state[CLUTCH]) and len(state) > 1
        hand_before, clutch_before = self._pressed
        self._pressed = (hand, clutch)
        if hand and not hand_before:
            self._shut = not self._shut
        if clutch and not clutch_before:
            return ("clutch",)
        return ()
