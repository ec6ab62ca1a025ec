"""Push the two tomato cans together: each hand pushes the can of its side, palm first, until they touch in the middle."""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.room import TABLE_X, TABLE_Y
from xlvla_sim.state import State
from xlvla_sim.task import Stage, WayPoint
from xlvla_sim.things import add_can, tomato_label

RADIUS, HEIGHT, MASS = 0.033, 0.101, 0.35
"""A 305 g soup can with its tin [m, kg]."""

CANS: dict[Side, str] = {"left": "can_left", "right": "can_right"}
X, Y = (0.38, 0.48), (0.11, 0.19)
"""Where cans stand at the start [m]; the right one has negative y."""

CLOSE_M, UPRIGHT = 0.01, float(np.cos(np.radians(15)))


def gap(state: State) -> float:
    """Distance between the cans' walls [m]."""
    left, right = (state.position(can) for can in CANS.values())
    return float(np.hypot(*(left - right)[:2])) - 2 * RADIUS


class PushCans:
    """The paper's task PC."""

    sentence = "Push the two tomato cans together."
    time_limit_s = 15.0
    stages: Sequence[Stage] = (
        Stage("touch one can", lambda state: any(state.touches_robot(can, side) for side, can in CANS.items())),
        Stage("push the cans half way", lambda state: gap(state) < 0.12),
        Stage("bring the cans together", lambda state: gap(state) < CLOSE_M),
        Stage("leave them standing together", lambda state: gap(state) < CLOSE_M, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        for can in CANS.values():
            add_can(spec, can, radius=RADIUS, height=HEIGHT, mass=MASS, label=tomato_label())

    def place(self, state: State, rng: np.random.Generator) -> None:
        for side, can in CANS.items():
            y = rng.uniform(*Y) * (1 if side == "left" else -1)
            state.place(can, np.array([rng.uniform(*X), y, HEIGHT / 2]), yaw=rng.uniform(-np.pi, np.pi))
            state.tint(f"{can}/label", rng.uniform(0.85, 1.0) * rng.uniform(0.95, 1.0, 3))

    def lost(self, state: State) -> str | None:
        for side, can in CANS.items():
            x, y, z = state.position(can)
            if z < 0 or not (TABLE_X[0] < x < TABLE_X[1] and TABLE_Y[0] < y < TABLE_Y[1]):
                return f"the {side} can fell off the table"
            if state.upright(can) < UPRIGHT:
                return f"the {side} can fell over"
        return None

    def plan(self, state: State, rng: np.random.Generator) -> dict[Side, list[WayPoint]]:
        left, right = (state.position(can)[:2] for can in CANS.values())
        line = (left - right) / np.linalg.norm(left - right)
        middle = (left + right) / 2
        pace = rng.uniform(0.85, 1.2)
        return {
            "left": _push(left, middle, -line, "left", pace, rng),
            "right": _push(right, middle, line, "right", pace, rng),
        }


PALM_FORWARD, PALM_DEPTH = 0.105, 0.015
"""The part of a hand that pushes: from the flange along the fingers, and out of the palm [m]. The depth is
4 mm less than that of the flattest hand, so that one path serves all: thin hands just close the gap, thick ones press a little."""

TILT, LOW = np.radians(26), 0.142
"""Tilt of the hand and height of the flange [m] while pushing."""

ABOVE_SPREAD = np.array([0.015, 0.015, 0.015, 0.05, 0.08, 0.05])
START_SPREAD = np.array([0.008, 0.004, 0.005, 0.05, 0.03, 0.03])
"""How much the first two way-points vary, position [m] and angles [rad]; the push takes the rest out again."""


def _push(can: np.ndarray, middle: np.ndarray, direction: np.ndarray, side: Side, pace: float, rng: np.random.Generator) -> list[WayPoint]:
    """Way-points of one hand that pushes its can along `direction` [2] until the can's wall is at `middle` [2]."""
    end = middle - RADIUS * direction
    lift, aside = rng.uniform(0.04, 0.08), rng.uniform(0.08, 0.11)
    above = _beside(can, direction, side, aside, LOW + lift) + rng.uniform(-1, 1, 6) * ABOVE_SPREAD
    start = _beside(can, direction, side, rng.uniform(0.02, 0.035), LOW) + rng.uniform(-1, 1, 6) * START_SPREAD
    last = _beside(end, direction, side, 0.0, LOW)
    back = _beside(end, direction, side, rng.uniform(0.06, 0.08), LOW + rng.uniform(0.01, 0.03))
    rest = _beside(end, direction, side, rng.uniform(0.11, 0.14), LOW + rng.uniform(0.05, 0.08))
    push_s = 0.9 + float(np.linalg.norm(end - can)) / 0.11
    return [
        WayPoint(above, rng.uniform(1.3, 1.7) * pace, "relaxed"),
        WayPoint(start, rng.uniform(0.8, 1.1) * pace, "flat", overlap_s=0.3 * pace),
        WayPoint(last, push_s * pace, overlap_s=0.15 * pace),
        WayPoint(last, 0.3),
        WayPoint(back, 0.8 * pace),
        WayPoint(rest, 0.9 * pace, overlap_s=0.2 * pace),
        WayPoint(rest, 0.7 * pace, "relaxed", overlap_s=0.4 * pace),
    ]


def _beside(can: np.ndarray, direction: np.ndarray, side: Side, clearance: float, height: float) -> np.ndarray:
    """The wrist with its palm at `clearance` from a can's wall, facing along `direction` [2]."""
    inward = 1.0 if side == "right" else -1.0
    fingers = inward * np.array([direction[1], -direction[0]])
    xy = can - (RADIUS + PALM_DEPTH + clearance) * direction - PALM_FORWARD * np.cos(TILT) * fingers
    return np.array([*xy, height, inward * np.arctan2(fingers[1], fingers[0]), TILT, 0.0])


TASK = PushCans
