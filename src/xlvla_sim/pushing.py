"""Pushes: one hand moves a standing thing across the table with its palm."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xlvla.types import Side
from xlvla_sim.state import State
from xlvla_sim.task import Plan, WayPoint
from xlvla_sim.wrist import INWARD

PALM_FORWARD = 0.105
PALM_DEPTH = 0.015
"""The part of a hand that pushes: from the flange along the fingers, and out of the palm [m]. The
depth is 4 mm less than that of the flattest hand, so that one path serves all: thin hands just
close the gap, thick ones press a little.
"""

TILT = np.radians(26)
LOW = 0.142
SPEED = 0.11
"""Tilt of the hand, height of the flange [m] and about how fast it goes [m/s] while pushing."""

ABOVE_SPREAD = np.array([0.015, 0.015, 0.015, 0.05, 0.08, 0.05])
START_SPREAD = np.array([0.008, 0.004, 0.005, 0.05, 0.03, 0.03])
"""How much the first two way-points vary, position [m] and angles [rad]; the push takes the rest
out again.
"""


@dataclass(frozen=True)
class Push:
    """One hand pushes a thing along a line.

    Args:
        thing: where it stands [2] m.
        half: distance of its wall from its frame, in the direction of the push [m].
        middle: where its wall is to come [2] m.
        direction: of the push, a unit vector [2].
        side: of the hand.
    """

    thing: np.ndarray
    half: float
    middle: np.ndarray
    direction: np.ndarray
    side: Side

    @property
    def end(self) -> np.ndarray:
        """Where the thing stands afterwards [2] m."""
        return self.middle - self.half * self.direction

    def wrist(self, thing: np.ndarray, clearance: float, height: float) -> np.ndarray:
        """The wrist [6] with its palm at `clearance` [m] from the wall of the thing when that is at
        `thing` [2], facing along the push.
        """
        inward = INWARD[self.side]
        x, y = self.direction
        fingers = inward * np.array([y, -x])
        palm = thing - (self.half + PALM_DEPTH + clearance) * self.direction
        # The fingers point down by TILT, so from above the palm is nearer to the flange.
        xy = palm - PALM_FORWARD * np.cos(TILT) * fingers
        yaw = inward * np.arctan2(fingers[1], fingers[0])
        return np.array([*xy, height, yaw, TILT, 0.0])


def push_together(
    state: State, things: Mapping[Side, str], half: float, rng: np.random.Generator
) -> Plan:
    """Each hand pushes the thing of its side, until they meet halfway; their walls are `half` [m]
    from their frames.
    """
    left = state.position(things["left"])[:2]
    right = state.position(things["right"])[:2]
    line = (left - right) / np.linalg.norm(left - right)
    middle = (left + right) / 2
    pace = rng.uniform(0.85, 1.2)
    yield {
        "left": _way_points(Push(left, half, middle, -line, "left"), pace, rng),
        "right": _way_points(Push(right, half, middle, line, "right"), pace, rng),
    }


def _way_points(push: Push, pace: float, rng: np.random.Generator) -> list[WayPoint]:
    """Way-points of one hand that pushes a thing until its wall is where it is to come."""
    start = push.thing
    end = push.end
    lift = rng.uniform(0.04, 0.08)
    above = push.wrist(start, rng.uniform(0.08, 0.11), LOW + lift)
    above = above + rng.uniform(-1, 1, 6) * ABOVE_SPREAD
    beside = push.wrist(start, rng.uniform(0.02, 0.035), LOW)
    beside = beside + rng.uniform(-1, 1, 6) * START_SPREAD
    last = push.wrist(end, 0.0, LOW)
    back = push.wrist(end, rng.uniform(0.06, 0.08), LOW + rng.uniform(0.01, 0.03))
    rest = push.wrist(end, rng.uniform(0.11, 0.14), LOW + rng.uniform(0.05, 0.08))
    push_s = 0.9 + float(np.linalg.norm(end - start)) / SPEED
    return [
        WayPoint(above, rng.uniform(1.3, 1.7) * pace, "relaxed"),
        WayPoint(beside, rng.uniform(0.8, 1.1) * pace, "flat", overlap_s=0.3 * pace),
        WayPoint(last, push_s * pace, overlap_s=0.15 * pace),
        WayPoint(last, 0.3),
        WayPoint(back, 0.8 * pace),
        WayPoint(rest, 0.9 * pace, overlap_s=0.2 * pace),
        WayPoint(rest, 0.7 * pace, "relaxed", overlap_s=0.4 * pace),
    ]
