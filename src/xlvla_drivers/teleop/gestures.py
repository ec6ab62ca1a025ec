"""Buttons that a tracked hand needs none for: the tip of the thumb held to that of a finger no
grasp uses alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xlvla.human import PALM_M, TIPS, palm_m
from xlvla.types import Finger, Side

SIGNS: dict[Finger, str] = {"little": "clutch", "ring": "record"}
"""What touching the thumb with the tip of a finger means."""

TOUCH_M = 0.02
APART_M = 0.04
"""Of a hand of middle size: tips that touch, and those of all other fingers, which must be away."""

HELD_S = 0.4
"""How long a sign is held before it counts; it counts once."""


class Gestures:
    """Notices the signs of both hands."""

    def __init__(self) -> None:
        self._since: dict[Side, tuple[Finger | None, float]] = {}
        self._reported: dict[Side, Finger | None] = {}

    def __call__(self, hands: Mapping[Side, np.ndarray], now_s: float) -> tuple[str, ...]:
        """The buttons that hands with these keypoints [21, 3] m press now."""
        return tuple(
            SIGNS[sign]
            for side, keypoints in hands.items()
            if (sign := self._held(side, keypoints, now_s)) is not None
        )

    def _held(self, side: Side, keypoints: np.ndarray, now_s: float) -> Finger | None:
        """The sign that has been held long enough just now."""
        sign = _sign(keypoints)
        before, since_s = self._since.get(side, (None, now_s))
        if sign != before:
            self._since[side], self._reported[side] = (sign, now_s), None
            return None
        self._since[side] = before, since_s
        if sign is None or now_s - since_s < HELD_S or self._reported.get(side) == sign:
            return None
        self._reported[side] = sign
        return sign


def _sign(keypoints: np.ndarray) -> Finger | None:
    size = PALM_M / max(float(palm_m(keypoints)), 1e-3)
    thumb = keypoints[TIPS["thumb"]]
    gaps: dict[Finger, float] = {
        finger: size * float(np.linalg.norm(keypoints[tip] - thumb))
        for finger, tip in TIPS.items()
        if finger != "thumb"
    }
    for finger in SIGNS:
        if gaps[finger] < TOUCH_M and all(
            gap > APART_M for other, gap in gaps.items() if abs(TIPS[other] - TIPS[finger]) > 4
        ):
            return finger
    return None
