"""Pour mustard sauce into the meat can: the hand on the bottle's side takes it, pours and puts it
down again.

Pouring is judged by tilt and position, see `xlvla_sim.pouring`.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from xlvla_sim.conditions import lifted, off_table, toppled
from xlvla_sim.labels import wrapper
from xlvla_sim.moves import from_side
from xlvla_sim.pouring import Target, over, pours, put_back, serve, spilt
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_bottle, add_can, scatter

RADIUS = 0.029
HEIGHT = 0.135
MASS = 0.38
SPOUT = (0.009, 0.042)
"""A squeeze bottle of mustard [m, kg]."""

CAN_RADIUS = 0.045
CAN_HEIGHT = 0.075
CAN_MASS = 0.36
CAN_X = (0.40, 0.47)
CAN_Y = (-0.04, 0.02)
X = (0.37, 0.46)
Y = (0.19, 0.26)
"""Where the can stands, with y towards the bottle, and where the bottle stands [m]."""

MEAT = Target("meat_can", CAN_RADIUS, CAN_HEIGHT / 2)


def up(state: State) -> bool:
    return lifted(state, "mustard", HEIGHT / 2)


def over_can(state: State) -> bool:
    return over(state, "mustard", MEAT)


def pours_into_can(state: State) -> bool:
    return pours(state, "mustard", MEAT)


def put_down(state: State) -> bool:
    return put_back(state, "mustard", HEIGHT / 2)


class PourSauce:
    """The paper's task PS."""

    sentence = "Pour mustard sauce into the meat can."
    paraphrases = (
        "Add mustard to the meat in the can.",
        "Tip the mustard bottle over the can of meat.",
        "Put some mustard sauce on the meat.",
        "Take the mustard and pour it into the can with the meat.",
        "The meat can needs mustard, pour some in.",
    )
    beside = "hand_over_bottle"
    time_limit_s = 30.0
    stages: Sequence[TaskStage] = (
        TaskStage("lift the bottle", up),
        TaskStage("bring its mouth over the can", over_can),
        TaskStage("pour for a second", pours_into_can, hold_s=1.0),
        TaskStage("put the bottle down", put_down, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        mustard = wrapper("MUSTARD", (244, 196, 20), (250, 240, 200), (150, 40, 20), times=3)
        meat = wrapper("MEAT", (26, 60, 140), (248, 214, 60), (30, 40, 110), times=4)
        add_can(
            spec,
            "meat_can",
            radius=CAN_RADIUS,
            height=CAN_HEIGHT,
            mass=CAN_MASS,
            label=meat,
            inside=(0.78, 0.45, 0.40),
        )
        add_bottle(
            spec,
            "mustard",
            radius=RADIUS,
            height=HEIGHT,
            mass=MASS,
            label=mustard,
            colour=(0.95, 0.77, 0.10),
            spout=SPOUT,
        )

    def place(self, state: State, rng: np.random.Generator) -> None:
        sign = 1 if rng.random() < 0.5 else -1
        can = np.array([rng.uniform(*CAN_X), sign * rng.uniform(*CAN_Y), CAN_HEIGHT / 2])
        scatter(state, "meat_can", can, rng)
        bottle = np.array([rng.uniform(*X), sign * rng.uniform(*Y), HEIGHT / 2])
        scatter(state, "mustard", bottle, rng)

    def lost(self, state: State) -> str | None:
        things = ["mustard", "meat_can"]
        if spilt(state, "mustard", MEAT):
            return "the mustard was spilt"
        return off_table(state, things) or toppled(state, things)

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        return serve(state, "mustard", MEAT, from_side(2 * RADIUS, above=0.01), rng)


TASK = PourSauce
