"""The state of a run in one file, from which as many processes or others go on."""

from __future__ import annotations

import json
import math
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from xlvla.errors import XlvlaError
from xlvla_policy.training import parallel
from xlvla_policy.training.loop import Trainer
from xlvla_policy.vla import stream
from xlvla_policy.vla.stream import Entry

FORMAT = "xlvla-training-1"
MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's names for what it remembers of a weight's gradient."""


def save(trainer: Trainer, path: Path) -> None:
    """Writes all of it, atomically: whatever happens meanwhile, there is a state to go on from.
    Every process must ask.
    """
    facts = {
        "step": trainer.step,
        "seconds": trainer.seconds,
        "seed": trainer.recipe.seed,
        **married(trainer),
    }
    write(
        trainer,
        path,
        _entries(trainer),
        {"format": FORMAT, "facts": json.dumps(facts, sort_keys=True)},
    )


def write(
    trainer: Trainer,
    path: Path,
    entries: list[Entry],
    metadata: dict[str, str],
    *,
    checksummed: bool = False,
) -> None:
    """Every process helps to fetch, the first one writes."""
    if not trainer.group.first:
        for entry in entries:
            entry.fetch()
        return
    try:
        stream.write(path, entries, metadata, checksummed=checksummed)
    except OSError as error:
        raise XlvlaError(
            f"{path} cannot be written: {error}; what was there before is whole"
        ) from None


def married(trainer: Trainer) -> dict[str, object]:
    """What weights and moments make sense with only: shape of the model, statistics, and what of it
    is trained.
    """
    recipe = trainer.recipe
    batches = trainer.batches
    return {
        "config": batches.config.document(),
        "statistics": batches.statistics.document(),
        "adaptation": [
            list(recipe.frozen),
            dict(recipe.lora),
            list(recipe.lora_on),
            recipe.lora_alpha,
        ],
    }


def resume(trainer: Trainer, path: Path) -> None:
    """Takes over the state that `save` wrote; the run goes on as if it had never stopped."""
    if not path.is_file():
        raise XlvlaError(f"nothing to resume at {path}: start without --resume")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise XlvlaError(f"{path} cannot be resumed: it is no state of a training run")
            facts = json.loads(metadata["facts"])
            _agree(trainer, path, facts)
            _take(trainer, file, facts["step"])
    except SafetensorError as error:
        raise XlvlaError(
            f"{path} cannot be resumed: {' '.join(str(error).split())[:200]}"
        ) from None
    trainer.step = facts["step"]
    trainer.seconds = facts["seconds"]
    trainer.reseed(facts["seed"])


def _agree(trainer: Trainer, path: Path, facts: dict[str, object]) -> None:
    own = json.loads(json.dumps(married(trainer)))
    advice = {
        "config": "its model has other sizes: resume with the same --preset, --space and --cameras",
        "statistics": "it was trained on other data: resume with the same --data and --init, or "
        "begin anew from its weights with --init",
        "adaptation": "it trained other parts: resume with the same --freeze and --lora",
    }
    for key, line in advice.items():
        if not _alike(facts.get(key), own[key]):
            raise XlvlaError(f"{path} cannot be resumed: {line}")


def _alike(a: object, b: object) -> bool:
    """Whether two documents say the same; numbers may differ as sums do that were added up by
    another number of threads.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-4)
    return a == b


def _entries(trainer: Trainer) -> list[Entry]:
    def entry(name: str, tensor: Tensor, fetch: partial[Tensor]) -> Entry:
        return Entry(name, tuple(tensor.shape), torch.float32, fetch)

    entries = [
        entry(f"weight/{name}", value, partial(parallel.whole, value))
        for name, value in trainer.model.named_parameters()
    ]
    for name, value in trainer.learned.items():
        entries.append(entry(f"average/{name}", value, partial(trainer.averaged, name)))
        moments = trainer.optimizer.state[value]
        for moment in MOMENTS if moments else ():
            entries.append(
                entry(f"{moment}/{name}", value, partial(parallel.whole, moments[moment]))
            )
    return entries


@torch.no_grad()
def _take(trainer: Trainer, file: Any, step: int) -> None:
    for name, value in trainer.model.named_parameters():
        parallel.fill(value, file.get_tensor(f"weight/{name}"))
    known = set(file.keys())
    for name, value in trainer.learned.items():
        parallel.fill(
            parallel.like(trainer.average[name], value), file.get_tensor(f"average/{name}")
        )
        if (
            f"{MOMENTS[0]}/{name}" not in known
        ):  # a weight whose output nobody reads, in the last layer of the prefix
            continue
        moments = {moment: torch.zeros_like(value) for moment in MOMENTS}
        for moment, tensor in moments.items():
            parallel.fill(tensor, file.get_tensor(f"{moment}/{name}"))
        trainer.optimizer.state[value] = {
            "step": torch.tensor(float(step), device=parallel.local(value).device),
            **moments,
        }
