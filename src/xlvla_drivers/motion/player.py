"""Plays chunks as a stream of commands that a device can follow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.motion import MotionConfig
from xlvla_drivers.motion.checks import Checks
from xlvla_drivers.motion.chunk import Refused, Trajectory, in_order
from xlvla_drivers.motion.course import Course
from xlvla_drivers.motion.limits import Bounds, Limiter, Step
from xlvla_drivers.motion.speed_scaling import Beat
from xlvla_drivers.motion.steps import State

LONGEST_STEP_S = 0.05
"""A command after a longer pause moves as if only this much time had passed."""

INTERVALS = 4
"""An offset fades within so many intervals between chunks where that is sooner than `blend_s`: a
stream of short chunks is followed.
"""

SHORTEST_BLEND_S = 0.1


@dataclass(frozen=True)
class Proposal:
    """What would be commanded next: a step within limits, at a beat of the chunk's time."""

    step: Step
    beat: Beat
    counts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Offered:
    """A chunk that was taken but not yet played: its start in clock time and how long its offset
    fades.
    """

    trajectory: Trajectory
    start_s: float
    blend_s: float


class Player:
    """The newest chunk of N joints, played on time and within limits.

    Without a chunk, or once it has run out, the command decelerates and stays: a hold keeps the
    last command. Before the first chunk a hold is the pose that was measured when the player was
    first asked.

    Args:
        joints: N names, the order of every vector here.
        lower, upper: position limits [N] rad; chunks are clamped to them and counted as 'clipped'.
        velocity: limits [N] rad/s, before `config.speed_scale`.
        acceleration: limits [N] rad/s^2; those of jerk follow from `config.jerk_s`.
        arm: how many of the joints, the first ones, are the arm's; all where None. Only they are
            refused a far beginning and take relative chunks: an open hand may close, and a grasp is
            a pose and no change.

    Attributes:
        counts: every intervention by name: accepted, late, clipped, limited, held, and 'refused:
            <reason>'.
    """

    def __init__(
        self,
        joints: Sequence[str],
        lower: np.ndarray,
        upper: np.ndarray,
        velocity: np.ndarray,
        acceleration: np.ndarray,
        config: MotionConfig,
        arm: int | None = None,
    ):
        self.joints = tuple(joints)
        self.config = config
        self.bounds = Bounds(
            lower, upper, velocity * config.speed_scale, acceleration, acceleration / config.jerk_s
        )
        self.counts: Counter[str] = Counter()
        self._arm = slice(0, arm)
        self._checks = Checks(self.joints, self.bounds, config, self._arm)
        self.release()

    def release(self) -> None:
        """Forgets the chunk and the last command: the next command starts from the pose measured
        then.
        """
        self._limiter: Limiter | None = None
        self.hold()
        self._newest_stamp_s = self._time_s = self._taken_s = -math.inf
        self._beat = Beat()

    def hold(self) -> None:
        """Drops the chunk; the command decelerates and stays."""
        self._offered: Offered | None = None
        self._course: Course | None = None
        self._anchor: np.ndarray | None = None

    def forget_times(self) -> None:
        """Drops the chunk and what its stamp was: the clock was set to another time, and the next
        chunk bears that.
        """
        self.hold()
        self._newest_stamp_s = self._taken_s = -math.inf

    @property
    def started(self) -> bool:
        """There has been a command since the last release."""
        return self._limiter is not None

    @property
    def position(self) -> np.ndarray:
        """The last command [N]; only of a player that has started."""
        assert self._limiter is not None
        return self._limiter.state.position

    @property
    def rests(self) -> bool:
        """The last command, if there is one, is at rest."""
        return self._limiter is None or self._limiter.last.rests

    def has_chunk(self, now_s: float) -> bool:
        """A chunk is there that has not run out."""
        if self._offered is not None:
            return now_s < self._offered.start_s + self._offered.trajectory.end_s
        return self._course is not None and self._course.runs

    @property
    def stamp_s(self) -> float:
        """Stamp of the newest chunk taken; -inf before the first."""
        return self._newest_stamp_s

    def offer(
        self,
        points: np.ndarray,
        names: Sequence[str],
        stamp_s: float,
        rate_hz: float,
        now_s: float,
        *,
        measured: np.ndarray | None = None,
        relative: bool = False,
    ) -> None:
        """Takes a chunk [T, N] rad whose frame k is meant for stamp_s + (k + 1) / rate_hz; raises
        Refused with the reason.

        Args:
            measured: where the robot is [N] rad, looked at before there is a first command.
            relative: the arm's positions count as changes: from the first such chunk after an
                engagement or a hold, whose frame due now stands for where the robot is then.
        """
        try:
            self._take(
                in_order(points, names, self.joints), stamp_s, rate_hz, now_s, measured, relative
            )
        except Refused as refusal:
            self.counts[f"refused: {refusal.reason}"] += 1
            raise

    def go(self, points: np.ndarray, rate_hz: float, now_s: float) -> None:
        """Plays a way [T, N] rad of motion's own from `now_s` on, to its end however long it is; a
        chunk replaces it.
        """
        way = Trajectory(np.clip(points, self.bounds.lower, self.bounds.upper), rate_hz)
        self._offered = Offered(way, now_s + 1 / rate_hz, SHORTEST_BLEND_S)
        self._newest_stamp_s = now_s
        self._taken_s = now_s
        self._anchor = None

    def _take(
        self,
        points: np.ndarray,
        stamp_s: float,
        rate_hz: float,
        now_s: float,
        measured: np.ndarray | None,
        relative: bool,
    ) -> None:
        self._checks.times(len(points), stamp_s, rate_hz, now_s, self._newest_stamp_s)
        here = self._limiter.state.position if self._limiter else measured
        first = stamp_s + 1 / rate_hz
        points = points[: max(1, math.floor(self.config.horizon_s * rate_hz))]
        due = Trajectory(points, rate_hz).at(now_s - first).position
        if here is None:
            raise Refused("pose", "it is not known where the robot is")
        anchor = self._anchored(due, here, now_s) if relative else None
        shift = np.zeros_like(due) if anchor is None else anchor
        self._checks.near(due + shift - here)
        self._checks.speed(points, rate_hz)
        self._checks.inside(points + shift)
        clamped = np.clip(points + shift, self.bounds.lower, self.bounds.upper)
        self.counts["clipped"] += int((clamped != points + shift).any(axis=0).sum())
        self.counts["late"] += first < now_s
        self.counts["accepted"] += 1
        self._offered = Offered(
            Trajectory(clamped, rate_hz, self.config.taper_s), first, self._blend_s(now_s)
        )
        self._newest_stamp_s = stamp_s
        self._taken_s = now_s
        self._anchor = anchor

    def _blend_s(self, now_s: float) -> float:
        if not self.has_chunk(now_s):
            return self.config.blend_s
        return min(self.config.blend_s, max(SHORTEST_BLEND_S, INTERVALS * (now_s - self._taken_s)))

    def _anchored(self, due: np.ndarray, here: np.ndarray, now_s: float) -> np.ndarray:
        """What is added to a relative chunk."""
        if self._anchor is not None and self.has_chunk(now_s):
            return self._anchor
        anchor = np.zeros_like(due)
        anchor[self._arm] = (here - due)[self._arm]
        return anchor

    def start(self, measured: np.ndarray) -> None:
        """Commands begin at a pose [N], at rest."""
        self._limiter = Limiter(self.bounds, self._finite(measured))

    def command(self, now_s: float, measured: np.ndarray, beat: Beat | None = None) -> np.ndarray:
        """The command [N] rad for `now_s`, for a player whose time nobody else counts.

        Args:
            measured: where the robot is [N] rad, used when there was no command yet.
            beat: the pace since the last command; None is the chunk's own.
        """
        if self._limiter is None:
            self.start(measured)
            self._time_s = now_s
        dt = min(max(now_s - self._time_s, 0.0), LONGEST_STEP_S)
        self._time_s = max(now_s, self._time_s)
        return self.take(self.propose(now_s, dt, beat or Beat(passed_s=dt)))

    def propose(self, now_s: float, dt: float, beat: Beat) -> Proposal:
        """What the command of `now_s`, `dt` after the last one, would be. Only of a player that has
        started.

        Nothing is commanded before `take` or `brake`, of which exactly one follows.
        """
        assert self._limiter is not None
        if self._offered is not None:
            self._join(self._offered, now_s - dt, self._limiter.state)
        if self._course is None:
            return Proposal(self._limiter.stop(dt), beat, ("held",))
        target = self._course.target(beat)
        step = self._limiter.propose(target, dt, beat.rate)
        limited = (
            ("limited",) if (np.abs(step.state.position - target.position) > 1e-3).any() else ()
        )
        return Proposal(step, beat, limited if self._course.runs else ("held", *limited))

    def take(self, proposal: Proposal) -> np.ndarray:
        """Commands what was proposed [N] rad."""
        assert self._limiter is not None
        self._pass(proposal.beat)
        self.counts.update(proposal.counts)
        return self._limiter.take(proposal.step).position.copy()

    def brake(self, dt: float, beat: Beat) -> np.ndarray:
        """Commands a step [N] rad of the quickest stop instead, while the chunk's time goes on at
        its own, falling pace.
        """
        assert self._limiter is not None
        self._pass(beat)
        return self._limiter.brake(dt).position.copy()

    def _pass(self, beat: Beat) -> None:
        self._beat = beat
        if self._course is not None:
            self._course.played_s += beat.passed_s

    def _join(self, offered: Offered, before_s: float, command: State) -> None:
        """The offered chunk from now on."""
        self._offered = None
        played_s = before_s - offered.start_s
        blend_s = offered.blend_s
        longest_s = self.config.blend_s
        self._course = Course.joined(
            offered.trajectory, played_s, command, self._beat, self.bounds, blend_s, longest_s
        )

    def ahead(self, seconds: float) -> np.ndarray:
        """Where the chunk wants the command [N] to be after so much more of its time; only of a
        player that has started.
        """
        return self.position if self._course is None else self._course.ahead(seconds).position

    def _finite(self, measured: np.ndarray) -> np.ndarray:
        measured = np.asarray(measured, dtype=float)
        if measured.shape != self.bounds.lower.shape or not np.isfinite(measured).all():
            raise XlvlaError(
                f"measured pose must be {len(self.joints)} finite numbers, got {measured.tolist()}"
            )
        return measured
