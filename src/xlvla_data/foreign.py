"""LeRobot data sets of others, as streams: their joints by name, or by a map to our names; their
rate becomes ours.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from xlvla.errors import XlvlaError, nearest
from xlvla.types import SECOND
from xlvla_data import store
from xlvla_data.episode import EpisodeInfo
from xlvla_data.lerobot.reader import Dataset, EpisodeRow
from xlvla_data.lerobot.video import Clip
from xlvla_data.name_map import Names
from xlvla_data.recorded_episode import Bodies, CameraStream, RecordedEpisode, SampledStream
from xlvla_data.resample import ages_s, as_of

FAR = 0.25
"""Radians beyond its limits in which no joint ever is: its numbers mean something else."""

SLACK_NS = 1_000_000
"""Times that differ by less were rounded otherwise."""


@dataclass(frozen=True)
class Piece:
    """Frames of an episode, from `begin` to before `end`, in which one thing was told and nothing
    is missing for long.
    """

    row: EpisodeRow
    begin: int
    end: int
    sentence: str

    @property
    def name(self) -> str:
        whole = self.end - self.begin == self.row.length
        return f"episode {self.row.index}" + (
            "" if whole else f", frames {self.begin} to {self.end - 1}"
        )


class Foreign:
    """A data set of others as streams of the rate wanted; nothing in it is older than `most_s`
    without being seen to.

    Raises:
        XlvlaError: joints or cameras are missing.
    """

    def __init__(self, data: Dataset, names: Names, rate_hz: int, most_s: float):
        self._data = data
        self._names = names
        self._rate_hz = rate_hz
        self._most_s = most_s
        self._their = {key: _their_names(data, key, names) for key in (names.state, names.action)}
        self._cameras = _cameras(data, names)

    def parts(self, row: EpisodeRow) -> list[Piece]:
        """An episode cut where it was told something else, and where rows or pictures are missing
        for too long.
        """
        times = self._row_times(row)
        sentences = self._data.sentences(row)
        pictured = np.ones(row.length, bool)
        for camera in self._cameras.values():
            stamps, _ = self._shots(row, camera, times)
            pictured &= ages_s(_ns(stamps), _ns(times) + SLACK_NS) <= self._most_s
        cut = [
            0,
            *(k for k in range(1, row.length) if self._cuts(k, times, sentences, pictured)),
            row.length,
        ]
        return [
            Piece(row, begin, end, sentences[begin])
            for begin, end in pairwise(cut)
            if pictured[begin]
        ]

    def _cuts(
        self, k: int, times: np.ndarray, sentences: Sequence[str], pictured: np.ndarray
    ) -> bool:
        return (
            sentences[k] != sentences[k - 1]
            or times[k] - times[k - 1] > self._most_s
            or pictured[k] != pictured[k - 1]
        )

    def take(self, part: Piece) -> RecordedEpisode:
        data = self._data
        names = self._names
        row = part.row
        times = self._row_times(row)
        columns = data.columns(row, names.state, names.action)
        columns = {key: values[part.begin : part.end] for key, values in columns.items()}
        stamps = _ns(times)[part.begin : part.end]
        shots = {
            ours: self._cut(self._shots(row, camera, times), stamps)
            for ours, camera in self._cameras.items()
        }
        state = _bodies(columns[names.state], stamps, self._their[names.state], names)
        command = _bodies(
            columns[names.action],
            stamps + round(SECOND / data.info.fps),
            self._their[names.action],
            names,
        )
        return RecordedEpisode(self._info(part, columns), shots, state, command)

    def _info(self, part: Piece, columns: Mapping[str, np.ndarray]) -> EpisodeInfo:
        data = self._data
        row = part.row
        seen = [
            repr(data.table_row(row).get(f"stats/{key}/mean")) for key in data.info.cameras.values()
        ]
        source = store.digest(columns, part.sentence, str(part.begin), *seen)
        return EpisodeInfo(
            task=self._names.task,
            instruction=part.sentence,
            hands=self._names.hands,
            joints=self._names.ours(),
            rate_hz=self._rate_hz,
            seed=-1,
            success=row.row.get("success"),
            codec="",
            session=data.root.resolve().name,
            # Folders of other days have the same name, their episodes the same number
            recording=f"episode_{row.index:06d}-{source}",
            source=source,
        )

    def _row_times(self, row: EpisodeRow) -> np.ndarray:
        """When an episode's rows were recorded [F] s."""
        times = self._data.columns(row, "timestamp")["timestamp"].astype(np.float64)
        if (back := np.flatnonzero(~(np.diff(times) > 0))).size:
            raise XlvlaError(
                f"timestamps do not go forward at frame {back[0] + 1}: its time is unknown"
            )
        even = np.arange(row.length) / self._data.info.fps
        return (
            even if np.abs(times - even).max() * SECOND < SLACK_NS else times
        )  # they are rounded to float32

    def _shots(self, row: EpisodeRow, camera: str, times: np.ndarray) -> tuple[np.ndarray, Clip]:
        """A camera's pictures and when they were taken [N] s: where there is one for every row,
        with its row.
        """
        stamps, clip = self._data.shots(row, camera)
        return (times if len(stamps) == row.length else stamps), clip

    def _cut(self, shots: tuple[np.ndarray, Clip], stamps: np.ndarray) -> CameraStream:
        """The pictures that rows at these times [F] ns show."""
        taken = _ns(shots[0])
        clip = shots[1]
        first = max(0, int(as_of(taken, stamps[:1] + SLACK_NS)[0]))
        last = int(as_of(taken, stamps[-1:] + SLACK_NS)[0]) + 1
        return CameraStream(np.maximum(taken[first:last], stamps[0]), clip.part(first, last), _same)


def _ns(times: np.ndarray) -> np.ndarray:
    return np.round(times * SECOND).astype(np.int64)


def _bodies(values: np.ndarray, stamps: np.ndarray, their: Sequence[str], names: Names) -> Bodies:
    return {
        side: {part: _stream(values, stamps, their, ours, names) for part, ours in parts.items()}
        for side, parts in names.ours().items()
    }


def _stream(
    values: np.ndarray,
    stamps: np.ndarray,
    their: Sequence[str],
    ours: tuple[str, ...],
    names: Names,
) -> SampledStream:
    columns = [their.index(names.joints.get(name, name)) for name in ours]
    made = np.stack(
        [
            _radians(values[:, column], name, names)
            for column, name in zip(columns, ours, strict=True)
        ],
        1,
    )
    return SampledStream(stamps, made, ours)


def _radians(values: np.ndarray, name: str, names: Names) -> np.ndarray:
    """A joint's numbers [F] in our units; raises XlvlaError where no such joint could be there."""
    limits = names.limits[name]
    if name in names.range:
        low, high = names.range[name]
        made = limits.lower + (values - low) / (high - low) * (limits.upper - limits.lower)
    else:
        made = values * names.scale.get(name, 1.0) * (math.pi / 180 if names.degrees else 1.0)
    beyond = np.nan_to_num(np.maximum(limits.lower - made, made - limits.upper))
    if (beyond > FAR).any():
        frame = int(beyond.argmax())
        raise XlvlaError(
            f"{name} is {made[frame]:.2f} rad at frame {frame}, it goes from {limits.lower:.2f} to "
            f"{limits.upper:.2f}: "
            "its numbers are no such angles; `range`, `scale` or `degrees` in the map say what "
            "they are"
        )
    return made


def _their_names(data: Dataset, key: str, names: Names) -> tuple[str, ...]:
    """The names of a feature's numbers, all that are needed among them."""
    feature = data.info.vectors.get(key)
    if feature is None:
        raise XlvlaError(
            f"{data.root} has no feature '{key}': it has "
            f"{', '.join(data.info.vectors)}{nearest(key, data.info.vectors)}"
        )
    if not feature.names or len(set(feature.names)) != feature.shape[0]:
        raise XlvlaError(
            f"{data.root}: '{key}' does not name its {feature.shape[0]} numbers one by "
            "one: the joints are unknown"
            ""
        )
    wanted = {
        ours: names.joints.get(ours, ours)
        for parts in names.ours().values()
        for joints in parts.values()
        for ours in joints
    }
    if missing := {ours: name for ours, name in wanted.items() if name not in feature.names}:
        first = next(iter(missing))
        listing = ", ".join(feature.names)
        raise XlvlaError(
            f"{data.root}: '{key}' has no '{missing[first]}' for {first}, and {len(missing) - 1} "
            f"more are missing; it has {listing}: map them"
        )
    return feature.names


def _cameras(data: Dataset, names: Names) -> dict[str, str]:
    """Its camera by ours."""
    chosen = dict(names.cameras) or {camera: camera for camera in data.info.cameras}
    for camera in chosen.values():
        if camera not in data.info.cameras:
            raise XlvlaError(
                f"{data.root} has no camera '{camera}': it has "
                f"{', '.join(data.info.cameras) or 'none'}{nearest(camera, data.info.cameras)}"
            )
    return chosen


def _same(picture: np.ndarray) -> np.ndarray:
    return picture
