"""One Euro filter: strong smoothing at rest, little lag in motion (Casiez, Roussel, Vogel: 1
Euro Filter, CHI 2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pinocchio as pin  # pyright: ignore

LONGEST_GAP_S = 0.5
"""After a longer gap a filter is reset."""


@dataclass(frozen=True)
class OneEuroParameters:
    """Cutoff frequency: `rest_hz` at rest, plus `per_speed_hz` per unit of speed a second."""

    rest_hz: float
    per_speed_hz: float
    speed_hz: float = 8.0

    def share(self, speed: float, dt: float) -> float:
        """Of a new sample in what comes out."""
        return _share(self.rest_hz + self.per_speed_hz * speed, dt)


WRIST = OneEuroParameters(2.0, 40.0)
"""Metres: 22 Hz at half a metre a second."""
TURN = OneEuroParameters(2.0, 10.0)
"""Radians."""
FINGERS = OneEuroParameters(3.0, 60.0)
LEADER = OneEuroParameters(4.0, 20.0)
"""Radians: servos of leader arms count in steps of 1.5 mrad."""


def _share(frequency_hz: float, dt: float) -> float:
    return 1 / (1 + 1 / (2 * math.pi * frequency_hz * dt))


class Smooth:
    """Points [K, D], each by its own speed."""

    def __init__(self, parameters: OneEuroParameters):
        self._parameters = parameters
        self.reset()

    def reset(self) -> None:
        self._value: np.ndarray | None = None
        self._speed: np.ndarray = np.zeros(())

    def __call__(self, points: np.ndarray, dt: float) -> np.ndarray:
        """The smoothed points, `dt` after the last."""
        points = np.asarray(points, dtype=float)
        if self._value is None or not 0 <= dt <= LONGEST_GAP_S:
            self._value = points
            self._speed = np.zeros(points.shape)
        elif dt > 0:
            self._speed = self._speed + _share(self._parameters.speed_hz, dt) * (
                (points - self._value) / dt - self._speed
            )
            speed = np.sqrt(np.square(self._speed).sum(-1, keepdims=True))
            frequency = self._parameters.rest_hz + self._parameters.per_speed_hz * speed
            self._value = self._value + (points - self._value) / (
                1 + 1 / (2 * math.pi * frequency * dt)
            )
        assert self._value is not None
        return self._value


class SmoothRotation:
    """Rotations [3, 3]."""

    def __init__(self, parameters: OneEuroParameters):
        self._parameters = parameters
        self.reset()

    def reset(self) -> None:
        self._value: np.ndarray | None = None
        self._speed = np.zeros(3)

    def __call__(self, rotation: np.ndarray, dt: float) -> np.ndarray:
        """The smoothed rotation, `dt` after the last."""
        if self._value is None or not 0 <= dt <= LONGEST_GAP_S:
            self._value = rotation.copy()
            self._speed = np.zeros(3)
        elif dt > 0:
            gap = pin.log3(self._value.T @ rotation)
            self._speed = self._speed + _share(self._parameters.speed_hz, dt) * (
                gap / dt - self._speed
            )
            share = self._parameters.share(float(np.linalg.norm(self._speed)), dt)
            self._value = self._value @ pin.exp3(share * gap)
        assert self._value is not None
        return self._value


class SmoothPose:
    """Poses [4, 4] m."""

    def __init__(self) -> None:
        self._position = Smooth(WRIST)
        self._rotation = SmoothRotation(TURN)

    def reset(self) -> None:
        self._position.reset()
        self._rotation.reset()

    def __call__(self, pose: np.ndarray, dt: float) -> np.ndarray:
        smooth = np.eye(4)
        smooth[:3, 3] = self._position(pose[None, :3, 3], dt)[0]
        smooth[:3, :3] = self._rotation(pose[:3, :3], dt)
        return smooth
