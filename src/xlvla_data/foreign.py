"""LeRobot data sets of others, as streams: their joints by name, or by a map to our names; their rate becomes ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from xlvla import catalog
from xlvla.errors import XlvlaError, nearest
from xlvla.files import read_yaml
from xlvla.strict import build
from xlvla.types import PARTS, Part, Side, scoped
from xlvla_data import store
from xlvla_data.episode import EpisodeInfo
from xlvla_data.lerobot import layout
from xlvla_data.lerobot.reader import Dataset, EpisodeRow
from xlvla_data.lerobot.video import Clip
from xlvla_data.resample import ages_s, as_of
from xlvla_data.take import Bodies, Shots, Stream, Take

SLACK_NS = 1_000_000
"""Times that differ by less were rounded otherwise."""


@dataclass(frozen=True)
class Names:
    """How another data set says what ours does.

    Args:
        hands, arms: of the catalogue, by side; a side has both.
        task: name of a task; '' where it is none of ours.
        joints: its name of a joint by ours, as in 'left_arm_joint1: L_j1'; joints that have our names need none.
        cameras: its camera by ours; where none is said, all keep their names.
        state, action: its features.
        degrees: whether its joints are in degrees.
        scale: what its numbers are multiplied with, by our names of the joints: -1 where it counts the other way round.
    """

    hands: Mapping[Side, str]
    arms: Mapping[Side, str]
    task: str = ""
    joints: Mapping[str, str] = field(default_factory=dict[str, str])
    cameras: Mapping[str, str] = field(default_factory=dict[str, str])
    state: str = layout.STATE
    action: str = layout.ACTION
    degrees: bool = False
    scale: Mapping[str, float] = field(default_factory=dict[str, float])

    def ours(self) -> dict[Side, dict[Part, tuple[str, ...]]]:
        """Rig-wide names of the joints by side and part."""
        found: dict[Side, dict[Part, tuple[str, ...]]] = {}
        for side, hand in self.hands.items():
            joints = {"arm": catalog.arm(self.arms[side]).joints, "hand": catalog.hand(hand).joint_names(side)}
            found[side] = {part: tuple(scoped(side, part, joint) for joint in joints[part]) for part in PARTS}
        return found


def names_of(document: Mapping[str, Any], source: str) -> Names:
    """The map in a YAML document; raises XlvlaError with everything that is wrong with it."""
    names, faults = build(Names, document, "map")
    if names is None or faults:
        raise XlvlaError(f"{source}: {'; '.join(fault.removeprefix('map.') for fault in faults)}")
    if not names.hands or set(names.hands) != set(names.arms):
        raise XlvlaError(
            f"{source}: hands and arms are of the same sides, at least one; hands: {list(names.hands)}, arms: {list(names.arms)}"
        )
    known = {name for parts in names.ours().values() for joints in parts.values() for name in joints}
    for name in (*names.joints, *names.scale):
        if name not in known:
            raise XlvlaError(f"{source}: these hands and arms have no joint '{name}'{nearest(name, known)}")
    return names


def read_map(path: Path | None, **chosen: Mapping[str, str] | str) -> Names:
    """The map in a file, None for none, with what was chosen instead."""
    document: Any = {}
    if path is not None:
        try:
            document = read_yaml(path)
        except FileNotFoundError:
            raise XlvlaError(f"no map at {path}") from None
    if not isinstance(document, dict):
        raise XlvlaError(f"{path} is no map: it says hands, arms and joints by name")
    return names_of({**document, **{key: value for key, value in chosen.items() if value}}, str(path or "the import"))


@dataclass(frozen=True)
class Piece:
    """Frames of an episode, from `begin` to before `end`, in which one thing was told and nothing is missing for long."""

    row: EpisodeRow
    begin: int
    end: int
    sentence: str

    @property
    def name(self) -> str:
        whole = self.end - self.begin == self.row.length
        return f"episode {self.row.index}" + ("" if whole else f", frames {self.begin} to {self.end - 1}")


class Foreign:
    """A data set of others as streams of the rate wanted; nothing in it is older than `most_s` without being seen to.

    Raises:
        XlvlaError: joints or cameras are missing.
    """

    def __init__(self, data: Dataset, names: Names, rate_hz: int, most_s: float):
        self._data, self._names, self._rate_hz, self._most_s = data, names, rate_hz, most_s
        self._their = {key: _their_names(data, key, names) for key in (names.state, names.action)}
        self._cameras = _cameras(data, names)

    def parts(self, row: EpisodeRow) -> list[Piece]:
        """An episode cut where it was told something else, and where rows or pictures are missing for too long."""
        times, sentences = self._row_times(row), self._data.sentences(row)
        pictured = np.ones(row.length, bool)
        for camera in self._cameras.values():
            stamps, _ = self._shots(row, camera, times)
            pictured &= ages_s(_ns(stamps), _ns(times) + SLACK_NS) <= self._most_s
        cut = [0, *(k for k in range(1, row.length) if self._cuts(k, times, sentences, pictured)), row.length]
        return [Piece(row, begin, end, sentences[begin]) for begin, end in pairwise(cut) if pictured[begin]]

    def _cuts(self, k: int, times: np.ndarray, sentences: Sequence[str], pictured: np.ndarray) -> bool:
        return sentences[k] != sentences[k - 1] or times[k] - times[k - 1] > self._most_s or pictured[k] != pictured[k - 1]

    def take(self, part: Piece) -> Take:
        data, names, row = self._data, self._names, part.row
        times, columns = self._row_times(row), data.columns(row, names.state, names.action)
        columns = {key: values[part.begin : part.end] for key, values in columns.items()}
        stamps = _ns(times)[part.begin : part.end]
        shots = {ours: self._cut(self._shots(row, camera, times), stamps) for ours, camera in self._cameras.items()}
        state = _bodies(columns[names.state], stamps, self._their[names.state], names)
        command = _bodies(columns[names.action], stamps + round(1e9 / data.info.fps), self._their[names.action], names)
        return Take(self._info(part, columns), shots, state, command)

    def _info(self, part: Piece, columns: Mapping[str, np.ndarray]) -> EpisodeInfo:
        data, row = self._data, part.row
        seen = [repr(data.told(row).get(f"stats/{key}/mean")) for key in data.info.cameras.values()]
        source = store.digest(columns, part.sentence, *seen)
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
            recording=f"episode_{row.index:06d}-{source}",  # folders of other days have the same name, their episodes the same number
            source=source,
        )

    def _row_times(self, row: EpisodeRow) -> np.ndarray:
        """When an episode's rows were recorded [F] s."""
        times = self._data.columns(row, "timestamp")["timestamp"].astype(np.float64)
        if (back := np.flatnonzero(~(np.diff(times) > 0))).size:
            raise XlvlaError(f"timestamps do not go forward at frame {back[0] + 1}: nobody can know when it was")
        even = np.arange(row.length) / self._data.info.fps
        return even if np.abs(times - even).max() * 1e9 < SLACK_NS else times  # they are rounded to float32

    def _shots(self, row: EpisodeRow, camera: str, times: np.ndarray) -> tuple[np.ndarray, Clip]:
        """A camera's pictures and when they were taken [N] s: where there is one for every row, with its row."""
        stamps, clip = self._data.shots(row, camera)
        return (times if len(stamps) == row.length else stamps), clip

    def _cut(self, shots: tuple[np.ndarray, Clip], stamps: np.ndarray) -> Shots:
        """The pictures that rows at these times [F] ns show."""
        taken, clip = _ns(shots[0]), shots[1]
        first = max(0, int(as_of(taken, stamps[:1] + SLACK_NS)[0]))
        last = int(as_of(taken, stamps[-1:] + SLACK_NS)[0]) + 1
        return Shots(np.maximum(taken[first:last], stamps[0]), clip.part(first, last), _same)


def _ns(times: np.ndarray) -> np.ndarray:
    return np.round(times * 1e9).astype(np.int64)


def _bodies(values: np.ndarray, stamps: np.ndarray, their: Sequence[str], names: Names) -> Bodies:
    return {
        side: {part: _stream(values, stamps, their, ours, names) for part, ours in parts.items()} for side, parts in names.ours().items()
    }


def _stream(values: np.ndarray, stamps: np.ndarray, their: Sequence[str], ours: tuple[str, ...], names: Names) -> Stream:
    columns = [their.index(names.joints.get(name, name)) for name in ours]
    scale = np.array([names.scale.get(name, 1.0) for name in ours]) * (math.pi / 180 if names.degrees else 1.0)
    return Stream(stamps, values[:, columns] * scale, ours)


def _their_names(data: Dataset, key: str, names: Names) -> tuple[str, ...]:
    """The names of a feature's numbers, all that are needed among them."""
    feature = data.info.vectors.get(key)
    if feature is None:
        raise XlvlaError(f"{data.root} has no feature '{key}': it has {', '.join(data.info.vectors)}{nearest(key, data.info.vectors)}")
    if not feature.names or len(set(feature.names)) != feature.shape[0]:
        raise XlvlaError(
            f"{data.root}: '{key}' does not name its {feature.shape[0]} numbers one by one: nobody can know which joints they are"
        )
    wanted = {ours: names.joints.get(ours, ours) for parts in names.ours().values() for joints in parts.values() for ours in joints}
    if missing := {ours: name for ours, name in wanted.items() if name not in feature.names}:
        first = next(iter(missing))
        told = ", ".join(feature.names)
        raise XlvlaError(
            f"{data.root}: '{key}' has no '{missing[first]}' for {first}, and {len(missing) - 1} more are missing; it has {told}: map them"
        )
    return feature.names


def _cameras(data: Dataset, names: Names) -> dict[str, str]:
    """Its camera by ours."""
    chosen = dict(names.cameras) or {camera: camera for camera in data.info.cameras}
    for camera in chosen.values():
        if camera not in data.info.cameras:
            raise XlvlaError(
                f"{data.root} has no camera '{camera}': it has {', '.join(data.info.cameras) or 'none'}{nearest(camera, data.info.cameras)}"
            )
    return chosen


def _same(picture: np.ndarray) -> np.ndarray:
    return picture
