"""Pick and place: every hand fetches an object and puts it where it belongs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xlvla.types import Side
from xlvla_sim.moves import Hold, Move, Orientation, Pick, bring, release, take, together
from xlvla_sim.state import State
from xlvla_sim.task import Plan, WayPoint


@dataclass(frozen=True)
class PickAndPlace:
    """A thing for one hand to fetch.

    Args:
        thing: name of its body.
        hold: how it is held.
        target: to which point [3] m its frame is carried.
        done: whether it is where it belongs.
        lift: how far it is lifted [m].
        over: from how far above the target it is lowered there [m].
        orientation: how it is turned on the way.
    """

    thing: str
    hold: Hold
    target: Callable[[], np.ndarray]
    done: Callable[[], bool]
    lift: float = 0.10
    over: float = 0.07
    orientation: Orientation = None

    def pick(self, side: Side) -> Pick:
        return Pick(self.thing, side, self.hold)


def gather(state: State, errands: Mapping[Side, PickAndPlace], rng: np.random.Generator) -> Plan:
    """Every hand takes its thing, one after the other puts it where it belongs; what is not there
    in the end is fetched again.
    """
    pace = rng.uniform(0.9, 1.2)
    takes: dict[str, Move] = {}
    for side, errand in errands.items():
        takes[side] = take(state, errand.pick(side), rng, lift=errand.lift)
    held = yield from together(**takes)
    # One after the other: both hands reach to the same place.
    for side, errand in errands.items():
        yield from _deliver(state, side, errand, held[side], pace)
    for side, errand in errands.items():
        if not errand.done():
            again = yield from take(state, errand.pick(side), rng, lift=errand.lift)
            yield from _deliver(state, side, errand, again, pace)


def _deliver(state: State, side: Side, errand: PickAndPlace, held: WayPoint, pace: float) -> Move:
    pick = errand.pick(side)
    target = errand.target()
    there = yield from bring(
        state, pick, held, target, pace, over=errand.over, orientation=errand.orientation
    )
    return (yield from release(state, pick, there, pace))
