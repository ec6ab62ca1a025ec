"""What emulated headsets share: a person's hands, and the faults a headset suffers from."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np

from xlvla.types import SIDES, Side
from xlvla_drivers.emulators import person
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.plant import Plant
from xlvla_drivers.teleop.worlds import Z_UP

KNOWN_FAULTS = ("unplug", "hide_left", "hide_right", "jump", "not_finite", "freeze")
"""Gone; a hand out of sight; a wrist that is suddenly elsewhere; numbers that are none; the newest
picture for ever.
"""

JUMP_M = 0.5
EYES_M = np.array([0.0, 1.55, 0.0])


class HeadsetEmulator:
    """Whose hands a headset sees. Poses are in the headset's world: x right, y up, z backwards.

    Attributes:
        moves: whose hands [T_world_wrist, keypoints] at a time, by side; tests say something else
            than `person.hand`.
    """

    joints: tuple[str, ...] = ()
    known_faults = KNOWN_FAULTS

    def __init__(self) -> None:
        self.faults = Faults(KNOWN_FAULTS)
        self.plant = Plant(np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0))
        self.moves = person.hand
        self._began_s = time.monotonic()
        self._frozen_s: float | None = None

    def inject(self, fault: str, on: bool = True) -> None:
        self.faults.inject(fault, on)
        self._frozen_s = self.time_s if "freeze" in self.faults else None

    @property
    def time_s(self) -> float:
        return time.monotonic() - self._began_s

    @property
    def position(self) -> np.ndarray:
        return np.zeros(0)

    @property
    def drivers(self) -> str:
        """What its hands do now, in a line."""
        words: list[str] = []
        for side in SIDES:
            T_world_wrist, _ = person.hand(side, self.time_s)
            x, y, z = T_world_wrist[:3, 3]
            words.append(f"{side} wrist {x:+.2f} {y:+.2f} {z:+.2f}")
        return "  ".join(words)

    def hands(
        self, R_wrist_hand: Mapping[Side, np.ndarray]
    ) -> dict[Side, tuple[np.ndarray, np.ndarray]]:
        """The wrists [4, 4] and keypoints [21, 3] in the wrist's frame that are in sight; axes of
        the hand frame in the wrist's.
        """
        now_s = self.time_s if self._frozen_s is None else self._frozen_s
        seen: dict[Side, tuple[np.ndarray, np.ndarray]] = {}
        for side in SIDES:
            if f"hide_{side}" in self.faults:
                continue
            T_world_hand, keypoints = self.moves(side, now_s)
            R_hand_wrist = R_wrist_hand[side].T
            # `Z_UP` turns the headset's world into one with z up.
            wrist = np.eye(4)
            wrist[:3, :3] = Z_UP.T @ T_world_hand[:3, :3] @ R_hand_wrist
            wrist[:3, 3] = Z_UP.T @ T_world_hand[:3, 3]
            if "jump" in self.faults:
                wrist[:3, 3] += JUMP_M
            if "not_finite" in self.faults:
                wrist[0, 3] = np.nan
            seen[side] = wrist, keypoints @ R_hand_wrist
        return seen

    @property
    def head(self) -> np.ndarray:
        """Pose [4, 4] of the head, which looks ahead."""
        placed = np.eye(4)
        placed[:3, 3] = EYES_M
        return placed
