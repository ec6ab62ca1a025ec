"""One training run from data sets to a weights file: saving, validating and showing progress."""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from xlvla import screen
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.hub.pull import pulled_from
from xlvla_policy.training import card as cards
from xlvla_policy.training import dataset, parallel, preparation, state, tracker, validation
from xlvla_policy.training.batches import Batches
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.display import Display
from xlvla_policy.training.loop import Progress, Trainer
from xlvla_policy.training.parallel import Group
from xlvla_policy.training.preparation import Prepared
from xlvla_policy.training.recipe import Recipe, usual
from xlvla_policy.training.tensorboard_writer import TensorBoardWriter
from xlvla_policy.training.tracker import Tracker
from xlvla_policy.training.validation import Errors
from xlvla_policy.vla import checkpoint, tokenizer
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.meta_model import outline

LARGEST_SHARE = 0.05
"""Largest share of the time that saving may take, and the same for validating."""


def report(choice: Choice, *, codec: Codec | None = None) -> None:
    """Shows whether the data sets go together, without training."""
    prepared = preparation.prepare(choice, codec)
    prepared.report.show(screen.console(quiet=False), numbers=True)


def train(
    choice: Choice, out: Path, recipe: Recipe, *, codec: Codec | None = None
) -> Errors | None:
    """Trains and writes weights to `out`. Ctrl-C saves the state, from which `resume` continues.

    Returns:
        The last validation; None without one.
    """
    if not (choice.resume or choice.fresh):
        step = state.unfinished_step(_state_of(out))
        if step is not None:
            raise XlvlaError(
                f"{_state_of(out)} holds a run that was interrupted at step {step}: go on with "
                "--resume, or begin anew with --fresh"
            )
    tracker.require(choice.log)
    torch.set_num_threads(choice.threads)
    torch.manual_seed(recipe.seed)
    group = parallel.join(choice.device)
    if group.device.type == "cuda":
        # Products in TF32, as convolutions are anyway.
        torch.set_float32_matmul_precision("high")
    console = screen.console(quiet=not group.first)
    run = Run(choice, recipe, out, group, console)
    try:
        group.numbers(recipe.batch)
        with console.status("reading demonstrations"):
            prepared = preparation.prepare(choice, codec)
        prepared.report.show(console, numbers=False)
        session = _session(run, prepared)
        session.run()
        return session.errors
    finally:
        parallel.leave()


def base_recipe(choice: Choice, out: Path) -> Recipe:
    """The recipe that options change: that of the run to be resumed, or the preset's usual one."""
    if choice.resume:
        return state.recipe_of(_state_of(out))
    return usual(choice.preset)


def _state_of(out: Path) -> Path:
    """Where the state of a run lies, by its weights file."""
    return out.with_suffix(".state")


@dataclass(frozen=True)
class Run:
    """One process of a run.

    Args:
        out: weights file.
        group: the processes of the run.
    """

    choice: Choice
    recipe: Recipe
    out: Path
    group: Group
    console: Console


def _session(run: Run, prepared: Prepared) -> _Session:
    """Decodes pictures and makes model, trainer and model card."""
    choice = run.choice
    group = run.group
    cache = choice.cache
    if cache is None:
        cache = prepared.recorded[0].source.root.parent / ".cache"
    with run.console.status("decoding pictures"), group.in_turn():
        demonstrations = dataset.load(
            prepared.recorded, prepared.config, stride=choice.stride, cache=cache
        )
    rows, held_out = validation.held_out(demonstrations, choice.held_out)
    batches = Batches(
        demonstrations, prepared.config, prepared.statistics, prepared.words, group.device
    )
    init = None if choice.resume else choice.init
    model = preparation.made(prepared, init, group.device, run.console.print)
    trainer = Trainer(model, batches, rows, run.recipe, group)
    learned = sum(parameter.numel() for parameter in trainer.learned.values()) / 1e6
    weights = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    shared = f" on {group.size} processes" if group.size > 1 else ""
    run.console.print(
        f"{len(rows)} of {len(demonstrations)} observations to train on, {learned:.2f} of "
        f"{weights:.2f} M weights{shared}"
    )
    if choice.words and group.first:
        _copy(choice.words, tokenizer.beside(run.out))
    card = ModelCard(
        config=prepared.config,
        statistics=prepared.statistics,
        codec=prepared.codec.hash,
        words=prepared.words.hash,
        data=_about(run, prepared, len(demonstrations)),
        committed=run.recipe.longest if run.recipe.committed else 0,
    )
    return _Session(run, trainer, card, held_out)


def _logs(run: Run, step: int, name: str, card: ModelCard) -> list[TensorBoardWriter | Tracker]:
    """Where the curves of a run go, from a step on."""
    logs: list[TensorBoardWriter | Tracker] = []
    if run.choice.tensorboard:
        logs.append(TensorBoardWriter(run.out.with_suffix(".board"), step))
    settings = {
        "recipe": asdict(run.recipe),
        "preset": run.choice.preset,
        "space": card.config.space,
        "cameras": card.config.cameras,
        "codec": card.codec,
        "tokenizer": card.words,
        "data": {key: card.data[key] for key in ("sets", "hands", "episodes", "holdout", "init")},
    }
    for service in run.choice.log:
        logs.append(Tracker(service, name, settings, run.console.print))
    return logs


class _Session:
    """Saving, validating and showing around a trainer.

    Args:
        held_out: the observations to validate on.
    """

    def __init__(self, run: Run, trainer: Trainer, card: ModelCard, held_out: np.ndarray):
        choice = run.choice
        self.trainer = trainer
        self.out = run.out
        self.choice = choice
        self.card = card
        self.held_out = held_out
        self.console = run.console
        self.state = _state_of(run.out)
        self.errors: Errors | None = None
        if choice.resume:
            state.resume(trainer, self.state)
            self.console.print(
                f"resumed at step {trainer.step}, {trainer.seconds / 60:.1f} min of training done"
            )
        self.name = state.name_of(self.state) if choice.resume else ""
        if not self.name:
            self.name = tracker.new_name(run.out.stem)
        self.logs = _logs(run, trainer.step, self.name, card) if trainer.group.first else []
        self.save_at = trainer.seconds + choice.save_s
        self.validate_at = trainer.seconds + choice.validate_s

    def run(self) -> None:
        """Trains to the end, or until it is interrupted, which raises KeyboardInterrupt."""
        trainer = self.trainer
        with Display(self.console, trainer) as display, _interruptible(trainer):

            def on_step(now: Progress) -> None:
                display.show(now)
                for log in self.logs:
                    log.step(now, trainer.recipe.batch)
                self._save_or_validate(now.seconds)

            trainer.run(on_step)
        self._save()
        if trainer.stopping:
            for log in self.logs:
                log.close()
            self.console.print("interrupted: resume with --resume")
            raise KeyboardInterrupt
        self._validate()
        self._export()
        for log in self.logs:
            log.close()
        self.console.print(
            f"weights written to {self.out}, their model card to {cards.beside(self.out)}"
        )

    def _save_or_validate(self, seconds: float) -> None:
        """Saves and validates when it is time: every so often, but less often where it is slow."""
        if seconds > self.save_at:
            took_s = self._timed(self._save_and_export)
            self.save_at = seconds + max(self.choice.save_s, took_s / LARGEST_SHARE)
        if seconds > self.validate_at:
            took_s = self._timed(self._validate)
            self.validate_at = seconds + max(self.choice.validate_s, took_s / LARGEST_SHARE)
            self.trainer.model.train()

    def _timed(self, work: Callable[[], None]) -> float:
        """The time it takes the first process [s], the same in all processes."""
        group = self.trainer.group
        began = time.perf_counter()
        work()
        took_s = time.perf_counter() - began
        (first_took_s,) = group.total([took_s if group.first else 0.0])
        return first_took_s

    def _save_and_export(self) -> None:
        self._save()
        self._export()

    def _save(self) -> None:
        state.save(self.trainer, self.state, name=self.name)
        for log in self.logs:
            log.saved()

    def _validate(self) -> None:
        """Validates the averaged weights, in the first process."""
        if not len(self.held_out):
            return
        trainer = self.trainer
        device = trainer.group.device
        weights: dict[str, torch.Tensor] = {}
        # Every process takes part in fetching.
        for entry in trainer.weights(torch.float32):
            weight = entry.fetch()
            if trainer.group.first:
                weights[entry.name] = weight.to(device)
        if not trainer.group.first:
            return
        averaged = outline(self.card.config)
        averaged.load_state_dict(weights, assign=True)
        with torch.autocast(device.type, torch.bfloat16, enabled=trainer.recipe.bf16):
            self.errors = validation.validate(averaged, trainer.batches, self.held_out)
        for log in self.logs:
            log.validation(trainer.step, self.errors)
        self.console.print(
            f"step {trainer.step}, {trainer.seconds / 60:.1f} min: {self.errors.line()}"
        )

    def _export(self) -> None:
        """Writes weights and model card."""
        trainer = self.trainer
        about = {
            **self.card.data,
            "steps": trainer.step,
            "training_minutes": round(trainer.seconds / 60, 2),
        }
        if self.errors:
            about["validation"] = asdict(self.errors)
        card = replace(self.card, data=about)
        entries = trainer.weights(torch.float16)
        metadata = checkpoint.metadata(card)
        state.write(trainer, self.out, entries, metadata, checksummed=True)
        if trainer.group.first:
            cards.write(self.out, card)


@contextmanager
def _interruptible(trainer: Trainer) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM ends training after the current step, in every process; a second
    one at once.
    """
    # Only the main thread may set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        trainer.stopping = True
        signal.signal(number, before[signal.Signals(number)])

    before: dict[signal.Signals, Any] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.resolve() != target.resolve():
        shutil.copyfile(source, target)


def _about(run: Run, prepared: Prepared, observations: int) -> dict[str, Any]:
    """Facts for the model card."""
    episodes_by_hands: Counter[str] = Counter()
    sentences: set[str] = set()
    from_hub: list[str] = []
    for each in prepared.recorded:
        source = each.source
        place = pulled_from(source.root)
        if place:
            from_hub.append(place)
        hands = dict.fromkeys(body.hand for body in source.bodies.values())
        episodes_by_hands["+".join(hands)] += len(source.stored)
        for stored in source.stored:
            sentences.update(stored.sentences)
    return {
        "episodes": episodes_by_hands.total(),
        "observations": observations,
        "hands": episodes_by_hands,
        "instructions": sorted(sentences),
        **prepared.report.document(),
        "recipe": asdict(run.recipe),
        "init": str(run.choice.init or ""),
        "holdout": run.choice.holdout,
        "only": run.choice.only,
        "hub": from_hub,
    }
