"""`xlvla train`: training of policies."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from xlvla.errors import XlvlaError
from xlvla_cli.dataclass_options import options_of
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.recipe import Recipe

OUT = Path("out/train/push_cans.safetensors")
DATA = "out/episodes"

Precision = Annotated[str, typer.Option(help="Of matrix products: float32, bfloat16.")]


def register(app: typer.Typer) -> None:
    sub = typer.Typer(
        name="train", no_args_is_help=True, help="Train policies from demonstrations."
    )
    sub.command("policy")(policy)
    app.add_typer(sub)


@options_of(skip=("data", "bf16", "augmentation"), choice=Choice, recipe=Recipe)
def policy(
    *,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Data set or folder of them, perhaps with a weight: A, B=0.3; or hub:user/name, "
            "which is pulled from the Hugging Face Hub."
        ),
    ] = None,
    out: Annotated[
        Path,
        typer.Option(
            help="Weights file to write; the model card and the training state are written "
            "next to it."
        ),
    ] = OUT,
    report: Annotated[
        bool, typer.Option("--report", help="Only check whether the data sets are compatible.")
    ] = False,
    precision: Precision = "",
    episodes: Annotated[
        int, typer.Option(help="Number of demonstrations to collect if there are none.", min=1)
    ] = 400,
    hands: Annotated[
        str, typer.Option(help="Hands to collect with, if data has to be collected.")
    ] = "xhand,inspire",
    choice: Mapping[str, Any],
    recipe: Mapping[str, Any],
) -> None:
    """Train a policy; without data, first collect it in simulation. `torchrun -m xlvla train
    policy` shares the work.
    """
    if data is None:
        _collect(Path(DATA), hands, episodes)

    from xlvla_data import hub
    from xlvla_policy.training import parallel, run
    from xlvla_policy.training.recipe import changed

    named = [hub.on_disk(text) for text in data or [DATA]]
    chosen = Choice(tuple(named), **choice)
    if report:
        run.report(chosen)
        return
    run.train(chosen, out, changed(run.base_recipe(chosen, out), recipe, precision))
    parallel.end()


def _collect(data: Path, hands: str, episodes: int) -> None:
    from xlvla_data import store

    if store.roots(data):
        return
    if "WORLD_SIZE" in os.environ:
        raise XlvlaError(
            f"no episodes in {data}: collect some first (`xlvla sim collect --out {data}`), then "
            "share the training"
        )
    from xlvla_cli.sim import choose_hands
    from xlvla_cli.sim.collect import collect

    episodes_of_each = -(-episodes // len(choose_hands(hands)))
    collect(data, hands=hands, episodes=episodes_of_each, workers=2)
