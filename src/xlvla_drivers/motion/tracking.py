"""Whether an arm is where it was commanded."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

LAG_S = 0.4
"""An arm may be where it was commanded at any time as long ago as this ..."""

LAG_RAD = 0.3
"""... and this much beside it: more, and something holds it, or it does not listen."""


class Tracking:
    """The commands of an arm within `LAG_S` and what was measured against them.

    Only arms: a finger that holds something is never where it was told to be.

    Args:
        joints: their names, the order of every vector here.
    """

    def __init__(self, joints: Sequence[str]):
        self._joints = tuple(joints)
        self._commands: deque[tuple[float, np.ndarray]] = deque()

    def forget(self) -> None:
        self._commands.clear()

    def strayed(self, now_s: float, command: np.ndarray, measured: np.ndarray) -> str:
        """What to say of an arm that is not where it was commanded [J] rad, '' of one that is;
        called regularly.
        """
        self._commands.append((now_s, command))
        while now_s - self._commands[0][0] > LAG_S:
            self._commands.popleft()
        commanded = np.array([pose for _, pose in self._commands])
        beyond = np.maximum(measured - commanded.max(axis=0), commanded.min(axis=0) - measured)
        worst = int(np.argmax(beyond))
        if beyond[worst] <= LAG_RAD:
            return ""
        name = self._joints[worst]
        far = beyond[worst]
        return (
            f"joint '{name}' is {far:.2f} rad from anywhere it was commanded within {LAG_S} s, "
            f"allowed are {LAG_RAD}"
        )
