"""What is added to a chunk so that it begins where the command is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla_drivers.motion.steps import State


@dataclass(frozen=True)
class Fade:
    """An offset that goes to nothing along a quintic, in time of the chunk: gone, and at rest, at
    `end_s`.
    """

    curve: np.ndarray
    """Coefficients [6, N] of the powers of the time that has passed."""

    start_s: float
    end_s: float

    @classmethod
    def over(cls, offset: State, blend_s: float, start_s: float) -> Fade:
        """From an offset with its velocity and acceleration at `start_s` to nothing `blend_s`
        later.
        """
        t = blend_s
        gap = offset.position
        drift = offset.velocity
        bend = offset.acceleration / 2
        cubic = -(10 * gap / t + 6 * drift + 3 * bend * t) / t**2
        quartic = (15 * gap / t + 8 * drift + 3 * bend * t) / t**3
        quintic = -(6 * gap / t + 3 * drift + bend * t) / t**4
        return cls(
            np.stack([gap, drift, bend, cubic, quartic, quintic]), start_s, start_s + blend_s
        )

    def at(self, time_s: float) -> State:
        if time_s >= self.end_s:
            return State.rest(np.zeros(self.curve.shape[1]))
        powers = max(time_s - self.start_s, 0.0) ** np.arange(6)
        shift = np.arange(1, 6)
        velocity = (shift * powers[:5]) @ self.curve[1:]
        acceleration = (shift[1:] * shift[:4] * powers[:4]) @ self.curve[2:]
        return State(powers @ self.curve, velocity, acceleration)
