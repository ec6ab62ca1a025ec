"""The curves of a run, the same wherever they are drawn."""

from __future__ import annotations

from xlvla_policy.training.loop import Progress
from xlvla_policy.training.validation import Errors

EVERY = 10
"""Steps between points of a curve of training."""


def of_training(now: Progress, samples: int) -> dict[str, float]:
    """Values by curve; `samples` are those of a step."""
    return {
        "training/loss": now.loss,
        "training/rate": now.rate,
        "training/gradient": now.size,
        "training/samples per second": samples / max(now.took, 1e-9),
        # Points may be sent long after they were made.
        "training/minutes": now.seconds / 60,
    }


def of_validation(errors: Errors) -> dict[str, float]:
    """Values by curve."""
    arm_near, arm_far = errors.arm_rad
    wrist_near, wrist_far = errors.wrist_m
    tips_near, tips_far = errors.tip_m
    return {
        "validation/loss": errors.loss,
        "validation/wrist from the start m": errors.start_wrist_m,
        "validation/arm rad near": arm_near,
        "validation/arm rad far": arm_far,
        "validation/wrist m near": wrist_near,
        "validation/wrist m far": wrist_far,
        "validation/tips m near": tips_near,
        "validation/tips m far": tips_far,
    }
