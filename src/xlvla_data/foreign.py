"""LeRobot data sets of others, as streams: their joints by name or by a map to our names, resampled
to our rate.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from xlvla.errors import XlvlaError, nearest
from xlvla.types import SECOND, Part, Side
from xlvla_data import store
from xlvla_data.convert import STAMPS
from xlvla_data.episode import EpisodeInfo
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.embedded import EmbeddedClip
from xlvla_data.lerobot.layout import Feature, Info
from xlvla_data.lerobot.reader import Dataset, EpisodeRow
from xlvla_data.lerobot.video import Clip
from xlvla_data.name_map import Names
from xlvla_data.recorded_episode import CameraStream, RecordedEpisode, SampledStream
from xlvla_data.resample import ages_s, as_of

FAR = 0.25
"""No joint is so far [rad] beyond its limits: its numbers are no angles of it."""

UNMAPPED = "unmapped."
"""Beginning of the feature with those numbers of another one that are none of our joints."""

TABLE_COLUMNS = frozenset(
    ["episode_index", "tasks", "length", "dataset_from_index", "dataset_to_index", "success"]
)
"""Columns of the table of episodes that are used."""

SLACK_NS = 1_000_000
"""Times that differ by less are the same one, rounded."""


@dataclass(frozen=True)
class Piece:
    """Frames of an episode, from `begin` to before `end`, that have one instruction and in which
    nothing is missing for long.
    """

    row: EpisodeRow
    begin: int
    end: int
    sentence: str

    @property
    def name(self) -> str:
        """What messages call it."""
        name = f"episode {self.row.index}"
        if self.end - self.begin == self.row.length:
            return name
        return f"{name}, frames {self.begin} to {self.end - 1}"


class Foreign:
    """A data set of others as streams.

    Args:
        names: the map to our names.
        rate_hz: rate that its episodes are to have.
        most_s: an episode is cut where rows or pictures are missing for longer.
        there: the data set that its episodes are added to, None where they begin one: only what
            it has, too, can be carried along.

    Raises:
        XlvlaError: joints or cameras are missing.
    """

    def __init__(
        self,
        data: Dataset,
        names: Names,
        rate_hz: int,
        most_s: float,
        there: Info | None = None,
    ):
        self._data = data
        self._names = names
        self._rate_hz = rate_hz
        self._most_s = most_s
        self._column_names = {
            key: _column_names(data, key, names) for key in (names.state, names.action)
        }
        self._cameras = _cameras(data, names)
        self._carried = _carried(data, names, self._column_names, self._cameras, there)

    @property
    def notes(self) -> list[str]:
        """What of the data set cannot be read."""
        return [note for note in self._data.notes if note.startswith("left out")]

    @property
    def not_taken(self) -> list[str]:
        """What every episode has and its import does not: features, numbers of them, cameras, and
        columns of the table of episodes.
        """
        carried = {key for key, _ in self._carried.values()}
        used = {self._names.state, self._names.action, *carried}
        missing = [key for key in self._data.info.vectors if key not in used]
        for key in (self._names.state, self._names.action):
            if key not in carried:
                unmapped = _unmapped(key, self._column_names[key], self._names)
                missing += [f"{key}: {name}" for name in unmapped]
        for camera, key in self._data.info.cameras.items():
            if camera not in self._cameras.values():
                missing.append(key)
        facts: dict[str, None] = {}
        for row in self._data.episodes:
            facts |= dict.fromkeys(row.row)
        for name in facts:
            if name not in TABLE_COLUMNS and "/" not in name:
                missing.append(f"{name} of the table of episodes")
        return missing

    def parts(self, row: EpisodeRow) -> list[Piece]:
        """An episode cut where its instruction changes, and where rows or pictures are missing for
        too long.
        """
        times = self._row_times(row)
        sentences = self._data.sentences(row)
        pictured = np.ones(row.length, bool)
        for camera in self._cameras.values():
            stamps, _ = self._shots(row, camera, times)
            pictured &= ages_s(_ns(stamps), _ns(times) + SLACK_NS) <= self._most_s
        boundaries = [0]
        for frame in range(1, row.length):
            instruction_changes = sentences[frame] != sentences[frame - 1]
            rows_are_missing = times[frame] - times[frame - 1] > self._most_s
            pictures_begin_or_end = pictured[frame] != pictured[frame - 1]
            if instruction_changes or rows_are_missing or pictures_begin_or_end:
                boundaries.append(frame)
        boundaries.append(row.length)
        pieces: list[Piece] = []
        for begin, end in pairwise(boundaries):
            if pictured[begin]:
                pieces.append(Piece(row, begin, end, sentences[begin]))
        return pieces

    def take(self, part: Piece) -> RecordedEpisode:
        """The streams of a piece of an episode."""
        names = self._names
        row = part.row
        frames = slice(part.begin, part.end)
        times = self._row_times(row)
        columns = self._data.columns(row, names.state, names.action)
        columns = {key: _rows(values)[frames] for key, values in columns.items()}
        stamps = _ns(times)[frames]
        cameras: dict[str, CameraStream] = {}
        for ours, theirs in self._cameras.items():
            taken, clip = self._shots(row, theirs, times)
            cameras[ours] = _camera(_ns(taken), clip, stamps)
        # A row's action is in force when its frame ends
        ends = stamps + round(SECOND / self._data.info.fps)
        return RecordedEpisode(
            info=self._info(part, columns),
            cameras=cameras,
            state=self._bodies(names.state, columns, stamps),
            command=self._bodies(names.action, columns, ends),
            carried=self._others(part, stamps),
        )

    def _others(self, part: Piece, stamps: np.ndarray) -> dict[str, SampledStream]:
        """What is carried along, by the names it has with us."""
        frames = slice(part.begin, part.end)
        keys = {key for key, _ in self._carried.values()}
        columns = self._data.columns(part.row, *keys) if keys else {}
        streams: dict[str, SampledStream] = {}
        for ours, (key, numbers) in self._carried.items():
            names = _number_names(key, self._data.info.vectors[key])
            values = _rows(columns[key])[frames, numbers]
            streams[ours] = SampledStream(stamps, values, tuple(names[k] for k in numbers))
        return streams

    def _bodies(
        self, key: str, columns: Mapping[str, np.ndarray], stamps: np.ndarray
    ) -> dict[Side, dict[Part, SampledStream]]:
        """A feature's positions by side and part, by our names and in our units."""
        values = columns[key]
        theirs = self._column_names[key]
        streams: dict[Side, dict[Part, SampledStream]] = {}
        for side, parts in self._names.ours().items():
            streams[side] = {}
            for part, joints in parts.items():
                # A side may have no arm, or no hand
                if not joints:
                    continue
                positions: list[np.ndarray] = []
                for joint in joints:
                    column = theirs.index(self._names.joints.get(joint, joint))
                    positions.append(radians(values[:, column], joint, self._names))
                streams[side][part] = SampledStream(stamps, np.stack(positions, 1), joints)
        return streams

    def _info(self, part: Piece, columns: Mapping[str, np.ndarray]) -> EpisodeInfo:
        data = self._data
        row = part.row
        success = row.row.get("success")
        # Pictures are too many to be read for a hash: their means stand for them
        means: list[str] = []
        for key in data.info.cameras.values():
            means.append(repr(data.table_row(row).get(f"stats/{key}/mean")))
        source = store.digest(columns, part.sentence, str(part.begin), *means)
        return EpisodeInfo(
            task=self._names.task,
            instruction=part.sentence,
            hands=self._names.hands,
            joints=self._names.ours(),
            rate_hz=self._rate_hz,
            seed=-1,
            success=success if isinstance(success, bool) else None,
            codec="",
            session=data.root.resolve().name,
            # Folders of other days have the same name, their episodes the same number
            recording=f"episode_{row.index:06d}-{source}",
            source=source,
        )

    def _row_times(self, row: EpisodeRow) -> np.ndarray:
        """When an episode's rows were recorded [F] s."""
        times = self._data.columns(row, "timestamp")["timestamp"].astype(np.float64)
        # Not `<= 0`: NaN is no step forward, either
        backwards = np.flatnonzero(~(np.diff(times) > 0))
        if backwards.size:
            raise XlvlaError(
                f"timestamps do not go forward at frame {backwards[0] + 1}: its time is unknown"
            )
        # Timestamps are float32, which is coarse late in a long episode
        even = np.arange(row.length) / self._data.info.fps
        if np.abs(times - even).max() * SECOND < SLACK_NS:
            return even
        return times

    def _shots(
        self, row: EpisodeRow, camera: str, times: np.ndarray
    ) -> tuple[np.ndarray, Clip | EmbeddedClip]:
        """A camera's pictures and when they were taken [N] s; they were taken at the times of their
        rows where there is one for every row.
        """
        stamps, clip = self._data.shots(row, camera)
        if len(stamps) == row.length:
            return times, clip
        return stamps, clip


def _carried(
    data: Dataset,
    names: Names,
    column_names: Mapping[str, Sequence[str]],
    cameras: Mapping[str, str],
    there: Info | None,
) -> dict[str, tuple[str, list[int]]]:
    """What is carried along without being understood, by the name it has with us: its feature
    here, and which of its numbers.
    """
    ours = {layout.STATE, layout.ACTION, STAMPS, *(f"{layout.IMAGES}{name}" for name in cameras)}
    carried: dict[str, tuple[str, list[int]]] = {}
    for key, feature in data.info.vectors.items():
        if key in column_names:
            unmapped = _unmapped(key, column_names[key], names)
            numbers = [column_names[key].index(name) for name in unmapped]
            name = f"{UNMAPPED}{key}"
        else:
            numbers = list(range(feature.size))
            name = key
        if not numbers or name in ours or name.startswith(store.LATENT):
            continue
        number_names = _number_names(key, feature)
        described = layout.vector([number_names[k] for k in numbers], feature.dtype)
        if there is not None and there.features.get(name) != described:
            continue
        if all(_finite(data, row, key, numbers) for row in data.episodes):
            carried[name] = key, numbers
    return carried


def _unmapped(key: str, column_names: Sequence[str], names: Names) -> list[str]:
    """The numbers of a feature that are none of our joints."""
    mapped: set[str] = set()
    for parts in names.ours().values():
        for joints in parts.values():
            mapped.update(names.joints.get(joint, joint) for joint in joints)
    return [name for name in column_names if name not in mapped]


def _number_names(key: str, feature: Feature) -> tuple[str, ...]:
    """A name for every number of a feature."""
    return feature.names or tuple(f"{key}{index}" for index in range(feature.size))


def _finite(data: Dataset, row: EpisodeRow, key: str, numbers: Sequence[int]) -> bool:
    """Whether all of these numbers of an episode are finite, as a data set's have to be; an episode
    that cannot be read is left out for that.
    """
    try:
        values = _rows(data.columns(row, key)[key])
    except XlvlaError:
        return True
    return bool(np.isfinite(values[:, numbers]).all())


def _camera(taken: np.ndarray, clip: Clip | EmbeddedClip, stamps: np.ndarray) -> CameraStream:
    """The pictures, taken at [N] ns, that rows at these times [F] ns show."""
    first = max(0, int(as_of(taken, stamps[:1] + SLACK_NS)[0]))
    last = int(as_of(taken, stamps[-1:] + SLACK_NS)[0]) + 1
    # The first row shows the latest picture before it, as if it were taken then
    shown = np.maximum(taken[first:last], stamps[0])
    return CameraStream(shown, clip.part(first, last), _same)


def _rows(values: np.ndarray) -> np.ndarray:
    """Numbers [F, n] of every frame, whatever their shape."""
    return values.reshape(len(values), -1)


def _ns(times_s: np.ndarray) -> np.ndarray:
    return np.round(times_s * SECOND).astype(np.int64)


def radians(values: np.ndarray, name: str, names: Names) -> np.ndarray:
    """A joint's numbers [F] in our units; raises XlvlaError where no such joint could be there."""
    limits = names.limits[name]
    if name in names.range:
        low, high = names.range[name]
        angles = limits.lower + (values - low) / (high - low) * (limits.upper - limits.lower)
    else:
        unit = math.pi / 180 if names.degrees else 1.0
        angles = values * names.scale.get(name, 1.0) * unit
    beyond = np.nan_to_num(np.maximum(limits.lower - angles, angles - limits.upper))
    if (beyond > FAR).any():
        frame = int(beyond.argmax())
        raise XlvlaError(
            f"{name} is {angles[frame]:.2f} rad at frame {frame}, it goes from "
            f"{limits.lower:.2f} to {limits.upper:.2f}: its numbers are no such angles; "
            "`range`, `scale` or `degrees` in the map say what they are"
        )
    return angles


def _column_names(data: Dataset, key: str, names: Names) -> tuple[str, ...]:
    """The names of a feature's numbers; raises XlvlaError where one that is needed is missing."""
    feature = data.info.vectors.get(key)
    if feature is None:
        raise XlvlaError(
            f"{data.root} has no feature '{key}': it has "
            f"{', '.join(data.info.vectors)}{nearest(key, data.info.vectors)}"
        )
    if not feature.names or len(set(feature.names)) != feature.size:
        raise XlvlaError(
            f"{data.root}: '{key}' does not name its {feature.size} numbers one by "
            "one: the joints are unknown"
        )
    missing: list[str] = []
    for parts in names.ours().values():
        for joints in parts.values():
            for ours in joints:
                if names.joints.get(ours, ours) not in feature.names:
                    missing.append(ours)
    if missing:
        ours = missing[0]
        theirs = names.joints.get(ours, ours)
        listing = ", ".join(feature.names)
        raise XlvlaError(
            f"{data.root}: '{key}' has no '{theirs}' for {ours}, and {len(missing) - 1} "
            f"more are missing; it has {listing}: map them"
        )
    return feature.names


def _cameras(data: Dataset, names: Names) -> dict[str, str]:
    """Its camera by ours."""
    known = data.info.cameras
    by_ours = dict(names.cameras)
    if not by_ours:
        by_ours = {camera: camera for camera in known}
    for camera in by_ours.values():
        if camera not in known:
            listing = ", ".join(known) or "none"
            raise XlvlaError(
                f"{data.root} has no camera '{camera}': it has {listing}{nearest(camera, known)}"
            )
    return by_ours


def _same(picture: np.ndarray) -> np.ndarray:
    return picture
