"""Motion of a whole rig, cycle by cycle, while an adversary offers it unsafe chunks."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np

from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, Side
from xlvla_cli.bench.adversary.chunk_source import ChunkOffer, UnsafeChunks
from xlvla_cli.bench.adversary.scenarios import Clock, Scenario
from xlvla_drivers.motion.chunk import Refused
from xlvla_drivers.motion.clearance import Clearance, Verdict, Way
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.limits import Bounds
from xlvla_drivers.motion.player import LONGEST_STEP_S
from xlvla_drivers.motion.rig_motion import RigMotion

SETTLES_S = 5.0
STILL_TICKS = 60
"""After the last chunk the rig is watched until its commands stay the same for this many ticks, at
most for that time.
"""

STILL_RAD = 1e-9
"""Commands that differ by less are the same: a curve through equal frames is rounded."""

STOPS_S = 1.5
"""A rig that is told to hold rests within this time."""

BACK_RAD = 0.3
BACK_RAD_S = 1.0
BACK_FRAMES = 40
LEAST_BACK_RAD = 0.1
"""In the end some arms are led back this far along their own path, at this speed, in at most this
many frames; where they moved less than the last it shows nothing.
"""

BACK_CHANCE = 0.25
"""Share of the scenarios that end so."""

BACK_S = 4.0
FREE_SHARE = 0.5
"""The way back is free, so this share of it has to be gone within this time."""


class Unwatched(RigMotion):
    """A rig whose motion watches no distance: chunks are checked and limits kept, no more."""

    def __init__(self, rig: Rig):
        super().__init__(rig)
        self._clearance = _Blind(rig)


class _Blind(Clearance):
    """Lets everything pass, at full speed."""

    def passes(self, way: Way) -> bool:
        return True

    def look(self, here: np.ndarray, ahead: Sequence[np.ndarray], rate: float) -> Verdict:
        return Verdict(1.0, "", np.inf)


@dataclass
class Path:
    """What was commanded.

    Attributes:
        poses: the commands of all sides [N] rad, from where the rig stood, T + 1 of them.
        ticks_s: the time between them, T.
        slowed: whether chunks were played slower, T.
        took_s: processor time of a tick, T.
        offered: chunks that were offered.
        counts: what players counted.
        braked: how often a stop began in motion because the next command would not keep distances.
        settled: the commands stayed, without being told to, once no more chunks came.
        stopped: they stayed once the rig was told to hold.
        came_back: whether it followed its own path back; None where that was not tried.
    """

    poses: list[np.ndarray]
    ticks_s: list[float] = field(default_factory=list[float])
    slowed: list[bool] = field(default_factory=list[bool])
    took_s: list[float] = field(default_factory=list[float])
    offered: int = 0
    counts: Counter[str] = field(default_factory=Counter[str])
    braked: int = 0
    settled: bool = True
    stopped: bool = True
    came_back: bool | None = None

    def still(self, ticks: int) -> bool:
        """Whether the last commands were all the same."""
        if len(self.poses) <= ticks:
            return False
        ranges = np.ptp(self.poses[-ticks - 1 :], axis=0)
        return bool((ranges < STILL_RAD).all())


class Drive:
    """One scenario on a rig, from a motion that has not moved yet."""

    def __init__(self, scenario: Scenario, rig: Rig, motion: RigMotion, distances: Distances):
        self._motion = motion
        self._scenario = scenario
        self._period_s = 1 / rig.motion.rate_hz
        bounds: dict[Side, Bounds] = {
            side: player.bounds for side, player in motion.players.items()
        }
        self._chunks = UnsafeChunks(scenario, rig, distances, bounds)
        self._rng = np.random.default_rng([scenario.seed, scenario.number, 2])
        self._start = self._chunks.start
        self._now_s = 0.0
        self.path = Path([np.concatenate(list(self._start.values()))])

    def run(self) -> Path:
        self._play()
        last = len(self.path.poses)
        self.path.settled = self._rests_within(SETTLES_S)
        if self._rng.random() < BACK_CHANCE:
            self.path.came_back = self._goes_back(self.path.poses[:last])
        self._motion.hold()
        self.path.stopped = self._stops()
        self.path.braked = self._motion.braked
        for player in self._motion.players.values():
            self.path.counts.update(player.counts)
        return self.path

    def _play(self) -> None:
        left = dict.fromkeys(self._scenario.moving, self._scenario.chunks_per_side)
        due_s = {side: self._rng.uniform(0, 1 / self._scenario.hz) for side in left}
        while any(left.values()):
            for side in left:
                while left[side] and due_s[side] <= self._now_s:
                    left[side] -= 1
                    due_s[side] += self._rng.uniform(0.5, 1.5) / self._scenario.hz
                    self._offer(side, self._chunks.next_chunk(side, self._now_s, self._here()))
            self._tick()

    def _here(self) -> dict[Side, np.ndarray]:
        """The newest command [N] rad of each side, or where it starts."""
        poses = dict(self._start)
        for side, player in self._motion.players.items():
            if player.started:
                poses[side] = player.position
        return poses

    def _offer(self, side: Side, offer: ChunkOffer) -> None:
        player = self._motion.players[side]
        self.path.offered += 1
        with suppress(Refused):
            player.offer(
                offer.points,
                player.joints,
                offer.stamp_s,
                offer.rate_hz,
                self._now_s,
                measured=self._start[side],
                relative=offer.relative,
            )

    def _tick(self) -> None:
        dt = tick_s(self._scenario.clock, self._period_s, self._rng)
        self._now_s += dt
        began = time.thread_time()
        commands = self._motion.step(self._now_s, dt, self._start)
        self.path.took_s.append(time.thread_time() - began)
        self.path.ticks_s.append(dt)
        self.path.slowed.append(self._motion.pace.beat.rate < 0.99)
        poses = [commands.get(side, pose) for side, pose in self._start.items()]
        self.path.poses.append(np.concatenate(poses))

    def _rests_within(self, seconds: float) -> bool:
        give_up_s = self._now_s + seconds
        while not self.path.still(STILL_TICKS) and self._now_s < give_up_s:
            self._tick()
        return self.path.still(STILL_TICKS)

    def _stops(self) -> bool:
        """Whether the commands stay the same, to the last digit, soon after the rig was told to
        hold.
        """
        give_up_s = self._now_s + STOPS_S
        while self._now_s < give_up_s:
            self._tick()
            same = (self.path.poses[-1] == self.path.poses[-2]).all()
            if self._motion.rests and same:
                return True
        return False

    def _goes_back(self, poses: Sequence[np.ndarray]) -> bool | None:
        """Whether the arms follow the end of their own path back, where all distances were kept;
        None where they hardly moved.
        """
        here = self.path.poses[-1]
        trajectory = self._backwards(here, poses)
        back_rad = self._arms_apart_rad(trajectory[-1], here)
        if back_rad < LEAST_BACK_RAD:
            return None
        cuts = np.cumsum([len(pose) for pose in self._start.values()])[:-1]
        for side, points in zip(self._start, np.split(trajectory, cuts, axis=1), strict=True):
            if side in self._scenario.moving:
                self._offer(side, ChunkOffer(points, CHUNK_HZ, self._now_s, False))
        give_up_s = self._now_s + BACK_S
        share = 0.0
        while share < FREE_SHARE and self._now_s < give_up_s:
            self._tick()
            share = self._arms_apart_rad(self.path.poses[-1], here) / back_rad
        return share >= FREE_SHARE

    def _arms_apart_rad(self, pose: np.ndarray, other: np.ndarray) -> float:
        """How far apart two poses [N] are in the joint of an arm that differs most."""
        return float(np.abs(pose - other)[self._chunks.is_arm].max())

    def _backwards(self, here: np.ndarray, poses: Sequence[np.ndarray]) -> np.ndarray:
        """The path [T, N] back from here in even steps, until an arm's joint is far enough away or
        a chunk is full.
        """
        points = [here]
        last = here
        for pose in reversed(poses):
            while (distance := float(np.abs(pose - last).max())) > BACK_RAD_S / CHUNK_HZ:
                last = last + (pose - last) * BACK_RAD_S / CHUNK_HZ / distance
                points.append(last)
            full = len(points) >= BACK_FRAMES
            if full or self._arms_apart_rad(last, here) > BACK_RAD:
                break
        return np.array(points[:BACK_FRAMES])


def tick_s(clock: Clock, period_s: float, rng: np.random.Generator) -> float:
    """How long after the last one a tick comes."""
    if clock == "jitter":
        return period_s * rng.uniform(0.2, 1.8)
    if clock == "stalls" and rng.random() < 0.03:
        return LONGEST_STEP_S
    return period_s
