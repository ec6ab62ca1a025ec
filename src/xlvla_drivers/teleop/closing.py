"""Fingers of an operator whose device does not track them: a trigger, a key or a dial sets how far
the hand is closed.
"""

from __future__ import annotations

import numpy as np

from xlvla import human
from xlvla.types import Side

OPEN = np.clip([0.6, 0.7, 0.1, 0.1, *[0.0, 0.15, 0.15, 0.1] * 4], human.LOWER, human.UPPER)
FIST = np.clip([1.5, 0.9, 0.6, 0.7, *[0.0, 1.35, 1.6, 0.9] * 4], human.LOWER, human.UPPER)
"""Joints [20] rad of a person's hand, relaxed and open, and around a handle."""


def closed(side: Side, amount: float) -> np.ndarray:
    """Keypoints [21, 3] m of a person's hand that is closed by `amount`, 0 open to 1 closed; any
    robot's hand follows them.
    """
    share = float(np.clip(amount, 0.0, 1.0))
    return human.keypoints(side, OPEN + share * (FIST - OPEN))
