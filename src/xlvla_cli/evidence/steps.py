"""Steps of a long run: commands whose records lie in files, so that it goes on where it was stopped
and knows what the rest takes.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from xlvla import files
from xlvla.errors import XlvlaError
from xlvla.text import plain

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

ROUGH_S: Mapping[str, float] = {
    "collect": 6.0,
    "train": 66.0,
    "evaluate": 15.0,
    "graph": 40.0,
    "codec": 0.1,
    "new hand": 240.0,
    "replay": 8.0,
}
"""What an episode, a training minute, a trial, a step of the codec or a hand roughly takes by kind
of step, before one has been played here [s].
"""

POLL_S = 0.5
TAIL_BYTES = 4000


@dataclass(frozen=True)
class Step:
    """A command and what it gives.

    Args:
        name: also of its record and its log.
        kind: steps of a kind take as long for each of their units.
        command: arguments of `xlvla`.
        gives: a file or folder that is there once it has been played.
        units: how much of the kind it is: episodes, minutes, trials.
        needs: names of the steps before it whose results it reads.
        environment: what it is played with beside this process's own.
        how: more arguments, which change nothing about the result.
    """

    name: str
    kind: str
    command: tuple[str, ...]
    gives: Path
    units: float
    needs: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    how: tuple[str, ...] = ()

    @property
    def shell(self) -> str:
        """The line to type."""
        before = [f"{name}={shlex.quote(value)}" for name, value in self.environment]
        return " ".join([*before, "xlvla", shlex.join((*self.command, *self.how))])


@dataclass(frozen=True)
class Record:
    """What is known of a step from its file.

    Args:
        mark: of the command and of the steps that it needs, when it was played.
        seconds: that it took, over all times it was begun.
    """

    mark: str
    seconds: float
    finished: bool


class Steps:
    """Steps in their order, and the folder of their records."""

    def __init__(self, steps: Sequence[Step], folder: Path):
        self.steps = tuple(steps)
        self.folder = folder
        self._marks: dict[str, str] = {}
        for step in self.steps:
            self._marks[step.name] = self._mark(step)

    def finished(self, step: Step) -> bool:
        """Whether what it gives is there, made by this very command from these very steps."""
        record = self.record(step)
        return record is not None and record.finished and step.gives.exists()

    def record(self, step: Step) -> Record | None:
        """Of this command; None where it was not begun, or another was."""
        try:
            record = Record(**json.loads(self._file(step).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return record if record.mark == self._marks[step.name] else None

    def log(self, step: Step) -> Path:
        return self.folder / f"{_slug(step)}.log"

    def minutes(self, step: Step) -> float:
        """What it takes or has taken: measured, or by other steps of its kind, or roughly."""
        record = self.record(step)
        if record is not None and record.finished:
            return record.seconds / 60
        seconds = 0.0
        units = 0.0
        for other in self.steps:
            known = self.record(other)
            if other.kind == step.kind and known is not None and known.finished:
                seconds += known.seconds
                units += other.units
        each_s = seconds / units if units else ROUGH_S[step.kind]
        return each_s * step.units / 60

    def run(self, console: Console, after_each: Callable[[], None]) -> None:
        """Plays what is left; raises XlvlaError at the first step that fails."""
        from rich.progress import TextColumn

        from xlvla.run import interruptible
        from xlvla_cli.progress import progress_bar

        left = [step for step in self.steps if not self.finished(step)]
        total = sum(self.minutes(step) for step in self.steps)
        now = TextColumn("{task.fields[now]}")
        with interruptible(), progress_bar(console, now) as progress:
            done = total - sum(self.minutes(step) for step in left)
            bar = progress.add_task("minutes", total=round(total), completed=round(done), now="")
            for step in left:
                estimate = self.minutes(step)
                shown = partial(_show, progress, bar, step.name, done, estimate)
                self._play(step, shown)
                done += estimate
                took = self.minutes(step)
                progress.console.print(f"{step.name}: {took:.1f} min", highlight=False)
                after_each()

    def _play(self, step: Step, show: Callable[[float, str], None]) -> None:
        """One command in a process of its own, its output in its log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        step.gives.parent.mkdir(parents=True, exist_ok=True)
        before = self.record(step)
        spent_s = before.seconds if before else 0.0
        if before is None:
            self.log(step).unlink(missing_ok=True)
        command = [*step.command, *step.how, *self._goes_on(step, begun=before is not None)]
        began = time.monotonic()
        self._enter(step, spent_s, finished=False)
        with self.log(step).open("ab") as log:
            # A group of its own: Ctrl-C is passed on once, as a second one would end a training
            # without saving it.
            process = subprocess.Popen(
                [sys.executable, "-m", "xlvla", *command],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **dict(step.environment)},
                start_new_session=True,
            )
            try:
                while process.poll() is None:
                    time.sleep(POLL_S)
                    show(time.monotonic() - began, last_line(self.log(step)))
            except KeyboardInterrupt:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
                process.wait()
                self._enter(step, spent_s + time.monotonic() - began, finished=False)
                raise XlvlaError(
                    f"stopped in '{step.name}'; the same command goes on from there"
                ) from None
        good = process.returncode == 0 and step.gives.exists()
        self._enter(step, spent_s + time.monotonic() - began, finished=good)
        if not good:
            why = last_line(self.log(step)) or f"it ended with {process.returncode}"
            raise XlvlaError(
                f"'{step.name}' failed: {why} (all of it: {self.log(step)}); the same command "
                "tries it again"
            )

    def _goes_on(self, step: Step, *, begun: bool) -> tuple[str, ...]:
        """How a training takes up its saved state, or leaves that of another command."""
        state = step.gives.with_suffix(".state")
        if step.kind != "train" or not state.is_file():
            return ()
        from xlvla_policy.training.state import unfinished_step

        if begun and unfinished_step(state) is not None:
            return ("--resume",)
        return ("--fresh",)

    def _enter(self, step: Step, seconds: float, *, finished: bool) -> None:
        record = Record(self._marks[step.name], round(seconds, 1), finished)
        files.write_text(self._file(step), json.dumps(asdict(record)) + "\n")

    def _file(self, step: Step) -> Path:
        return self.folder / f"{_slug(step)}.json"

    def _mark(self, step: Step) -> str:
        before = [self._marks[name] for name in step.needs]
        told = json.dumps([step.command, step.environment, before])
        return hashlib.sha256(told.encode()).hexdigest()[:12]


def _show(
    progress: Progress,
    bar: TaskID,
    name: str,
    done: float,
    estimate: float,
    seconds: float,
    line: str,
) -> None:
    """Moves the bar within a step of so many estimated minutes."""
    minutes = done + min(seconds / 60, estimate)
    progress.update(bar, completed=round(minutes), now=f"{name}: {line}")


def last_line(path: Path) -> str:
    """The last words that a program has printed into a file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines() if line.strip()]
    return plain(lines[-1], 100) if lines else ""


def _slug(step: Step) -> str:
    return step.name.replace(" ", "_")
