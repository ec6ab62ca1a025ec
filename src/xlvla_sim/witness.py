"""What happened to things in an episode, and when the arms stood still: facts that tell afterwards
how it failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import mujoco
import numpy as np

from xlvla_sim.world import World

LIFTED_M = 0.04
"""A thing that a robot touches is lifted when it is so far above where it began."""

FELL_M = 0.03
FALL_S = 0.5
"""A thing was dropped that falls so far within so long after a robot let go of it."""

STILL_RAD = 0.01
"""An arm none of whose joints leaves this neighbourhood stands still."""


@dataclass(frozen=True)
class Facts:
    """Of an episode so far.

    Args:
        touched, lifted, dropped: when that first happened to a thing [s], by name.
        still_s: for how long no arm has moved.
    """

    touched: Mapping[str, float]
    lifted: Mapping[str, float]
    dropped: Mapping[str, float]
    still_s: float


class Witness:
    """Watches a world from the begin of an episode on; looking changes nothing in it."""

    def __init__(self, world: World):
        self._world = world
        model = world.model
        free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
        self._things = [model.body(model.jnt_bodyid[joint]).name for joint in free]
        self._heights = {thing: self._height(thing) for thing in self._things}
        self._touched: dict[str, float] = {}
        self._lifted: dict[str, float] = {}
        self._dropped: dict[str, float] = {}
        # When a robot last touched a thing, and how high that was.
        self._let_go: dict[str, tuple[float, float]] = {}
        self._arms = self._positions()
        self._moved_s = world.time_s

    def look(self) -> None:
        """Looks at the world; call it many times a second."""
        now_s = self._world.time_s
        touched = self._world.state.touched_by_robot()
        for thing in self._things:
            height = self._height(thing)
            if thing in touched:
                self._touched.setdefault(thing, now_s)
                self._let_go[thing] = (now_s, height)
                if height > self._heights[thing] + LIFTED_M:
                    self._lifted.setdefault(thing, now_s)
            elif thing in self._lifted:
                since_s, from_m = self._let_go[thing]
                if now_s - since_s < FALL_S and height < from_m - FELL_M:
                    self._dropped.setdefault(thing, now_s)
        arms = self._positions()
        if np.abs(arms - self._arms).max(initial=0) > STILL_RAD:
            self._arms = arms
            self._moved_s = now_s

    @property
    def facts(self) -> Facts:
        return Facts(
            dict(self._touched),
            dict(self._lifted),
            dict(self._dropped),
            self._world.time_s - self._moved_s,
        )

    def _height(self, thing: str) -> float:
        return float(self._world.state.position(thing)[2])

    def _positions(self) -> np.ndarray:
        """Of all joints of all arms [N] rad."""
        world = self._world
        rows = [world.joint_state(side, "arm")[0] for side in world.rig.sides]
        return np.concatenate(rows)
