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
    """Cutoff frequencies of a filter.

    Args:
        rest_hz: of the signal at rest.
        per_speed_hz: what is added to it per unit of speed.
        speed_hz: of the speed itself.
    """

    rest_hz: float
    per_speed_hz: float
    speed_hz: float = 8.0

    def share(self, speed: float, dt: float) -> float:
        """The weight of a new sample, `dt` after the last."""
        return _share(self.rest_hz + self.per_speed_hz * speed, dt)


WRIST = OneEuroParameters(2.0, 40.0)
"""Metres: 22 Hz at half a metre a second."""

TURN = OneEuroParameters(2.0, 10.0)
"""Radians."""

FINGERS = OneEuroParameters(3.0, 60.0)
"""Metres."""

LEADER = OneEuroParameters(4.0, 20.0)
"""Radians: servos of leader arms count in steps of 1.5 mrad."""


def _share(frequency_hz: float, dt: float) -> float:
    """The weight of a new sample in a first-order low-pass filter."""
    return 1 / (1 + 1 / (2 * math.pi * frequency_hz * dt))


class Smooth:
    """Smooths points [K, D], each by its own speed."""

    def __init__(self, parameters: OneEuroParameters):
        self._parameters = parameters
        self._value: np.ndarray | None = None
        self._velocity: np.ndarray = np.zeros(())

    def reset(self) -> None:
        """The next points are the first ones."""
        self._value = None

    def __call__(self, points: np.ndarray, dt: float) -> np.ndarray:
        """The smoothed points, `dt` after the last."""
        points = np.asarray(points, dtype=float)
        before = self._value
        if before is None or not 0 <= dt <= LONGEST_GAP_S:
            self._value = points
            self._velocity = np.zeros(points.shape)
            return points
        if dt == 0:
            return before
        velocity = (points - before) / dt
        share = _share(self._parameters.speed_hz, dt)
        self._velocity = self._velocity + share * (velocity - self._velocity)
        speed = np.sqrt(np.square(self._velocity).sum(-1, keepdims=True))
        frequency = self._parameters.rest_hz + self._parameters.per_speed_hz * speed
        # As `_share`, but with a frequency for each point.
        smooth = before + (points - before) / (1 + 1 / (2 * math.pi * frequency * dt))
        self._value = smooth
        return smooth


class SmoothRotation:
    """Smooths rotations [3, 3]."""

    def __init__(self, parameters: OneEuroParameters):
        self._parameters = parameters
        self._value: np.ndarray | None = None
        self._velocity = np.zeros(3)

    def reset(self) -> None:
        """The next rotation is the first one."""
        self._value = None

    def __call__(self, rotation: np.ndarray, dt: float) -> np.ndarray:
        """The smoothed rotation, `dt` after the last."""
        before = self._value
        if before is None or not 0 <= dt <= LONGEST_GAP_S:
            first = rotation.copy()
            self._value = first
            self._velocity = np.zeros(3)
            return first
        if dt == 0:
            return before
        gap = pin.log3(before.T @ rotation)
        share = _share(self._parameters.speed_hz, dt)
        self._velocity = self._velocity + share * (gap / dt - self._velocity)
        speed = float(np.linalg.norm(self._velocity))
        share = self._parameters.share(speed, dt)
        smooth = before @ pin.exp3(share * gap)
        self._value = smooth
        return smooth


class SmoothPose:
    """Smooths poses [4, 4] m."""

    def __init__(self) -> None:
        self._position = Smooth(WRIST)
        self._rotation = SmoothRotation(TURN)

    def reset(self) -> None:
        """The next pose is the first one."""
        self._position.reset()
        self._rotation.reset()

    def __call__(self, pose: np.ndarray, dt: float) -> np.ndarray:
        """The smoothed pose, `dt` after the last."""
        smooth = np.eye(4)
        smooth[:3, 3] = self._position(pose[None, :3, 3], dt)[0]
        smooth[:3, :3] = self._rotation(pose[:3, :3], dt)
        return smooth
