"""What a chunk must be like to be played: of the present, near the robot, and such that joints can
follow it.
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

FASTEST = 5.0
FASTEST_FINGER = 25.0
"""So many times its speed limit a frame may ask of a joint of an arm, of a hand: more no joint can
follow, and a grasp is quick.
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
        self, frames: int, stamp_s: float, rate_hz: float, now_s: float, newest_s: float
    ) -> None:
        """Refuses what is too late, of the future, or older than the newest chunk taken, of
        `newest_s`.
        """
        if not (math.isfinite(stamp_s) and math.isfinite(rate_hz) and 0 < rate_hz <= 1000):
            raise Refused(
                "times",
                f"stamp {stamp_s} s and rate {rate_hz} Hz must be finite, the rate above 0 and at "
                "most 1000",
            )
        if stamp_s > now_s + FUTURE_S:
            raise Refused("future", f"its stamp is {stamp_s - now_s:.3f} s in the future")
        if now_s - stamp_s > self._config.stale_s:
            raise Refused(
                "stale",
                f"what it was decided on is {now_s - stamp_s:.3f} s old, allowed are "
                f"{self._config.stale_s} s",
            )
        if stamp_s <= newest_s:
            raise Refused(
                "order",
                f"its stamp is {newest_s - stamp_s:.3f} s before that of the chunk being played",
            )
        if stamp_s + frames / rate_hz <= now_s:
            raise Refused("over", "all of it lies in the past")

    def near(self, gap: np.ndarray) -> None:
        """Refuses an arm's chunk that begins so far [N] rad from where the robot is."""
        far = np.abs(gap[self._arm])
        if (far > self._config.teleport_rad).any():
            joint = int(np.argmax(far))
            raise Refused(
                "teleport",
                f"joint '{self._joints[joint]}' is {far[joint]:.3g} rad from where it begins",
            )

    def speed(self, points: np.ndarray, rate_hz: float) -> None:
        """Refuses frames [T, N] rad that follow each other faster than any joint can."""
        asked = np.abs(np.diff(points, axis=0)) * rate_hz
        if (asked > self._fastest).any():
            frame, joint = divmod(int(np.argmax(asked / self._fastest)), asked.shape[1])
            speed = asked[frame, joint]
            most = self._fastest[joint]
            raise Refused(
                "speed",
                f"frame {frame + 1} asks joint '{self._joints[joint]}' for {speed:.3g} rad/s, at "
                f"most {most:.3g} are taken",
            )

    def inside(self, points: np.ndarray) -> None:
        """Refuses frames [T, N] rad that lie further outside the limits than noise."""
        beyond = np.maximum(points - self._bounds.upper, self._bounds.lower - points)
        if (beyond > OUTSIDE_RAD).any():
            frame, joint = divmod(int(np.argmax(beyond)), beyond.shape[1])
            far = beyond[frame, joint]
            raise Refused(
                "limits",
                f"frame {frame} of joint '{self._joints[joint]}' is {far:.4g} rad outside its "
                f"limits, allowed are {OUTSIDE_RAD}",
            )
