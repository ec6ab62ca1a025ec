"""Two tasks on one table: the things of both are there, one is asked for, and both are judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import mujoco
import numpy as np

from xlvla.errors import XlvlaError
from xlvla_sim.state import State
from xlvla_sim.task import Plan, Progress, Task, TaskStage

ROOM_M = 0.05
"""As much is free between what stands of the one task and of the other."""

DRAWS = 30

OTHER_DONE = "the other task was done instead"
"""How an episode ends in which the sentence was not heeded."""

Extent: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Least and largest x and y [m] of some things."""


class SharedTable:
    """The task that is asked for, with the things of another one beside its own.

    Each task's things are placed as without the other. Of `DRAWS` such places those are taken in
    which the tasks' things come least into each other's way; then all of a task's are moved apart
    from the other's, by as little as leaves `ROOM_M` between them.

    Raises:
        XlvlaError: both have a thing of the same name.
    """

    def __init__(self, asked: Task, other: Task):
        self.asked = asked
        self.other = other
        self.sentence = asked.sentence
        self.paraphrases = asked.paraphrases
        self.beside = ""
        self.time_limit_s = asked.time_limit_s
        self.stages: Sequence[TaskStage] = asked.stages
        self.things: tuple[tuple[str, ...], ...] = ()
        self._done_instead = Progress(other)

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        things: list[tuple[str, ...]] = []
        for task in (self.asked, self.other):
            # What two tasks call alike could not be told apart.
            alone = mujoco.MjSpec()
            task.add_objects(alone)
            things.append(tuple(body.name for body in alone.worldbody.bodies))
        shared = sorted(set(things[0]) & set(things[1]))
        if shared:
            raise XlvlaError(
                f"these two tasks do not go on one table, both have a {', '.join(shared)}: choose "
                "another task beside it"
            )
        self.things = tuple(things)
        self.asked.add_objects(spec)
        self.other.add_objects(spec)

    def place(self, state: State, rng: np.random.Generator) -> None:
        seeds = rng.integers(2**32, size=DRAWS)
        ways = [self._draw(state, int(seed)) for seed in seeds]
        least = int(np.argmin([np.abs(way).sum() for way in ways]))
        way = self._draw(state, int(seeds[least]))
        for things, step in zip(self.things, (way / 2, -way / 2), strict=True):
            for thing in things:
                state.shift(thing, step)
        self._done_instead = Progress(self.other)

    def _draw(self, state: State, seed: int) -> np.ndarray:
        """Places the things of both; the way [2] m that is to be put between them."""
        rng = np.random.default_rng(seed)
        self.asked.place(state, rng)
        self.other.place(state, rng)
        mujoco.mj_kinematics(state.model, state.data)
        asked, other = (_extent(state, things) for things in self.things)
        return apart(asked, other)

    def lost(self, state: State) -> str | None:
        self._done_instead.update(state, float(state.data.time))
        if self._done_instead.success:
            return OTHER_DONE
        return self.asked.lost(state)

    def plan(self, state: State, rng: np.random.Generator) -> Plan:
        return self.asked.plan(state, rng)


def apart(a: Extent, b: Extent) -> np.ndarray:
    """The shortest way [2] m along x or y that has to be put between a and b, as a moves it."""
    ways: list[np.ndarray] = []
    for axis in range(2):
        unit = np.eye(2)[axis]
        ways.append(unit * max(0.0, b[1][axis] - a[0][axis] + ROOM_M))
        ways.append(-unit * max(0.0, a[1][axis] - b[0][axis] + ROOM_M))
    return min(ways, key=lambda way: float(np.abs(way).sum()))


def _extent(state: State, things: Sequence[str]) -> Extent:
    """Of all these things together, seen from above."""
    corners: list[np.ndarray] = []
    for thing in things:
        corners += state.footprint(thing)
    found = np.array(corners)
    return found.min(0), found.max(0)
