"""From a headset's world, whose y is up, to the operator's: x where they looked at first, y to
their left, z up.
"""

from __future__ import annotations

import numpy as np

Z_UP = np.array([[0.0, 0.0, -1.0], [-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Directions of a world with x right, y up and z backwards (ARKit, WebXR) in one with x forward, y
left and z up.
"""


class Facing:
    """Turns poses into the operator's world; their forward is where the head looked when it was
    first seen.
    """

    def __init__(self) -> None:
        self._turn: np.ndarray | None = None

    def begin(self) -> None:
        self._turn = None

    def head(self, T_headset_head: np.ndarray) -> None:
        """Takes in a head [4, 4], which looks along its -z."""
        if self._turn is None:
            ahead = -Z_UP @ T_headset_head[:3, 2]
            length = float(np.hypot(ahead[0], ahead[1]))
            if length > 0.1:  # one who looks at the floor faces nowhere
                cos, sin = ahead[:2] / length
                self._turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]]) @ Z_UP

    def pose(self, T_headset_wrist: np.ndarray, R_wrist_hand: np.ndarray) -> np.ndarray:
        """The hand frame's pose [4, 4] in the operator's world, of a wrist's whose axes the headset
        chose.
        """
        turn = Z_UP if self._turn is None else self._turn
        placed = np.eye(4)
        placed[:3, :3] = turn @ T_headset_wrist[:3, :3] @ R_wrist_hand
        placed[:3, 3] = turn @ T_headset_wrist[:3, 3]
        return placed
