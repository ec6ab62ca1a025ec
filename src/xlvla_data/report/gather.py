"""What a report shows, read from the episodes."""

from __future__ import annotations

import math
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
    """One episode shown in full: `strips` of pictures by camera."""

    stored: Stored
    episode: Episode
    strips: Mapping[str, list[np.ndarray]]


@dataclass(frozen=True)
class Cloud:
    """Latents of a hand on the two principal axes of all latents: recorded [N, 2], and of random
    poses [M, 2].
    """

    hand: str
    side: Side
    recorded: np.ndarray
    random: np.ndarray


@dataclass(frozen=True)
class Overview:
    """The contents of a report.

    Args:
        samples: episodes shown in full.
        explained: share of the latents' variance along the axes of the clouds.
        limits: by joint.
    """

    episodes: Sequence[Stored]
    groups: Sequence[Group]
    samples: Sequence[Sample]
    clouds: Sequence[Cloud]
    explained: float
    limits: Mapping[str, Range]


def gather(episodes: Sequence[Stored], codec: Codec, most: int) -> Overview:
    """A report on episodes. `most` of them, of all data sets in turn, are shown in full."""
    clouds, explained = _clouds(episodes, codec)
    limits: dict[str, Range] = {}
    for of_set in by_set(episodes).values():
        first = of_set[0]
        limits |= ranges(first.hands, first.data.info.own.get("joints", {}))
    samples = [_sample(stored) for stored in _spread(episodes, most)]
    return Overview(
        episodes=episodes,
        groups=groups(episodes),
        samples=samples,
        clouds=clouds,
        explained=explained,
        limits=limits,
    )


def _spread(episodes: Sequence[Stored], most: int) -> list[Stored]:
    """Episodes of all data sets in turn, those of each evenly spaced."""
    sets = by_set(episodes).values()
    per_set = math.ceil(most / len(sets))
    spaced: list[list[Stored]] = []
    for of_set in sets:
        indices = np.unique(_evenly(len(of_set), per_set))
        spaced.append([of_set[index] for index in indices])
    turns: list[Stored] = []
    for turn in range(per_set):
        turns += [of_set[turn] for of_set in spaced if turn < len(of_set)]
    return turns[:most]


def _evenly(count: int, most: int) -> np.ndarray:
    """At most `most` indices into a list of `count`, evenly spaced from the first to the last."""
    return np.linspace(0, count - 1, min(most, count)).astype(int)


def _sample(stored: Stored) -> Sample:
    episode = stored.read()
    strips: dict[str, list[np.ndarray]] = {}
    for camera, pictures in episode.pictures.items():
        # Not all pictures of a long video are kept in memory
        step = max(1, len(pictures) // (2 * SHOWN))
        kept = list(pictures[::step])
        strips[camera] = [kept[index] for index in _evenly(len(kept), SHOWN)]
    return Sample(stored, episode, strips)


def _clouds(episodes: Sequence[Stored], codec: Codec) -> tuple[list[Cloud], float]:
    """Clouds by hand and side, and the share of the variance their axes explain."""
    latents = _latents(episodes, codec)
    if not latents:
        return [], 0.0
    rng = np.random.default_rng(0)
    recorded: dict[tuple[str, Side], np.ndarray] = {}
    for key, rows in latents.items():
        recorded[key] = _some(np.concatenate(rows), rng)
    random: dict[tuple[str, Side], np.ndarray] = {}
    for hand, side in latents:
        lower, upper = codec.limits(hand, side)
        poses = rng.uniform(lower, upper, (POINTS, len(codec.joints(hand, side))))
        random[hand, side] = codec.encode(hand, side, poses)
    middle, axes, explained = _axes(np.concatenate([*recorded.values(), *random.values()]))
    clouds: list[Cloud] = []
    for hand, side in latents:
        seen = (recorded[hand, side] - middle) @ axes
        possible = (random[hand, side] - middle) @ axes
        clouds.append(Cloud(hand, side, seen, possible))
    return clouds, explained


def _latents(episodes: Sequence[Stored], codec: Codec) -> dict[tuple[str, Side], list[np.ndarray]]:
    """Latents [F, L] of every episode that has some of this codec, by hand and side."""
    latents: dict[tuple[str, Side], list[np.ndarray]] = {}
    for stored in episodes:
        if stored.data.info.own.get("codec") != codec.hash:
            continue
        for side, hand in stored.hands.items():
            key = f"latent.{side}"
            if key in stored.data.info.features:
                rows = stored.data.columns(stored.row, key)[key]
                latents.setdefault((hand, side), []).append(rows)
    return latents


def _some(rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """At most `POINTS` of the rows, drawn without replacement."""
    if len(rows) <= POINTS:
        return rows
    return rows[rng.choice(len(rows), POINTS, replace=False)]


def _axes(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean, the two principal axes [L, 2] and the share of the variance along them."""
    middle = rows.mean(0)
    _, strength, directions = np.linalg.svd(rows - middle, full_matrices=False)
    variance = strength**2
    explained = float(variance[:2].sum() / variance.sum())
    return middle, directions[:2].T, explained
