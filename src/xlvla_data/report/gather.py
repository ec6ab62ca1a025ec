"""What a report shows, read from the episodes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from xlvla.codec import Codec
from xlvla.types import Side
from xlvla_data.bodies import Range, ranges
from xlvla_data.episode import Episode
from xlvla_data.selection import by_set
from xlvla_data.store import Stored
from xlvla_data.summary import Group, groups

SHOWN = 8
"""Pictures in a strip."""

POINTS = 1500
"""Latents shown of a hand, and random poses of it."""


@dataclass(frozen=True)
class Sample:
    """One episode looked at closely: `strips` of pictures by camera."""

    stored: Stored
    episode: Episode
    strips: Mapping[str, list[np.ndarray]]


@dataclass(frozen=True)
class Cloud:
    """Latents of a hand on the two axes along which all differ most: recorded [N, 2], and of random
    poses [M, 2].
    """

    hand: str
    side: Side
    recorded: np.ndarray
    random: np.ndarray


@dataclass(frozen=True)
class Overview:
    """All of a report; `explained` is the share of the latents' variance that the axes of the
    clouds show.
    """

    episodes: Sequence[Stored]
    groups: Sequence[Group]
    samples: Sequence[Sample]
    clouds: Sequence[Cloud]
    explained: float
    limits: Mapping[str, Range]


def gather(episodes: Sequence[Stored], codec: Codec, most: int) -> Overview:
    """`most` episodes are looked at closely, of as many data sets as there are."""
    clouds, explained = _clouds(episodes, codec)
    limits = {
        name: each
        for stored in _firsts(episodes)
        for name, each in ranges(stored.hands, stored.data.info.own.get("joints", {})).items()
    }
    samples = [_sample(stored) for stored in _spread(episodes, most)]
    return Overview(episodes, groups(episodes), samples, clouds, explained, limits)


def _firsts(episodes: Sequence[Stored]) -> list[Stored]:
    return [some[0] for some in by_set(episodes).values()]


def _spread(episodes: Sequence[Stored], most: int) -> list[Stored]:
    """Episodes of all data sets in turn, those of each evenly spaced."""
    sets = list(by_set(episodes).values())
    each = -(-most // len(sets))
    rows = [
        [
            some[index]
            for index in np.unique(np.linspace(0, len(some) - 1, min(each, len(some))).astype(int))
        ]
        for some in sets
    ]
    turns = [row[index] for index in range(each) for row in rows if index < len(row)]
    return turns[:most]


def _sample(stored: Stored) -> Sample:
    episode = stored.read()
    strips = {}
    for camera, pictures in episode.pictures.items():
        every = list(pictures[:: max(1, len(pictures) // (2 * SHOWN))])
        strips[camera] = [
            every[index]
            for index in np.linspace(0, len(every) - 1, min(SHOWN, len(every))).astype(int)
        ]
    return Sample(stored, episode, strips)


def _clouds(episodes: Sequence[Stored], codec: Codec) -> tuple[list[Cloud], float]:
    """Clouds by hand and side, and the share of the variance their axes explain."""
    found: dict[tuple[str, Side], list[np.ndarray]] = {}
    for stored in episodes:
        if stored.data.info.own.get("codec") != codec.hash:
            continue
        for side, hand in stored.hands.items():
            key = f"latent.{side}"
            if key in stored.data.info.features:
                found.setdefault((hand, side), []).append(stored.data.columns(stored.row, key)[key])
    if not found:
        return [], 0.0
    rng = np.random.default_rng(0)
    recorded = {key: _some(np.concatenate(rows), rng) for key, rows in found.items()}
    random = {
        (hand, side): codec.encode(
            hand,
            side,
            rng.uniform(*codec.limits(hand, side), (POINTS, len(codec.joints(hand, side)))),
        )
        for hand, side in found
    }
    middle, axes, explained = _axes(np.concatenate([*recorded.values(), *random.values()]))
    clouds = [
        Cloud(
            hand, side, (recorded[hand, side] - middle) @ axes, (random[hand, side] - middle) @ axes
        )
        for hand, side in found
    ]
    return clouds, explained


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rows if len(rows) <= POINTS else rows[rng.choice(len(rows), POINTS, replace=False)]


def _axes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean, the two principal axes [L, 2] and the share of the variance along them."""
    middle = rows.mean(0)
    _, strength, directions = np.linalg.svd(rows - middle, full_matrices=False)
    return middle, directions[:2].T, float((strength[:2] ** 2).sum() / (strength**2).sum())
