"""Keys of the terminal of `xlvla run`, as a source of teleoperation."""

from __future__ import annotations

import time

import numpy as np
from rclpy.node import Node

from xlvla.ros import forms, topics
from xlvla.ros.reader import Reader
from xlvla.types import Side
from xlvla_drivers.teleop.jog import Jog
from xlvla_drivers.teleop.keyboard import CLOSING, MOVES, OTHER, STEP_CLOSING, TURNS, Options
from xlvla_drivers.teleop.operator import Sample, TrackedSide

PERIOD_S = 1 / 60

LONGEST_STEP_S = 0.1
"""After a longer pause wrists move as if only this much time had passed."""


class Driver:
    """All wrists are always tracked; keys move the selected one, at first the last side's."""

    address = topics.TELEOP_KEYS.name

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Node):
        self._keys = Reader(node, topics.TELEOP_KEYS, forms.KEYS)
        self._options = options
        self._jogs = [Jog(side) for side in sides]
        self._selected = len(sides) - 1
        self._last_s = 0.0

    def open(self) -> None:
        """There is nothing to open."""
        self._last_s = time.monotonic()

    def read(self, timeout_s: float) -> Sample | None:
        wait_s = max(self._last_s + PERIOD_S - time.monotonic(), 0.0)
        time.sleep(min(timeout_s, wait_s))
        dt = time.monotonic() - self._last_s
        if dt < PERIOD_S:
            return None
        self._last_s += dt
        for typed in self._keys.every():
            for key in typed:
                self._press(key)
        step_s = min(dt, LONGEST_STEP_S)
        sides: dict[Side, TrackedSide] = {jog.side: jog.advance(step_s) for jog in self._jogs}
        return Sample(sides, stamp_s=self._last_s)

    def close(self) -> None:
        """Nothing to close."""

    def _press(self, key: str) -> None:
        jog = self._jogs[self._selected]
        step = np.zeros(3)
        turn = np.zeros(3)
        if key == OTHER:
            self._selected = (self._selected + 1) % len(self._jogs)
        if key in MOVES:
            axis, direction = MOVES[key]
            step[axis] = direction * self._options.step_m
        if key in TURNS:
            axis, direction = TURNS[key]
            turn[axis] = direction * self._options.step_rad
        jog.move(step, turn)
        jog.close(STEP_CLOSING * CLOSING.get(key, 0))
