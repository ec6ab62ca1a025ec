"""A chunk that is being played: how it is joined, and where it leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla_drivers.motion.chunk import Trajectory, warped
from xlvla_drivers.motion.fade import Fade
from xlvla_drivers.motion.limits import Bounds
from xlvla_drivers.motion.speed_scaling import Beat
from xlvla_drivers.motion.steps import State


@dataclass
class Course:
    """The curve of a chunk with an offset that leads from the last command to it and fades, played
    for `played_s` of its time.
    """

    trajectory: Trajectory
    fade: Fade
    played_s: float

    @classmethod
    def joined(
        cls,
        trajectory: Trajectory,
        played_s: float,
        command: State,
        beat: Beat,
        bounds: Bounds,
        blend_s: float,
        longest_s: float,
    ) -> Course:
        """Joins a curve at a time of it, from a command that was played at `beat`; the offset fades
        in `blend_s` to `longest_s`.
        """
        pace = max(beat.rate, 0.1)
        own = warped(command, 1 / pace, -beat.change / pace**3)
        offset = own - trajectory.at(played_s)
        blend_s = min(max(blend_s, _least_s(offset, bounds)), longest_s)
        return cls(trajectory, Fade.over(offset, blend_s, played_s), played_s)

    @property
    def runs(self) -> bool:
        return self.played_s < self.trajectory.end_s

    def ahead(self, seconds: float) -> State:
        """The state [N] that is wanted after so much more of the chunk's time, at the chunk's own
        pace.
        """
        then_s = self.played_s + seconds
        on_curve = self.trajectory.at(then_s)
        return on_curve if then_s >= self.fade.end_s else on_curve + self.fade.at(then_s)

    def target(self, beat: Beat) -> State:
        """The state [N] that is wanted at the next tick, played at a beat."""
        return warped(self.ahead(beat.passed_s), beat.rate, beat.change)


def _least_s(offset: State, bounds: Bounds) -> float:
    """In which time a gap closes about within the limits: hurried more, chunks that come in quick
    succession fight over it.
    """
    gap = np.abs(offset.position)
    return float(
        max(np.sqrt(3 * gap / bounds.acceleration).max(), np.cbrt(20 * gap / bounds.jerk).max())
    )
