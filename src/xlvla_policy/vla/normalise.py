"""Normalisation: mean and scale of every number of a frame, over the training data.

Statistics are kept by block of a frame. Latents mean the same for every hand, so theirs are pooled
over all hands: the same number then means the same pose whatever the hand, and a hand that was
never trained on needs none of its own. Joints are another matter: an arm's, and in the raw space a
hand's, mean nothing for another model, so each has its own, and one that was never trained on is
refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError, nearest
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.frames import Block, Frames

SMALLEST_SHARE = 0.15
"""Smallest scale of a number, as a share of the largest of its kind: the noise of a number that
hardly varies must not be blown up to unit scale.
"""
SMALLEST_DEVIATION = 1e-6
"""Numbers that deviate less do not move."""


@dataclass(frozen=True)
class Normaliser:
    """Mean and scale [frame_dim] of one robot's frames; padding has 0 and 1."""

    mean: np.ndarray
    scale: np.ndarray

    def apply(self, frames: np.ndarray) -> np.ndarray:
        """Normalised frames [..., frame_dim] of raw ones."""
        normalised = (frames - self.mean) / self.scale
        return normalised.astype(np.float32)

    def undo(self, frames: np.ndarray) -> np.ndarray:
        """Raw frames [..., frame_dim] of normalised ones."""
        return frames * self.scale + self.mean


@dataclass(frozen=True)
class BlockStatistics:
    """Mean and scale [width] of a block: of joints, which are named, in rad; latents have no unit
    and no names.
    """

    joints: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray


@dataclass(frozen=True)
class Statistics:
    """By block of a frame ('left arm xarm7', 'left latent', in raw space 'left hand inspire')."""

    blocks: Mapping[str, BlockStatistics]

    def normaliser(self, frames: Frames) -> Normaliser:
        """For the frames of one robot; refuses one that these statistics do not cover, by name."""
        mean = np.zeros(frames.config.frame_dim, np.float32)
        scale = np.ones(frames.config.frame_dim, np.float32)
        for block in frames.blocks:
            statistics = self._of(block)
            mean[block.columns] = statistics.mean
            scale[block.columns] = statistics.scale
        return Normaliser(mean, scale)

    def document(self) -> dict[str, Any]:
        """As it is written into files, see `from_document`."""
        document: dict[str, Any] = {}
        for name, block in self.blocks.items():
            document[name] = {
                "joints": list(block.joints),
                "mean": block.mean.tolist(),
                "scale": block.scale.tolist(),
            }
        return document

    def _of(self, block: Block) -> BlockStatistics:
        """Those of a robot's block; refuses one they do not cover."""
        statistics = self.blocks.get(block.name)
        if statistics is None:
            raise self._not_covered(block)
        if statistics.joints != block.joints:
            raise XlvlaError(
                f"these weights know other joints of {block.name}, or in another order: "
                f"{', '.join(statistics.joints)}; the catalogue has {', '.join(block.joints)}"
            )
        return statistics

    def _not_covered(self, block: Block) -> XlvlaError:
        alike = [name for name in self.blocks if name.split()[:2] == [block.side, block.part]]
        covered = ", ".join(alike) or "nothing on that side"
        advice = ""
        if block.part == "hand":
            advice = "; a policy of the latent space drives any hand of its codec"
        suggestion = nearest(block.name, alike)
        return XlvlaError(
            f"these weights act on joints of {covered}, not of {block.name}: train with "
            f"it{advice}{suggestion}"
        )


def from_document(document: Mapping[str, Any]) -> Statistics:
    """The statistics that `document()` wrote; raises KeyError, TypeError or ValueError for another
    document.
    """
    blocks: dict[str, BlockStatistics] = {}
    for name, entry in document.items():
        # A number too large for float32 becomes infinite, and is refused below.
        with np.errstate(over="ignore"):
            mean = np.array(entry["mean"], np.float32)
            scale = np.array(entry["scale"], np.float32)
        same_shape = mean.ndim == 1 and mean.shape == scale.shape
        finite = np.isfinite(mean).all() and np.isfinite(scale).all()
        if not same_shape or not finite or (scale <= 0).any():
            raise ValueError(f"statistics of {name}")
        blocks[name] = BlockStatistics(tuple(entry["joints"]), mean, scale)
    return Statistics(blocks)


@dataclass(frozen=True)
class Moments:
    """Moments and range [width] of a block's numbers [F, width]; `count` is F, weighted."""

    count: float
    mean: np.ndarray
    variance: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray

    @property
    def deviation(self) -> np.ndarray:
        return np.sqrt(self.variance)


def moments(values: np.ndarray) -> Moments:
    """Moments of numbers [F, width]."""
    values = values.astype(np.float64)
    return Moments(
        count=len(values),
        mean=values.mean(0),
        variance=values.var(0),
        lowest=values.min(0),
        highest=values.max(0),
    )


def pooled(parts: Sequence[Moments], weights: Sequence[float]) -> Moments:
    """Moments of all these frames together, those of each part weighted."""
    counts = np.array(weights) * [part.count for part in parts]
    shares = (counts / counts.sum())[:, None]
    means = np.stack([part.mean for part in parts])
    variances = np.stack([part.variance for part in parts])
    mean = (shares * means).sum(0)
    # Within the parts, and between their means.
    variance = (shares * (variances + (means - mean) ** 2)).sum(0)
    return Moments(
        count=float(counts.sum()),
        mean=mean,
        variance=variance,
        lowest=np.min([part.lowest for part in parts], 0),
        highest=np.max([part.highest for part in parts], 0),
    )


def fit(moments_by_block: Sequence[tuple[Block, Moments]]) -> Statistics:
    """Statistics from the pooled moments of every block; refuses data in which nothing moves."""
    largest: dict[str, float] = {}
    for block, each in moments_by_block:
        deviation = float(each.deviation.max())
        largest[block.kind] = max(largest.get(block.kind, 0.0), deviation)
    for kind, deviation in largest.items():
        if deviation < SMALLEST_DEVIATION:
            raise XlvlaError(
                f"no number of '{kind}' ever moves in these demonstrations: there is nothing to "
                "learn from them"
            )
    blocks: dict[str, BlockStatistics] = {}
    for block, each in moments_by_block:
        mean = each.mean.astype(np.float32)
        scale = np.maximum(each.deviation, SMALLEST_SHARE * largest[block.kind])
        blocks[block.name] = BlockStatistics(block.joints, mean, scale.astype(np.float32))
    return Statistics(blocks)


def misfit(statistics: Statistics, config: VlaConfig) -> str:
    """Describes the first block that does not belong to such frames; '' where all do."""
    for name, block in statistics.blocks.items():
        is_latent = name.endswith(" latent")
        width = config.latent_dim if is_latent else len(block.joints)
        if len(block.mean) != width:
            return f"{name} has {len(block.mean)} numbers, not {width}"
    sides = {name.split()[0] for name in statistics.blocks}
    if sides == set(config.sides):
        return ""
    covered = " and ".join(sorted(sides)) or "no side"
    return f"they are of {covered}, not {' and '.join(config.sides)}"
