"""The commands of an episode for replay: from a bag, or from a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
        name: what it is called.
        joints: N names by side, the arm's and then the hand's.
        commanded, measured: positions [F, N] rad by side.
        seed: of the simulated world, None where none is known; `rig` the document of the rig, empty
            where none is known.
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
            own = tuple(name for part in PARTS for name in rig.joint_names(side, part))
            if set(own) != set(joints):
                other = sorted(set(own) ^ set(joints))
                raise XlvlaError(
                    f"{self.name} and rig '{rig.name}' do not have the same joints: "
                    f"{', '.join(other[:4])} are of one only"
                )

    def ordered(self, side: Side, rig: Rig) -> list[int]:
        """Columns in the rig's order."""
        return [
            self.joints[side].index(name) for part in PARTS for name in rig.joint_names(side, part)
        ]

    def apart(self, side: Side, names: Sequence[str]) -> float:
        """How far joints were from their commands when it was recorded [rad, root mean square]."""
        columns = [self.joints[side].index(name) for name in names]
        return float(
            np.sqrt(np.square(self.commanded[side] - self.measured[side])[:, columns].mean())
        )


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
    few = {
        f"{side} {part}"
        for kind in (measured, commanded)
        for side, part, stream in _each(kind)
        if len(stream.stamps) < 2
    }
    if few:
        raise XlvlaError(
            f"{bag.folder} has no commands or no joint states of {', '.join(sorted(few))}, so it "
            "cannot be replayed"
        )
    times = _grid(commanded)
    if len(times) < 2:
        raise XlvlaError(f"{bag.folder} has no time in which all parts were commanded")
    return Performance(
        bag.folder.name,
        card.hands,
        _in_line(card.joints),
        _by_side(commanded, card.joints, times),
        _by_side(measured, card.joints, times),
        card.seed,
        card.instruction,
        card.rig,
    )


def _each(kind: Bodies) -> list[tuple[Side, Part, SampledStream]]:
    return [(side, part, stream) for side, parts in kind.items() for part, stream in parts.items()]


def _grid(commanded: Bodies) -> np.ndarray:
    """Times [F] s at which every part was commanded."""
    spans = [stream.stamps[[0, -1]] / SECOND for _, _, stream in _each(commanded)]
    begin = max(first for first, _ in spans)
    end = min(last for _, last in spans)
    return begin + np.arange(max(int((end - begin) * CHUNK_HZ), 0)) / CHUNK_HZ


def _by_side(
    kind: Bodies, joints: Mapping[Side, Mapping[Part, Sequence[str]]], times: np.ndarray
) -> dict[Side, np.ndarray]:
    """Positions [F, N], the arm's and then the hand's."""

    def positions(side: Side, part: Part) -> np.ndarray:
        stream = kind[side][part]
        return resampled(
            stream.stamps / SECOND, stream.ordered(f"the {side} {part}", joints[side][part]), times
        )

    return {
        side: np.concatenate([positions(side, part) for part in PARTS], axis=1) for side in joints
    }


def _in_line(joints: Mapping[Side, Mapping[Part, Sequence[str]]]) -> dict[Side, tuple[str, ...]]:
    return {
        side: tuple(name for part in PARTS for name in parts[part])
        for side, parts in joints.items()
    }


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
        return {
            side: resampled(had, np.concatenate([parts[part] for part in PARTS], 1), times)
            for side, parts in what.items()
        }

    seed = info.seed if info.seed >= 0 else None
    joints = _in_line(info.joints)
    return Performance(
        stored.name,
        info.hands,
        joints,
        beside(episode.action),
        beside(episode.measured),
        seed,
        info.instruction,
    )


def _pair(hands: Mapping[Side, str]) -> str:
    return ", ".join(f"{side} {hand}" for side, hand in sorted(hands.items()))
