"""The data sets a policy is trained on, each with its weight, and which robot recorded it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.holdout import Holdout
from xlvla.types import PARTS, SIDES, Side, scoped
from xlvla_data import store
from xlvla_data.episode import EpisodeInfo
from xlvla_data.store import Stored
from xlvla_policy.vla.frames import Body


@dataclass(frozen=True)
class DataSource:
    """One data set.

    Args:
        weight: how often one of its observations is drawn, relative to one of a data set of weight
            1.
        info: of its first episode; the others have the same columns.
    """

    root: Path
    weight: float
    stored: tuple[Stored, ...]
    info: EpisodeInfo
    bodies: Mapping[Side, Body]

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def cameras(self) -> tuple[str, ...]:
        return tuple(self.stored[0].data.info.cameras)


def find(named: Sequence[str]) -> list[DataSource]:
    """The data sets that `A` and `B=0.3` name: data sets or folders of them, with a weight or
    without.

    Raises:
        XlvlaError: none there, one twice, a weight that is none, or a data set no policy can be
            trained on.
    """
    found: dict[Path, DataSource] = {}
    for text in named:
        folder, weight = _split(text)
        for root in store.roots(folder):
            if root.resolve() in found:
                raise XlvlaError(f"data set {root} is named twice: give it once, with a weight")
            if stored := store.find(root):
                found[root.resolve()] = _source(root, weight, stored)
        if not store.roots(folder):
            raise XlvlaError(f"no episodes in {folder}: record or collect some first")
    return list(found.values())


def kept(found: Sequence[DataSource], holdout: Holdout) -> list[DataSource]:
    """The data sets that show nothing of what is held out; raises XlvlaError where none is left or
    one does not say its task.
    """
    if holdout and (silent := [source for source in found if not source.info.task]):
        raise XlvlaError(f"--holdout: {silent[0].root} does not say which task it shows")
    left = [
        source for source in found if holdout.keeps(source.info.hands.values(), source.info.task)
    ]
    if not left:
        raise XlvlaError(f"--holdout {holdout.words()} leaves none of the {len(found)} data sets")
    return left


def _split(text: str) -> tuple[Path, float]:
    """Folder and weight."""
    folder, equals, weight = text.rpartition("=")
    if not equals or Path(text).exists():
        return Path(text), 1.0
    try:
        value = float(weight)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise XlvlaError(
            f"--data {text}: '{weight}' is no weight; a positive number follows the =, as in "
            f"{folder}=0.3"
        )
    return Path(folder), value


def _source(root: Path, weight: float, stored: Sequence[Stored]) -> DataSource:
    info = stored[0].read().info
    bodies: dict[Side, Body] = {
        side: _body(root, side, info) for side in SIDES if side in info.joints
    }
    return DataSource(root, weight, tuple(stored), info, bodies)


def _body(root: Path, side: Side, info: EpisodeInfo) -> Body:
    """Which arm and hand the columns of a side belong to; refuses joints no hand or arm has."""
    arm_joints = set(info.joints[side]["arm"])
    arms = [
        name
        for name, arm in catalog.arms().items()
        if {scoped(side, "arm", joint) for joint in arm.joints} == arm_joints
    ]
    if not arms:
        known = ", ".join(catalog.arms())
        raise XlvlaError(
            f"{root}: no known arm ({known}) has the {side} arm's joints "
            f"{', '.join(info.joints[side]['arm']) or '(none)'}"
        )
    body = Body(arms[0], info.hands[side])
    wanted = names(side, body)[PARTS.index("hand")]
    missing, strange = (
        sorted(set(a) - set(b))
        for a, b in ((wanted, info.joints[side]["hand"]), (info.joints[side]["hand"], wanted))
    )
    if missing or strange:
        listing = "; ".join(
            f"{word} {', '.join(which)}"
            for word, which in (("it lacks", missing), ("unknown are", strange))
            if which
        )
        raise XlvlaError(f"{root} does not have the joints of the {side} {body.hand}: {listing}")
    return body


def names(side: Side, body: Body) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Rig-wide joint names of arm and hand in the catalogue's order."""
    joints = {
        "arm": catalog.arm(body.arm).joints,
        "hand": catalog.hand(body.hand).joint_names(side),
    }
    arm, hand = (tuple(scoped(side, part, joint) for joint in joints[part]) for part in PARTS)
    return arm, hand
