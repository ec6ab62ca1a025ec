"""What a recorded stop was like: whether commands and devices came to rest within their limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from xlvla_drivers.motion.player import LONGEST_STEP_S

ROUNDING_S = 1e-6
"""Stamps of a period are not exact."""

SPAN_S = 0.1
"""Measured acceleration is a mean over twice this time.

A pose that is reported or followed t too late looks like an acceleration of v t / SPAN_S^2 at a
speed v: on a busy machine with t = 10 ms a joint at 3 rad/s seems to accelerate by 3 rad/s^2, over
half this time by 12. One that leaps from v to rest in a moment still shows v / SPAN_S.
"""

SPEED_SPAN_S = 0.05
"""Measured speed is a mean over this time."""

GRID_S = 0.01
"""Measured poses are looked at so often; a pause between reports longer than `PAUSE_S` is none that
was seen.
"""

PAUSE_S = 0.06

REACH = round(SPAN_S / GRID_S)
SPEED_REACH = round(SPEED_SPAN_S / GRID_S)

RESTS_RAD_S = 0.01
"""The last step of a stop has a mean speed below this."""

STILL_RAD = 0.005
STILL_S = 0.1
"""A device whose poses of this time differ by less is at rest."""


@dataclass(frozen=True)
class PoseSeries:
    """Poses [T, J] rad of J joints at rising times [T] s: commands by their stamps, or what was
    measured by its own.
    """

    times_s: np.ndarray
    poses: np.ndarray

    @classmethod
    def of(cls, stamped: list[tuple[float, np.ndarray]], joints: int) -> PoseSeries:
        """Of pairs of stamp and pose; one that is not later than the one before is left out."""
        kept = list[tuple[float, np.ndarray]]()
        for stamp_s, pose in stamped:
            if not kept or stamp_s > kept[-1][0]:
                kept.append((stamp_s, pose))
        return cls(
            np.array([stamp for stamp, _ in kept]),
            np.array([pose for _, pose in kept]).reshape(-1, joints),
        )

    def __len__(self) -> int:
        return len(self.times_s)

    def between(self, first_s: float, last_s: float = np.inf) -> PoseSeries:
        within = (self.times_s >= first_s) & (self.times_s <= last_s)
        return PoseSeries(self.times_s[within], self.poses[within])

    def differences(self, order: int) -> tuple[np.ndarray, np.ndarray]:
        """Times [T - order] and derivatives [T - order, J]: order! times the divided differences.

        Whatever the intervals, each is a mean of that derivative over its order + 1 poses, so that
        no motion within limits exceeds them.
        """
        values = self.poses
        for degree in range(1, order + 1):
            values = (
                degree
                * np.diff(values, axis=0)
                / (self.times_s[degree:] - self.times_s[:-degree])[:, None]
            )
        return self.times_s[order:], values

    def last_speed(self) -> float:
        """Of the joint that is fastest at the end [rad/s]."""
        if len(self) < 2:
            return 0.0
        return float(
            np.abs(self.poses[-1] - self.poses[-2]).max() / (self.times_s[-1] - self.times_s[-2])
        )

    def share(self, order: int, limit: np.ndarray) -> float:
        """The largest derivative of this order as a share of its limit [J], over commands without a
        pause longer than `LONGEST_STEP_S`: of what motion's process did not live through it plays
        no more than that, and drivers brake meanwhile.
        """
        if len(self) <= order:
            return 0.0
        paused = np.diff(self.times_s) > LONGEST_STEP_S + ROUNDING_S
        steady = ~np.lib.stride_tricks.sliding_window_view(paused, order).any(axis=1)
        shares = np.abs(self.differences(order)[1][steady]) / limit
        return float(shares.max(initial=0.0))

    def commands_to_rest(self, since_s: float) -> tuple[int, float] | None:
        """How many commands move anything after `since_s`, and until when after it [s]; None where
        the last one does.
        """
        times, speed = self.differences(1)
        moving = np.abs(speed).max(axis=1) > RESTS_RAD_S if len(times) else np.zeros(0, dtype=bool)
        if moving.size and moving[-1]:
            return None
        moved = times[moving & (times > since_s)]
        return len(moved), float(moved[-1] - since_s) if moved.size else 0.0


def measured_share(measured: PoseSeries, limit: np.ndarray) -> float:
    """The largest acceleration of a device as a share of its limit [J], where it was seen without a
    pause.
    """
    worst = 0.0
    for poses in _grids(measured):
        if len(poses) <= 2 * REACH:
            continue
        bend = (poses[2 * REACH :] - 2 * poses[REACH:-REACH] + poses[: -2 * REACH]) / SPAN_S**2
        worst = max(worst, float((np.abs(bend) / limit).max(initial=0.0)))
    return worst


def fastest(measured: PoseSeries, since_s: float) -> float:
    """The largest speed of a device after `since_s` [rad/s], where it was seen without a pause."""
    worst = 0.0
    for poses in _grids(measured.between(since_s)):
        way = np.abs(poses[SPEED_REACH:] - poses[:-SPEED_REACH])
        worst = max(worst, float(way.max(initial=0.0)) / SPEED_SPAN_S)
    return worst


def _grids(measured: PoseSeries) -> Iterator[np.ndarray]:
    """Poses [T, J] every `GRID_S`, without the pauses."""
    for part in _seen(measured):
        grid = np.arange(part.times_s[0], part.times_s[-1], GRID_S)
        if len(grid) > SPEED_REACH:
            yield np.stack(
                [np.interp(grid, part.times_s, column) for column in part.poses.T], axis=1
            )


def _seen(measured: PoseSeries) -> list[PoseSeries]:
    cuts = np.flatnonzero(np.diff(measured.times_s) > PAUSE_S) + 1
    times = np.split(measured.times_s, cuts)
    poses = np.split(measured.poses, cuts)
    return [PoseSeries(*pair) for pair in zip(times, poses, strict=True) if len(pair[0]) > 1]


def rests(measured: PoseSeries) -> bool:
    """Whether a device is at rest at the end of what was measured."""
    if not len(measured):
        return False
    last = measured.between(measured.times_s[-1] - STILL_S)
    return float(np.ptp(last.poses, axis=0).max()) < STILL_RAD


def moved(measured: PoseSeries, since_s: float) -> float:
    """How far the joint that went furthest did so after `since_s` [rad]."""
    after = measured.between(since_s)
    return float(np.abs(after.poses - after.poses[0]).max()) if len(after) else 0.0
