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
"""A goal is the worst of this many random poses."""

GOAL_S = (0.25, 1.0)
"""Shortest and longest time that a goal is kept."""

FRAMES = 40
RATES_HZ = (10.0, 20.0, 50.0)
"""Frames of a chunk, and the rates they may have."""

SPEEDS = (0.3, 1.0, 2.0, 4.5)
"""How fast chunks ask joints to go, as multiples of their speed limits."""

AIMS: dict[Kind, tuple[str, ...]] = {
    "meet": ("between",),
    "table": ("touch", "table"),
    "itself": ("itself",),
    "resting": ("between",),
    "hands": ("between",),
}
"""Margins of `MotionConfig` whose distances goals make small, by kind of scenario."""

ALL_AIMS = ("between", "itself", "touch", "table")
"""The same for the kinds that `AIMS` does not name."""

HOME_SPREAD_RAD = 0.2
TOO_NEAR_SPREAD_RAD = 0.4
GOAL_SPREAD_RAD = 0.6
WALK_SPREAD_RAD = 0.5
HANDS_SPREAD_RAD = 0.05
"""Standard deviations of random poses: where a scenario begins, where it begins too near, of goals
of most kinds, of a walk, and of the arms while only the hands matter.
"""


@dataclass(frozen=True)
class ChunkOffer:
    """A chunk [T, N] rad as it is offered."""

    points: np.ndarray
    rate_hz: float
    stamp_s: float
    relative: bool


class UnsafeChunks:
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
        self._speed = {side: bound.velocity for side, bound in bounds.items()}
        # The joints of all sides in one row, as distances take them.
        self._lower = np.concatenate([bound.lower for bound in bounds.values()])
        self._upper = np.concatenate([bound.upper for bound in bounds.values()])
        self.is_arm = np.concatenate(
            [np.arange(len(bound.lower)) < self._arm[side] for side, bound in bounds.items()]
        )
        counts = [len(bound.lower) for bound in bounds.values()]
        self._cuts = np.cumsum(counts)[:-1]
        self._stop = np.array([gap.margin.stop_m for gap in distances.gaps])
        self._rows = self._aimed_at(rig)
        home = np.concatenate([list(rig.start(side).values()) for side in bounds])
        self.start = self._split(self._beginning(home))
        self._goal = self.start
        self._until_s = 0.0
        self._away = False
        # What a relative chunk's arm positions are shifted by.
        self._offset = self._rng.normal(0, 1, len(home))

    def next_chunk(self, side: Side, now_s: float, here: Mapping[Side, np.ndarray]) -> ChunkOffer:
        """The next chunk of a side whose command is `here` [N] rad."""
        if now_s >= self._until_s:
            self._until_s = now_s + self._rng.uniform(*GOAL_S)
            self._away = self._scenario.kind == "reversal" and not self._away
            pose = np.concatenate([here[other] for other in self._sides])
            self._goal = self._split(self._next_goal(pose))
        rate_hz = float(self._rng.choice(RATES_HZ))
        late_s = self._late_s()
        if self._scenario.kind == "more":
            points = self._further(side, here[side])
        else:
            points = self._towards(side, here[side], rate_hz, late_s)
        if self._scenario.relative:
            arm = slice(0, self._arm[side])
            offset = self._split(self._offset)[side]
            points = points.copy()
            points[:, arm] += offset[arm]
        return ChunkOffer(points, rate_hz, now_s - late_s, self._scenario.relative)

    def _late_s(self) -> float:
        """Lateness varies, by less than what would put most chunks out of order."""
        most_s = self._scenario.late_s
        range_s = min(0.2 * most_s, 0.7 / self._scenario.hz)
        return most_s - self._rng.uniform(0, 1) * range_s

    def _further(self, side: Side, here: np.ndarray) -> np.ndarray:
        """A pose a bit further on, less than what counts as a leap."""
        change = self._goal[side] - here
        largest = np.abs(change[: self._arm[side]]).max()
        share = self._teleport_rad * self._rng.uniform(0.3, 0.99) / max(largest, 1e-6)
        pose = here + min(share, 1.0) * change
        return np.repeat(pose[None], FRAMES // 2, axis=0)

    def _towards(self, side: Side, here: np.ndarray, rate_hz: float, late_s: float) -> np.ndarray:
        """Evenly from here to the goal, which is then held; half of the late chunks begin in the
        past, the other half now.
        """
        change = self._goal[side] - here
        limits = self._rng.choice(SPEEDS) * self._speed[side]
        seconds = float((np.abs(change) / limits).max())
        frames_past = 0.0
        if self._rng.random() < 0.5:
            frames_past = late_s * rate_hz
        frames = np.arange(1, FRAMES + 1) - frames_past
        share = frames / max(seconds * rate_hz, 1.0)
        return here + np.clip(share, 0.0, 1.0)[:, None] * change

    def _next_goal(self, here: np.ndarray) -> np.ndarray:
        """The worst of some random poses, the best where it goes away before it comes back."""
        if self._scenario.kind == "walk":
            return self._near(here, WALK_SPREAD_RAD)
        if self._scenario.kind == "hands":
            return self._grasp(here)
        poses = [self._near(here, GOAL_SPREAD_RAD) for _ in range(CANDIDATES)]
        least = [self._least(pose) for pose in poses]
        best = np.argmax(least) if self._away else np.argmin(least)
        return poses[int(best)]

    def _grasp(self, here: np.ndarray) -> np.ndarray:
        """Every hand opened or closed as far as it goes, while the arms stay about where they
        are.
        """
        goal = self._near(here, HANDS_SPREAD_RAD)
        lower = self._split(self._lower)
        upper = self._split(self._upper)
        # Parts are views of the goal.
        for side, part in self._split(goal).items():
            hand = slice(self._arm[side], None)
            limit = lower[side] if self._rng.random() < 0.5 else upper[side]
            part[hand] = limit[hand]
        return goal

    def _near(self, pose: np.ndarray, spread: float) -> np.ndarray:
        """A random pose [N] around one, inside the limits."""
        return np.clip(pose + self._rng.normal(0, spread, len(pose)), self._lower, self._upper)

    def _beginning(self, home: np.ndarray) -> np.ndarray:
        """A pose [N] about home where nothing is too near, or where something is if the scenario
        asks for that; for some kinds, one where what is aimed at is near already.
        """
        if self._scenario.too_near:
            for _ in range(CANDIDATES):
                pose = self._near(home, TOO_NEAR_SPREAD_RAD)
                if -0.02 < self._room(pose) < 0:
                    return pose
        if self._scenario.kind in ("hands", "resting", "itself"):
            return self._nearest_to_meeting(home)
        # All are drawn even if the first will do: what is drawn later must not depend on it.
        poses = [self._near(home, HOME_SPREAD_RAD) for _ in range(CANDIDATES)]
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
        rows = self._rows
        room = self._distances.some(pose, rows) - self._stop[rows]
        return float(room.min())

    def _aimed_at(self, rig: Rig) -> np.ndarray:
        """Rows of the gaps that goals make small."""
        names = AIMS.get(self._scenario.kind, ALL_AIMS)
        margins = [getattr(rig.motion, name) for name in names]
        if rig.motion.workspace and self._rng.random() < 0.3:
            margins = [rig.motion.edge]
        # Two margins may be equal and still be two: they are told apart by identity.
        wanted = {id(margin) for margin in margins}
        rows = [row for row, gap in enumerate(self._distances.gaps) if id(gap.margin) in wanted]
        return np.array(rows)

    def _split(self, pose: np.ndarray) -> dict[Side, np.ndarray]:
        """A pose [N] of all sides as views of it, by side."""
        parts = np.split(pose, self._cuts)
        return dict(zip(self._sides, parts, strict=True))
