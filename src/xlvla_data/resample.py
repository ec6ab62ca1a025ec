"""Streams of different rates at the times of frames: always the latest sample not after the time,
never a later one.
"""

from __future__ import annotations

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import SECOND

NONE = -1
"""Index of a sample before there was any, and its stamp."""

IN_TIME = 0.99
"""Share of the reference's samples that come no later in their period than the frame they are for.
"""


def as_of(stamps: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Index of the latest sample not after each time [F]; NONE before the first. `stamps` [N] never
    go back.
    """
    return np.searchsorted(stamps, times, side="right") - 1


def ages_s(stamps: np.ndarray, times: np.ndarray) -> np.ndarray:
    """How old the latest sample is at each time [F]; infinite before the first."""
    index = as_of(stamps, times)
    if not len(stamps):
        return np.full(len(times), np.inf)
    return np.where(index == NONE, np.inf, (times - stamps[index]) / SECOND)


def in_order(name: str, stamps: np.ndarray) -> np.ndarray:
    """Stamps as they are; raises XlvlaError where one is before the last."""
    if (back := np.flatnonzero(np.diff(stamps) < 0)).size:
        first = int(back[0]) + 1
        by = float(stamps[back[0]] - stamps[back[0] + 1]) / SECOND
        raise XlvlaError(f"{name}: stamps go back at sample {first}, by {by:.3f} s")
    return stamps


def grid(reference: np.ndarray, begin: int, end: int, rate_hz: int) -> np.ndarray:
    """Times [F] ns of frames from `begin` to `end`, evenly spaced whatever samples are missing.

    They come as soon after the samples of `reference` [N] ns, the camera's, as their jitter allows:
    an even spacing of another phase would now and then see a picture twice and miss the next.
    """
    period = SECOND / rate_hz
    phase = _phase(reference, begin, period)
    count = int((end - begin - phase) // period) + 1
    return begin + np.round(phase + np.arange(max(0, count)) * period).astype(np.int64)


def _phase(reference: np.ndarray, begin: int, period: float) -> float:
    """Where in a period, from `begin` on, nearly all samples have come."""
    if not len(reference):
        return 0.0
    angles = 2 * np.pi * ((reference - begin) % period) / period
    middle = np.angle(np.exp(1j * angles).mean())
    spread = np.angle(np.exp(1j * (angles - middle)))
    latest = np.quantile(spread, IN_TIME, method="lower")
    phase = (middle + latest) / (2 * np.pi) * period % period
    return 0.0 if period - phase < 1.0 else float(np.ceil(phase - 1e-3))
