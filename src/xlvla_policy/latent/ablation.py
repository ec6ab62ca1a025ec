"""The paper's ablation (Table 5): a recipe trained anew without parts of its objective, with other
widths and other latents.

Every finished row is a JSON file of its own, so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from xlvla import files
from xlvla.codec import Codec
from xlvla_policy.latent.metrics import bench, evaluate
from xlvla_policy.latent.objective import Losses
from xlvla_policy.latent.recipe import Recipe
from xlvla_policy.latent.training import Trainer, train

LATENTS = (8, 16, 32, 64, 128)
WIDTHS = (0.5, 2.0)
"""Hidden widths tried, as multiples of the recipe's own."""


@dataclass(frozen=True)
class Row:
    """A trained variant and what it is worth on right hands: the mean over all of them, by
    metric.
    """

    name: str
    metrics: Mapping[str, float]
    minutes: float


@dataclass(frozen=True)
class Ablation:
    """What all rows share; `out` is the folder of their files, `threads` None leaves it to
    torch.
    """

    base: Recipe
    hands: Sequence[str]
    out: Path
    seed: int = 0
    poses: int = 512
    threads: int | None = None

    def row(self, name: str, recipe: Recipe, progress: Callable[[int], None] | None = None) -> Row:
        """The row from its file, or trained and measured and then written there; `progress` is
        called with every step.
        """
        asked = {
            "recipe": asdict(recipe),
            "hands": list(self.hands),
            "seed": self.seed,
            "poses": self.poses,
        }
        path = self.out / f"{name.replace(' ', '_')}.json"
        stored = _read(path)
        # What JSON makes of tuples, so that both can be compared.
        as_stored = json.loads(json.dumps(asked))
        same = all(stored.get(key) == value for key, value in as_stored.items())
        if not same:
            metrics, minutes = self._measure(recipe, progress)
            stored = {"name": name, "metrics": metrics, "minutes": minutes, **asked}
            files.write_text(path, json.dumps(stored, indent=2) + "\n")
        return Row(name, stored["metrics"], stored["minutes"])

    def _measure(
        self, recipe: Recipe, progress: Callable[[int], None] | None
    ) -> tuple[dict[str, float], float]:
        if self.threads:
            torch.set_num_threads(self.threads)

        def report(step: int, losses: Losses) -> None:
            if progress:
                progress(step)

        trainer = Trainer(recipe, self.hands, self.seed)
        with TemporaryDirectory() as folder:
            weights = Path(folder) / "codec.safetensors"
            train(trainer, weights, progress=report)
            codec = Codec.load(weights)
        metrics = evaluate(bench(codec, "right", self.poses))["all"].dict()
        return metrics, trainer.seconds / 60


def variants(base: Recipe, steps: int | None = None) -> dict[str, Recipe]:
    """The recipes of the table by name, the base first; left hands, which have no column in it, are
    not trained.
    """
    base = replace(base, steps=steps or base.steps, left_steps=0)
    recipes = {
        "as it is": base,
        "without distance": _without(base, "distance"),
        "without direction": _without(base, "direction"),
        "without both": _without(base, "distance", "direction"),
    }
    for factor in WIDTHS:
        encoder = _scaled(base.encoder, factor)
        decoder = _scaled(base.decoder, factor)
        widths = "-".join(str(width) for width in decoder)
        recipes[f"hidden {widths}"] = replace(base, encoder=encoder, decoder=decoder)
    for width in LATENTS:
        if width != base.latent:
            recipes[f"latent {width}"] = replace(base, latent=width)
    return recipes


def _without(base: Recipe, *terms: str) -> Recipe:
    """The recipe with the weights of some terms at zero, in every phase: those that are called
    after a term.
    """
    weights = [field.name for field in fields(base) if field.name.endswith(terms)]
    return replace(base, **dict.fromkeys(weights, 0.0))


def _scaled(widths: Sequence[int], factor: float) -> tuple[int, ...]:
    return tuple(round(width * factor) for width in widths)


def _read(path: Path) -> dict[str, Any]:
    """What a row's file holds; nothing where there is none that can be read."""
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
