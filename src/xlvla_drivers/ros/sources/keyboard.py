"""Keys of a terminal elsewhere, as a source of teleoperation."""

from __future__ import annotations

import time

import numpy as np
from rclpy.node import Node

from xlvla.ros import forms, topics
from xlvla.ros.reader import Reader
from xlvla.types import Side
from xlvla_drivers.teleop.jog import Jog
from xlvla_drivers.teleop.keyboard import CLOSING, MOVES, OTHER, STEP_CLOSING, TURNS, Options
from xlvla_drivers.teleop.operator import Sample

PERIOD_S = 1 / 60


class Driver:
    """Both wrists are always there; keys move the one whose turn it is, the last side's first."""

    address = topics.TELEOP_KEYS.name

    def __init__(self, address: str, sides: tuple[Side, ...], options: Options, node: Node):
        self._keys = Reader(node, topics.TELEOP_KEYS, forms.KEYS)
        self._options = options
        self._jogs = [Jog(side) for side in sides]
        self._chosen = len(sides) - 1
        self._last_s = 0.0

    def open(self) -> None:
        """There is nothing to open."""
        self._last_s = time.monotonic()

    def read(self, timeout_s: float) -> Sample | None:
        time.sleep(min(timeout_s, max(self._last_s + PERIOD_S - time.monotonic(), 0.0)))
        if (dt := time.monotonic() - self._last_s) < PERIOD_S:
            return None
        self._last_s += dt
        for typed in self._keys.every():
            for key in typed:
                self._press(key)
        return Sample(
            {jog.side: jog.advance(min(dt, 0.1)) for jog in self._jogs}, stamp_s=self._last_s
        )

    def close(self) -> None:
        """Nothing to close."""

    def _press(self, key: str) -> None:
        jog = self._jogs[self._chosen]
        step = np.zeros(3)
        turn = np.zeros(3)
        if key == OTHER:
            self._chosen = (self._chosen + 1) % len(self._jogs)
        if key in MOVES:
            axis, way = MOVES[key]
            step[axis] = way * self._options.step_m
        if key in TURNS:
            axis, way = TURNS[key]
            turn[axis] = way * self._options.step_rad
        jog.move(step, turn)
        jog.close(STEP_CLOSING * CLOSING.get(key, 0))
