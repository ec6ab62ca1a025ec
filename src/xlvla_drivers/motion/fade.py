"""The offset that is added to a chunk so that it begins where the command is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla_drivers.motion.steps import State


@dataclass(frozen=True)
class Fade:
    """An offset that goes to zero along a quintic, in time of the chunk: zero, and at rest, from
    `end_s` on.
    """

    curve: np.ndarray
    """Coefficients [6, N] of the powers of the time that has passed."""

    start_s: float
    end_s: float

    @classmethod
    def over(cls, offset: State, blend_s: float, start_s: float) -> Fade:
        """From an offset with its velocity and acceleration at `start_s` to zero in `blend_s`."""
        # The three lower coefficients are the offset, the three upper ones make position, velocity
        # and acceleration zero at the end.
        t = blend_s
        gap = offset.position
        drift = offset.velocity
        bend = offset.acceleration / 2
        cubic = -(10 * gap / t + 6 * drift + 3 * bend * t) / t**2
        quartic = (15 * gap / t + 8 * drift + 3 * bend * t) / t**3
        quintic = -(6 * gap / t + 3 * drift + bend * t) / t**4
        curve = np.stack([gap, drift, bend, cubic, quartic, quintic])
        return cls(curve, start_s, start_s + blend_s)

    def at(self, time_s: float) -> State:
        """The offset [N] at a time [s] of the chunk."""
        if time_s >= self.end_s:
            return State.rest(np.zeros(self.curve.shape[1]))
        passed_s = max(time_s - self.start_s, 0.0)
        powers = passed_s ** np.arange(6)
        orders = np.arange(1, 6)
        position = powers @ self.curve
        velocity = (orders * powers[:5]) @ self.curve[1:]
        acceleration = (orders[1:] * orders[:4] * powers[:4]) @ self.curve[2:]
        return State(position, velocity, acceleration)
