"""Add sugar to the starfruit: the hand on the jar's side takes it, shakes sugar over the fruit on
its plate and puts it down again.

Pouring is judged by tilt and position, see `xlvla_sim.pouring`.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from xlvla_sim.conditions import lifted, off_table, toppled
from xlvla_sim.fruit import add_starfruit
from xlvla_sim.labels import wrapper
from xlvla_sim.moves import from_side
from xlvla_sim.pouring import Target, over, pours, put_back, serve, spilt
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_bottle, add_plate, scatter

RADIUS = 0.031
HEIGHT = 0.125
MASS = 0.33
SPOUT = (0.016, 0.022)
"""A jar of sugar with a spout [m, kg]."""

FRUIT_RADIUS = 0.042
FRUIT_HEIGHT = 0.05
FRUIT_MASS = 0.12
PLATE_RADIUS = 0.085
PLATE_TOP = 0.0085
PLATE_X = (0.41, 0.47)
PLATE_Y = (-0.04, 0.02)
X = (0.37, 0.46)
Y = (0.20, 0.27)
"""Where the plate stands, with y towards the jar, and where the jar stands [m]."""

FRUIT = Target("starfruit", FRUIT_RADIUS, FRUIT_HEIGHT / 2)


def up(state: State) -> bool:
    return lifted(state, "sugar", HEIGHT / 2)


def over_fruit(state: State) -> bool:
    return over(state, "sugar", FRUIT)


def pours_on_fruit(state: State) -> bool:
    return pours(state, "sugar", FRUIT)


def put_down(state: State) -> bool:
    return put_back(state, "sugar", HEIGHT / 2)


class PourSugar:
    """The paper's task PoS."""

    sentence = "Add sugar to the starfruit."
    paraphrases = (
        "Sprinkle sugar over the starfruit.",
        "Sweeten the starfruit.",
        "Pour some sugar on the fruit on the plate.",
        "Take the sugar jar and shake it above the starfruit.",
        "Put sugar on the starfruit.",
    )
    beside = "hand_over_bottle"
    time_limit_s = 30.0
    stages: Sequence[TaskStage] = (
        TaskStage("lift the sugar", up),
        TaskStage("bring its mouth over the fruit", over_fruit),
        TaskStage("pour for a second", pours_on_fruit, hold_s=1.0),
        TaskStage("put the sugar down", put_down, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        label = wrapper("SUGAR", (244, 244, 240), (70, 150, 200), (250, 250, 250), times=3)
        add_plate(spec, "plate", radius=PLATE_RADIUS)
        add_starfruit(spec, "starfruit", radius=FRUIT_RADIUS, height=FRUIT_HEIGHT, mass=FRUIT_MASS)
        add_bottle(
            spec,
            "sugar",
            radius=RADIUS,
            height=HEIGHT,
            mass=MASS,
            label=label,
            colour=(0.92, 0.93, 0.94),
            spout=SPOUT,
        )

    def place(self, state: State, rng: np.random.Generator) -> None:
        sign = 1 if rng.random() < 0.5 else -1
        x = rng.uniform(*PLATE_X)
        y = sign * rng.uniform(*PLATE_Y)
        state.place("plate", np.array([x, y, 0.0]))
        fruit = np.array([x, y, PLATE_TOP + FRUIT_HEIGHT / 2])
        state.place("starfruit", fruit, yaw=rng.uniform(-np.pi, np.pi))
        sugar = np.array([rng.uniform(*X), sign * rng.uniform(*Y), HEIGHT / 2])
        scatter(state, "sugar", sugar, rng)
        state.tint("starfruit/skin", np.array([0.86, 0.83, 0.22]) * rng.uniform(0.92, 1.05, 3))

    def lost(self, state: State) -> str | None:
        if spilt(state, "sugar", FRUIT):
            return "the sugar was spilt"
        return off_table(state, ["sugar", "starfruit", "plate"]) or toppled(state, ["sugar"])

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        return serve(state, "sugar", FRUIT, from_side(2 * RADIUS, above=0.012), rng)


TASK = PourSugar
