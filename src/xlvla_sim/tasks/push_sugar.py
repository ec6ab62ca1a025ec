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
from xlvla_sim.things import add_box

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

CLOSE_M = 0.015


def gap(state: State) -> float:
    """Distance between the boxes' walls [m]."""
    return level_distance(state, *BOXES.values()) - WIDTH


class PushSugar:
    """The paper's task PuS."""

    sentence = "Push the sugar boxes together."
    time_limit_s = 15.0
    stages: Sequence[TaskStage] = (
        TaskStage(
            "touch one box",
            lambda state: any(state.touches_robot(box, side) for side, box in BOXES.items()),
        ),
        TaskStage("push the boxes half way", lambda state: gap(state) < 0.12),
        TaskStage("bring the boxes together", lambda state: gap(state) < CLOSE_M),
        TaskStage("leave them standing together", lambda state: gap(state) < CLOSE_M, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        sides = carton("SUGAR", (236, 182, 24), (250, 246, 232), (24, 52, 130))
        for box in BOXES.values():
            add_box(spec, box, size=(DEPTH, WIDTH, HEIGHT), mass=MASS, sides=sides)

    def place(self, state: State, rng: np.random.Generator) -> None:
        for side, box in BOXES.items():
            y = rng.uniform(*Y) * (1 if side == "left" else -1)
            state.place(box, np.array([rng.uniform(*X), y, HEIGHT / 2]), yaw=rng.uniform(-YAW, YAW))
            state.tint(f"{box}/label", rng.uniform(0.85, 1.0) * rng.uniform(0.95, 1.0, 3))

    def lost(self, state: State) -> str | None:
        return off_table(state, BOXES.values()) or fell_over(state, BOXES.values())

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        return push_together(state, BOXES, WIDTH / 2, rng)


TASK = PushSugar
