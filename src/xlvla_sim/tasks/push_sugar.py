"""Push the sugar boxes together: each hand pushes the box of its side, palm first, until they stand
side by side.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.conditions import fell_over, level_distance, off_table
from xlvla_sim.labels import carton
from xlvla_sim.pushing import push_together
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_box, faded

DEPTH = 0.045
WIDTH = 0.092
HEIGHT = 0.145
MASS = 0.46
"""A pound of sugar [m, kg]; the boxes are pushed along their width."""

BOXES: dict[Side, str] = {"left": "box_left", "right": "box_right"}
X = (0.38, 0.47)
Y = (0.13, 0.20)
YAW = 0.12
"""Where boxes stand at the start [m] and how far they are turned [rad]; the right one has negative
y.
"""

HALF_WAY_M = 0.12
CLOSE_M = 0.015
"""Gaps between the walls at which the boxes count as half way and as together [m]."""


def gap(state: State) -> float:
    """Distance between the boxes' walls [m]."""
    return level_distance(state, *BOXES.values()) - WIDTH


def one_touched(state: State) -> bool:
    """Whether a hand is on the box of its side."""
    return any(state.touches_robot(box, side) for side, box in BOXES.items())


def half_way(state: State) -> bool:
    return gap(state) < HALF_WAY_M


def together(state: State) -> bool:
    return gap(state) < CLOSE_M


class PushSugar:
    """The paper's task PuS."""

    sentence = "Push the sugar boxes together."
    paraphrases = (
        "Bring the two boxes of sugar together.",
        "Slide the sugar boxes towards each other until they meet.",
        "Shove both sugar cartons to the middle.",
        "Make the sugar boxes stand side by side by pushing them.",
        "Close the gap between the two sugar boxes.",
    )
    beside = "stack_cans"
    time_limit_s = 15.0
    stages: Sequence[TaskStage] = (
        TaskStage("touch one box", one_touched),
        TaskStage("push the boxes half way", half_way),
        TaskStage("bring the boxes together", together),
        TaskStage("leave them standing together", together, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        sides = carton("SUGAR", (236, 182, 24), (250, 246, 232), (24, 52, 130))
        for box in BOXES.values():
            add_box(spec, box, size=(DEPTH, WIDTH, HEIGHT), mass=MASS, sides=sides)

    def place(self, state: State, rng: np.random.Generator) -> None:
        for side, box in BOXES.items():
            sign = 1 if side == "left" else -1
            y = rng.uniform(*Y) * sign
            xyz = np.array([rng.uniform(*X), y, HEIGHT / 2])
            state.place(box, xyz, yaw=rng.uniform(-YAW, YAW))
            state.tint(f"{box}/label", faded(rng))

    def lost(self, state: State) -> str | None:
        return off_table(state, BOXES.values()) or fell_over(state, BOXES.values())

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        return push_together(state, BOXES, WIDTH / 2, rng)


TASK = PushSugar
