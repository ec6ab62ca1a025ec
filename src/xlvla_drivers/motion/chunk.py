"""A chunk that was checked: positions over time, interpolated by its stamps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError, unknown_line


class Refused(XlvlaError):
    """A chunk that is not played; `reason` is one word for counting."""

    def __init__(self, reason: str, line: str):
        super().__init__(f"chunk refused: {line}")
        self.reason = reason


@dataclass(frozen=True)
class Trajectory:
    """Positions [T, N] rad; frame k is meant for `start_s` + k / rate_hz."""

    points: np.ndarray
    start_s: float
    rate_hz: float

    @property
    def end_s(self) -> float:
        return self.start_s + (len(self.points) - 1) / self.rate_hz

    def at(self, time_s: float) -> tuple[np.ndarray, np.ndarray]:
        """Position [N] and velocity [N] on the smooth curve (cubic, continuous velocity); at rest before and after it."""
        frame = (time_s - self.start_s) * self.rate_hz
        last = len(self.points) - 1
        if not 0 <= frame < last:
            end = self.points[0 if frame < 0 else last]
            return end.copy(), np.zeros_like(end)
        k = int(frame)
        p0, p1, p2, p3 = self.points[[max(k - 1, 0), k, k + 1, min(k + 2, last)]]
        return _catmull_rom(p0, p1, p2, p3, frame - k, self.rate_hz)


def _catmull_rom(p0: np.ndarray, p1: np.ndarray, p2: np.ndarray, p3: np.ndarray, u: float, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Position and velocity between p1 (u = 0) and p2 (u = 1)."""
    a, b, c = -p0 + 3 * p1 - 3 * p2 + p3, 2 * p0 - 5 * p1 + 4 * p2 - p3, p2 - p0
    position = p1 + 0.5 * u * (c + u * (b + u * a))
    velocity = 0.5 * (c + u * (2 * b + 3 * u * a)) * rate_hz
    return position, velocity


def in_order(points: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """The columns of points [T, N] in the order `wanted`; Refused names what is unknown, missing or given twice."""
    for name in names:
        if name not in wanted:
            raise Refused("names", unknown_line("joint", name, wanted))
    missing = [name for name in wanted if name not in names]
    if missing:
        raise Refused("names", f"joint '{missing[0]}' is missing" + (f" and {len(missing) - 1} more" if missing[1:] else ""))
    if len(names) != len(wanted):
        raise Refused("names", f"joint '{next(n for n in names if list(names).count(n) > 1)}' is named twice")
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != len(names) or not len(points):
        raise Refused("size", f"expected points [T, {len(names)}] with T > 0, got {list(points.shape)}")
    if not np.isfinite(points).all():
        frame, column = np.argwhere(~np.isfinite(points))[0]
        raise Refused("not finite", f"frame {frame} of joint '{names[column]}' is {points[frame, column]}")
    return points[:, [list(names).index(name) for name in wanted]]
