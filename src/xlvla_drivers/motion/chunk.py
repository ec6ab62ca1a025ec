"""A chunk that was checked: positions over time, a smooth curve through its frames that slows to
rest at its end.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xlvla.errors import XlvlaError, unknown_line
from xlvla_drivers.motion.steps import State


class Refused(XlvlaError):
    """A chunk that is not played; `reason` is one word for counting."""

    def __init__(self, reason: str, line: str):
        super().__init__(f"chunk refused: {line}")
        self.reason = reason


DEGREE = 5
REACH = DEGREE // 2
"""A point of the curve depends on so many frames on either side."""


class Trajectory:
    """The smooth curve along the frames [T, N] of a chunk; frame k is meant for k / rate_hz.

    A uniform quintic B-spline: it passes beside a frame by a quarter of the change of slope there,
    which takes the frames' noise out of acceleration and jerk, and nowhere leaves the range of the
    frames. Before the first frame it moves evenly. It ends at rest at the last frame; its last
    `taper_s` take twice as long, so that it slows on its path.
    """

    def __init__(self, points: np.ndarray, rate_hz: float, taper_s: float = 0.0):
        ahead = points[0] - np.arange(2 * REACH, 0, -1)[:, None] * (
            points[min(1, len(points) - 1)] - points[0]
        )
        self._points = np.concatenate(
            [ahead, points, np.repeat(points[-1:], 2 * REACH + 1, axis=0)]
        )
        self._rate_hz = rate_hz
        length_s = (len(points) - 1 + REACH) / rate_hz
        self._taper_s = min(taper_s, length_s)
        self._slowing_s = length_s - self._taper_s
        self.end_s = length_s + self._taper_s

    def at(self, time_s: float) -> State:
        """The state [N] at a time [s] since the first frame."""
        if time_s >= self.end_s:
            return State.rest(self._points[-1])
        if time_s <= self._slowing_s:
            return self._curve(time_s)
        x = (time_s - self._slowing_s) / (2 * self._taper_s)
        pace = 1 - x * x * (3 - 2 * x)
        change = -6 * x * (1 - x) / (2 * self._taper_s)
        on_path = self._curve(self._slowing_s + 2 * self._taper_s * x * (1 - x * x * (1 - x / 2)))
        return warped(on_path, pace, change)

    def _curve(self, time_s: float) -> State:
        frame = max(time_s * self._rate_hz, -REACH)
        k = min(int(frame + REACH), len(self._points) - DEGREE - 1)
        u = frame + REACH - k
        near = _BASIS @ self._points[k : k + DEGREE + 1]
        powers = u ** np.arange(DEGREE + 1)
        first = _ORDERS[1:] * powers[:-1]
        second = _ORDERS[2:] * _ORDERS[1:-1] * powers[:-2]
        return State(
            powers @ near,
            self._rate_hz * (first @ near[1:]),
            self._rate_hz**2 * (second @ near[2:]),
        )


def warped(state: State, pace: float, change: float) -> State:
    """A state passed at `pace` times its own speed, a pace that changes by `change` per second."""
    return State(
        state.position,
        state.velocity * pace,
        state.acceleration * pace**2 + state.velocity * change,
    )


def _basis(degree: int) -> np.ndarray:
    """Coefficients [power, point] of the points around a piece of a uniform B-spline (Cox, de
    Boor).
    """
    pieces = np.ones((1, 1))
    for d in range(1, degree + 1):
        longer = np.zeros((d + 1, d + 1))  # [piece, power] of one basis function
        for piece in range(d):
            longer[piece, :-1] += piece * pieces[piece] / d
            longer[piece, 1:] += pieces[piece] / d
            longer[piece + 1, :-1] += (d - piece) * pieces[piece] / d
            longer[piece + 1, 1:] -= pieces[piece] / d
        pieces = longer
    return pieces[::-1].T


_BASIS = _basis(DEGREE)
_ORDERS = np.arange(DEGREE + 1)


def in_order(points: np.ndarray, names: Sequence[str], wanted: Sequence[str]) -> np.ndarray:
    """The columns of points [T, N] in the order `wanted`; Refused names what is unknown, missing or
    given twice.
    """
    for name in names:
        if name not in wanted:
            raise Refused("names", unknown_line("joint", name, wanted))
    missing = [name for name in wanted if name not in names]
    if missing:
        raise Refused(
            "names",
            f"joint '{missing[0]}' is missing"
            + (f" and {len(missing) - 1} more" if missing[1:] else ""),
        )
    if len(names) != len(wanted):
        raise Refused(
            "names", f"joint '{next(n for n in names if list(names).count(n) > 1)}' is named twice"
        )
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != len(names) or not len(points):
        raise Refused(
            "size", f"expected points [T, {len(names)}] with T > 0, got {list(points.shape)}"
        )
    if not np.isfinite(points).all():
        frame, column = np.argwhere(~np.isfinite(points))[0]
        raise Refused(
            "not finite", f"frame {frame} of joint '{names[column]}' is {points[frame, column]}"
        )
    return points[:, [list(names).index(name) for name in wanted]]
