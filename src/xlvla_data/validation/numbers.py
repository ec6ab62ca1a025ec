"""Whether a robot can have done an episode's numbers: finite, within limits, no faster than its
joints, stamped in order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.types import SECOND
from xlvla_data.bodies import Range
from xlvla_data.convert import FRAME, STAMPS, AgeLimits
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.layout import Info
from xlvla_data.store import EXECUTED

BEYOND = {layout.ACTION: 1e-3, layout.STATE: 0.05, EXECUTED: 1e-3}
"""How far beyond a limit [rad] a number may be: encoders are a little wrong there."""

FASTER = 1.5
"""How many times its velocity limit a joint may move from frame to frame."""

Columns = Mapping[str, np.ndarray]


def findings(info: Info, ranges: Mapping[str, Range], columns: Columns) -> Iterator[str]:
    """What is wrong with an episode's columns, given what the joints of the catalogue can do."""
    for key in info.vectors:
        rows = columns[key].reshape(len(columns[key]), -1)
        wrong = np.flatnonzero(~np.isfinite(rows).all(1))
        if wrong.size:
            yield f"'{key}' is not finite in {len(wrong)} frames, first {wrong[0]}"
    for key in BEYOND:
        if key not in info.vectors:
            continue
        names = info.features[key].names
        if names:
            rows = columns[key].reshape(len(columns[key]), -1)
            motion = _known(names, rows, ranges)
            yield from _beyond(key, motion)
            yield from _jumps(key, motion, info.fps)
    if STAMPS in columns and columns[STAMPS].ndim == 2:
        names = info.features[STAMPS].names or ()
        yield from _stamps(names, columns[STAMPS])


@dataclass(frozen=True)
class Motion:
    """Positions [F, J] rad of J joints whose ranges are known."""

    names: Sequence[str]
    ranges: Sequence[Range]
    positions: np.ndarray


def _known(names: Sequence[str], values: np.ndarray, ranges: Mapping[str, Range]) -> Motion:
    """The joints of a feature's columns that the catalogue knows."""
    columns = [column for column, name in enumerate(names) if name in ranges]
    known = [names[column] for column in columns]
    return Motion(known, [ranges[name] for name in known], values[:, columns])


def _beyond(key: str, motion: Motion) -> Iterator[str]:
    """Positions beyond the joints' limits."""
    lower = np.array([joint.lower for joint in motion.ranges])
    upper = np.array([joint.upper for joint in motion.ranges])
    excess = np.maximum(lower - motion.positions, motion.positions - upper)
    # NaN was found before
    excess = np.nan_to_num(excess)
    worst = _worst(motion.names, "rad beyond", excess, BEYOND[key])
    if worst:
        yield f"'{key}' out of limits: {worst}"


def _jumps(key: str, motion: Motion, rate_hz: float) -> Iterator[str]:
    """Positions that no joint reaches from one frame to the next."""
    fastest = np.array([FASTER * joint.velocity for joint in motion.ranges])
    steps = np.diff(np.nan_to_num(motion.positions), axis=0)
    excess = np.abs(steps) * rate_hz - fastest
    worst = _worst(motion.names, "rad/s above what it can", excess, 0.0)
    if worst:
        yield f"'{key}' jumps: {worst}"


def _worst(names: Sequence[str], unit: str, excess: np.ndarray, most: float) -> str:
    """The joint that is farthest above `most` in `excess` [F, J], and how many others are above it;
    '' where none is.
    """
    above = excess > most
    if not above.any():
        return ""
    frame, joint = map(int, np.unravel_index(excess.argmax(), excess.shape))
    frames = int(above.any(1).sum())
    line = f"{names[joint]} {excess[frame, joint]:.3f} {unit} at frame {frame}, in {frames} frame"
    if frames > 1:
        line += "s"
    others = int(above.any(0).sum()) - 1
    if others == 1:
        line += ", and 1 other joint"
    elif others > 1:
        line += f", and {others} other joints"
    return line


def _stamps(names: tuple[str, ...], stamps: np.ndarray) -> Iterator[str]:
    """Whether stamps go forward and frames are made of samples from before them."""
    usual = AgeLimits()
    frames = stamps[:, names.index(FRAME)] if FRAME in names else stamps[:, 0]
    for index, name in enumerate(names):
        own = stamps[:, index]
        backwards = np.flatnonzero(np.diff(own) < 0)
        if backwards.size:
            yield f"stamps of {name} go back at frame {backwards[0] + 1}"
        if name.startswith("camera."):
            age_s = (frames - own).max() / SECOND
            if age_s > usual.camera_s:
                yield f"a picture of {name} is {age_s:.2f} s older than its frame"
        ahead = np.flatnonzero(own > frames)
        # A command is taken at the end of its frame
        if ahead.size and not name.endswith(".command"):
            yield f"{name} is from after its frame in {len(ahead)} frames, first {ahead[0]}"
