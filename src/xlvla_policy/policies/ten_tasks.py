"""The same policy with weights for all ten tasks of the paper and its four hands.

They learned from 1,525 demonstrations, fewer than the paper's 2,000, and are not as good as it in
most tasks: docs/measurements.md has the table. They speak version 1 of the latent, whose codec lies
beside them.
"""

from __future__ import annotations

from xlvla.codec import Codec
from xlvla.rig import Rig
from xlvla_policy.policies import xlvla
from xlvla_policy.policies.xlvla import XlvlaPolicy
from xlvla_policy.vla import rig_fit


def load(rig: Rig, *, threads: int = 1) -> XlvlaPolicy:
    """The policy for a rig, warmed up; raises XlvlaError where the rig does not fit."""
    codec = Codec.load(rig_fit.WEIGHTS / "latent_1.safetensors")
    weights = rig_fit.shipped("ten_tasks")
    return xlvla.load(rig, codec=codec, threads=threads, weights=weights)
