"""A wrist for who has none to show: moved by steps and speeds, smoothly, as a tracker would see
it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla.types import Side
from xlvla_drivers.teleop.closing import closed
from xlvla_drivers.teleop.operator import TrackedSide

SETTLE_S = 0.08
"""Time constant with which the wrist goes to where it was told."""

FASTEST_M_S = 0.3
FASTEST_RAD_S = 1.0
FASTEST_CLOSING = 1.5
LEASH_M = 0.1
LEASH_RAD = 0.4
"""How far ahead of itself it may be told: who lets a key go wants it to stop."""


@dataclass
class Jog:
    """One virtual wrist, in the operator's world, with its hand; it begins at the origin, open."""

    side: Side
    pose: np.ndarray = field(default_factory=lambda: np.eye(4))
    goal: np.ndarray = field(default_factory=lambda: np.eye(4))
    closing: float = 0.0
    closing_goal: float = 0.0

    def move(self, metres: np.ndarray, radians: np.ndarray) -> None:
        """Goes on by [3] m and turns by [3] rad about the world's axes."""
        self.goal[:3, 3] = self.pose[:3, 3] + _shorter(
            self.goal[:3, 3] + metres - self.pose[:3, 3], LEASH_M
        )
        turned = pin.exp3(np.asarray(radians, dtype=float)) @ self.goal[:3, :3]
        self.goal[:3, :3] = (
            pin.exp3(_shorter(pin.log3(turned @ self.pose[:3, :3].T), LEASH_RAD))
            @ self.pose[:3, :3]
        )

    def close(self, more: float) -> None:
        self.closing_goal = float(np.clip(self.closing_goal + more, 0.0, 1.0))

    def advance(self, dt: float) -> TrackedSide:
        """The wrist and fingers dt later."""
        share = -np.expm1(-dt / SETTLE_S)
        self.pose[:3, 3] += _shorter(
            share * (self.goal[:3, 3] - self.pose[:3, 3]), FASTEST_M_S * dt
        )
        turn = share * pin.log3(self.goal[:3, :3] @ self.pose[:3, :3].T)
        self.pose[:3, :3] = pin.exp3(_shorter(turn, FASTEST_RAD_S * dt)) @ self.pose[:3, :3]
        self.closing += float(
            np.clip(self.closing_goal - self.closing, -FASTEST_CLOSING * dt, FASTEST_CLOSING * dt)
        )
        return TrackedSide(self.pose.copy(), closed(self.side, self.closing))


def _shorter(vector: np.ndarray, most: float) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector * min(1.0, most / length) if length > 0 else vector
