"""Figures on the episodes there are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from xlvla_data.lerobot import statistics
from xlvla_data.lerobot.layout import Feature
from xlvla_data.lerobot.statistics import Stats
from xlvla_data.store import Stored

SAID = {True: "yes", False: "no", None: "unknown"}
"""How an episode ended, in words."""


@dataclass(frozen=True)
class Group:
    """The episodes of a task with a pair of hands; `hands` as 'xhand' or 'xhand+inspire'."""

    task: str
    hands: str
    durations_s: tuple[float, ...]
    frames: int
    success: Mapping[str, int]
    verdicts: Mapping[str, int]
    sessions: int
    sentences: tuple[str, ...]


def groups(episodes: Sequence[Stored]) -> list[Group]:
    """In the order of their names."""
    by_pair: dict[tuple[str, str], list[Stored]] = {}
    for stored in episodes:
        by_pair.setdefault((stored.task, pair(stored)), []).append(stored)
    return [_group(task, hands, some) for (task, hands), some in sorted(by_pair.items())]


def pair(stored: Stored) -> str:
    """An episode's hands as one name: 'xhand', or 'xhand+inspire' where they differ."""
    hands = dict.fromkeys(stored.hands[side] for side in sorted(stored.hands))
    return "+".join(hands) or "unknown"


def _group(task: str, hands: str, episodes: Sequence[Stored]) -> Group:
    sessions = {stored.row.row.get("session") for stored in episodes}
    return Group(
        task=task,
        hands=hands,
        durations_s=tuple(stored.duration_s for stored in episodes),
        frames=sum(stored.row.length for stored in episodes),
        success=Counter(SAID[stored.success] for stored in episodes),
        verdicts=Counter(stored.verdict or "none" for stored in episodes),
        sessions=len([session for session in sessions if session]),
        sentences=tuple(dict.fromkeys(stored.row.sentence for stored in episodes)),
    )


def features(episodes: Sequence[Stored]) -> Iterator[tuple[str, Feature, list[str], Stats]]:
    """Every feature, whose hands have it, and its statistics over these episodes; pictures in
    0..1.
    """
    # Features of one name but of other hands have other numbers
    described: dict[tuple[str, tuple[str, ...] | None], Feature] = {}
    having: dict[tuple[str, tuple[str, ...] | None], list[Stored]] = {}
    for stored in episodes:
        for key, feature in stored.data.info.features.items():
            if feature.left_out:
                continue
            described.setdefault((key, feature.names), feature)
            having.setdefault((key, feature.names), []).append(stored)
    for key, names in sorted(described, key=lambda key_and_names: key_and_names[0]):
        stats: list[Stats] = []
        hands: list[str] = []
        for stored in having[key, names]:
            stats.append(_stats(stored, stored.data.table_row(stored.row), key))
            hands.append(pair(stored))
        merged = statistics.merged(stats)
        yield key, described[key, names], list(dict.fromkeys(hands)), merged


def _stats(stored: Stored, entry: Mapping[str, object], key: str) -> Stats:
    """Statistics of a feature of an episode: those in its table, else of its frames."""
    stats = statistics.of_row(entry, key)
    if stats is not None:
        return stats
    info = stored.data.info
    for camera, own in info.cameras.items():
        if own == key:
            return statistics.of_pictures(stored.data.clip(stored.row, camera))
    return statistics.of_vector(stored.data.columns(stored.row, key)[key])
