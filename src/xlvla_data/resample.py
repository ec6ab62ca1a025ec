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
"""Share of the reference's samples that come no later in their period than their frame."""


def as_of(stamps: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Index of the latest sample not after each time [F]; NONE before the first. `stamps` [N] never
    go back.
    """
    return np.searchsorted(stamps, times, side="right") - 1


def ages_s(stamps: np.ndarray, times: np.ndarray) -> np.ndarray:
    """How old the latest sample is at each time [F]; infinite before the first."""
    if not len(stamps):
        return np.full(len(times), np.inf)
    index = as_of(stamps, times)
    ages = (times - stamps[index]) / SECOND
    return np.where(index == NONE, np.inf, ages)


def in_order(name: str, stamps: np.ndarray) -> np.ndarray:
    """Stamps as they are; raises XlvlaError where one is before the last."""
    backwards = np.flatnonzero(np.diff(stamps) < 0)
    if backwards.size:
        last = int(backwards[0])
        by_s = float(stamps[last] - stamps[last + 1]) / SECOND
        raise XlvlaError(f"{name}: stamps go back at sample {last + 1}, by {by_s:.3f} s")
    return stamps


def grid(reference: np.ndarray, begin: int, end: int, rate_hz: float) -> np.ndarray:
    """Times [F] ns of frames from `begin` to `end`, evenly spaced whatever samples are missing.

    They come as soon after the samples of `reference` [N] ns, the camera's, as their jitter allows:
    an even spacing of another phase would now and then see a picture twice and miss the next.
    """
    period = SECOND / rate_hz
    phase = _phase(reference, begin, period)
    count = max(0, int((end - begin - phase) // period) + 1)
    offsets = phase + np.arange(count) * period
    return begin + np.round(offsets).astype(np.int64)


def _phase(reference: np.ndarray, begin: int, period: float) -> float:
    """Where in a period [ns], from `begin` on, nearly all samples have come."""
    if not len(reference):
        return 0.0
    # Phases are angles: a sample just before a period's end and one just after its beginning are
    # close
    angles = 2 * np.pi * ((reference - begin) % period) / period
    middle = np.angle(np.exp(1j * angles).mean())
    spread = np.angle(np.exp(1j * (angles - middle)))
    latest = np.quantile(spread, IN_TIME, method="lower")
    phase = (middle + latest) / (2 * np.pi) * period % period
    # Stamps are whole nanoseconds; less than one to the next period is rounding
    if period - phase < 1.0:
        return 0.0
    return float(np.ceil(phase - 1e-3))
