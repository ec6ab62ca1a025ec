"""Keep the table organized by re-arranging the two boxes: they lie about askew and are laid end to
end, square with the table.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.conditions import free, lifted, off_table
from xlvla_sim.labels import carton
from xlvla_sim.moves import from_above, half_turn
from xlvla_sim.pick_and_place import PickAndPlace, gather
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_box, faded
from xlvla_sim.wrist import INWARD

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
    _, y, z = state.position(box)
    square = abs(half_turn(state.yaw(box))) < STRAIGHT
    in_the_middle = abs(y) < MIDDLE_M and z < HEIGHT
    return square and in_the_middle and free(state, [box])


def one_up(state: State) -> bool:
    return any(lifted(state, box, HEIGHT / 2, 0.02) for box in BOXES.values())


def one_straight(state: State) -> bool:
    return any(straight(state, box) for box in BOXES.values())


def both_straight(state: State) -> bool:
    return all(straight(state, box) for box in BOXES.values())


def row(state: State) -> bool:
    """Whether both lie end to end."""
    x, y, _ = state.position(BOXES["left"]) - state.position(BOXES["right"])
    in_line = abs(x) < IN_LINE_M
    close = y - LENGTH < GAP_M
    return both_straight(state) and in_line and close


def in_row(side: Side) -> np.ndarray:
    """Where a side lays its box [3] m."""
    y = ROW_Y if side == "left" else -ROW_Y
    return np.array([ROW_X, y, HEIGHT / 2 - 0.001])


class RearrangeBoxes:
    """The paper's task RB."""

    sentence = "Keep the table organized by re-arranging the two boxes."
    paraphrases = (
        "Tidy up: lay the two boxes straight, one beside the other.",
        "Straighten both boxes so that they form a row.",
        "Align the two boxes on the table.",
        "Order the boxes neatly in the middle of the table.",
        "Put the two crooked boxes end to end in one line.",
    )
    beside = "push_cans"
    time_limit_s = 40.0
    stages: Sequence[TaskStage] = (
        TaskStage("take a box", one_up),
        TaskStage("lay it straight in the middle", one_straight),
        TaskStage("lay the other one straight, too", both_straight),
        TaskStage("leave them in one row", row, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        looks = {
            "left": ("JELLY", (200, 36, 60), (250, 240, 236), (120, 10, 30)),
            "right": ("PUDDING", (92, 58, 34), (248, 236, 208), (70, 36, 14)),
        }
        for side, box in BOXES.items():
            sides = carton(*looks[side])
            add_box(spec, box, size=(WIDTH, LENGTH, HEIGHT), mass=MASS, sides=sides)

    def place(self, state: State, rng: np.random.Generator) -> None:
        for side, box in BOXES.items():
            sign = 1 if side == "left" else -1
            y = rng.uniform(*Y) * sign
            yaw = rng.uniform(*YAW)
            if rng.random() >= 0.5:
                yaw = -yaw
            xyz = np.array([rng.uniform(*X), y, HEIGHT / 2])
            state.place(box, xyz, yaw=yaw)
            state.tint(f"{box}/label", faded(rng))

    def lost(self, state: State) -> str | None:
        return off_table(state, BOXES.values())

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        errands: dict[Side, PickAndPlace] = {}
        for side, box in BOXES.items():
            yaw = INWARD[side] * state.yaw(box)
            errands[side] = PickAndPlace(
                thing=box,
                hold=from_above(WIDTH, squeeze=0.015, yaw=yaw),
                target=partial(in_row, side),
                done=partial(straight, state, box),
                lift=0.08,
                over=0.05,
                orientation=0.0,
            )
        yield from gather(state, errands, rng)


TASK = RearrangeBoxes
