"""Curves of a run for TensorBoard."""

from __future__ import annotations

from pathlib import Path

from xlvla.errors import XlvlaError
from xlvla_policy.training import curves
from xlvla_policy.training.loop import Progress
from xlvla_policy.training.validation import Errors


class TensorBoardWriter:
    """Writes event files. A new writer for the same folder continues its curves from `step`."""

    def __init__(self, folder: Path, step: int = 0):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            raise XlvlaError(
                "--tensorboard needs 'tensorboard': pip install 'xlvla[train]'"
            ) from None
        self._writer = SummaryWriter(str(folder), purge_step=step or None)

    def step(self, now: Progress, samples: int) -> None:
        """A point of the curves of training, every few steps."""
        if now.step % curves.EVERY == 0:
            self._add(now.step, curves.of_training(now, samples))

    def validation(self, step: int, errors: Errors) -> None:
        """A point of the curves of validation."""
        self._add(step, curves.of_validation(errors))
        self._writer.flush()

    def _add(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def saved(self) -> None:
        """Nothing waits for a saved state: what was written after it is purged by a resumed run."""

    def close(self) -> None:
        self._writer.close()
