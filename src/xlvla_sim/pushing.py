"""Pushes: one hand moves a standing thing across the table with its palm."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from xlvla.types import Side
from xlvla_sim.state import State
from xlvla_sim.task import Plan, WayPoint

PALM_FORWARD = 0.105
PALM_DEPTH = 0.015
"""The part of a hand that pushes: from the flange along the fingers, and out of the palm [m]. The
depth is 4 mm less than that of the flattest hand, so that one path serves all: thin hands just
close the gap, thick ones press a little.
"""

TILT = np.radians(26)
LOW = 0.142
"""Tilt of the hand and height of the flange [m] while pushing."""

ABOVE_SPREAD = np.array([0.015, 0.015, 0.015, 0.05, 0.08, 0.05])
START_SPREAD = np.array([0.008, 0.004, 0.005, 0.05, 0.03, 0.03])
"""How much the first two way-points vary, position [m] and angles [rad]; the push takes the rest
out again.
"""


def push_together(
    state: State, things: Mapping[Side, str], half: float, rng: np.random.Generator
) -> Plan:
    """Each hand pushes the thing of its side, until they meet halfway; their walls are `half` [m]
    from their frames.
    """
    left, right = (state.position(things[side])[:2] for side in ("left", "right"))
    line = (left - right) / np.linalg.norm(left - right)
    middle = (left + right) / 2
    pace = rng.uniform(0.85, 1.2)
    yield {
        "left": push(left, half, middle, -line, "left", pace, rng),
        "right": push(right, half, middle, line, "right", pace, rng),
    }


def push(
    thing: np.ndarray,
    half: float,
    middle: np.ndarray,
    direction: np.ndarray,
    side: Side,
    pace: float,
    rng: np.random.Generator,
) -> list[WayPoint]:
    """Way-points of one hand that pushes a thing at `thing` [2], whose walls are `half` [m] from
    there, along `direction` [2] until its wall is at `middle` [2].
    """
    end = middle - half * direction
    lift = rng.uniform(0.04, 0.08)
    aside = rng.uniform(0.08, 0.11)
    above = (
        _beside(thing, half, direction, side, aside, LOW + lift)
        + rng.uniform(-1, 1, 6) * ABOVE_SPREAD
    )
    start = (
        _beside(thing, half, direction, side, rng.uniform(0.02, 0.035), LOW)
        + rng.uniform(-1, 1, 6) * START_SPREAD
    )
    last = _beside(end, half, direction, side, 0.0, LOW)
    back = _beside(
        end, half, direction, side, rng.uniform(0.06, 0.08), LOW + rng.uniform(0.01, 0.03)
    )
    rest = _beside(
        end, half, direction, side, rng.uniform(0.11, 0.14), LOW + rng.uniform(0.05, 0.08)
    )
    push_s = 0.9 + float(np.linalg.norm(end - thing)) / 0.11
    return [
        WayPoint(above, rng.uniform(1.3, 1.7) * pace, "relaxed"),
        WayPoint(start, rng.uniform(0.8, 1.1) * pace, "flat", overlap_s=0.3 * pace),
        WayPoint(last, push_s * pace, overlap_s=0.15 * pace),
        WayPoint(last, 0.3),
        WayPoint(back, 0.8 * pace),
        WayPoint(rest, 0.9 * pace, overlap_s=0.2 * pace),
        WayPoint(rest, 0.7 * pace, "relaxed", overlap_s=0.4 * pace),
    ]


def _beside(
    thing: np.ndarray,
    half: float,
    direction: np.ndarray,
    side: Side,
    clearance: float,
    height: float,
) -> np.ndarray:
    """The wrist with its palm at `clearance` from a thing's wall, facing along `direction` [2]."""
    inward = 1.0 if side == "right" else -1.0
    fingers = inward * np.array([direction[1], -direction[0]])
    xy = thing - (half + PALM_DEPTH + clearance) * direction - PALM_FORWARD * np.cos(TILT) * fingers
    return np.array([*xy, height, inward * np.arctan2(fingers[1], fingers[0]), TILT, 0.0])
