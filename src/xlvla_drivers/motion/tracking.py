"""Whether an arm is where it was commanded."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

LAG_S = 0.4
"""An arm may be anywhere it was commanded within this time."""

LAG_RAD = 0.3
"""It may be this much beside that; more means that something holds it, or that it ignores
commands.
"""


class Tracking:
    """The commands of an arm within `LAG_S`, to compare measured positions with.

    Only arms: a finger that holds something is never where it was commanded.

    Args:
        joints: their names, the order of every vector here.
    """

    def __init__(self, joints: Sequence[str]):
        self._joints = tuple(joints)
        self._commands: deque[tuple[float, np.ndarray]] = deque()

    def forget(self) -> None:
        self._commands.clear()

    def strayed(self, now_s: float, command: np.ndarray, measured: np.ndarray) -> str:
        """Compares a measured pose with the commands; to be called regularly.

        Args:
            now_s: time of both.
            command: the newest command [J] rad.
            measured: where the arm is [J] rad.

        Returns:
            a line about an arm that is not where it was commanded, '' for one that is.
        """
        if not self._joints:
            return ""
        if self._commands and now_s < self._commands[-1][0]:
            # The clock was set back: commands before that are taken as of now.
            self._commands = deque((now_s, pose) for _, pose in self._commands)
        self._commands.append((now_s, command))
        while now_s - self._commands[0][0] > LAG_S:
            self._commands.popleft()
        commanded = np.array([pose for _, pose in self._commands])
        above = measured - commanded.max(axis=0)
        below = commanded.min(axis=0) - measured
        errors = np.maximum(above, below)
        worst = int(np.argmax(errors))
        error = errors[worst]
        if error <= LAG_RAD:
            return ""
        return (
            f"joint '{self._joints[worst]}' is {error:.2f} rad from anywhere it was commanded "
            f"within {LAG_S} s, allowed are {LAG_RAD}"
        )
