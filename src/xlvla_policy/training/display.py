"""What is seen of a run: a live line in a terminal, a line a minute in a log."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from xlvla_policy.training import loop
from xlvla_policy.training.loop import Trainer

LOG_S = 60.0
"""Seconds of training between lines of a log."""


class Display:
    """Shows every step; to be used in a `with`."""

    def __init__(self, console: Console, trainer: Trainer):
        numbers = (
            TextColumn("step {task.fields[step]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  loss {task.fields[loss]:.4f}"),
        )
        rates = (
            TextColumn("{task.fields[pace]:.1f} samples/s  left {task.fields[left]:.0f} min"),
            TimeElapsedColumn(),
        )
        live = console.is_terminal and not console.quiet
        self._bar = Progress(
            *numbers, *rates, console=console, refresh_per_second=2, disable=not live
        )
        self._console = console
        self._live = live
        self._task = self._bar.add_task(
            "", total=1.0, step=trainer.step, loss=float("nan"), pace=0.0, left=0.0
        )
        self._batch = trainer.recipe.batch
        self._first_step = trainer.step
        self._first_s = trainer.seconds
        self._log_at = trainer.seconds + LOG_S
        self._smooth = None

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, now: loop.Progress) -> None:
        self._smooth = now.loss if self._smooth is None else 0.98 * self._smooth + 0.02 * now.loss
        left = now.seconds * (1 / now.share - 1) / 60 if now.share else 0.0
        pace = self._batch * (now.step - self._first_step) / max(now.seconds - self._first_s, 1e-9)
        self._bar.update(
            self._task, completed=now.share, step=now.step, loss=self._smooth, pace=pace, left=left
        )
        if not self._live and now.seconds > self._log_at:
            self._log_at = now.seconds + LOG_S
            self._console.print(
                f"step {now.step}, {now.share:.0%}: loss {self._smooth:.4f}, {pace:.1f} samples/s, "
                f"{left:.0f} min left"
            )
