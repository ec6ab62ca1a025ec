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
"""Of the B-spline."""

REACH = DEGREE // 2
"""How many frames on either side a point of the curve depends on."""


class Trajectory:
    """The smooth curve along the frames [T, N] of a chunk; frame k is meant for k / rate_hz.

    A uniform quintic B-spline: it passes beside a frame by a quarter of the change of slope there,
    which takes the frames' noise out of acceleration and jerk, and nowhere leaves the range of the
    frames. Before the first frame it moves evenly. It ends at rest at the last frame; its last
    `taper_s` take twice as long, so that it slows on its path.
    """

    def __init__(self, points: np.ndarray, rate_hz: float, taper_s: float = 0.0):
        # Frames before the first that continue its slope backwards, and the last frame repeated:
        # with them the curve is defined, and ends at rest, without a special case at either end.
        second = points[min(1, len(points) - 1)]
        back = np.arange(2 * REACH, 0, -1)[:, None]
        before = points[0] - back * (second - points[0])
        after = np.repeat(points[-1:], 2 * REACH + 1, axis=0)
        self._points = np.concatenate([before, points, after])
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
        # The pace falls from 1 to 0 as a smoothstep of x; the time on the curve is its integral.
        x = (time_s - self._slowing_s) / (2 * self._taper_s)
        pace = 1 - x * x * (3 - 2 * x)
        change = -6 * x * (1 - x) / (2 * self._taper_s)
        curve_s = self._slowing_s + 2 * self._taper_s * x * (1 - x * x * (1 - x / 2))
        return warped(self._curve(curve_s), pace, change)

    def _curve(self, time_s: float) -> State:
        """The state on the B-spline: a polynomial of u, 0 to 1, in piece k."""
        frame = max(time_s * self._rate_hz, -REACH)
        k = min(int(frame + REACH), len(self._points) - DEGREE - 1)
        u = frame + REACH - k
        coefficients = _BASIS @ self._points[k : k + DEGREE + 1]
        powers = u**_ORDERS
        first = _ORDERS[1:] * powers[:-1]
        second = _ORDERS[2:] * _ORDERS[1:-1] * powers[:-2]
        position = powers @ coefficients
        velocity = self._rate_hz * (first @ coefficients[1:])
        acceleration = self._rate_hz**2 * (second @ coefficients[2:])
        return State(position, velocity, acceleration)


def warped(state: State, pace: float, change: float) -> State:
    """A state passed at `pace` times its own speed, a pace that changes by `change` per second."""
    velocity = state.velocity * pace
    acceleration = state.acceleration * pace**2 + state.velocity * change
    return State(state.position, velocity, acceleration)


def _basis(degree: int) -> np.ndarray:
    """Coefficients [power, point] of the points around a piece of a uniform B-spline, by the
    recursion of Cox and de Boor.
    """
    pieces = np.ones((1, 1))
    for d in range(1, degree + 1):
        # [piece, power] of one basis function of degree d
        longer = np.zeros((d + 1, d + 1))
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
    """The columns of points [T, N], which are those of `names`, in the order `wanted`.

    Raises:
        Refused: a joint is unknown, missing or named twice, or points are not finite numbers of
            that shape.
    """
    names = list(names)
    _check_names(names, wanted)
    points = np.asarray(points, dtype=float)
    if points.ndim != 2 or points.shape[1] != len(names) or len(points) == 0:
        raise Refused(
            "size", f"expected points [T, {len(names)}] with T > 0, got {list(points.shape)}"
        )
    finite = np.isfinite(points)
    if not finite.all():
        frame, column = np.argwhere(~finite)[0]
        raise Refused(
            "not finite", f"frame {frame} of joint '{names[column]}' is {points[frame, column]}"
        )
    columns = [names.index(name) for name in wanted]
    return points[:, columns]


def _check_names(names: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises Refused unless `names` are the names `wanted`, in any order."""
    for name in names:
        if name not in wanted:
            raise Refused("names", unknown_line("joint", name, wanted))
    missing = [name for name in wanted if name not in names]
    if missing:
        line = f"joint '{missing[0]}' is missing"
        if len(missing) > 1:
            line += f" and {len(missing) - 1} more"
        raise Refused("names", line)
    if len(names) != len(wanted):
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused("names", f"joint '{twice}' is named twice")
