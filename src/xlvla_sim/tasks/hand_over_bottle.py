"""Hand over the white bottle from right hand to left hand: the right hand takes it low and holds it
up in the middle, the left one takes it high and carries it away.
"""

from __future__ import annotations

from collections.abc import Sequence

import mujoco
import numpy as np

from xlvla_sim.conditions import lifted, off_table, toppled
from xlvla_sim.labels import wrapper
from xlvla_sim.moves import Pick, bring, from_side, release, take, take_over
from xlvla_sim.state import State
from xlvla_sim.task import Plan, TaskStage
from xlvla_sim.things import add_bottle

RADIUS = 0.029
HEIGHT = 0.235
MASS = 0.35
SPOUT = (0.012, 0.025)
"""A tall white bottle of shampoo [m, kg]."""

X = (0.37, 0.45)
Y = (-0.20, -0.12)
"""Where it stands at the start [m], on the right."""

LOW = -0.040
HIGH = 0.080
"""Where on the bottle the right and the left hand take it, above its middle [m]."""

DEPTH = 0.040
"""How deep in the left hand it is [m]: in its palm, as the right hand does not let it slip to where
fingers hold it best.
"""

MEETING = np.array([0.46, 0.0])
LEFT_M = 0.06
"""Where the hands meet, and how far to the left the bottle is to be in the end [m]."""


def in_air(state: State) -> bool:
    return lifted(state, "bottle", HEIGHT / 2)


def left_alone(state: State) -> bool:
    """Whether the left hand alone holds the bottle up."""
    return (
        in_air(state)
        and state.touches_robot("bottle", "left")
        and not state.touches_robot("bottle", "right")
    )


def in_right(state: State) -> bool:
    return in_air(state) and state.touches_robot("bottle", "right")


def in_both(state: State) -> bool:
    return in_right(state) and state.touches_robot("bottle", "left")


def carried_left(state: State) -> bool:
    return left_alone(state) and state.position("bottle")[1] > LEFT_M


class HandOverBottle:
    """The paper's task HB."""

    sentence = "Hand over the white bottle from right hand to left hand."
    paraphrases = (
        "Pass the white bottle from the right hand to the left one.",
        "Take the bottle with your right hand and give it to your left hand.",
        "Move the white bottle over into the left hand, the right hand starts.",
        "Let the left hand receive the bottle that the right hand picks up.",
        "Give the white bottle from right to left.",
    )
    beside = "pour_sauce"
    time_limit_s = 30.0
    stages: Sequence[TaskStage] = (
        TaskStage("lift it with the right hand", in_right),
        TaskStage("hold it with both hands", in_both),
        TaskStage("let go with the right hand", left_alone),
        TaskStage("carry it to the left", carried_left, hold_s=0.3),
    )

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        label = wrapper("PURE", (246, 247, 248), (214, 226, 236), (60, 90, 130), times=2)
        add_bottle(
            spec,
            "bottle",
            radius=RADIUS,
            height=HEIGHT,
            mass=MASS,
            label=label,
            colour=(0.95, 0.95, 0.96),
            spout=SPOUT,
        )

    def place(self, state: State, rng: np.random.Generator) -> None:
        xyz = np.array([rng.uniform(*X), rng.uniform(*Y), HEIGHT / 2])
        state.place("bottle", xyz, yaw=rng.uniform(-np.pi, np.pi))
        state.tint("bottle/label", rng.uniform(0.9, 1.0) * rng.uniform(0.97, 1.0, 3))

    def lost(self, state: State) -> str | None:
        return off_table(state, ["bottle"]) or toppled(state, ["bottle"])

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        pace = rng.uniform(0.9, 1.2)
        low = Pick("bottle", "right", from_side(2 * RADIUS, above=LOW))
        high = Pick("bottle", "left", from_side(2 * RADIUS, depth=DEPTH, above=HIGH, squeeze=0.05))
        meeting = np.array([*(MEETING + rng.uniform(-0.02, 0.02, 2)), HEIGHT / 2 + 0.10])
        held = yield from take(state, low, rng, lift=0.08)
        offered = yield from bring(
            state, low, held, meeting, pace, over=0.01, orientation="upright"
        )
        taken = yield from take_over(state, high, rng)
        yield from release(state, low, offered, pace, away=(-0.02, -0.10, 0.0))
        goal = np.array([meeting[0], LEFT_M + rng.uniform(0.06, 0.10), meeting[2]])
        yield from bring(state, high, taken, goal, pace, over=0.01)


TASK = HandOverBottle
