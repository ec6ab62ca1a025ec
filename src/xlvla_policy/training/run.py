"""One training run from a folder of episodes to a weights file, with what people look at meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from xlvla.codec import Codec
from xlvla_data import store
from xlvla_policy.training import dataset, loop, validation
from xlvla_policy.training.batches import Batches
from xlvla_policy.training.dataset import Demonstrations
from xlvla_policy.training.loop import Recipe, Trainer
from xlvla_policy.training.validation import Errors
from xlvla_policy.vla import checkpoint, config, normalise, tokenizer
from xlvla_policy.vla.checkpoint import Card
from xlvla_policy.vla.model import Vla


@dataclass(frozen=True)
class Choice:
    """What of a run is not the recipe.

    Args:
        stride: every which frame becomes an observation.
        held_out: share of the episodes kept for validation.
        save_s, validate_s: seconds between saved states and between validations.
    """

    preset: str = "small"
    stride: int = 2
    threads: int = 2
    resume: bool = False
    held_out: float = 0.04
    save_s: float = 60.0
    validate_s: float = 180.0


def train(data: Path, out: Path, choice: Choice, recipe: Recipe, *, codec: Codec | None = None) -> Errors | None:
    """Trains and writes weights to `out`; Ctrl-C saves the state, so that `resume` goes on. Returns the last validation."""
    console = Console()
    torch.set_num_threads(choice.threads)
    torch.manual_seed(recipe.seed)
    codec = codec or Codec.load()
    shape = config.preset(choice.preset)
    with console.status("reading demonstrations"):
        demonstrations = dataset.load(store.find(data), shape, codec, stride=choice.stride, cache=data / ".cache")
    words = tokenizer.load(shape.max_words)
    rows, back = validation.held_out(demonstrations, choice.held_out)
    normaliser = normalise.fit(demonstrations.commands, shape.arm_joints, shape.latent_dim)
    batches = Batches(demonstrations, shape, normaliser, words)
    trainer = Trainer(Vla(shape), batches, rows, recipe)
    console.print(_summary(demonstrations, trainer.model, len(rows)))
    longest = recipe.longest if recipe.committed else 0
    card = Card(shape, normaliser, codec.hash, words.hash, _about(demonstrations, recipe), longest)
    session = _Session(trainer, out, choice, codec, card, back)
    if choice.resume:
        trainer.resume(session.state)
        console.print(f"resumed at step {trainer.step}, {trainer.seconds / 60:.1f} min of training done")
    session.run(console)
    return session.errors


class _Session:
    """Saving, validating and showing around a trainer."""

    def __init__(self, trainer: Trainer, out: Path, choice: Choice, codec: Codec, card: Card, back: np.ndarray):
        self.trainer, self.out, self.choice, self.codec, self.card, self.back = trainer, out, choice, codec, card, back
        self.state = out.with_suffix(".state")
        self.errors: Errors | None = None
        self.saved_s = self.validated_s = 0.0

    def run(self, console: Console) -> None:
        self.saved_s = self.validated_s = self.trainer.seconds
        columns = (
            TextColumn("step {task.fields[step]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  loss {task.fields[loss]:.4f}"),
        )
        rates = (TextColumn("{task.fields[pace]:.2f} steps/s  left {task.fields[left]:.0f} min"), TimeElapsedColumn())
        with Progress(*columns, *rates, console=console, refresh_per_second=2) as bar:
            task = bar.add_task("", total=1.0, step=self.trainer.step, loss=float("nan"), pace=0.0, left=0.0)
            smooth, first_step, first_s = None, self.trainer.step, self.trainer.seconds

            def on_step(now: loop.Progress) -> None:
                nonlocal smooth
                smooth = now.loss if smooth is None else 0.98 * smooth + 0.02 * now.loss
                left = now.seconds * (1 / now.share - 1) / 60 if now.share else 0.0
                pace = (now.step - first_step) / max(now.seconds - first_s, 1e-9)
                bar.update(task, completed=now.share, step=now.step, loss=smooth, pace=pace, left=left)
                self._chores(now.seconds, bar.console)

            try:
                self.trainer.run(on_step)
            except KeyboardInterrupt:
                bar.console.print("interrupted: go on with --resume")
                raise
            finally:
                self.trainer.save(self.state)
        self.errors = self._validate(console)
        self._export()
        console.print(f"weights written to {self.out} ({self.out.stat().st_size / 1e6:.1f} MB)")

    def _chores(self, seconds: float, console: Console) -> None:
        if seconds - self.saved_s > self.choice.save_s:
            self.saved_s = seconds
            self.trainer.save(self.state)
            self._export()
        if seconds - self.validated_s > self.choice.validate_s:
            self.validated_s = seconds
            self._validate(console)
            self.trainer.model.train()

    def _validate(self, console: Console) -> Errors | None:
        if not len(self.back):
            return None
        averaged = Vla(self.card.config)
        averaged.load_state_dict(self.trainer.average)
        errors = validation.validate(averaged, self.trainer.batches, self.back, self.codec)
        console.print(f"step {self.trainer.step}, {self.trainer.seconds / 60:.1f} min: {errors.line()}")
        return errors

    def _export(self) -> None:
        about = {**self.card.data, "steps": self.trainer.step, "training_minutes": round(self.trainer.seconds / 60, 2)}
        if self.errors:
            about["validation"] = asdict(self.errors)
        checkpoint.save(self.out, self.trainer.average, replace(self.card, data=about))


def _about(data: Demonstrations, recipe: Recipe) -> Mapping[str, Any]:
    hands = Counter("+".join(dict.fromkeys(hands.values())) for hands in data.hands)
    sentences = sorted(set(data.instructions))
    return {"episodes": len(data.names), "observations": len(data), "hands": hands, "instructions": sentences, "recipe": asdict(recipe)}


def _summary(data: Demonstrations, model: Vla, rows: int) -> str:
    weights = sum(parameter.numel() for parameter in model.parameters())
    hands = ", ".join(sorted({hand for hands in data.hands for hand in hands.values()}))
    return f"{len(data.names)} episodes ({hands}), {rows} of {len(data)} observations to train on, model of {weights / 1e6:.2f} M weights"
