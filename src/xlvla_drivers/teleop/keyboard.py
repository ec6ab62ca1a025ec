"""A keyboard: keys pressed at the terminal of `xlvla run` move one wrist at a time, and open and
close its hand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from xlvla.ranges import Range

MAKES_UP_HAND = True
"""Keys close a hand that is nobody's."""

STEP_M = 0.01
STEP_RAD = 0.04

STEP_CLOSING = 0.1
"""Of the hand, 0 open to 1 closed."""

MOVES: dict[str, tuple[int, int]] = {
    "8": (0, 1),
    "2": (0, -1),
    "4": (1, 1),
    "6": (1, -1),
    "9": (2, 1),
    "3": (2, -1),
}
"""Axis and direction of keys, as on a keypad: forward and back, left and right, up and down."""

TURNS: dict[str, tuple[int, int]] = {
    "y": (0, -1),
    "p": (0, 1),
    "i": (1, -1),
    "k": (1, 1),
    "u": (2, 1),
    "o": (2, -1),
}
"""Axis and direction of keys that turn: roll, pitch, yaw."""

CLOSING = {"[": -1, "]": 1}
"""Directions of keys that open and close the hand."""

OTHER = "\t"
"""The key that selects the other side."""

LEGEND = "8/2 4/6 9/3 move, y/p i/k u/o turn, [ ] open and close, tab the other side"


@dataclass(frozen=True)
class Options:
    """Options in a rig's file.

    Args:
        step_m, step_rad: how far one press moves or turns the wrist.
    """

    step_m: Annotated[float, Range(0.0005, 0.1)] = STEP_M
    step_rad: Annotated[float, Range(0.001, 0.5)] = STEP_RAD
