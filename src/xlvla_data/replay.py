"""What was commanded in an episode, as a robot can do it again: from a bag, or from a data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, PARTS, Part, Side
from xlvla_data.bag.card import CARD
from xlvla_data.bag.reader import Bag
from xlvla_data.tracking import resampled


@dataclass(frozen=True)
class Performance:
    """F frames of an episode, `CHUNK_HZ` a second.

    Args:
        name: what it is called.
        joints: N names by side, the arm's and then the hand's.
        commanded, measured: positions [F, N] rad by side.
        seed: of the simulated world, None where none is known; `rig` the document of the rig, empty where none is known.
    """

    name: str
    hands: Mapping[Side, str]
    joints: Mapping[Side, tuple[str, ...]]
    commanded: Mapping[Side, np.ndarray]
    measured: Mapping[Side, np.ndarray]
    seed: int | None
    instruction: str
    rig: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def frames(self) -> int:
        return len(next(iter(self.commanded.values())))

    def refuse_unless_of(self, rig: Rig) -> None:
        """Raises XlvlaError where a rig is not made of the same hands and joints."""
        here: dict[Side, str] = {side: station.hand.type for side, station in rig.sides.items()}
        if here != dict(self.hands):
            raise XlvlaError(f"{self.name} is of {_pair(self.hands)}, rig '{rig.name}' has {_pair(here)}")
        for side, joints in self.joints.items():
            own = tuple(name for part in PARTS for name in rig.joint_names(side, part))
            if set(own) != set(joints):
                other = sorted(set(own) ^ set(joints))
                raise XlvlaError(f"{self.name} and rig '{rig.name}' do not have the same joints: {', '.join(other[:4])} are of one only")

    def ordered(self, side: Side, rig: Rig) -> list[int]:
        """Columns in the rig's order."""
        return [self.joints[side].index(name) for part in PARTS for name in rig.joint_names(side, part)]

    def apart(self, side: Side, names: Sequence[str]) -> float:
        """How far joints were from their commands when it was recorded [rad, root mean square]."""
        columns = [self.joints[side].index(name) for name in names]
        return float(np.sqrt(np.square(self.commanded[side] - self.measured[side])[:, columns].mean()))


def performance(text: str) -> Performance:
    """The episode of a bag's folder, or of a data set as `folder#number`."""
    path, _, number = text.partition("#")
    if not Path(path).is_dir():
        raise XlvlaError(f"there is no folder {path}: name a recorded episode, or a data set as DATASET#NUMBER")
    if number:
        return _of_data_set(Path(path), number)
    if not (Path(path) / CARD).is_file():
        raise XlvlaError(f"{path} is no recorded episode (it has no {CARD}); an episode of a data set is said as {path}#0")
    return _of_bag(Bag(Path(path)))


def _of_bag(bag: Bag) -> Performance:
    card = bag.info
    columns: Columns = {(side, part): _Columns() for side in card.joints for part in PARTS}
    topics = {f"/{side}/{part}/{what}": (kept, what, card.joints[side][part]) for (side, part), kept in columns.items() for what in _WHAT}
    for message in bag.messages([name for name in topics if name in bag.topics]):
        kept, what, joints = topics[message.topic]
        kept.add(what, message.stamp_ns, message.content, joints)
    if lacking := [f"{side} {part}" for (side, part), kept in columns.items() if not kept.enough]:
        raise XlvlaError(f"{bag.folder} has no commands or no joint states of {', '.join(lacking)}, so it cannot be replayed")
    times = _grid(columns.values())
    if len(times) < 2:
        raise XlvlaError(f"{bag.folder} has no time in which all parts were commanded")
    commanded, measured = (_beside(columns, what, times) for what in _WHAT)
    return Performance(bag.folder.name, card.hands, _in_line(card.joints), commanded, measured, card.seed, card.instruction, card.rig)


class _Columns:
    """Commands and joint states of one part: times [ns] and positions in the card's order."""

    def __init__(self) -> None:
        self.stamps: dict[str, list[int]] = {what: [] for what in _WHAT}
        self.values: dict[str, list[np.ndarray]] = {what: [] for what in _WHAT}

    def add(self, what: str, stamp_ns: int, content: Any, joints: list[str]) -> None:
        at = {name: index for index, name in enumerate(content.name)}
        if all(joint in at for joint in joints):
            self.stamps[what].append(stamp_ns)
            self.values[what].append(content.position[[at[joint] for joint in joints]])

    @property
    def enough(self) -> bool:
        return all(len(stamps) > 1 for stamps in self.stamps.values())

    def at(self, what: str, times: np.ndarray) -> np.ndarray:
        return resampled(np.array(self.stamps[what]) / 1e9, np.array(self.values[what]), times)


_WHAT = ("command", "joint_states")
Columns = dict[tuple[Side, Part], _Columns]


def _grid(columns: Iterable[_Columns]) -> np.ndarray:
    """Times [F] s at which every part was commanded."""
    spans = [(kept.stamps["command"][0], kept.stamps["command"][-1]) for kept in columns]
    begin, end = max(first for first, _ in spans) / 1e9, min(last for _, last in spans) / 1e9
    return begin + np.arange(max(int((end - begin) * CHUNK_HZ), 0)) / CHUNK_HZ


def _beside(columns: Columns, what: str, times: np.ndarray) -> dict[Side, np.ndarray]:
    """Positions [F, N] by side, the arm's and then the hand's."""
    sides: list[Side] = [side for side, part in columns if part == "arm"]
    return {side: np.concatenate([columns[side, part].at(what, times) for part in PARTS], axis=1) for side in sides}


def _in_line(joints: Mapping[Side, Mapping[Part, Sequence[str]]]) -> dict[Side, tuple[str, ...]]:
    return {side: tuple(name for part in PARTS for name in parts[part]) for side, parts in joints.items()}


def _of_data_set(root: Path, number: str) -> Performance:
    from xlvla_data.store import find

    found = find(root)
    if not number.isdigit() or int(number) >= len(found):
        raise XlvlaError(f"{root} has episodes 0 to {len(found) - 1}, not '{number}'")
    stored = found[int(number)]
    episode = stored.read()
    info = episode.info
    times = np.arange(int(episode.frames * CHUNK_HZ / info.rate_hz)) / CHUNK_HZ
    had = np.arange(episode.frames) / info.rate_hz

    def beside(what: Mapping[Side, Mapping[Part, np.ndarray]]) -> dict[Side, np.ndarray]:
        return {side: resampled(had, np.concatenate([parts[part] for part in PARTS], 1), times) for side, parts in what.items()}

    seed = info.seed if info.seed >= 0 else None
    joints = _in_line(info.joints)
    return Performance(stored.name, info.hands, joints, beside(episode.action), beside(episode.measured), seed, info.instruction)


def _pair(hands: Mapping[Side, str]) -> str:
    return ", ".join(f"{side} {hand}" for side, hand in sorted(hands.items()))
