"""Chunks that lead where a rig may not go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xlvla.rig import Rig
from xlvla.types import Side
from xlvla_cli.bench.adversary.scenarios import Kind, Scenario
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.limits import Bounds

CANDIDATES = 16
"""A goal is the worst of so many random poses."""

GOAL_S = (0.25, 1.0)
"""How long a goal stays one."""

FRAMES = 40
RATES_HZ = (10.0, 20.0, 50.0)

SPEEDS = (0.3, 1.0, 2.0, 4.5)
"""How fast chunks ask joints to go, as multiples of their speed limits."""

AIMS: dict[Kind, tuple[str, ...]] = {
    "meet": ("between",),
    "table": ("touch", "table"),
    "itself": ("itself",),
    "resting": ("between",),
    "hands": ("between",),
}
"""Whose distances goals make small; of the kinds that are not named, all."""


@dataclass(frozen=True)
class Request:
    """A chunk [T, N] rad as it is offered."""

    points: np.ndarray
    rate_hz: float
    stamp_s: float
    relative: bool


class Asker:
    """An adversary that requests unsafe chunks, on one rig in one scenario.

    Attributes:
        start: where the sides begin [N] rad.
        is_arm: which joints of all sides are an arm's.
    """

    def __init__(
        self, scenario: Scenario, rig: Rig, distances: Distances, bounds: Mapping[Side, Bounds]
    ):
        self._scenario = scenario
        self._rng = scenario.rng()
        self._distances = distances
        self._teleport_rad = rig.motion.teleport_rad
        self._sides = tuple(bounds)
        self._arm = {side: len(rig.arm(side).joints) for side in bounds}
        self._lower = np.concatenate([bound.lower for bound in bounds.values()])
        self._upper = np.concatenate([bound.upper for bound in bounds.values()])
        self._speed = {side: bound.velocity for side, bound in bounds.items()}
        self.is_arm = np.concatenate(
            [np.arange(len(bound.lower)) < self._arm[side] for side, bound in bounds.items()]
        )
        self._cuts = np.cumsum([len(bound.lower) for bound in bounds.values()])[:-1]
        self._stop = np.array([gap.margin.stop_m for gap in distances.gaps])
        self._rows = self._aimed_at(rig)
        home = np.concatenate([list(rig.start(side).values()) for side in bounds])
        self.start = self._split(self._beginning(home))
        self._goal = self.start
        self._until_s = 0.0
        self._away = False
        self._offset = self._rng.normal(0, 1, len(home))

    def ask(self, side: Side, now_s: float, here: Mapping[Side, np.ndarray]) -> Request:
        """The next chunk of a side whose command is `here` [N] rad."""
        if now_s >= self._until_s:
            self._until_s = now_s + self._rng.uniform(*GOAL_S)
            self._away = not self._away and self._scenario.kind == "reversal"
            self._goal = self._split(
                self._next_goal(np.concatenate([here[other] for other in self._sides]))
            )
        rate_hz = float(self._rng.choice(RATES_HZ))
        late_s = self._late_s()
        further = self._scenario.kind == "more"
        points = (
            self._further(side, here[side])
            if further
            else self._towards(side, here[side], rate_hz, late_s)
        )
        if self._scenario.relative:
            points = points.copy()
            points[:, : self._arm[side]] += self._split(self._offset)[side][: self._arm[side]]
        return Request(points, rate_hz, now_s - late_s, self._scenario.relative)

    def _late_s(self) -> float:
        """Lateness varies, by less than what would put most chunks out of order."""
        most_s = self._scenario.late_s
        return most_s - self._rng.uniform(0, 1) * min(0.2 * most_s, 0.7 / self._scenario.hz)

    def _further(self, side: Side, here: np.ndarray) -> np.ndarray:
        """A pose a bit further on, less than what counts as a leap."""
        way = self._goal[side] - here
        furthest = np.abs(way[: self._arm[side]]).max()
        share = self._teleport_rad * self._rng.uniform(0.3, 0.99) / max(furthest, 1e-6)
        return np.repeat((here + min(share, 1.0) * way)[None], FRAMES // 2, axis=0)

    def _towards(self, side: Side, here: np.ndarray, rate_hz: float, late_s: float) -> np.ndarray:
        """Evenly from here to the goal, which is then held; half of what is late begins in the
        past, the other half now.
        """
        way = self._goal[side] - here
        speed = self._rng.choice(SPEEDS)
        seconds = float((np.abs(way) / (speed * self._speed[side])).max())
        before = late_s * rate_hz if self._rng.random() < 0.5 else 0.0
        share = (np.arange(1, FRAMES + 1) - before) / max(seconds * rate_hz, 1.0)
        return here + np.clip(share, 0.0, 1.0)[:, None] * way

    def _next_goal(self, here: np.ndarray) -> np.ndarray:
        """The worst of some random poses, the best where it goes away before it comes back."""
        if self._scenario.kind == "walk":
            return self._near(here, 0.5)
        if self._scenario.kind == "hands":
            return self._grasp(here)
        poses = [self._near(here, 0.6) for _ in range(CANDIDATES)]
        least = [self._least(pose) for pose in poses]
        return poses[int(np.argmax(least) if self._away else np.argmin(least))]

    def _grasp(self, here: np.ndarray) -> np.ndarray:
        """Every hand opened or closed as far as it goes, while the arms stay about where they
        are.
        """
        goal = self._near(here, 0.05)
        for part, (low, high) in zip(
            np.split(goal, self._cuts), zip(*self._ends(), strict=True), strict=True
        ):
            arm = self._arm[self._sides[0]]
            part[arm:] = low[arm:] if self._rng.random() < 0.5 else high[arm:]
        return goal

    def _ends(self) -> tuple[list[np.ndarray], list[np.ndarray]]:
        return np.split(self._lower, self._cuts), np.split(self._upper, self._cuts)

    def _near(self, pose: np.ndarray, spread: float) -> np.ndarray:
        """A random pose [N] around one, inside the limits."""
        return np.clip(pose + self._rng.normal(0, spread, len(pose)), self._lower, self._upper)

    def _beginning(self, home: np.ndarray) -> np.ndarray:
        """A pose about home where nothing is too near, or something is where that is asked for;
        near each other for hands.
        """
        if self._scenario.too_near:
            for _ in range(CANDIDATES):
                pose = self._near(home, 0.4)
                if -0.02 < self._room(pose) < 0:
                    return pose
        if self._scenario.kind in ("hands", "resting", "itself"):
            return self._nearest_to_meeting(home)
        poses = [self._near(home, 0.2) for _ in range(CANDIDATES)]
        return next((pose for pose in poses if self._room(pose) > 0), home)

    def _nearest_to_meeting(self, pose: np.ndarray) -> np.ndarray:
        """A pose where what is aimed at is near, and nothing too near: a random walk that only
        takes what is better.
        """
        least = self._least(pose)
        for spread in np.geomspace(0.4, 0.02, 3 * CANDIDATES):
            other = self._near(pose, spread)
            nearer = self._least(other)
            if nearer < least and self._room(other) > 0:
                pose = other
                least = nearer
        return pose

    def _room(self, pose: np.ndarray) -> float:
        """By how much everything is above its stop [m]."""
        return float((self._distances.at(pose) - self._stop).min())

    def _least(self, pose: np.ndarray) -> float:
        """How much room the gaps have that are aimed at [m]."""
        return float((self._distances.some(pose, self._rows) - self._stop[self._rows]).min())

    def _aimed_at(self, rig: Rig) -> np.ndarray:
        """Rows of the gaps that goals make small."""
        names = AIMS.get(self._scenario.kind, ("between", "itself", "touch", "table"))
        margins = [getattr(rig.motion, name) for name in names]
        if rig.motion.workspace and self._rng.random() < 0.3:
            margins = [rig.motion.edge]
        return np.array(
            [
                row
                for row, gap in enumerate(self._distances.gaps)
                if any(gap.margin is margin for margin in margins)
            ]
        )

    def _split(self, pose: np.ndarray) -> dict[Side, np.ndarray]:
        return dict(zip(self._sides, np.split(pose, self._cuts), strict=True))
