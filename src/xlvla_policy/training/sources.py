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
        XlvlaError: no data set there, one named twice, a weight that is none, or a data set no
            policy can be trained on.
    """
    by_path: dict[Path, DataSource] = {}
    for text in named:
        folder, weight = _split(text)
        roots = store.roots(folder)
        if not roots:
            raise XlvlaError(f"no episodes in {folder}: record or collect some first")
        for root in roots:
            path = root.resolve()
            if path in by_path:
                raise XlvlaError(f"data set {root} is named twice: give it once, with a weight")
            stored = store.find(root)
            if stored:
                by_path[path] = _source(root, weight, stored)
    return list(by_path.values())


def kept(sources: Sequence[DataSource], holdout: Holdout) -> list[DataSource]:
    """The data sets that show nothing of what is held out; raises XlvlaError where none is left or
    one does not name its task.
    """
    left: list[DataSource] = []
    for source in sources:
        info = source.info
        if holdout and not info.task:
            raise XlvlaError(f"--holdout: {source.root} does not say which task it shows")
        if holdout.keeps(info.hands.values(), info.task):
            left.append(source)
    if not left:
        raise XlvlaError(f"--holdout {holdout.words()} leaves none of the {len(sources)} data sets")
    return left


def of_hand(sources: Sequence[DataSource], hand: str) -> list[DataSource]:
    """The data sets that show this hand and no other; raises XlvlaError where there are none."""
    name = catalog.hand(hand).name
    left = [source for source in sources if set(source.info.hands.values()) == {name}]
    if not left:
        there = sorted({hand for source in sources for hand in source.info.hands.values()})
        raise XlvlaError(
            f"--only {name}: no data set shows {name} alone; they show {', '.join(there)}"
        )
    return left


def _split(text: str) -> tuple[Path, float]:
    """Folder and weight."""
    folder, equals, weight = text.rpartition("=")
    # A folder may have an = in its name.
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
    bodies: dict[Side, Body] = {}
    for side in SIDES:
        if side in info.joints:
            bodies[side] = _body(root, side, info)
    return DataSource(root, weight, tuple(stored), info, bodies)


def _body(root: Path, side: Side, info: EpisodeInfo) -> Body:
    """The arm and hand that the columns of a side belong to; refuses joints of no hand or arm."""
    recorded = info.joints[side]
    for part in PARTS:
        if not recorded[part]:
            raise XlvlaError(
                f"{root}: the {side} side has no {part}; a policy is trained on arms with hands"
            )
    body = Body(_arm(root, side, recorded["arm"]), info.hands[side])
    _, hand_joints = names(side, body)
    missing = sorted(set(hand_joints) - set(recorded["hand"]))
    strange = sorted(set(recorded["hand"]) - set(hand_joints))
    differences: list[str] = []
    if missing:
        differences.append(f"it lacks {', '.join(missing)}")
    if strange:
        differences.append(f"unknown are {', '.join(strange)}")
    if differences:
        raise XlvlaError(
            f"{root} does not have the joints of the {side} {body.hand}: {'; '.join(differences)}"
        )
    return body


def _arm(root: Path, side: Side, recorded: Sequence[str]) -> str:
    """The arm with these rig-wide joint names."""
    for name, arm in catalog.arms().items():
        joints = {scoped(side, "arm", joint) for joint in arm.joints}
        if joints == set(recorded):
            return name
    known = ", ".join(catalog.arms())
    listing = ", ".join(recorded) or "(none)"
    raise XlvlaError(f"{root}: no known arm ({known}) has the {side} arm's joints {listing}")


def names(side: Side, body: Body) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Rig-wide joint names of arm and hand in the catalogue's order."""
    arm_joints = catalog.arm(body.arm).joints
    hand_joints = catalog.hand(body.hand).joint_names(side)
    arm = tuple(scoped(side, "arm", joint) for joint in arm_joints)
    hand = tuple(scoped(side, "hand", joint) for joint in hand_joints)
    return arm, hand
