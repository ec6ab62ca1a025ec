"""Keep the table organized by re-arranging the two boxes: they lie about askew and are laid end to
end, square with the table.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.conditions import free, lifted, off_table
from xlvla_sim.labels import carton
from xlvla_sim.moves import from_above
from xlvla_sim.pick_and_place import PickAndPlace, gather
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_box

BOXES: dict[Side, str] = {"left": "box_left", "right": "box_right"}
WIDTH = 0.052
LENGTH = 0.115
HEIGHT = 0.048
MASS = 0.18
"""Along x, y and z of a box that lies straight [m, kg]."""

X = (0.37, 0.46)
Y = (0.18, 0.25)
YAW = (0.20, 0.45)
"""Where boxes lie at the start [m], the right one at negative y, and how far they are turned either
way [rad].
"""

ROW_X = 0.42
ROW_Y = 0.068
"""Where the expert lays them [m]; any straight row in the middle counts."""

STRAIGHT = float(np.radians(10))
IN_LINE_M = 0.025
GAP_M = 0.04
MIDDLE_M = 0.12


def straight(state: State, box: str) -> bool:
    """Whether a box lies square with the table in the middle and no hand is on it."""
    askew = (state.yaw(box) + np.pi / 2) % np.pi - np.pi / 2
    _, y, z = state.position(box)
    return abs(askew) < STRAIGHT and abs(y) < MIDDLE_M and z < HEIGHT and free(state, [box])


def row(state: State) -> bool:
    """Whether both lie end to end."""
    x, y, _ = state.position(BOXES["left"]) - state.position(BOXES["right"])
    return (
        all(straight(state, box) for box in BOXES.values())
        and abs(x) < IN_LINE_M
        and y - LENGTH < GAP_M
    )


class RearrangeBoxes:
    """The paper's task RB."""

    sentence = "Keep the table organized by re-arranging the two boxes."
    time_limit_s = 40.0
    stages: Sequence[TaskStage] = (
        TaskStage(
            "take a box",
            lambda state: any(lifted(state, box, HEIGHT / 2, 0.02) for box in BOXES.values()),
        ),
        TaskStage(
            "lay it straight in the middle",
            lambda state: any(straight(state, box) for box in BOXES.values()),
        ),
        TaskStage(
            "lay the other one straight, too",
            lambda state: all(straight(state, box) for box in BOXES.values()),
        ),
        TaskStage("leave them in one row", row, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        looks = {
            "left": ("JELLY", (200, 36, 60), (250, 240, 236), (120, 10, 30)),
            "right": ("PUDDING", (92, 58, 34), (248, 236, 208), (70, 36, 14)),
        }
        for side, box in BOXES.items():
            add_box(spec, box, size=(WIDTH, LENGTH, HEIGHT), mass=MASS, sides=carton(*looks[side]))

    def place(self, state: State, rng: np.random.Generator) -> None:
        for side, box in BOXES.items():
            y = rng.uniform(*Y) * (1 if side == "left" else -1)
            yaw = rng.uniform(*YAW) * (1 if rng.random() < 0.5 else -1)
            state.place(box, np.array([rng.uniform(*X), y, HEIGHT / 2]), yaw=yaw)
            state.tint(f"{box}/label", rng.uniform(0.85, 1.0) * rng.uniform(0.95, 1.0, 3))

    def lost(self, state: State) -> str | None:
        return off_table(state, BOXES.values())

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        errands: dict[Side, PickAndPlace] = {}
        for side, box in BOXES.items():
            sign = 1 if side == "left" else -1
            place = np.array([ROW_X, sign * ROW_Y, HEIGHT / 2 - 0.001])
            errands[side] = PickAndPlace(
                box,
                from_above(WIDTH, squeeze=0.015, yaw=-sign * state.yaw(box)),
                lambda place=place: place,
                lambda box=box: straight(state, box),
                lift=0.08,
                over=0.05,
                yaw=0.0,
            )
        yield from gather(state, errands, rng)


TASK = RearrangeBoxes
