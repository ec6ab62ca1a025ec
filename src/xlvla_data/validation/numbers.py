"""Whether an episode's numbers can be what a robot did: finite, within limits, no faster than
joints go, stamped in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from xlvla.types import SECOND
from xlvla_data.bodies import Range
from xlvla_data.convert import FRAME, STAMPS, AgeLimits
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.layout import Info

BEYOND = {layout.ACTION: 1e-3, layout.STATE: 0.05}
"""How far beyond a limit [rad] a number may be: encoders are a little wrong there."""

FASTER = 1.5
"""How many times its fastest a joint may go from frame to frame."""

Columns = Mapping[str, np.ndarray]


def findings(info: Info, ranges: Mapping[str, Range], columns: Columns) -> Iterator[str]:
    """What is wrong with an episode's columns, given what the joints of the catalogue can do."""
    for key in info.vectors:
        rows = columns[key].reshape(len(columns[key]), -1)
        if (wrong := np.flatnonzero(~np.isfinite(rows).all(1))).size:
            yield f"'{key}' is not finite in {len(wrong)} frames, first {wrong[0]}"
    for key in (layout.ACTION, layout.STATE):
        if key in info.features and (names := info.features[key].names):
            yield from _beyond(key, names, ranges, columns[key])
            yield from _jumps(key, names, ranges, columns[key], info.fps)
    if STAMPS in info.features:
        yield from _stamps(info.features[STAMPS].names or (), columns[STAMPS])


def _beyond(
    key: str, names: tuple[str, ...], ranges: Mapping[str, Range], values: np.ndarray
) -> Iterator[str]:
    known = [index for index, name in enumerate(names) if name in ranges]
    lower, upper = (
        np.array([getattr(ranges[names[index]], word) for index in known])
        for word in ("lower", "upper")
    )
    excess = np.nan_to_num(np.maximum(lower - values[:, known], values[:, known] - upper))
    yield from _worst(
        f"'{key}' out of limits",
        "rad beyond",
        [names[index] for index in known],
        excess,
        BEYOND[key],
    )


def _jumps(
    key: str, names: tuple[str, ...], ranges: Mapping[str, Range], values: np.ndarray, rate_hz: int
) -> Iterator[str]:
    known = [index for index, name in enumerate(names) if name in ranges]
    fastest = np.array([FASTER * ranges[names[index]].velocity for index in known])
    speed = np.abs(np.diff(np.nan_to_num(values[:, known]), axis=0)) * rate_hz
    yield from _worst(
        f"'{key}' jumps",
        "rad/s above what it can",
        [names[index] for index in known],
        speed - fastest,
        0.0,
    )


def _worst(
    what: str, unit: str, names: list[str], excess: np.ndarray, most: float
) -> Iterator[str]:
    """One line for the joint that is worst, and how many others are."""
    if not excess.size or (excess <= most).all():
        return
    frame, joint = np.unravel_index(excess.argmax(), excess.shape)
    others = int((excess > most).any(0).sum()) - 1
    more = f", and {others} other joint{'s' * (others > 1)}" if others else ""
    count = int((excess > most).any(1).sum())
    yield (
        f"{what}: {names[joint]} {excess[frame, joint]:.3f} {unit} at frame {frame}, in {count} "
        f"frame{'s' * (count > 1)}{more}"
    )


def _stamps(names: tuple[str, ...], stamps: np.ndarray) -> Iterator[str]:
    """Whether stamps go forward and frames are made of what was there."""
    usual = AgeLimits()
    frames = stamps[:, names.index(FRAME)] if FRAME in names else stamps[:, 0]
    for index, name in enumerate(names):
        own = stamps[:, index]
        if (back := np.flatnonzero(np.diff(own) < 0)).size:
            yield f"stamps of {name} go back at frame {back[0] + 1}"
        if name.startswith("camera.") and (age := (frames - own).max() / SECOND) > usual.camera_s:
            yield f"a picture of {name} is {age:.2f} s older than its frame"
        if not name.endswith(".command") and (ahead := np.flatnonzero(own > frames)).size:
            yield f"{name} is from after its frame in {len(ahead)} frames, first {ahead[0]}"
