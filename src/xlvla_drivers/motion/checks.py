"""What a chunk must fulfil to be played: it is recent, begins near the robot, and joints can follow
it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from xlvla.motion import MotionConfig
from xlvla_drivers.motion.chunk import Refused
from xlvla_drivers.motion.limits import Bounds

FUTURE_S = 0.05
"""How far ahead of the clock a stamp may be: more is a broken clock, not jitter."""

FASTEST_RATE_HZ = 1000
"""The highest rate of a chunk's frames."""

FASTEST = 5.0
FASTEST_FINGER = 25.0
"""The most that frames may ask of a joint of an arm and of a hand, as a multiple of its speed
limit: no joint can follow more, and a grasp is quick.
"""

OUTSIDE_RAD = 0.1
"""How far outside the position limits a frame may lie and be clipped: what is measured and decoded
is that noisy, no more.
"""


class Checks:
    """Raises Refused for chunks of N joints that are not played.

    Args:
        bounds: the limits that commands keep; chunks are measured by what devices can do, before
            `config.speed_scale`.
        arm: which of the joints are an arm's.
    """

    def __init__(self, joints: Sequence[str], bounds: Bounds, config: MotionConfig, arm: slice):
        self._joints = joints
        self._bounds = bounds
        self._config = config
        self._arm = arm
        velocity = bounds.velocity / config.speed_scale
        self._fastest = FASTEST_FINGER * velocity
        self._fastest[arm] = FASTEST * velocity[arm]

    def times(
        self, *, frames: int, stamp_s: float, rate_hz: float, now_s: float, newest_s: float
    ) -> None:
        """Refuses a chunk that is too old, of the future, or not newer than the last one.

        Args:
            frames: of the chunk.
            stamp_s: of the observation it was decided on.
            rate_hz: of its frames.
            now_s: time in the clock of the stamps.
            newest_s: stamp of the newest chunk taken.
        """
        finite = math.isfinite(stamp_s) and math.isfinite(rate_hz)
        if not (finite and 0 < rate_hz <= FASTEST_RATE_HZ):
            raise Refused(
                "times",
                f"stamp {stamp_s} s and rate {rate_hz} Hz must be finite, the rate above 0 and at "
                f"most {FASTEST_RATE_HZ}",
            )
        age_s = now_s - stamp_s
        if stamp_s > now_s + FUTURE_S:
            raise Refused("future", f"its stamp is {stamp_s - now_s:.3f} s in the future")
        if age_s > self._config.stale_s:
            raise Refused(
                "stale",
                f"what it was decided on is {age_s:.3f} s old, allowed are "
                f"{self._config.stale_s} s",
            )
        if stamp_s <= newest_s:
            raise Refused(
                "order",
                f"its stamp is {newest_s - stamp_s:.3f} s before that of the chunk being played",
            )
        end_s = stamp_s + frames / rate_hz
        if end_s <= now_s:
            raise Refused("over", "all of it lies in the past")

    def near(self, gap: np.ndarray) -> None:
        """Refuses an arm's chunk whose beginning is too far from where the robot is, by `gap` [N]
        rad.
        """
        apart = np.abs(gap[self._arm])
        if (apart > self._config.teleport_rad).any():
            joint = int(np.argmax(apart))
            name = self._joints[joint]
            raise Refused(
                "teleport", f"joint '{name}' is {apart[joint]:.3g} rad from where it begins"
            )

    def speed(self, points: np.ndarray, rate_hz: float) -> None:
        """Refuses frames [T, N] rad that follow each other faster than any joint can."""
        asked = np.abs(np.diff(points, axis=0)) * rate_hz
        if (asked > self._fastest).any():
            worst = int(np.argmax(asked / self._fastest))
            frame, joint = divmod(worst, asked.shape[1])
            name = self._joints[joint]
            speed = asked[frame, joint]
            most = self._fastest[joint]
            raise Refused(
                "speed",
                f"frame {frame + 1} asks joint '{name}' for {speed:.3g} rad/s, at most {most:.3g} "
                "are taken",
            )

    def inside(self, points: np.ndarray) -> None:
        """Refuses frames [T, N] rad that are further outside the limits than noise can be."""
        beyond = np.maximum(points - self._bounds.upper, self._bounds.lower - points)
        if (beyond > OUTSIDE_RAD).any():
            worst = int(np.argmax(beyond))
            frame, joint = divmod(worst, beyond.shape[1])
            name = self._joints[joint]
            outside = beyond[frame, joint]
            raise Refused(
                "limits",
                f"frame {frame} of joint '{name}' is {outside:.4g} rad outside its limits, allowed "
                f"are {OUTSIDE_RAD}",
            )
