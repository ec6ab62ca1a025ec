"""Put the yellow lemon and the green lime into the bowl: both hands take a fruit, one after the
other lets it fall in.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.conditions import free, level_distance, lifted, off_table
from xlvla_sim.fruit import add_fruit
from xlvla_sim.moves import from_above
from xlvla_sim.pick_and_place import PickAndPlace, gather
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_bowl

RADII = {"lemon": (0.029, 0.029, 0.036), "lime": (0.026, 0.026, 0.030)}
MASS = {"lemon": 0.11, "lime": 0.08}
COLOUR = {"lemon": (0.95, 0.82, 0.12), "lime": (0.35, 0.62, 0.16)}
"""Fruit of a supermarket [m, kg]."""

BOWL_RADIUS = 0.095
BOWL_HEIGHT = 0.055
BOWL_MASS = 0.5
BOWL_X = (0.40, 0.47)
BOWL_Y = (-0.02, 0.02)
X = (0.37, 0.48)
Y = (0.19, 0.26)
"""Where the bowl stands, and where fruit lies on either side of it [m]."""


def inside(state: State, fruit: str) -> bool:
    """Whether a fruit is in the bowl and no hand is on it."""
    within = level_distance(state, fruit, "bowl") < 0.9 * BOWL_RADIUS
    down = state.position(fruit)[2] < 2 * BOWL_HEIGHT
    return within and down and free(state, [fruit])


def up(state: State, fruit: str) -> bool:
    return lifted(state, fruit, RADII[fruit][0])


def one_up(state: State) -> bool:
    return any(up(state, fruit) for fruit in RADII)


def one_inside(state: State) -> bool:
    return any(inside(state, fruit) for fruit in RADII)


def both_inside(state: State) -> bool:
    return all(inside(state, fruit) for fruit in RADII)


def other_up(state: State) -> bool:
    """Whether the second fruit is on its way, or there already."""
    return both_inside(state) or one_up(state)


def above_bowl(state: State) -> np.ndarray:
    """From where fruit is let fall [3] m: the bowl may have been moved meanwhile."""
    return state.position("bowl") + np.array([0, 0, BOWL_HEIGHT + 0.02])


class ReorganizeLemons:
    """The paper's task RL."""

    sentence = "Put the yellow lemon and the green lime into the bowl."
    paraphrases = (
        "Place the lime and the lemon in the bowl.",
        "Both citrus fruits go into the bowl.",
        "Gather the green lime and the yellow lemon in the bowl.",
        "Drop the lemon and then the lime into the bowl.",
        "The bowl should hold the yellow and the green fruit.",
    )
    beside = ""
    time_limit_s = 40.0
    stages: Sequence[TaskStage] = (
        TaskStage("lift one fruit", one_up),
        TaskStage("put it into the bowl", one_inside),
        TaskStage("lift the other fruit", other_up),
        TaskStage("leave both in the bowl", both_inside, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        add_bowl(
            spec,
            "bowl",
            radius=BOWL_RADIUS,
            height=BOWL_HEIGHT,
            mass=BOWL_MASS,
            colour=(0.90, 0.91, 0.93),
        )
        for fruit, radii in RADII.items():
            add_fruit(spec, fruit, radii=radii, mass=MASS[fruit], colour=COLOUR[fruit])

    def place(self, state: State, rng: np.random.Generator) -> None:
        bowl = np.array([rng.uniform(*BOWL_X), rng.uniform(*BOWL_Y), 0.0])
        state.place("bowl", bowl)
        signs = (1, -1) if rng.random() < 0.5 else (-1, 1)
        for (fruit, radii), sign in zip(RADII.items(), signs, strict=True):
            xyz = np.array([rng.uniform(*X), sign * rng.uniform(*Y), radii[0]])
            state.lay(fruit, xyz, yaw=rng.uniform(-np.pi, np.pi))
            state.tint(f"{fruit}/skin", np.array(COLOUR[fruit]) * rng.uniform(0.92, 1.05, 3))

    def lost(self, state: State) -> str | None:
        return off_table(state, [*RADII, "bowl"])

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        errands: dict[Side, PickAndPlace] = {}
        for fruit, radii in RADII.items():
            side: Side = "left" if state.position(fruit)[1] > 0 else "right"
            errands[side] = PickAndPlace(
                thing=fruit,
                hold=from_above(2 * radii[0], squeeze=0.02),
                target=partial(above_bowl, state),
                done=partial(inside, state, fruit),
                over=0.06,
            )
        yield from gather(state, errands, rng)


TASK = ReorganizeLemons
