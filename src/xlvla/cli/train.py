"""`xlvla train`: training of policies."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

OUT = Path("out/train/push_cans.safetensors")
DATA = Path("out/episodes")


def register(app: typer.Typer) -> None:
    sub = typer.Typer(name="train", no_args_is_help=True, help="Train policies from demonstrations.")
    sub.command("policy")(policy)
    app.add_typer(sub)


def policy(
    data: Annotated[Path, typer.Option(help="LeRobot data set or folder of them; collected in simulation where there is none.")] = DATA,
    out: Annotated[Path, typer.Option(help="Weights file to write; the state to resume from lies beside it.")] = OUT,
    preset: Annotated[str, typer.Option(help="Size of the model: tiny, small.")] = "small",
    minutes: Annotated[float, typer.Option(help="Minutes of training.", min=0.01)] = 40.0,
    steps: Annotated[int | None, typer.Option(help="Stop after so many steps, if that is sooner.", min=1)] = None,
    batch: Annotated[int, typer.Option(help="Observations per step.", min=1)] = 64,
    stride: Annotated[int, typer.Option(help="Every which frame becomes an observation.", min=1)] = 2,
    threads: Annotated[int, typer.Option(help="Processor threads.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    episodes: Annotated[int, typer.Option(help="Demonstrations, where they have to be collected.", min=1)] = 400,
    hands: Annotated[str, typer.Option(help="Hands to collect with, when data has to be collected.")] = "xhand,inspire",
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")] = False,
) -> None:
    """Train a policy; without data, first collect it in simulation."""
    from xlvla_data import store
    from xlvla_policy.training import run
    from xlvla_policy.training.loop import Recipe

    if not store.roots(data):
        _collect(data, hands, episodes)
    recipe = Recipe(steps=steps, minutes=minutes, batch=batch, seed=seed)
    run.train(data, out, run.Choice(preset=preset, stride=stride, threads=threads, resume=resume), recipe)


def _collect(data: Path, hands: str, episodes: int) -> None:
    from xlvla.cli.sim import collect

    collect(out=data, task="push_cans", hands=hands, episodes=episodes, mixed=0.2, rig="bimanual", workers=2, seed=0)
