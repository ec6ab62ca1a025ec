"""From a headset's world, whose y is up, to the operator's: x where they looked at first, y to
their left, z up.
"""

from __future__ import annotations

import numpy as np

Z_UP = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Rotation [3, 3] from a world with x right, y up and z backwards (ARKit, WebXR) to one with x
forward, y left and z up.
"""

LEVEL = 0.1
"""A head whose direction has a shorter horizontal part looks at the floor or the ceiling, and faces
nowhere.
"""


class Facing:
    """Turns poses into the operator's world; their forward is where the head looked when it was
    first seen.
    """

    def __init__(self) -> None:
        self._turn: np.ndarray | None = None

    def begin(self) -> None:
        """The next head defines the forward direction."""
        self._turn = None

    def head(self, T_headset_head: np.ndarray) -> None:
        """Receives the head's pose [4, 4]; it looks along its -z."""
        if self._turn is not None:
            return
        ahead = -Z_UP @ T_headset_head[:3, 2]
        length = float(np.hypot(ahead[0], ahead[1]))
        if length > LEVEL:
            cos, sin = ahead[:2] / length
            about_z = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])
            self._turn = about_z @ Z_UP

    def pose(self, T_headset_wrist: np.ndarray, R_wrist_hand: np.ndarray) -> np.ndarray:
        """The hand frame's pose [4, 4] in the operator's world.

        Args:
            T_headset_wrist: the wrist's pose [4, 4], with the headset's choice of axes.
            R_wrist_hand: axes [3, 3] of the hand frame in that of the wrist.
        """
        turn = Z_UP if self._turn is None else self._turn
        placed = np.eye(4)
        placed[:3, :3] = turn @ T_headset_wrist[:3, :3] @ R_wrist_hand
        placed[:3, 3] = turn @ T_headset_wrist[:3, 3]
        return placed
