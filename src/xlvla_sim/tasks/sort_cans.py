"""Put the tomato can and the cheese can into the container: each hand takes the can of its side,
one after the other sets it down inside.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.conditions import lifted, off_table, stands, toppled
from xlvla_sim.labels import tomato_label, wrapper
from xlvla_sim.moves import from_above
from xlvla_sim.pick_and_place import PickAndPlace, gather
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_can, add_container, scatter

RADIUS = {"tomato_can": 0.033, "cheese_can": 0.031}
HEIGHT = {"tomato_can": 0.101, "cheese_can": 0.095}
MASS = {"tomato_can": 0.35, "cheese_can": 0.20}
"""A soup can and grated cheese in a tin [m, kg]."""

CONTAINER = (0.19, 0.28, 0.06)
"""Its outer size [m]; low enough for a hand to reach in, with room for both cans."""
CONTAINER_X = (0.42, 0.47)
CONTAINER_Y = (-0.02, 0.02)
X = (0.37, 0.47)
Y = (0.24, 0.30)
"""Where the container stands, and where the cans stand on either side of it [m]."""

PLACES: dict[Side, float] = {"left": 0.06, "right": -0.06}
"""Where in the container a side sets its can down [m] along y."""


def inside(state: State, can: str) -> bool:
    """Whether a can stands in the container and no hand is on it."""
    x, y, z = state.position(can) - state.position("container")
    within = abs(x) < CONTAINER[0] / 2 and abs(y) < CONTAINER[1] / 2
    down = z < HEIGHT[can] / 2 + 0.02
    return within and down and stands(state, can)


def up(state: State, can: str) -> bool:
    return lifted(state, can, HEIGHT[can] / 2)


def one_up(state: State) -> bool:
    return any(up(state, can) for can in RADIUS)


def one_inside(state: State) -> bool:
    return any(inside(state, can) for can in RADIUS)


def both_inside(state: State) -> bool:
    return all(inside(state, can) for can in RADIUS)


def other_up(state: State) -> bool:
    """Whether the second can is on its way, or there already."""
    return both_inside(state) or one_up(state)


def in_container(state: State, side: Side, can: str) -> np.ndarray:
    """Where a side sets its can down [3] m: the container may have been moved meanwhile."""
    within = np.array([0, PLACES[side], HEIGHT[can] / 2 + 0.01])
    return state.position("container") + within


class SortCans:
    """The paper's task SoC."""

    sentence = "Put the tomato can and the cheese can into the container."
    paraphrases = (
        "Both cans, tomato and cheese, go into the box.",
        "Place the cheese can and the tomato can inside the container.",
        "Tidy the two cans away into the container.",
        "Take the tomato can and the cheese can and set them down in the container.",
        "Fill the container with the can of tomatoes and the can of cheese.",
    )
    beside = ""
    time_limit_s = 40.0
    stages: Sequence[TaskStage] = (
        TaskStage("lift one can", one_up),
        TaskStage("put it into the container", one_inside),
        TaskStage("lift the other can", other_up),
        TaskStage("leave both in the container", both_inside, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        cheese = wrapper("CHEESE", (250, 214, 70), (36, 110, 60), (250, 246, 230), times=3)
        add_container(spec, "container", size=CONTAINER, mass=0.6, colour=(0.35, 0.45, 0.62))
        labels = {"tomato_can": tomato_label(), "cheese_can": cheese}
        for can, label in labels.items():
            add_can(spec, can, radius=RADIUS[can], height=HEIGHT[can], mass=MASS[can], label=label)

    def place(self, state: State, rng: np.random.Generator) -> None:
        container = np.array([rng.uniform(*CONTAINER_X), rng.uniform(*CONTAINER_Y), 0.0])
        state.place("container", container)
        signs = (1, -1) if rng.random() < 0.5 else (-1, 1)
        for can, sign in zip(RADIUS, signs, strict=True):
            xyz = np.array([rng.uniform(*X), sign * rng.uniform(*Y), HEIGHT[can] / 2])
            scatter(state, can, xyz, rng)

    def lost(self, state: State) -> str | None:
        return off_table(state, [*RADIUS, "container"]) or toppled(state, RADIUS)

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        errands: dict[Side, PickAndPlace] = {}
        for can, radius in RADIUS.items():
            side: Side = "left" if state.position(can)[1] > 0 else "right"
            errands[side] = PickAndPlace(
                thing=can,
                hold=from_above(2 * radius, above=0.02),
                target=partial(in_container, state, side, can),
                done=partial(inside, state, can),
                lift=0.13,
                over=0.09,
                orientation="upright",
            )
        yield from gather(state, errands, rng)


TASK = SortCans
