"""From streams to frames: what was seen and measured at the time of a frame, and the command in
force at its end.

A frame's action is the command in force when the frame ends, as a chunk's frame k is due k + 1
periods after its observation. Everything else is the latest sample not after the frame's time.
LeRobot's `timestamp` is frame / rate, as its readers need; the stamps of what a frame is made of
are in a column of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.types import PARTS, SECOND, Part, Side, scoped
from xlvla_data.episode import Column, Episode
from xlvla_data.recorded_episode import Bodies, RecordedEpisode, SampledStream, SelectedImages
from xlvla_data.resample import NONE, ages_s, as_of, grid, in_order

STAMPS = "stamp_ns"
"""Column of the stamps [ns] of the samples a frame is made of, by stream; -1 before a stream's
first sample.
"""

FRAME = "frame"
"""Name, in the column of stamps, of the frame's own time."""

REPORTED_CUT_S = 0.2
"""Streams do not begin and end all at once; a longer cut is reported."""

LONGEST_S = 24 * 3600
"""No episode is longer; stamps that are farther apart are not of one clock."""

Positions = dict[Side, dict[Part, np.ndarray]]


@dataclass(frozen=True)
class AgeLimits:
    """How old a sample may be at the time of a frame that needs it.

    A command stays in force until the next, so it may be older than what is seen or felt.

    Args:
        others: limits [s] of further streams, by the beginnings of features; a stream without a
            limit is kept with its stamp, however old.
        cut_s: most that may be cut off at either end of an episode where something is too old or
            not there yet; the time before the first command does not count.
        least_s: shortest episode.
    """

    camera_s: float = 0.15
    state_s: float = 0.15
    command_s: float = 0.5
    others: Mapping[str, float] = field(default_factory=dict[str, float])
    cut_s: float = 1.0
    least_s: float = 1.0


@dataclass(frozen=True)
class Need:
    """A stream that every frame needs.

    Args:
        stamps: [N] ns.
        most_s: how old the latest sample may be.
        after_ns: how long after a frame's time its sample is taken; commands are taken at the end
            of their frame.
    """

    name: str
    stamps: np.ndarray
    most_s: float
    after_ns: int = 0

    def too_old(self, times: np.ndarray) -> np.ndarray:
        """Whether the sample of each frame at `times` [F] ns is too old or missing, bool [F]."""
        return ages_s(self.stamps, times + self.after_ns) > self.most_s


@dataclass(frozen=True)
class EndCut:
    """Frames that are cut off at one end of an episode.

    Args:
        end: 'first' or 'last'.
        frames: how many are cut off.
        uncommanded: how many of them are from before the first command: the robot did not move
            yet, so nothing is lost with them.
        lacking: streams that the frame next to the episode lacks.
    """

    end: str
    frames: int
    uncommanded: int
    lacking: Sequence[str]

    def notes(self, rate_hz: float, limits: AgeLimits) -> list[str]:
        """A line where the cut is long enough to be reported.

        Raises:
            XlvlaError: more is cut off than the limits allow.
        """
        seconds = self.frames / rate_hz
        lacking = ", ".join(self.lacking)
        if seconds - self.uncommanded / rate_hz > limits.cut_s:
            raise XlvlaError(
                f"the {self.end} {seconds:.1f} s lack {lacking}: at most {limits.cut_s:g} s may be "
                "cut off"
            )
        if seconds <= REPORTED_CUT_S:
            return []
        return [f"the {self.end} {seconds:.2f} s are cut off, for want of {lacking}"]


def resampled(
    recorded: RecordedEpisode, codec: Codec, limits: AgeLimits
) -> tuple[Episode, list[str]]:
    """An episode at the rate its info gives, and notes on it, a line each.

    Raises:
        XlvlaError: something a frame needs is missing, or too old in the midst of the episode.
    """
    info = recorded.info
    needs = list(_needs(recorded, limits))
    for need in needs:
        in_order(need.name, need.stamps)
    for key, stream in recorded.others.items():
        in_order(key, stream.stamps)

    times, notes = _fresh(needs, info.rate_hz, limits)
    ends = times + _period(info.rate_hz)
    action = _positions(recorded.command, info.joints, ends)
    measured = _positions(recorded.state, info.joints, times)
    latent: dict[Side, np.ndarray] = {}
    for side in action:
        joints = info.joints[side]["hand"]
        if not joints:
            continue
        latent[side] = hand_latents(codec, side, info.hands[side], joints, action[side]["hand"])
    pictures: dict[str, SelectedImages] = {}
    for camera, shots in recorded.cameras.items():
        pictures[camera] = SelectedImages(shots, as_of(shots.stamps, times))
    others: dict[str, Column] = {}
    for key, stream in recorded.others.items():
        others[key] = Column(_held(stream, times, np.dtype(np.float32)), stream.names)
    for key, stream in recorded.carried.items():
        others[key] = Column(_held(stream, times, stream.values.dtype), stream.names)
    others[STAMPS] = _stamps(needs, recorded, times)
    info = replace(info, codec=codec.hash)
    return Episode(info, pictures, action, measured, latent, others), notes


def _needs(recorded: RecordedEpisode, limits: AgeLimits) -> Iterator[Need]:
    """The streams that every frame needs; frames are timed by the first."""
    period_ns = _period(recorded.info.rate_hz)
    for camera, shots in recorded.cameras.items():
        yield Need(f"camera {camera}", shots.stamps, limits.camera_s)
    for side, parts in recorded.command.items():
        for part, command in parts.items():
            state = recorded.state[side][part]
            yield Need(f"{side} {part} state", state.stamps, limits.state_s)
            yield Need(f"{side} {part} command", command.stamps, limits.command_s, period_ns)
    for key, stream in recorded.others.items():
        limits_s = [limit_s for name, limit_s in limits.others.items() if key.startswith(name)]
        if limits_s:
            yield Need(key, stream.stamps, min(limits_s))


def _fresh(
    needs: Sequence[Need], rate_hz: float, limits: AgeLimits
) -> tuple[np.ndarray, list[str]]:
    """Times [F] ns of the frames for which nothing is too old, and notes on what is cut off before
    and after them.
    """
    begin, end = _span(needs)
    reference = needs[0]
    times = grid(reference.stamps, begin, end, rate_hz)
    too_old = {need.name: need.too_old(times) for need in needs}
    # The last picture is that of the last frame
    too_old[reference.name] |= times >= reference.stamps[-1] + _period(rate_hz)
    usable = np.flatnonzero(~np.any(list(too_old.values()), 0))
    if len(usable) < limits.least_s * rate_hz:
        raise XlvlaError(
            f"only {len(usable) / rate_hz:.1f} s of it have all of {', '.join(too_old)}"
        )
    first = int(usable[0])
    last = int(usable[-1])
    kept = slice(first, last + 1)
    for need in needs:
        _refuse_gaps(need, too_old[need.name][kept], rate_hz)

    notes: list[str] = []
    if first > 0:
        first_commands = [need.stamps[0] for need in needs if need.after_ns]
        commanded_from = max(first_commands, default=begin)
        uncommanded = int((times < commanded_from).sum())
        cut = EndCut("first", first, uncommanded, _lacking(too_old, first - 1))
        notes += cut.notes(rate_hz, limits)
    after = len(times) - (last + 1)
    if after > 0:
        cut = EndCut("last", after, 0, _lacking(too_old, last + 1))
        notes += cut.notes(rate_hz, limits)
    return times[kept], notes


def _span(needs: Sequence[Need]) -> tuple[int, int]:
    """The first and the last time [ns] at which there is anything."""
    empty = [need.name for need in needs if not len(need.stamps)]
    if empty:
        raise XlvlaError(f"nothing of {', '.join(empty)} was recorded")
    begin = min(int(need.stamps[0]) for need in needs)
    end = max(int(need.stamps[-1]) - need.after_ns for need in needs)
    if end - begin > LONGEST_S * SECOND:
        first = min(needs, key=lambda need: need.stamps[0])
        last = max(needs, key=lambda need: need.stamps[-1])
        raise XlvlaError(
            f"its stamps go from {first.stamps[0] / SECOND:.3f} s ({first.name}) "
            f"to {last.stamps[-1] / SECOND:.3f} s ({last.name}): "
            "that is no episode, a stamp is damaged or of another clock"
        )
    return begin, end


def _refuse_gaps(need: Need, too_old: np.ndarray, rate_hz: float) -> None:
    """Raises XlvlaError where a stream is too old in any of the frames kept, bool [F]."""
    frames = np.flatnonzero(too_old)
    if not len(frames):
        return
    at_s = int(frames[0]) / rate_hz
    raise XlvlaError(
        f"{need.name} is older than {need.most_s:g} s in {len(frames)} frames, "
        f"first {at_s:.2f} s after the beginning"
    )


def _lacking(too_old: Mapping[str, np.ndarray], frame: int) -> list[str]:
    """The streams that are too old in a frame."""
    return [name for name, frames in too_old.items() if frames[frame]]


def _positions(
    bodies: Bodies, joints: Mapping[Side, Mapping[Part, Sequence[str]]], times: np.ndarray
) -> Positions:
    """Positions [F, J] of every part at these times, in the order of the episode's joints."""
    positions: Positions = {}
    for side, parts in joints.items():
        positions[side] = {}
        for part in PARTS:
            # What a side does not have has no joints, and was not recorded
            if not parts[part]:
                positions[side][part] = np.zeros((len(times), 0))
                continue
            stream = bodies[side][part]
            values = stream.ordered(f"the {side} {part}", parts[part])
            positions[side][part] = values[as_of(stream.stamps, times)]
    return positions


def hand_latents(
    codec: Codec, side: Side, hand: str, joints: Sequence[str], positions: np.ndarray
) -> np.ndarray:
    """Latents [F, L] of a hand's positions [F, J], whose columns are these rig-wide joints; raises
    XlvlaError where one that the codec encodes is missing.
    """
    joints = list(joints)
    wanted = [scoped(side, "hand", joint) for joint in codec.joints(hand, side)]
    missing = [joint for joint in wanted if joint not in joints]
    if missing:
        raise XlvlaError(
            f"a {side} {hand} has {', '.join(missing)}: the episode's {side} hand has "
            f"{', '.join(joints)}"
        )
    columns = [joints.index(joint) for joint in wanted]
    return codec.encode(hand, side, positions[:, columns])


def _held(stream: SampledStream, times: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """The latest values [F, J] of a type; zeros before the first."""
    index = as_of(stream.stamps, times)
    sampled = index != NONE
    held = np.zeros((len(times), len(stream.names)), dtype)
    held[sampled] = stream.values[index[sampled]]
    return held


def _stamps(needs: Sequence[Need], recorded: RecordedEpisode, times: np.ndarray) -> Column:
    """The frames' times and the stamps of the samples they are made of [F, 1 + streams] ns."""
    names = [FRAME]
    columns = [times]
    for need in needs:
        if need.name not in recorded.others:
            names.append(need.name.replace(" ", "."))
            columns.append(_latest(need.stamps, times + need.after_ns))
    for key, stream in recorded.others.items():
        names.append(key.replace(" ", "."))
        columns.append(_latest(stream.stamps, times))
    return Column(np.stack(columns, 1).astype(np.int64), tuple(names))


def _latest(stamps: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Stamp of the latest sample at each time [F] ns; `NONE` before the first."""
    # Index NONE is the last one
    return np.append(stamps, NONE)[as_of(stamps, times)]


def _period(rate_hz: float) -> int:
    """A frame's duration [ns]."""
    return round(SECOND / rate_hz)
