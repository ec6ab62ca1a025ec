"""Plays chunks as a stream of commands that a device can follow."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.motion import MotionConfig
from xlvla_drivers.motion.braking import Braking
from xlvla_drivers.motion.checks import Checks
from xlvla_drivers.motion.chunk import Refused, Trajectory, in_order
from xlvla_drivers.motion.course import Course
from xlvla_drivers.motion.limits import Bounds, Limiter, Step
from xlvla_drivers.motion.speed_scaling import Beat
from xlvla_drivers.motion.steps import State

LONGEST_STEP_S = 0.05
"""A command after a longer pause moves as if only this much time had passed."""

INTERVALS = 4
"""An offset fades within this many intervals between chunks where that is sooner than `blend_s`: a
stream of short chunks is followed.
"""

SHORTEST_BLEND_S = 0.1
"""An offset never fades in less."""

LIMITED_RAD = 1e-3
"""A command that is further from its target than this counts as limited."""


@dataclass(frozen=True)
class Proposal:
    """What would be commanded next: a step within limits, at a beat of the chunk's time.

    Args:
        counts: names of the interventions, which are counted once it is commanded.
    """

    step: Step
    beat: Beat
    counts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Offered:
    """A chunk that was accepted but is not played yet: its start in clock time and how long its
    offset fades.
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
            lower=lower,
            upper=upper,
            velocity=velocity * config.speed_scale,
            acceleration=acceleration,
            jerk=acceleration / config.jerk_s,
        )
        self.counts: Counter[str] = Counter()
        self._arm = slice(0, arm)
        self._checks = Checks(self.joints, self.bounds, config, self._arm)
        # None until there is a first command.
        self._limiter: Limiter | None = None
        # The chunk that was accepted since the last command, and the one that is played.
        self._offered: Offered | None = None
        self._course: Course | None = None
        # What is added to relative chunks [N] rad.
        self._anchor: np.ndarray | None = None
        self._newest_stamp_s = -math.inf
        self._taken_s = -math.inf
        self._time_s = -math.inf
        self._beat = Beat()

    def release(self) -> None:
        """Forgets the chunk and the last command: the next command starts from the pose measured
        then.
        """
        self._limiter = None
        self.forget_times()
        self._time_s = -math.inf
        self._beat = Beat()

    def hold(self) -> None:
        """Drops the chunk; the command decelerates and stays."""
        self._offered = None
        self._course = None
        self._anchor = None

    def forget_times(self) -> None:
        """Drops the chunk and its stamp: the clock was set to another time, in which the next chunk
        is stamped.
        """
        self.hold()
        self._newest_stamp_s = -math.inf
        self._taken_s = -math.inf

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
        """There is a chunk that has not run out."""
        if self._offered is not None:
            return now_s < self._offered.start_s + self._offered.trajectory.end_s
        if self._course is not None:
            return self._course.runs
        return False

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
        """Accepts a chunk whose frame k is meant for stamp_s + (k + 1) / rate_hz.

        Args:
            points: frames [T, N] rad.
            names: of their columns, in any order.
            stamp_s: of the observation the chunk was decided on.
            rate_hz: of the frames.
            now_s: time in the clock of the stamps.
            measured: where the robot is [N] rad, needed before there is a first command.
            relative: the arm's positions count as changes: from the first such chunk after an
                engagement or a hold, whose frame due now stands for where the robot is then.

        Raises:
            Refused: with the reason.
        """
        try:
            points = in_order(points, names, self.joints)
            self._checks.times(
                frames=len(points),
                stamp_s=stamp_s,
                rate_hz=rate_hz,
                now_s=now_s,
                newest_s=self._newest_stamp_s,
            )
            here = self.position if self.started else measured
            start_s = stamp_s + 1 / rate_hz
            points = points[: max(1, math.floor(self.config.horizon_s * rate_hz))]
            due = Trajectory(points, rate_hz).at(now_s - start_s).position
            if here is None:
                raise Refused("pose", "it is not known where the robot is")
            anchor = self._anchor_at(due, here, now_s) if relative else None
            shift = np.zeros_like(due) if anchor is None else anchor
            shifted = points + shift
            self._checks.near(due + shift - here)
            self._checks.speed(points, rate_hz)
            self._checks.inside(shifted)
        except Refused as refusal:
            self.counts[f"refused: {refusal.reason}"] += 1
            raise
        clipped = np.clip(shifted, self.bounds.lower, self.bounds.upper)
        self.counts["clipped"] += int((clipped != shifted).any(axis=0).sum())
        self.counts["late"] += start_s < now_s
        self.counts["accepted"] += 1
        trajectory = Trajectory(clipped, rate_hz, self.config.taper_s)
        self._offered = Offered(trajectory, start_s, self._blend_s(now_s))
        self._newest_stamp_s = stamp_s
        self._taken_s = now_s
        self._anchor = anchor

    def go(self, points: np.ndarray, rate_hz: float, now_s: float) -> None:
        """Plays a trajectory [T, N] rad of motion's own from `now_s` on, to its end however long it
        is; a chunk replaces it.
        """
        clipped = np.clip(points, self.bounds.lower, self.bounds.upper)
        trajectory = Trajectory(clipped, rate_hz)
        self._offered = Offered(trajectory, now_s + 1 / rate_hz, SHORTEST_BLEND_S)
        self._newest_stamp_s = now_s
        self._taken_s = now_s
        self._anchor = None

    def _blend_s(self, now_s: float) -> float:
        """How long the offset of a chunk that is accepted now fades [s]."""
        if not self.has_chunk(now_s):
            return self.config.blend_s
        interval_s = now_s - self._taken_s
        return min(self.config.blend_s, max(SHORTEST_BLEND_S, INTERVALS * interval_s))

    def _anchor_at(self, due: np.ndarray, here: np.ndarray, now_s: float) -> np.ndarray:
        """What is added to a relative chunk [N] rad, whose frame that is due now is `due` [N]."""
        if self._anchor is not None and self.has_chunk(now_s):
            return self._anchor
        anchor = np.zeros_like(due)
        anchor[self._arm] = (here - due)[self._arm]
        return anchor

    def start(self, measured: np.ndarray) -> None:
        """Commands begin at a pose [N], at rest."""
        self._limiter = Limiter(self.bounds, self._finite(measured))

    def command(self, now_s: float, measured: np.ndarray, beat: Beat | None = None) -> np.ndarray:
        """The command [N] rad for `now_s`, for a player that counts its time itself.

        Args:
            now_s: time in the clock of the chunks' stamps.
            measured: where the robot is [N] rad, used when there was no command yet.
            beat: the pace since the last command; None is the chunk's own.
        """
        if self._limiter is None:
            self.start(measured)
            self._time_s = now_s
        dt = min(max(now_s - self._time_s, 0.0), LONGEST_STEP_S)
        self._time_s = max(now_s, self._time_s)
        if beat is None:
            beat = Beat(passed_s=dt)
        return self.take(self.propose(now_s, dt, beat))

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
        counts: tuple[str, ...] = ()
        if not self._course.runs:
            counts = ("held",)
        if (np.abs(step.state.position - target.position) > LIMITED_RAD).any():
            counts = (*counts, "limited")
        return Proposal(step, beat, counts)

    def take(self, proposal: Proposal) -> np.ndarray:
        """Commands what was proposed [N] rad."""
        assert self._limiter is not None
        self._pass(proposal.beat)
        self.counts.update(proposal.counts)
        return self._limiter.take(proposal.step).position.copy()

    def stopping(self, dt: float) -> Braking:
        """The stop that would follow a step of `brake`; only of a player that has started."""
        assert self._limiter is not None
        return self._limiter.stop(dt).stop

    def brake(self, dt: float, beat: Beat) -> np.ndarray:
        """Commands a step [N] rad of the quickest stop instead, while the chunk's time goes on at
        the beat's pace.
        """
        assert self._limiter is not None
        self._pass(beat)
        return self._limiter.brake(dt).position.copy()

    def _pass(self, beat: Beat) -> None:
        self._beat = beat
        if self._course is not None:
            self._course.played_s += beat.passed_s

    def _join(self, offered: Offered, before_s: float, command: State) -> None:
        """Plays the offered chunk from now on, from the last command, that of `before_s`."""
        self._offered = None
        self._course = Course.joined(
            offered.trajectory,
            played_s=before_s - offered.start_s,
            command=command,
            beat=self._beat,
            bounds=self.bounds,
            blend_s=offered.blend_s,
            longest_s=self.config.blend_s,
        )

    def ahead(self, seconds: float) -> np.ndarray:
        """Where the chunk wants the command [N] to be after this many more seconds of its time;
        only of a player that has started.
        """
        if self._course is None:
            return self.position
        return self._course.ahead(seconds).position

    def _finite(self, measured: np.ndarray) -> np.ndarray:
        measured = np.asarray(measured, dtype=float)
        if measured.shape != self.bounds.lower.shape or not np.isfinite(measured).all():
            raise XlvlaError(
                f"measured pose must be {len(self.joints)} finite numbers, got {measured.tolist()}"
            )
        return measured
