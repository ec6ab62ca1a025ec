"""What a standardised number stands for: mean and scale of every number of a frame, over the
training data.

Statistics are kept by block of a frame. Latents mean the same for every hand, so theirs are pooled
over all hands: the same number then means the same pose whatever the hand, and a hand that was
never trained on needs none of its own. Joints are another matter: an arm's, and in the raw space a
hand's, mean nothing for another model, so each has its own, and one that was never trained on is
refused by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError, nearest
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.frames import Block, Frames

SMALLEST_SHARE = 0.15
"""A number that hardly varies must not have its noise blown up to unit scale: its scale is at least
this share of its group's.
"""


@dataclass(frozen=True)
class Normaliser:
    """Mean and scale [frame_dim] of one robot's frames; padding has 0 and 1."""

    mean: np.ndarray
    scale: np.ndarray

    def apply(self, frames: np.ndarray) -> np.ndarray:
        return ((frames - self.mean) / self.scale).astype(np.float32)

    def undo(self, frames: np.ndarray) -> np.ndarray:
        return frames * self.scale + self.mean


@dataclass(frozen=True)
class Known:
    """Mean and scale [width] of a block: rad for joints, whose names they come with, plain numbers
    for latents.
    """

    joints: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Statistics:
    """By block of a frame ('left arm xarm7', 'left latent', in raw space 'left hand inspire')."""

    blocks: Mapping[str, Known]

    def normaliser(self, frames: Frames) -> Normaliser:
        """For the frames of one robot; refuses one that these statistics do not cover, by name."""
        mean, scale = (np.full(frames.config.frame_dim, value, np.float32) for value in (0, 1))
        for block in frames.blocks:
            known = self._known(block)
            mean[block.columns], scale[block.columns] = known.mean, known.scale
        return Normaliser(mean, scale)

    def document(self) -> dict[str, Any]:
        return {
            name: {
                "joints": list(known.joints),
                "mean": known.mean.tolist(),
                "scale": known.scale.tolist(),
            }
            for name, known in self.blocks.items()
        }

    def _known(self, block: Block) -> Known:
        known = self.blocks.get(block.name)
        if known is None:
            alike = [name for name in self.blocks if name.split()[:2] == [block.side, block.part]]
            advice = (
                ""
                if block.part == "arm"
                else "; a policy of the latent space drives any hand of its codec"
            )
            raise XlvlaError(
                f"these weights act on joints of {', '.join(alike) or 'nothing on that side'}, not "
                f"of {block.name}: "
                f"train with it{advice}{nearest(block.name, alike)}"
            )
        if known.joints != block.joints:
            raise XlvlaError(
                f"these weights know other joints of {block.name}, or in another order: "
                f"{', '.join(known.joints)}; "
                f"the catalogue has {', '.join(block.joints)}"
            )
        return known


def from_document(document: Mapping[str, Any]) -> Statistics:
    """What `document()` wrote; raises KeyError, TypeError or ValueError where it did not."""
    blocks: dict[str, Known] = {}
    for name, entry in document.items():
        mean, scale = (np.array(entry[key], np.float32) for key in ("mean", "scale"))
        if (
            mean.ndim != 1
            or mean.shape != scale.shape
            or not np.isfinite(mean).all()
            or not (np.isfinite(scale) & (scale > 0)).all()
        ):
            raise ValueError(f"statistics of {name}")
        blocks[name] = Known(tuple(entry["joints"]), mean, scale)
    return Statistics(blocks)


@dataclass(frozen=True)
class Moments:
    """What a block's numbers [F, width] are like: each field but `count` is [width]."""

    count: float
    mean: np.ndarray
    variance: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        return np.sqrt(self.variance)


def moments(values: np.ndarray) -> Moments:
    values = values.astype(np.float64)
    return Moments(len(values), values.mean(0), values.var(0), values.min(0), values.max(0))


def pooled(many: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """Moments of all these frames together, a frame of each counting as often as its weight."""
    counts = np.array([weight * each.count for weight, each in zip(weights, many, strict=True)])
    shares = (counts / counts.sum())[:, None]
    mean = (shares * [each.mean for each in many]).sum(0)
    variance = (shares * [each.variance + (each.mean - mean) ** 2 for each in many]).sum(0)
    lowest = np.min([each.lowest for each in many], 0)
    highest = np.max([each.highest for each in many], 0)
    return Moments(float(counts.sum()), mean, variance, lowest, highest)


def fit(seen: Iterable[tuple[Block, Moments]]) -> Statistics:
    """Statistics from the pooled moments of every block; refuses data in which nothing moves."""
    seen = list(seen)
    largest: dict[str, float] = {}
    for block, each in seen:
        largest[block.kind] = max(largest.get(block.kind, 0.0), float(each.deviation.max()))
    if still := [kind for kind, value in largest.items() if value < 1e-6]:
        raise XlvlaError(
            f"no number of '{still[0]}' ever moves in these demonstrations: there is nothing to "
            "learn from them"
        )
    blocks: dict[str, Known] = {}
    for block, each in seen:
        scale = np.maximum(each.deviation, SMALLEST_SHARE * largest[block.kind])
        blocks[block.name] = Known(
            block.joints, each.mean.astype(np.float32), scale.astype(np.float32)
        )
    return Statistics(blocks)


def misfit(statistics: Statistics, config: VlaConfig) -> str:
    """The first block that cannot be of such frames, in words; '' where all can."""
    for name, known in statistics.blocks.items():
        wanted = config.latent_dim if name.endswith(" latent") else len(known.joints)
        if len(known.mean) != wanted:
            return f"{name} has {len(known.mean)} numbers, not {wanted}"
    sides = {name.split()[0] for name in statistics.blocks}
    return (
        ""
        if sides == set(config.sides)
        else f"they are of {' and '.join(sorted(sides)) or 'no side'}, not "
        f"{' and '.join(config.sides)}"
    )
