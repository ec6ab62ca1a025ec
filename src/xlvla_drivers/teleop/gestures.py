"""Gestures in place of buttons: the tip of the thumb is held to that of a finger that no grasp uses
alone.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xlvla.human import PALM_M, TIPS, palm_m
from xlvla.types import Finger, Side

SIGNS: dict[Finger, str] = {"little": "clutch", "ring": "record"}
"""The button that touching the thumb with the tip of a finger presses."""

TOUCH_M = 0.02
"""Distance of two tips that touch, on a hand of middle size."""

APART_M = 0.04
"""Distance that the tips of all fingers which do not touch must have from the thumb's."""

HELD_S = 0.4
"""How long a sign is held before it counts; it counts once."""

SMALLEST_PALM_M = 1e-3
"""A smaller palm is taken as one of this size, so that nothing is divided by zero."""


class Gestures:
    """Notices the signs of both hands."""

    def __init__(self) -> None:
        # The sign that each hand makes, and since when; the sign that was reported already.
        self._since: dict[Side, tuple[Finger | None, float]] = {}
        self._reported: dict[Side, Finger | None] = {}

    def __call__(self, hands: Mapping[Side, np.ndarray], now_s: float) -> tuple[str, ...]:
        """The buttons that hands with these keypoints [21, 3] m press now."""
        buttons: list[str] = []
        for side, keypoints in hands.items():
            sign = self._held(side, keypoints, now_s)
            if sign is not None:
                buttons.append(SIGNS[sign])
        return tuple(buttons)

    def _held(self, side: Side, keypoints: np.ndarray, now_s: float) -> Finger | None:
        """The sign that has just been held for long enough."""
        sign = _sign(keypoints)
        before, since_s = self._since.get(side, (None, now_s))
        if sign != before:
            self._since[side] = (sign, now_s)
            self._reported[side] = None
            return None
        self._since[side] = (before, since_s)
        if sign is None or now_s - since_s < HELD_S:
            return None
        if self._reported.get(side) == sign:
            return None
        self._reported[side] = sign
        return sign


def _sign(keypoints: np.ndarray) -> Finger | None:
    """The finger that touches the thumb, alone or with its neighbours."""
    scale = PALM_M / max(float(palm_m(keypoints)), SMALLEST_PALM_M)
    thumb = keypoints[TIPS["thumb"]]
    gaps: dict[Finger, float] = {}
    for finger, tip in TIPS.items():
        if finger != "thumb":
            gaps[finger] = scale * float(np.linalg.norm(keypoints[tip] - thumb))
    for finger in SIGNS:
        if gaps[finger] < TOUCH_M and _others_apart(finger, gaps):
            return finger
    return None


def _others_apart(finger: Finger, gaps: Mapping[Finger, float]) -> bool:
    """Whether the fingers that are no neighbours of this one are away from the thumb."""
    for other, gap in gaps.items():
        # A finger has four keypoints, so tips of neighbours are four numbers apart.
        neighbours = abs(TIPS[other] - TIPS[finger]) <= 4
        if not neighbours and gap <= APART_M:
            return False
    return True
