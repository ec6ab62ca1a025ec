"""Put the banana and the orange on the green board for cutting: each hand takes the fruit of its
side.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.conditions import free, lifted, off_table
from xlvla_sim.fruit import add_banana, add_fruit
from xlvla_sim.moves import Hold, from_above, half_turn
from xlvla_sim.pick_and_place import PickAndPlace, gather
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_board
from xlvla_sim.wrist import INWARD

FRUITS = ("banana", "orange")
REST = {"banana": 0.0175, "orange": 0.036}
"""Height of a fruit's frame when it lies on the table [m], which is half its thickness."""
COLOUR = {"banana": (0.93, 0.80, 0.20), "orange": (0.96, 0.52, 0.10)}
ORANGE_MASS = 0.17

BOARD = (0.20, 0.30, 0.012)
BOARD_X = (0.41, 0.45)
BOARD_Y = (-0.01, 0.01)
X = (0.37, 0.45)
Y = (0.265, 0.30)
YAW = 0.30
"""Where the board lies, where fruit lies on either side of it [m], and how far the banana is turned
[rad].
"""

PLACES: dict[Side, float] = {"left": 0.085, "right": -0.085}
"""Where on the board a side puts its fruit [m] along y."""


def on_board(state: State, fruit: str) -> bool:
    """Whether a fruit lies on the board and no hand is on it."""
    x, y, z = state.position(fruit) - state.position("board")
    within = abs(x) < BOARD[0] / 2 and abs(y) < BOARD[1] / 2
    down = z < REST[fruit] + 0.02
    return within and down and free(state, [fruit])


def up(state: State, fruit: str) -> bool:
    return lifted(state, fruit, REST[fruit])


def one_up(state: State) -> bool:
    return any(up(state, fruit) for fruit in FRUITS)


def one_on_board(state: State) -> bool:
    return any(on_board(state, fruit) for fruit in FRUITS)


def both_on_board(state: State) -> bool:
    return all(on_board(state, fruit) for fruit in FRUITS)


def other_up(state: State) -> bool:
    """Whether the second fruit is on its way, or there already."""
    return both_on_board(state) or one_up(state)


def above_board(state: State, side: Side, fruit: str) -> np.ndarray:
    """Where a side puts its fruit [3] m: the board may have been moved meanwhile."""
    height = BOARD[2] / 2 + REST[fruit] + 0.004
    return state.position("board") + np.array([0, PLACES[side], height])


class PrepareFruits:
    """The paper's task PF."""

    sentence = "Put the banana and orange on the green board for cutting."
    paraphrases = (
        "Lay the orange and the banana onto the green cutting board.",
        "Get the fruits ready for cutting: both belong on the green board.",
        "Move the banana and the orange over to the green chopping board.",
        "Both fruits should lie on the green board so that they can be cut.",
        "Place each fruit, banana and orange, on top of the green board.",
    )
    beside = ""
    time_limit_s = 40.0
    stages: Sequence[TaskStage] = (
        TaskStage("lift one fruit", one_up),
        TaskStage("put it on the board", one_on_board),
        TaskStage("lift the other fruit", other_up),
        TaskStage("leave both on the board", both_on_board, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        add_board(spec, "board", size=BOARD, mass=0.9, colour=(0.22, 0.62, 0.30))
        add_banana(spec, "banana")
        radius = REST["orange"]
        add_fruit(
            spec,
            "orange",
            radii=(radius, radius, radius),
            mass=ORANGE_MASS,
            colour=COLOUR["orange"],
        )

    def place(self, state: State, rng: np.random.Generator) -> None:
        board = np.array([rng.uniform(*BOARD_X), rng.uniform(*BOARD_Y), BOARD[2] / 2])
        state.place("board", board)
        state.tint("board/board", np.array([0.22, 0.62, 0.30]) * rng.uniform(0.85, 1.1, 3))
        signs = (1, -1) if rng.random() < 0.5 else (-1, 1)
        for fruit, sign in zip(FRUITS, signs, strict=True):
            yaw = rng.uniform(-YAW, YAW)
            if fruit == "banana" and rng.random() < 0.5:
                # Bent the other way.
                yaw += np.pi
            xyz = np.array([rng.uniform(*X), sign * rng.uniform(*Y), REST[fruit]])
            state.place(fruit, xyz, yaw=yaw)
            state.tint(f"{fruit}/skin", np.array(COLOUR[fruit]) * rng.uniform(0.95, 1.04, 3))

    def lost(self, state: State) -> str | None:
        return off_table(state, [*FRUITS, "board"])

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        errands: dict[Side, PickAndPlace] = {}
        for fruit in FRUITS:
            side: Side = "left" if state.position(fruit)[1] > 0 else "right"
            errands[side] = PickAndPlace(
                thing=fruit,
                hold=_hold(state, fruit, side),
                target=partial(above_board, state, side, fruit),
                done=partial(on_board, state, fruit),
                over=0.08,
            )
        yield from gather(state, errands, rng)


def _hold(state: State, fruit: str, side: Side) -> Hold:
    """From above, across the banana."""
    if fruit == "orange":
        return from_above(2 * REST[fruit])
    # A hand's yaw counts inwards, the world's counts to the left.
    yaw = INWARD[side] * half_turn(state.yaw(fruit))
    return from_above(2 * REST[fruit], yaw=yaw)


TASK = PrepareFruits
