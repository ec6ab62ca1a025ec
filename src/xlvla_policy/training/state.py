"""The state of a run in one file, from which any number of processes can resume it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from xlvla.errors import XlvlaError
from xlvla.files import reading_card
from xlvla.strict import build
from xlvla_policy.training import parallel
from xlvla_policy.training.loop import Trainer
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import stream
from xlvla_policy.vla.stream import Entry

FORMAT = "xlvla-training-1"
MAY_CHANGE = ("steps", "minutes", "seed", "recompute", "compile", "frozen", "lora", "lora_on")
"""Fields of a recipe in which a resumed run may differ, or that `requirements` look at."""
MOMENTS = ("exp_avg", "exp_avg_sq")
"""AdamW's names of the moments of a weight's gradient."""


def save(trainer: Trainer, path: Path, *, name: str = "") -> None:
    """Writes the state atomically: whatever happens meanwhile, there is one to resume from. Every
    process must call it.

    Args:
        name: by which a run is known to services that compare runs.
    """
    facts = {
        "step": trainer.step,
        "seconds": trainer.seconds,
        "seed": trainer.recipe.seed,
        "recipe": asdict(trainer.recipe),
        "name": name,
        **requirements(trainer),
    }
    metadata = {"format": FORMAT, "facts": json.dumps(facts, sort_keys=True)}
    write(trainer, path, _entries(trainer), metadata)


def write(
    trainer: Trainer,
    path: Path,
    entries: list[Entry],
    metadata: dict[str, str],
    *,
    checksummed: bool = False,
) -> None:
    """Every process takes part in fetching, the first one writes."""
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


def requirements(trainer: Trainer) -> dict[str, object]:
    """What a resumed run must have in common with the one that was saved: shape of the model,
    statistics, and the parts that are trained.
    """
    recipe = trainer.recipe
    batches = trainer.batches
    adaptation = [
        list(recipe.frozen),
        dict(recipe.lora),
        list(recipe.lora_on),
        recipe.lora_alpha,
    ]
    return {
        "config": batches.config.document(),
        "statistics": batches.statistics.document(),
        "adaptation": adaptation,
    }


def resume(trainer: Trainer, path: Path) -> None:
    """Takes over the state that `save` wrote; the run goes on as if it had never stopped.

    Raises:
        XlvlaError: no such file, no state of a run, or one of another run.
    """
    with _opened(path) as file:
        facts = _facts(path, file)
        _check_recipe(trainer.recipe, path, facts)
        _check_requirements(trainer, path, facts)
        _load(trainer, file, facts["step"])
    trainer.step = facts["step"]
    trainer.seconds = facts["seconds"]
    trainer.reseed(facts["seed"])


def recipe_of(path: Path) -> Recipe:
    """The recipe of the run whose state `save` wrote.

    Raises:
        XlvlaError: no such file, no state of a run, or one of a version that did not keep it.
    """
    with _opened(path) as file:
        facts = _facts(path, file)
    recipe = _recipe(facts)
    if recipe is None:
        raise XlvlaError(
            f"{path} cannot be resumed: it does not say with which recipe it was trained; begin "
            "anew from its weights with --init"
        )
    return recipe


def name_of(path: Path) -> str:
    """The name that was saved with the state of a run; '' where none was."""
    with _opened(path) as file:
        return str(_facts(path, file).get("name", ""))


def unfinished_step(path: Path) -> int | None:
    """The step at which a run stopped before its end; None where there is no such run."""
    if not path.is_file():
        return None
    try:
        with _opened(path) as file:
            facts = _facts(path, file)
    except XlvlaError:
        return None
    recipe = _recipe(facts)
    if recipe is None or recipe.progress(facts["step"], facts["seconds"]) >= 1:
        return None
    return facts["step"]


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    if not path.is_file():
        raise XlvlaError(f"nothing to resume at {path}: start without --resume")
    try:
        with safe_open(path, "pt") as file:
            yield file
    # RuntimeError: tensors of other shapes than the model's.
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise XlvlaError(f"{path} cannot be resumed: {reason}") from None


def _facts(path: Path, file: Any) -> dict[str, Any]:
    """What `save` wrote beside the weights."""
    metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise XlvlaError(f"{path} cannot be resumed: it is no state of a training run")
    with reading_card(path):
        facts = dict(json.loads(metadata["facts"]))
        facts["step"] = int(facts["step"])
        facts["seconds"] = float(facts["seconds"])
        facts["seed"] = int(facts["seed"])
    return facts


def _recipe(facts: dict[str, Any]) -> Recipe | None:
    recipe, faults = build(Recipe, facts.get("recipe"), "recipe")
    return None if faults else recipe


def _check_recipe(recipe: Recipe, path: Path, facts: dict[str, Any]) -> None:
    """Refuses to go on with another recipe: the model card would tell of one that no weights were
    trained with. Where a run ends may change, and how it is computed.
    """
    saved = _recipe(facts)
    if saved is None:
        return
    for field in fields(recipe):
        before = getattr(saved, field.name)
        now = getattr(recipe, field.name)
        if field.name not in MAY_CHANGE and not _equal(before, now):
            raise XlvlaError(
                f"{path} cannot be resumed: it was trained with {field.name} {before}, not {now}: "
                "resume with --resume alone, or begin anew from its weights with --init"
            )


def _check_requirements(trainer: Trainer, path: Path, facts: dict[str, object]) -> None:
    # Through JSON, as the facts went: lists for tuples.
    own = json.loads(json.dumps(requirements(trainer)))
    advice = {
        "config": "its model has other sizes: resume with the same --preset, --space and --cameras",
        "statistics": "it was trained on other data: resume with the same --data and --init, or "
        "begin anew from its weights with --init",
        "adaptation": "it trained other parts: resume with the same --freeze and --lora",
    }
    for key, line in advice.items():
        if not _equal(facts.get(key), own[key]):
            raise XlvlaError(f"{path} cannot be resumed: {line}")


def _equal(a: object, b: object) -> bool:
    """Whether two documents are equal; numbers may differ as sums do that were added up by another
    number of threads.
    """
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return False
        return all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        if len(a) != len(b):
            return False
        return all(_equal(one, other) for one, other in zip(a, b, strict=True))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-4)
    return a == b


def _entries(trainer: Trainer) -> list[Entry]:
    """Weights, averages and moments, in the order of the file."""
    entries: list[Entry] = []
    for name, value in trainer.model.named_parameters():
        fetch = partial(parallel.whole, value)
        entries.append(_entry(f"weight/{name}", value, fetch))
    for name, value in trainer.learned.items():
        fetch = partial(trainer.averaged, name)
        entries.append(_entry(f"average/{name}", value, fetch))
        moments = trainer.optimizer.state[value]
        # A weight that never had a gradient has none.
        if not moments:
            continue
        for moment in MOMENTS:
            fetch = partial(parallel.whole, moments[moment])
            entries.append(_entry(f"{moment}/{name}", value, fetch))
    return entries


def _entry(name: str, tensor: Tensor, fetch: Callable[[], Tensor]) -> Entry:
    return Entry(name, tuple(tensor.shape), torch.float32, fetch)


@torch.no_grad()
def _load(trainer: Trainer, file: Any, step: int) -> None:
    """Weights, averages and moments from a safetensors file."""
    for name, value in trainer.model.named_parameters():
        parallel.fill(value, file.get_tensor(f"weight/{name}"))
    saved = set(file.keys())
    for name, value in trainer.learned.items():
        average = parallel.like(trainer.average[name], value)
        parallel.fill(average, file.get_tensor(f"average/{name}"))
        # Some weights in the last layer of the prefix have no moments: their output is not used.
        if f"{MOMENTS[0]}/{name}" not in saved:
            continue
        device = parallel.local(value).device
        optimizer_state = {"step": torch.tensor(float(step), device=device)}
        for moment in MOMENTS:
            tensor = torch.zeros_like(value)
            parallel.fill(tensor, file.get_tensor(f"{moment}/{name}"))
            optimizer_state[moment] = tensor
        trainer.optimizer.state[value] = optimizer_state
