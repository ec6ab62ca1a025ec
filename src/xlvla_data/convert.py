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

import numpy as np

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.types import PARTS, SECOND, Part, Side, scoped
from xlvla_data.episode import Column, Episode
from xlvla_data.recorded_episode import Bodies, RecordedEpisode, SampledStream, SelectedImages
from xlvla_data.resample import NONE, ages_s, as_of, grid, in_order

STAMPS = "stamp_ns"
"""Column of the stamps [ns] of what a frame is made of, by stream; `frame` is the frame's own time.
-1: none yet.
"""

FRAME = "frame"

UNSAID_S = 0.2
"""Streams do not begin and end all at once; more than this cut off is said."""


LONGEST_S = 24 * 3600
"""No episode is longer; stamps that are so far apart are not of one clock."""

Positions = dict[Side, dict[Part, np.ndarray]]


@dataclass(frozen=True)
class AgeLimits:
    """How old what a frame needs may be; what else is recorded is kept with its stamp, however old
    where nothing is said of it.

    A command stays in force until the next, so it may be older than what is seen or felt.

    Args:
        others: of what else is recorded, by the beginnings of features.
        cut_s: so much may be cut off at either end of an episode where something is too old or not
            there yet, but for the time before its first command.
        least_s: an episode is at least so long.
    """

    camera_s: float = 0.15
    state_s: float = 0.15
    command_s: float = 0.5
    others: Mapping[str, float] = field(default_factory=dict[str, float])
    cut_s: float = 1.0
    least_s: float = 1.0


@dataclass(frozen=True)
class Need:
    """What no frame is without: samples' stamps [N] ns, how old the latest may be, how long after a
    frame's time it is looked at.
    """

    name: str
    stamps: np.ndarray
    most_s: float
    after_ns: int = 0

    def too_old(self, times: np.ndarray) -> np.ndarray:
        return ages_s(self.stamps, times + self.after_ns) > self.most_s


def resampled(
    recorded: RecordedEpisode, codec: Codec, limits: AgeLimits
) -> tuple[Episode, list[str]]:
    """An episode at the rate its info says, and what is to be said of it, a line each.

    Raises:
        XlvlaError: something a frame needs is missing, or too old in the midst of the episode.
    """
    needs = list(_needs(recorded, limits))
    for name, stream in [*((need.name, need) for need in needs), *recorded.others.items()]:
        in_order(name, stream.stamps)
    times, findings = _fresh(needs, recorded.info.rate_hz, limits)
    ends = times + _period(recorded.info.rate_hz)
    action: Positions = {
        side: {part: _at(recorded.command, side, part, recorded, ends) for part in PARTS}
        for side in recorded.info.joints
    }
    state: Positions = {
        side: {part: _at(recorded.state, side, part, recorded, times) for part in PARTS}
        for side in recorded.info.joints
    }
    latent: dict[Side, np.ndarray] = {
        side: _latent(codec, recorded, side, action[side]["hand"]) for side in action
    }
    pictures = {
        camera: SelectedImages(shots, as_of(shots.stamps, times))
        for camera, shots in recorded.cameras.items()
    }
    others = {
        key: Column(_held(stream, times), stream.names) for key, stream in recorded.others.items()
    }
    others[STAMPS] = _stamps(needs, recorded, times)
    return Episode(
        replace(recorded.info, codec=codec.hash), pictures, action, state, latent, others
    ), findings


def _needs(recorded: RecordedEpisode, limits: AgeLimits) -> Iterator[Need]:
    """What every frame needs; the first is what frames are timed by."""
    for camera, shots in recorded.cameras.items():
        yield Need(f"camera {camera}", shots.stamps, limits.camera_s)
    for side in recorded.info.joints:
        for part in PARTS:
            yield Need(f"{side} {part} state", recorded.state[side][part].stamps, limits.state_s)
            yield Need(
                f"{side} {part} command",
                recorded.command[side][part].stamps,
                limits.command_s,
                _period(recorded.info.rate_hz),
            )
    for key, stream in recorded.others.items():
        if most := [seconds for word, seconds in limits.others.items() if key.startswith(word)]:
            yield Need(key, stream.stamps, min(most))


def _fresh(needs: Sequence[Need], rate_hz: int, limits: AgeLimits) -> tuple[np.ndarray, list[str]]:
    """Times of the frames for which nothing is too old, all between the first and the last; what is
    so at the ends is cut.
    """
    if empty := [need.name for need in needs if not len(need.stamps)]:
        raise XlvlaError(f"nothing of {', '.join(empty)} was recorded")
    begin = min(int(need.stamps[0]) for need in needs)
    end = max(int(need.stamps[-1]) - need.after_ns for need in needs)
    if end - begin > LONGEST_S * SECOND:
        first = min(needs, key=lambda need: need.stamps[0])
        last = max(needs, key=lambda need: need.stamps[-1])
        notes = (
            f"from {first.stamps[0] / SECOND:.3f} s ({first.name}) "
            f"to {last.stamps[-1] / SECOND:.3f} s ({last.name})"
        )
        raise XlvlaError(
            f"its stamps go {notes}: that is no episode, a stamp is damaged or of another clock"
        )
    reference = needs[0]
    times = grid(reference.stamps, begin, end, rate_hz)
    old = {need.name: need.too_old(times) for need in needs}
    old[reference.name] |= times >= reference.stamps[-1] + _period(
        rate_hz
    )  # the last picture is the last frame's
    good = np.flatnonzero(~np.any(list(old.values()), 0))
    if len(good) < limits.least_s * rate_hz:
        raise XlvlaError(f"only {len(good) / rate_hz:.1f} s of it have all of {', '.join(old)}")
    kept = slice(int(good[0]), int(good[-1]) + 1)
    for need in needs:
        if count := int(old[need.name][kept].sum()):
            at_s = int(np.flatnonzero(old[need.name][kept])[0]) / rate_hz
            raise XlvlaError(
                f"{need.name} is older than {need.most_s:g} s in {count} frames, first {at_s:.2f} "
                "s after the beginning"
            )
    uncommanded = int(
        (times < max([need.stamps[0] for need in needs if need.after_ns], default=begin)).sum()
    )
    notes = [*_cut("first", old, kept.start - 1, kept.start, uncommanded, rate_hz, limits)]
    notes += _cut("last", old, kept.stop, len(times) - kept.stop, 0, rate_hz, limits)
    return times[kept], notes


def _cut(
    word: str,
    old: dict[str, np.ndarray],
    beside: int,
    count: int,
    uncommanded: int,
    rate_hz: int,
    limits: AgeLimits,
) -> Iterator[str]:
    """What is said of an end of so many frames, of which that beside the others is given; raises
    XlvlaError where it is too much.

    In the first `uncommanded` frames the robot had not been told to move, so nothing is lost with
    them.
    """
    if not count:
        return
    seconds = count / rate_hz
    lacking = ", ".join(name for name, rows in old.items() if rows[beside])
    if seconds - uncommanded / rate_hz > limits.cut_s:
        raise XlvlaError(
            f"the {word} {seconds:.1f} s lack {lacking}: at most {limits.cut_s:g} s may be cut off"
        )
    if seconds > UNSAID_S:
        yield f"the {word} {seconds:.2f} s are cut off, for want of {lacking}"


def _at(
    streams: Bodies, side: Side, part: Part, recorded: RecordedEpisode, times: np.ndarray
) -> np.ndarray:
    """Positions [F, J] of a part at these times, by the names of the episode's joints."""
    stream = streams[side][part]
    return stream.ordered(f"the {side} {part}", recorded.info.joints[side][part])[
        as_of(stream.stamps, times)
    ]


def _latent(codec: Codec, recorded: RecordedEpisode, side: Side, hand: np.ndarray) -> np.ndarray:
    """Latents [F, L] of a hand's positions [F, J], which are in the order of the episode's
    joints.
    """
    joints = list(recorded.info.joints[side]["hand"])
    name = recorded.info.hands[side]
    wanted = [scoped(side, "hand", joint) for joint in codec.joints(name, side)]
    if missing := [joint for joint in wanted if joint not in joints]:
        raise XlvlaError(
            f"a {side} {name} has {', '.join(missing)}: the episode's {side} hand has "
            f"{', '.join(joints)}"
        )
    return codec.encode(name, side, hand[:, [joints.index(joint) for joint in wanted]])


def _held(stream: SampledStream, times: np.ndarray) -> np.ndarray:
    """The latest values [F, J] float32; zeros before the first."""
    index = as_of(stream.stamps, times)
    held = np.zeros((len(times), len(stream.names)), np.float32)
    held[index != NONE] = stream.values[index[index != NONE]]
    return held


def _stamps(needs: Sequence[Need], recorded: RecordedEpisode, times: np.ndarray) -> Column:
    """The frames' times and the stamps of what they are made of [F, 1 + streams] ns."""
    streams = {
        need.name: (need.stamps, need.after_ns)
        for need in needs
        if need.name not in recorded.others
    }
    streams |= {key: (stream.stamps, 0) for key, stream in recorded.others.items()}
    columns = [times] + [
        np.append(stamps, NONE)[as_of(stamps, times + after)] for stamps, after in streams.values()
    ]
    return Column(
        np.stack(columns, 1).astype(np.int64),
        (FRAME, *(name.replace(" ", ".") for name in streams)),
    )


def _period(rate_hz: int) -> int:
    return round(SECOND / rate_hz)
