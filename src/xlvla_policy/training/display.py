"""Progress of a run: a live line in a terminal, a line a minute in a log."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from xlvla_policy.training import loop
from xlvla_policy.training.loop import Trainer

LOG_S = 60.0
"""Seconds of training between lines of a log."""

SMOOTHING = 0.98
"""Share of the loss shown that is kept per step."""


class Display:
    """Shows every step; to be used in a `with`."""

    def __init__(self, console: Console, trainer: Trainer):
        live = console.is_terminal and not console.quiet
        self._bar = Progress(
            TextColumn("step {task.fields[step]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[pace]:.1f} samples/s  left {task.fields[left]:.0f} min"),
            TimeElapsedColumn(),
            console=console,
            refresh_per_second=2,
            disable=not live,
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
        self._smooth: float | None = None

    def __enter__(self) -> Display:
        self._bar.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._bar.stop()

    def show(self, now: loop.Progress) -> None:
        """Shows a step."""
        loss = now.loss
        if self._smooth is not None:
            loss = SMOOTHING * self._smooth + (1 - SMOOTHING) * now.loss
        self._smooth = loss
        minutes_left = 0.0
        if now.share:
            minutes_left = now.seconds * (1 / now.share - 1) / 60
        seconds = max(now.seconds - self._first_s, 1e-9)
        samples_per_s = self._batch * (now.step - self._first_step) / seconds
        self._bar.update(
            self._task,
            completed=now.share,
            step=now.step,
            loss=loss,
            pace=samples_per_s,
            left=minutes_left,
        )
        if not self._live and now.seconds > self._log_at:
            self._log_at = now.seconds + LOG_S
            self._console.print(
                f"step {now.step}, {now.share:.0%}: loss {loss:.4f}, {samples_per_s:.1f} "
                f"samples/s, {minutes_left:.0f} min left"
            )
