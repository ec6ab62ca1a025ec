"""Stack the cheese can on top of the salt: the hand on the can's side takes it and sets it down on
the salt.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from xlvla.types import Side
from xlvla_sim.conditions import level_distance, lifted, off_table, stands, toppled
from xlvla_sim.labels import wrapper
from xlvla_sim.moves import Pick, bring, from_side, release, take
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_can, scatter

SALT_RADIUS = 0.041
SALT_HEIGHT = 0.125
SALT_MASS = 0.6
CHEESE_RADIUS = 0.033
CHEESE_HEIGHT = 0.095
CHEESE_MASS = 0.22
"""A round box of salt and grated cheese in a tin [m, kg]."""

SALT_X = (0.40, 0.47)
SALT_Y = (-0.03, 0.03)
X = (0.37, 0.46)
Y = (0.18, 0.25)
"""Where the salt stands, and where the cheese stands on one side of it [m]."""


def over(state: State) -> bool:
    """Whether the can is above the salt."""
    return (
        level_distance(state, "cheese_can", "salt") < SALT_RADIUS
        and state.position("cheese_can")[2] > SALT_HEIGHT
    )


def stacked(state: State) -> bool:
    """Whether the can stands on the salt and no hand is on it."""
    height = state.position("cheese_can")[2] - SALT_HEIGHT - CHEESE_HEIGHT / 2
    return over(state) and abs(height) < 0.008 and stands(state, "cheese_can")


def up(state: State) -> bool:
    return lifted(state, "cheese_can", CHEESE_HEIGHT / 2)


class StackCans:
    """The paper's task SC."""

    sentence = "Stack the cheese can on top of the salt."
    paraphrases = (
        "Put the can of cheese on the salt.",
        "Set the cheese tin down on top of the salt box.",
        "The cheese can belongs on the salt, place it there.",
        "Pile the cheese onto the salt.",
        "Take the cheese can and stand it on the salt.",
    )
    beside = "push_cans"
    time_limit_s = 25.0
    stages: Sequence[TaskStage] = (
        TaskStage("lift the can", up),
        TaskStage("bring it over the salt", over),
        TaskStage("set it down", stacked),
        TaskStage("leave it standing", stacked, hold_s=0.5),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        cheese = wrapper("CHEESE", (250, 214, 70), (36, 110, 60), (250, 246, 230), times=3)
        salt = wrapper("SALT", (34, 60, 130), (245, 246, 250), (34, 60, 130), times=3)
        add_can(spec, "salt", radius=SALT_RADIUS, height=SALT_HEIGHT, mass=SALT_MASS, label=salt)
        add_can(
            spec,
            "cheese_can",
            radius=CHEESE_RADIUS,
            height=CHEESE_HEIGHT,
            mass=CHEESE_MASS,
            label=cheese,
        )

    def place(self, state: State, rng: np.random.Generator) -> None:
        sign = 1 if rng.random() < 0.5 else -1
        salt_y = rng.uniform(*SALT_Y)
        cheese_y = sign * rng.uniform(*Y)
        salt = np.array([rng.uniform(*SALT_X), salt_y, SALT_HEIGHT / 2])
        scatter(state, "salt", salt, rng)
        cheese = np.array([rng.uniform(*X), cheese_y, CHEESE_HEIGHT / 2])
        scatter(state, "cheese_can", cheese, rng)

    def lost(self, state: State) -> str | None:
        things = ["salt", "cheese_can"]
        return off_table(state, things) or toppled(state, things)

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        side: Side = "left" if state.position("cheese_can")[1] > 0 else "right"
        pace = rng.uniform(0.9, 1.2)
        hold = from_side(2 * CHEESE_RADIUS, above=0.022)
        pick = Pick("cheese_can", side, hold)
        held = yield from take(state, pick, rng, lift=SALT_HEIGHT + 0.05)
        # The can's frame is at its middle; it is lowered the last 3 mm by opening the hand.
        height = (SALT_HEIGHT + CHEESE_HEIGHT) / 2 + 0.003
        target = state.position("salt") + np.array([0, 0, height])
        there = yield from bring(state, pick, held, target, pace, over=0.05, orientation="upright")
        yield from release(state, pick, there, pace)


TASK = StackCans
