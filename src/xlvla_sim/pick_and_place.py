"""Pick and place: every hand fetches an object and puts it where it belongs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from xlvla.types import Side
from xlvla_sim.moves import Hold, Move, bring, release, take, together
from xlvla_sim.state import State
from xlvla_sim.task import Plan, WayPoint


@dataclass(frozen=True)
class PickAndPlace:
    """A thing for one hand to fetch: how it is held, to which point [3] m its frame is carried and
    from how far above it is lowered there, which way it is to point, whether it is to stand, and
    how one sees that it is there.
    """

    thing: str
    hold: Hold
    target: Callable[[], np.ndarray]
    done: Callable[[], bool]
    lift: float = 0.10
    over: float = 0.07
    yaw: float | None = None
    stand: bool = False


def gather(state: State, errands: Mapping[Side, PickAndPlace], rng: np.random.Generator) -> Plan:
    """Every hand takes its thing, one after the other puts it where it belongs; what is not there
    in the end is fetched again.
    """
    pace = rng.uniform(0.9, 1.2)
    held = yield from together(
        **{
            side: take(state, e.thing, side, e.hold, rng, lift=e.lift)
            for side, e in errands.items()
        }
    )
    for side, errand in errands.items():
        yield from _deliver(state, side, errand, held[side], pace)
    for side, errand in errands.items():
        if not errand.done():
            again = yield from take(state, errand.thing, side, errand.hold, rng, lift=errand.lift)
            yield from _deliver(state, side, errand, again, pace)


def _deliver(state: State, side: Side, errand: PickAndPlace, held: WayPoint, pace: float) -> Move:
    target = errand.target()
    turn = {"yaw": errand.yaw, "stand": errand.stand}
    there = yield from bring(
        state, errand.thing, side, held, target, pace, over=errand.over, **turn
    )
    return (yield from release(state, errand.thing, side, there, errand.hold, pace))
