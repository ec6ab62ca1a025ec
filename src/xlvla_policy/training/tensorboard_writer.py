"""Curves of a run for TensorBoard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xlvla.errors import XlvlaError
from xlvla_policy.training.loop import Progress
from xlvla_policy.training.validation import Errors

EVERY = 10
"""Steps between points of a curve."""


class TensorBoardWriter:
    """Writes event files; does nothing without a folder. A new writer for the same folder continues
    its curves from `step`.
    """

    def __init__(self, folder: Path | None, step: int = 0):
        self._writer: Any = None
        if folder is None:
            return
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise XlvlaError(
                "--tensorboard needs 'tensorboard': pip install 'xlvla[train]'"
            ) from None
        self._writer = SummaryWriter(str(folder), purge_step=step or None)

    def step(self, now: Progress, samples: int) -> None:
        """A point of the curves of training, every few steps."""
        if self._writer is None or now.step % EVERY:
            return
        curves = {
            "loss": now.loss,
            "rate": now.rate,
            "gradient": now.size,
            "samples per second": samples / max(now.took, 1e-9),
        }
        for name, value in curves.items():
            self._writer.add_scalar(f"training/{name}", value, now.step)

    def validation(self, step: int, errors: Errors) -> None:
        """A point of the curves of validation."""
        if self._writer is None:
            return
        arm_near, arm_far = errors.arm_rad
        wrist_near, wrist_far = errors.wrist_m
        tips_near, tips_far = errors.tip_m
        curves = {
            "loss": errors.loss,
            "wrist from the start m": errors.start_wrist_m,
            "arm rad near": arm_near,
            "arm rad far": arm_far,
            "wrist m near": wrist_near,
            "wrist m far": wrist_far,
            "tips m near": tips_near,
            "tips m far": tips_far,
        }
        for name, value in curves.items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
