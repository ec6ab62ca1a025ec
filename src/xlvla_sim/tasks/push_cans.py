"""Push the two tomato cans together: each hand pushes the can of its side, palm first, until they
touch in the middle.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.conditions import fell_over, level_distance, off_table
from xlvla_sim.labels import tomato_label
from xlvla_sim.pushing import push_together
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_can, scatter

RADIUS = 0.033
HEIGHT = 0.101
MASS = 0.35
"""A 305 g soup can with its tin [m, kg]."""

CANS: dict[Side, str] = {"left": "can_left", "right": "can_right"}
X = (0.38, 0.48)
Y = (0.11, 0.19)
"""Where cans stand at the start [m]; the right one has negative y."""

HALF_WAY_M = 0.12
CLOSE_M = 0.01
"""Gaps between the walls at which the cans count as half way and as together [m]."""


def gap(state: State) -> float:
    """Distance between the cans' walls [m]."""
    return level_distance(state, *CANS.values()) - 2 * RADIUS


def one_touched(state: State) -> bool:
    """Whether a hand is on the can of its side."""
    return any(state.touches_robot(can, side) for side, can in CANS.items())


def half_way(state: State) -> bool:
    return gap(state) < HALF_WAY_M


def together(state: State) -> bool:
    return gap(state) < CLOSE_M


class PushCans:
    """The paper's task PC."""

    sentence = "Push the two tomato cans together."
    paraphrases = (
        "Bring the two cans of tomatoes together.",
        "Slide both tomato cans to the middle until they touch.",
        "Shove the tomato tins towards each other.",
        "Close the gap between the two tomato cans.",
        "Make the two cans meet by pushing them.",
    )
    beside = "rearrange_boxes"
    time_limit_s = 15.0
    stages: Sequence[TaskStage] = (
        TaskStage("touch one can", one_touched),
        TaskStage("push the cans half way", half_way),
        TaskStage("bring the cans together", together),
        TaskStage("leave them standing together", together, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        for can in CANS.values():
            add_can(spec, can, radius=RADIUS, height=HEIGHT, mass=MASS, label=tomato_label())

    def place(self, state: State, rng: np.random.Generator) -> None:
        for side, can in CANS.items():
            sign = 1 if side == "left" else -1
            y = rng.uniform(*Y) * sign
            xyz = np.array([rng.uniform(*X), y, HEIGHT / 2])
            scatter(state, can, xyz, rng)

    def lost(self, state: State) -> str | None:
        return off_table(state, CANS.values()) or fell_over(state, CANS.values())

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        return push_together(state, CANS, RADIUS, rng)


TASK = PushCans
