"""Statistics for the policies that tests make."""

from __future__ import annotations

import numpy as np

from xlvla import catalog
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.normalise import BlockStatistics, Statistics


def of_xarms(config: VlaConfig, mean: np.ndarray, scale: np.ndarray) -> Statistics:
    """Statistics [frame_dim] of latent frames whose arms are xArm7s, by block."""
    blocks = dict[str, BlockStatistics]()
    arm = config.arm_joints
    for index, side in enumerate(config.sides):
        part = slice(index * config.side_dim, (index + 1) * config.side_dim)
        (arm_mean, mean_of_latent), (arm_scale, scale_of_latent) = (
            np.split(values[part], [arm]) for values in (mean, scale)
        )
        blocks[f"{side} arm xarm7"] = BlockStatistics(
            catalog.arm("xarm7").joints, arm_mean, arm_scale
        )
        blocks[f"{side} latent"] = BlockStatistics((), mean_of_latent, scale_of_latent)
    return Statistics(blocks)
