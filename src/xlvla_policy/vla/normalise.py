"""What a standardised number stands for: mean and scale of every number of a frame, over the training data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla.errors import XlvlaError

SMALLEST_SHARE = 0.15
"""A number that hardly varies must not have its noise blown up to unit scale: its scale is at least this share of its group's."""


@dataclass(frozen=True)
class Normaliser:
    """Mean and scale [frame_dim]: rad for arm joints, plain numbers for latents."""

    mean: np.ndarray
    scale: np.ndarray

    def apply(self, frames: np.ndarray) -> np.ndarray:
        return ((frames - self.mean) / self.scale).astype(np.float32)

    def undo(self, frames: np.ndarray) -> np.ndarray:
        return frames * self.scale + self.mean


def fit(frames: np.ndarray, arm_joints: int, latent_dim: int) -> Normaliser:
    """Statistics of frames [F, sides * (arm_joints + latent_dim)]; refuses data in which nothing moves."""
    mean, deviation = frames.mean(0, dtype=np.float64), frames.std(0, dtype=np.float64)
    group = np.tile(np.repeat([0, 1], [arm_joints, latent_dim]), frames.shape[1] // (arm_joints + latent_dim))
    for kind, name in enumerate(("arm joint", "hand latent")):
        largest = deviation[group == kind].max()
        if largest < 1e-6:
            raise XlvlaError(f"no {name} ever moves in these demonstrations: there is nothing to learn from them")
        deviation[group == kind] = np.maximum(deviation[group == kind], SMALLEST_SHARE * largest)
    return Normaliser(mean.astype(np.float32), deviation.astype(np.float32))
