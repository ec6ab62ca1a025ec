"""LeRobot data sets of others, as streams: their joints by name, or by a map to our names; their rate becomes ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
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
from xlvla_data.take import Bodies, Shots, Stream, Take


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


def takes(data: Dataset, names: Names, rate_hz: int) -> Iterator[tuple[EpisodeRow, Callable[[], Take]]]:
    """Its episodes, and what reads each as streams; raises XlvlaError before the first where joints or cameras are missing."""
    their = {key: _their_names(data, key, names) for key in (names.state, names.action)}
    cameras = _cameras(data, names)
    for row in data.episodes:
        yield row, partial(_take, data, row, names, their, cameras, rate_hz)


def _take(
    data: Dataset, row: EpisodeRow, names: Names, their: Mapping[str, Sequence[str]], cameras: Mapping[str, str], rate_hz: int
) -> Take:
    stamps = np.round(np.arange(row.length) * (1e9 / data.info.fps)).astype(np.int64)
    columns = data.columns(row, names.state, names.action)
    joints, told = names.ours(), data.told(row)
    seen = [repr(told.get(f"stats/{key}/mean")) for key in data.info.cameras.values()]
    source = store.digest(columns, row.sentence, *seen)
    info = EpisodeInfo(
        task=names.task,
        instruction=row.sentence,
        hands=names.hands,
        joints=joints,
        rate_hz=rate_hz,
        seed=-1,
        success=row.row.get("success"),
        codec="",
        session=data.root.resolve().name,
        recording=f"episode_{row.index:06d}-{source}",  # folders of other days have the same name, their episodes the same number
        source=source,
    )
    state = _bodies(columns[names.state], stamps, their[names.state], names)
    command = _bodies(columns[names.action], stamps + round(1e9 / data.info.fps), their[names.action], names)
    return Take(info, {ours: Shots(stamps, data.clip(row, camera), _same) for ours, camera in cameras.items()}, state, command)


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
