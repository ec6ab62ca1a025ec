"""A virtual wrist for sources that track none: moved by steps and speeds, as smoothly as a tracked
one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pinocchio as pin  # pyright: ignore

from xlvla.types import Side
from xlvla_drivers.teleop.closing import closed
from xlvla_drivers.teleop.operator import TrackedSide

SETTLE_S = 0.08
"""Time constant with which the wrist goes to its goal."""

FASTEST_M_S = 0.3
FASTEST_RAD_S = 1.0
FASTEST_CLOSING = 1.5
LEASH_M = 0.1
LEASH_RAD = 0.4
"""How far its goal may be ahead: an operator who releases a key wants it to stop."""


@dataclass
class Jog:
    """One virtual wrist, in the operator's world, with its hand; it begins at the origin, open."""

    side: Side
    pose: np.ndarray = field(default_factory=lambda: np.eye(4))
    goal: np.ndarray = field(default_factory=lambda: np.eye(4))
    closing: float = 0.0
    closing_goal: float = 0.0

    def move(self, metres: np.ndarray, radians: np.ndarray) -> None:
        """Moves the goal by [3] m and turns it by [3] rad about the world's axes."""
        position = self.pose[:3, 3]
        rotation = self.pose[:3, :3]
        ahead = self.goal[:3, 3] + metres - position
        self.goal[:3, 3] = position + _shorter(ahead, LEASH_M)
        turned = pin.exp3(np.asarray(radians, dtype=float)) @ self.goal[:3, :3]
        turn = _shorter(pin.log3(turned @ rotation.T), LEASH_RAD)
        self.goal[:3, :3] = pin.exp3(turn) @ rotation

    def rest(self, *, moves: bool, turns: bool) -> None:
        """What the operator let go of stops where it is: moving, turning or both."""
        if moves:
            self.goal[:3, 3] = self.pose[:3, 3]
        if turns:
            self.goal[:3, :3] = self.pose[:3, :3]

    def close(self, more: float) -> None:
        """Closes the hand's goal by `more`, 0 open to 1 closed."""
        self.closing_goal = float(np.clip(self.closing_goal + more, 0.0, 1.0))

    def advance(self, dt: float) -> TrackedSide:
        """The wrist and fingers dt later."""
        share = -np.expm1(-dt / SETTLE_S)
        step = share * (self.goal[:3, 3] - self.pose[:3, 3])
        self.pose[:3, 3] += _shorter(step, FASTEST_M_S * dt)
        turn = share * pin.log3(self.goal[:3, :3] @ self.pose[:3, :3].T)
        self.pose[:3, :3] = pin.exp3(_shorter(turn, FASTEST_RAD_S * dt)) @ self.pose[:3, :3]
        most = FASTEST_CLOSING * dt
        self.closing += float(np.clip(self.closing_goal - self.closing, -most, most))
        return TrackedSide(self.pose.copy(), closed(self.side, self.closing))


def _shorter(vector: np.ndarray, most: float) -> np.ndarray:
    """The vector, or one of its direction and of length `most` where it is longer."""
    length = float(np.linalg.norm(vector))
    if length == 0:
        return vector
    return vector * min(1.0, most / length)
