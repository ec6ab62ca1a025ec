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
    """Writes event files; does nothing without a folder. Made again for the same folder, it goes on
    from `step`.
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
        if self._writer is None or now.step % EVERY:
            return
        rates = {
            "loss": now.loss,
            "rate": now.rate,
            "gradient": now.size,
            "samples per second": samples / max(now.took, 1e-9),
        }
        for name, value in rates.items():
            self._writer.add_scalar(f"training/{name}", value, now.step)

    def validation(self, step: int, errors: Errors) -> None:
        if self._writer is None:
            return
        curves = {"loss": errors.loss, "wrist from the start m": errors.start_wrist_m}
        for name, pair in (
            ("arm rad", errors.arm_rad),
            ("wrist m", errors.wrist_m),
            ("tips m", errors.tip_m),
        ):
            curves |= {f"{name} near": pair[0], f"{name} far": pair[1]}
        for name, value in curves.items():
            self._writer.add_scalar(f"validation/{name}", value, step)
        self._writer.flush()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
