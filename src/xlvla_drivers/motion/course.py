"""A chunk that is being played: how it is joined, and where it leads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla_drivers.motion.chunk import Trajectory, warped
from xlvla_drivers.motion.fade import Fade
from xlvla_drivers.motion.limits import Bounds
from xlvla_drivers.motion.speed_scaling import Beat
from xlvla_drivers.motion.steps import State

SLOWEST_PACE = 0.1
"""A command that was played more slowly is taken as if it had this pace: its own speed would be
noise divided by nearly nothing.
"""


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
        *,
        played_s: float,
        command: State,
        beat: Beat,
        bounds: Bounds,
        blend_s: float,
        longest_s: float,
    ) -> Course:
        """Joins a curve from where the last command is.

        Args:
            trajectory: the curve.
            played_s: time on the curve at which it is joined.
            command: the last command, which was played at `beat`.
            bounds: the limits; a wide gap fades more slowly because of them.
            blend_s: the shortest time in which the offset fades.
            longest_s: the longest.
        """
        # The command in the chunk's own time, as if it had been played at full pace.
        pace = max(beat.rate, SLOWEST_PACE)
        own = warped(command, 1 / pace, -beat.change / pace**3)
        offset = own - trajectory.at(played_s)
        blend_s = max(blend_s, _least_s(offset, bounds))
        blend_s = min(blend_s, longest_s)
        return cls(trajectory, Fade.over(offset, blend_s, played_s), played_s)

    @property
    def runs(self) -> bool:
        return self.played_s < self.trajectory.end_s

    def ahead(self, seconds: float) -> State:
        """The state [N] that is wanted after this many more seconds of the chunk's time, at the
        chunk's own pace.
        """
        then_s = self.played_s + seconds
        on_curve = self.trajectory.at(then_s)
        if then_s >= self.fade.end_s:
            return on_curve
        return on_curve + self.fade.at(then_s)

    def target(self, beat: Beat) -> State:
        """The state [N] that is wanted at the next tick, played at a beat."""
        return warped(self.ahead(beat.passed_s), beat.rate, beat.change)


def _least_s(offset: State, bounds: Bounds) -> float:
    """The time [s] in which a gap closes about within the limits: with less, chunks that come in
    quick succession fight over it.
    """
    gap = np.abs(offset.position)
    by_acceleration = np.sqrt(3 * gap / bounds.acceleration).max()
    by_jerk = np.cbrt(20 * gap / bounds.jerk).max()
    return float(max(by_acceleration, by_jerk))
