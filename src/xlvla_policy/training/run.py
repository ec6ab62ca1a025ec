"""One training run from data sets to a weights file, with what people look at meanwhile."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from xlvla import screen
from xlvla.codec import Codec
from xlvla_policy.training import card as cards
from xlvla_policy.training import dataset, parallel, preparation, state, validation
from xlvla_policy.training.batches import Batches
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.display import Display
from xlvla_policy.training.loop import Progress, Trainer
from xlvla_policy.training.parallel import Group
from xlvla_policy.training.preparation import Prepared
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.training.tensorboard_writer import TensorBoardWriter
from xlvla_policy.training.validation import Errors
from xlvla_policy.vla import checkpoint, tokenizer
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.meta_model import outline

CHORES = 0.05
"""Largest share of the time that saving may take, and validating."""


def report(choice: Choice, *, codec: Codec | None = None) -> None:
    """Shows whether the data sets go together, and trains nothing."""
    preparation.prepare(choice, codec).report.show(_console(), numbers=True)


def train(
    choice: Choice, out: Path, recipe: Recipe, *, codec: Codec | None = None
) -> Errors | None:
    """Trains and writes weights to `out`; Ctrl-C saves the state, so that `resume` goes on. Returns
    the last validation.
    """
    torch.set_num_threads(choice.threads)
    torch.manual_seed(recipe.seed)
    group = parallel.join(choice.device)
    console = _console(quiet=not group.first)
    try:
        group.numbers(recipe.batch)
        with console.status("reading demonstrations"):
            prepared = preparation.prepare(choice, codec)
        prepared.report.show(console, numbers=False)
        session = _session(prepared, out, choice, recipe, group, console)
        session.run()
        return session.errors
    finally:
        parallel.leave()


def _console(*, quiet: bool = False) -> Console:
    return screen.console(quiet=quiet)


def _session(
    prepared: Prepared, out: Path, choice: Choice, recipe: Recipe, group: Group, console: Console
) -> _Session:
    cache = choice.cache or prepared.recorded[0].source.root.parent / ".cache"
    with console.status("decoding pictures"), group.in_turn():
        demonstrations = dataset.load(
            prepared.recorded, prepared.config, stride=choice.stride, cache=cache
        )
    rows, back = validation.held_out(demonstrations, choice.held_out)
    batches = Batches(demonstrations, prepared.config, prepared.statistics, prepared.words)
    model = preparation.made(
        prepared, None if choice.resume else choice.init, group.device, console.print
    )
    trainer = Trainer(model, batches, rows, recipe, group)
    learned, weights = (
        sum(p.numel() for p in some) / 1e6
        for some in (trainer.learned.values(), model.parameters())
    )
    shared = f" on {group.size} processes" if group.size > 1 else ""
    console.print(
        f"{len(rows)} of {len(demonstrations)} observations to train on, {learned:.2f} of "
        f"{weights:.2f} M weights{shared}"
    )
    longest = recipe.longest if recipe.committed else 0
    about = _about(prepared, len(demonstrations), recipe) | {
        "init": str(choice.init or ""),
        "holdout": choice.holdout,
    }
    if choice.words and group.first:
        _copy(choice.words, tokenizer.beside(out))
    card = ModelCard(
        prepared.config,
        prepared.statistics,
        prepared.codec.hash,
        prepared.words.hash,
        about,
        longest,
    )
    return _Session(trainer, out, choice, card, back, console)


class _Session:
    """Saving, validating and showing around a trainer."""

    def __init__(
        self,
        trainer: Trainer,
        out: Path,
        choice: Choice,
        card: ModelCard,
        back: np.ndarray,
        console: Console,
    ):
        self.trainer = trainer
        self.out = out
        self.choice = choice
        self.card = card
        self.back = back
        self.console = console
        self.state = out.with_suffix(".state")
        self.errors: Errors | None = None
        if choice.resume:
            state.resume(trainer, self.state)
            console.print(
                f"resumed at step {trainer.step}, {trainer.seconds / 60:.1f} min of training done"
            )
        shown = choice.tensorboard and trainer.group.first
        self.board = TensorBoardWriter(out.with_suffix(".board") if shown else None, trainer.step)
        self.save_at = trainer.seconds + choice.save_s
        self.validate_at = trainer.seconds + choice.validate_s

    def run(self) -> None:
        trainer = self.trainer
        with Display(self.console, trainer) as display, _interruptible(trainer):

            def on_step(now: Progress) -> None:
                display.show(now)
                self.board.step(now, trainer.recipe.batch)
                self._chores(now.seconds)

            trainer.run(on_step)
        self._save()
        if trainer.stopping:
            self.console.print("interrupted: resume with --resume")
            raise KeyboardInterrupt
        self._validate()
        self._export()
        self.board.close()
        self.console.print(
            f"weights written to {self.out}, what they are to {cards.beside(self.out)}"
        )

    def _chores(self, seconds: float) -> None:
        if seconds > self.save_at:
            self.save_at = seconds + max(
                self.choice.save_s, self._timed(self._save_and_export) / CHORES
            )
        if seconds > self.validate_at:
            self.validate_at = seconds + max(
                self.choice.validate_s, self._timed(self._validate) / CHORES
            )
            self.trainer.model.train()

    def _timed(self, chore: Any) -> float:
        """How long it takes the first process [s]; all agree."""
        began = time.perf_counter()
        chore()
        return self.trainer.group.total([(time.perf_counter() - began) * self.trainer.group.first])[
            0
        ]

    def _save_and_export(self) -> None:
        self._save()
        self._export()

    def _save(self) -> None:
        state.save(self.trainer, self.state)

    def _validate(self) -> None:
        if not len(self.back):
            return
        trainer = self.trainer
        device = self.trainer.group.device
        entries = trainer.weights(torch.float32)
        if not trainer.group.first:
            for entry in entries:
                entry.fetch()
            return
        averaged = outline(self.card.config)
        averaged.load_state_dict(
            {entry.name: entry.fetch().to(device) for entry in entries}, assign=True
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=trainer.recipe.bf16):
            self.errors = validation.validate(averaged, trainer.batches, self.back)
        self.board.validation(trainer.step, self.errors)
        self.console.print(
            f"step {trainer.step}, {trainer.seconds / 60:.1f} min: {self.errors.line()}"
        )

    def _export(self) -> None:
        trainer = self.trainer
        about = {
            **self.card.data,
            "steps": trainer.step,
            "training_minutes": round(trainer.seconds / 60, 2),
        }
        if self.errors:
            about["validation"] = asdict(self.errors)
        card = replace(self.card, data=about)
        state.write(
            trainer,
            self.out,
            trainer.weights(torch.float16),
            checkpoint.metadata(card),
            checksummed=True,
        )
        if trainer.group.first:
            cards.write(self.out, card)


@contextmanager
def _interruptible(trainer: Trainer) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends training after the step it comes in, in every process; the
    second at once.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        trainer.stopping = True
        signal.signal(number, before[signal.Signals(number)])

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.resolve() != target.resolve():
        shutil.copyfile(source, target)


def _about(prepared: Prepared, observations: int, recipe: Recipe) -> dict[str, Any]:
    hands: Counter[str] = Counter()
    for each in prepared.recorded:
        hands["+".join(dict.fromkeys(body.hand for body in each.source.bodies.values()))] += len(
            each.source.stored
        )
    sentences = sorted(
        {stored.row.sentence for each in prepared.recorded for stored in each.source.stored}
    )
    return {
        "episodes": sum(hands.values()),
        "observations": observations,
        "hands": hands,
        "instructions": sentences,
        **prepared.report.document(),
        "recipe": asdict(recipe),
    }
