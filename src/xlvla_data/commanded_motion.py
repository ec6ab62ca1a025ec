"""The commands of an episode for replay: from a bag, or from a data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, PARTS, SECOND, Part, Side
from xlvla_data.bag.card import CARD
from xlvla_data.bag.reader import Bag
from xlvla_data.recorded import bodies
from xlvla_data.recorded_episode import Bodies, SampledStream
from xlvla_data.tracking import resampled


@dataclass(frozen=True)
class Performance:
    """F frames of an episode, `CHUNK_HZ` a second.

    Args:
        name: of the episode, for messages.
        joints: N names by side, the arm's and then the hand's.
        commanded, measured: positions [F, N] rad by side.
        seed: of the simulated world; None where none is known.
        rig: document of the rig; empty where none is known.
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
            raise XlvlaError(
                f"{self.name} is of {_pair(self.hands)}, rig '{rig.name}' has {_pair(here)}"
            )
        for side, joints in self.joints.items():
            own = _joint_names(rig, side)
            if set(own) != set(joints):
                other = sorted(set(own) ^ set(joints))
                raise XlvlaError(
                    f"{self.name} and rig '{rig.name}' do not have the same joints: "
                    f"{', '.join(other[:4])} are of one only"
                )

    def ordered(self, side: Side, rig: Rig) -> list[int]:
        """Columns in the rig's order."""
        return [self.joints[side].index(name) for name in _joint_names(rig, side)]

    def apart(self, side: Side, names: Sequence[str]) -> float:
        """How far joints were from their commands when it was recorded [rad, root mean square]."""
        columns = [self.joints[side].index(name) for name in names]
        errors = np.square(self.commanded[side] - self.measured[side])
        return float(np.sqrt(errors[:, columns].mean()))


def performance(text: str) -> Performance:
    """The episode of a bag's folder, or of a data set as `folder#number`."""
    path, _, number = text.partition("#")
    if not Path(path).is_dir():
        raise XlvlaError(
            f"there is no folder {path}: name a recorded episode, or a data set as DATASET#NUMBER"
        )
    if number:
        return _of_data_set(Path(path), number)
    if not (Path(path) / CARD).is_file():
        raise XlvlaError(
            f"{path} is no recorded episode (it has no {CARD}); "
            f"an episode of a data set is given as {path}#0"
        )
    return _of_bag(Bag(Path(path)))


def _of_bag(bag: Bag) -> Performance:
    card = bag.info
    measured, commanded = bodies(bag)
    empty: set[str] = set()
    for streams in (measured, commanded):
        for side, part, stream in _each(streams):
            if len(stream.stamps) < 2:
                empty.add(f"{side} {part}")
    if empty:
        raise XlvlaError(
            f"{bag.folder} has no commands or no joint states of {', '.join(sorted(empty))}, so it "
            "cannot be replayed"
        )
    times_s = _grid(commanded)
    if len(times_s) < 2:
        raise XlvlaError(f"{bag.folder} has no time in which all parts were commanded")
    return Performance(
        name=bag.folder.name,
        hands=card.hands,
        joints=_in_line(card.joints),
        commanded=_by_side(commanded, card.joints, times_s),
        measured=_by_side(measured, card.joints, times_s),
        seed=card.seed,
        instruction=card.instruction,
        rig=card.rig,
    )


def _each(streams: Bodies) -> Iterator[tuple[Side, Part, SampledStream]]:
    for side, parts in streams.items():
        for part, stream in parts.items():
            yield side, part, stream


def _grid(commanded: Bodies) -> np.ndarray:
    """Times [F] s at which every part was commanded."""
    spans = [stream.stamps[[0, -1]] / SECOND for _, _, stream in _each(commanded)]
    begin = max(first for first, _ in spans)
    end = min(last for _, last in spans)
    frames = max(int((end - begin) * CHUNK_HZ), 0)
    return begin + np.arange(frames) / CHUNK_HZ


def _by_side(
    streams: Bodies, joints: Mapping[Side, Mapping[Part, Sequence[str]]], times_s: np.ndarray
) -> dict[Side, np.ndarray]:
    """Positions [F, N], the arm's and then the hand's."""
    by_side: dict[Side, np.ndarray] = {}
    for side in joints:
        positions: list[np.ndarray] = []
        for part, stream in streams[side].items():
            values = stream.ordered(f"the {side} {part}", joints[side][part])
            positions.append(resampled(stream.stamps / SECOND, values, times_s))
        by_side[side] = np.concatenate(positions, axis=1)
    return by_side


def _in_line(joints: Mapping[Side, Mapping[Part, Sequence[str]]]) -> dict[Side, tuple[str, ...]]:
    """Names by side, the arm's and then the hand's."""
    in_line: dict[Side, tuple[str, ...]] = {}
    for side, parts in joints.items():
        in_line[side] = tuple(name for part in PARTS for name in parts[part])
    return in_line


def _joint_names(rig: Rig, side: Side) -> tuple[str, ...]:
    """A rig's names on a side, the arm's and then the hand's."""
    return tuple(name for part in PARTS for name in rig.joint_names(side, part))


def _of_data_set(root: Path, number: str) -> Performance:
    from xlvla_data.store import find

    episodes = find(root)
    if not number.isdigit() or int(number) >= len(episodes):
        raise XlvlaError(f"{root} has episodes 0 to {len(episodes) - 1}, not '{number}'")
    stored = episodes[int(number)]
    episode = stored.read()
    info = episode.info
    return Performance(
        name=stored.name,
        hands=info.hands,
        joints=_in_line(info.joints),
        commanded=_at_chunk_rate(episode.action, info.rate_hz),
        measured=_at_chunk_rate(episode.measured, info.rate_hz),
        seed=info.seed if info.seed >= 0 else None,
        instruction=info.instruction,
    )


def _at_chunk_rate(
    positions: Mapping[Side, Mapping[Part, np.ndarray]], rate_hz: float
) -> dict[Side, np.ndarray]:
    """Positions [F, N] by side, the arm's and then the hand's, `CHUNK_HZ` a second."""
    by_side: dict[Side, np.ndarray] = {}
    for side, parts in positions.items():
        rows = np.concatenate([parts[part] for part in PARTS], 1)
        recorded_s = np.arange(len(rows)) / rate_hz
        times_s = np.arange(int(len(rows) * CHUNK_HZ / rate_hz)) / CHUNK_HZ
        by_side[side] = resampled(recorded_s, rows, times_s)
    return by_side


def _pair(hands: Mapping[Side, str]) -> str:
    return ", ".join(f"{side} {hand}" for side, hand in sorted(hands.items()))
