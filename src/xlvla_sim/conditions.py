"""What tasks ask of the world: conditions that their stages and their endings are made of."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from xlvla.types import SIDES
from xlvla_sim.state import State

UPRIGHT = float(np.cos(np.radians(15)))
LYING = 0.5
"""Cosines of the tilts from which on a thing has fallen over, and will not stand up again."""


def off_table(state: State, things: Iterable[str]) -> str | None:
    """Which thing fell off the table; None where all are on it, or over it."""
    near, far = state.table
    for thing in things:
        x, y, z = state.position(thing)
        above = near[0] < x < far[0] and near[1] < y < far[1]
        if z < -0.05 or not above:
            return f"the {_spoken(thing)} fell off the table"
    return None


def fell_over(state: State, things: Iterable[str]) -> str | None:
    """Which thing that should stand fell over; None where all stand."""
    for thing in things:
        if state.upright(thing) < UPRIGHT:
            return f"the {_spoken(thing)} fell over"
    return None


def toppled(state: State, things: Iterable[str]) -> str | None:
    """Which thing lies on its side that no robot holds; one that is carried may lean."""
    for thing in things:
        if state.upright(thing) < LYING and not touched(state, thing):
            return f"the {_spoken(thing)} fell over"
    return None


def stands(state: State, thing: str) -> bool:
    """Whether a thing is upright and no robot touches it."""
    return state.upright(thing) > UPRIGHT and not touched(state, thing)


def touched(state: State, thing: str) -> bool:
    return any(state.touches_robot(thing, side) for side in SIDES)


def free(state: State, things: Iterable[str]) -> bool:
    """Whether no robot touches any of them."""
    return not any(touched(state, thing) for thing in things)


def lifted(state: State, thing: str, rest: float, height: float = 0.04) -> bool:
    """Whether a robot has a thing `height` [m] above where its frame is when it stands on the
    table.
    """
    return float(state.position(thing)[2]) > rest + height and touched(state, thing)


def level_distance(state: State, a: str, b: str) -> float:
    """Distance [m] between the frames of two things, seen from above."""
    x, y, _ = state.position(a) - state.position(b)
    return float(np.hypot(x, y))


def _spoken(thing: str) -> str:
    """`can_left` as one says it."""
    what, _, side = thing.partition("_")
    if side in SIDES:
        return f"{side} {what}"
    return thing.replace("_", " ")
