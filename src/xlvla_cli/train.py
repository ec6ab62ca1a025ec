"""`xlvla train`: training of policies."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla.errors import XlvlaError

if TYPE_CHECKING:
    from xlvla_policy.training.recipe import Recipe

OUT = Path("out/train/push_cans.safetensors")
DATA = "out/episodes"


def register(app: typer.Typer) -> None:
    sub = typer.Typer(
        name="train", no_args_is_help=True, help="Train policies from demonstrations."
    )
    sub.command("policy")(policy)
    app.add_typer(sub)


def policy(
    data: Annotated[
        list[str] | None,
        typer.Option(help="Data set or folder of them, perhaps with a weight: A, B=0.3."),
    ] = None,
    holdout: Annotated[
        str, typer.Option(help="Hands and tasks to keep out of training: xhand:SC,inspire:PC.")
    ] = "",
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
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted run.")] = False,
    preset: Annotated[
        str, typer.Option(help="Size of the model: tiny, small, pi0, pi0_base.")
    ] = "small",
    space: Annotated[
        str, typer.Option(help="Action space: latent, or raw joints for comparison.")
    ] = "",
    cameras: Annotated[
        str, typer.Option(help="Cameras in order, separated by commas, where not the preset's.")
    ] = "",
    init: Annotated[
        Path | None,
        typer.Option(help="Weights to begin with: of `xlvla weights import`, or a policy's."),
    ] = None,
    words: Annotated[
        Path | None,
        typer.Option(
            help="Sentencepiece model; PaliGemma's for weights trained with its tokenizer."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Minutes of training; the preset's if not given.", min=0.01),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(help="Training steps; with --minutes, whichever ends first.", min=1),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Observations per step, of all processes together.", min=1)
    ] = None,
    draws: Annotated[int | None, typer.Option(help="Noise samples per observation.", min=1)] = None,
    rate: Annotated[float | None, typer.Option(help="Highest learning rate.", min=0)] = None,
    warm_up: Annotated[int | None, typer.Option(help="Steps until it is reached.", min=1)] = None,
    precision: Annotated[str, typer.Option(help="Of matrix products: float32, bfloat16.")] = "",
    recompute: Annotated[
        bool | None,
        typer.Option(help="Gradient checkpointing: far less memory, a third more work."),
    ] = None,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the layers.")] = False,
    freeze: Annotated[
        str, typer.Option(help="Parts whose weights are frozen: vision, language, action.")
    ] = "",
    lora: Annotated[
        str,
        typer.Option(help="Parts trained with LoRA, with their rank: language=16,action=32."),
    ] = "",
    lora_alpha: Annotated[
        float | None,
        typer.Option(help="LoRA alpha: adapters are scaled by alpha / rank; 1 if not given."),
    ] = None,
    lora_on: Annotated[str, typer.Option(help="Which projections LoRA adapts.")] = "attention,mlp",
    committed: Annotated[
        float,
        typer.Option(
            help="Share of noise samples whose chunk begins with an action prefix.", min=0, max=1
        ),
    ] = 0.0,
    stride: Annotated[int, typer.Option(help="Stride [frames] between observations.", min=1)] = 2,
    device: Annotated[
        str, typer.Option(help="cpu or cuda; cuda where there is one if not given.")
    ] = "auto",
    threads: Annotated[int, typer.Option(help="Processor threads.", min=1)] = 2,
    cache: Annotated[Path | None, typer.Option(help="Folder for decoded pictures.")] = None,
    tensorboard: Annotated[
        bool,
        typer.Option("--tensorboard", help="Write TensorBoard event files next to the weights."),
    ] = False,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 0,
    episodes: Annotated[
        int, typer.Option(help="Number of demonstrations to collect if there are none.", min=1)
    ] = 400,
    hands: Annotated[
        str, typer.Option(help="Hands to collect with, if data has to be collected.")
    ] = "xhand,inspire",
) -> None:
    """Train a policy; without data, first collect it in simulation. `torchrun -m xlvla train
    policy` shares the work.
    """
    options = dict(locals())
    if data is None:
        _collect(Path(DATA), hands, episodes)
    _run(options)


def _run(options: dict[str, Any]) -> None:
    from xlvla_policy.training import parallel, preparation, recipe, run

    own = (
        "holdout",
        "preset",
        "space",
        "init",
        "words",
        "stride",
        "threads",
        "device",
        "cache",
        "resume",
    )
    chosen = {key: options[key] for key in own} | {"board": options["tensorboard"]}
    choice = preparation.Choice(
        tuple(options["data"] or [DATA]), cameras=_listed(options["cameras"]), **chosen
    )
    if options["report"]:
        run.report(choice)
    else:
        run.train(choice, options["out"], chosen_recipe(recipe.usual(options["preset"]), options))
        parallel.end()


def chosen_recipe(usual: Recipe, options: dict[str, Any]) -> Recipe:
    """The preset's recipe with what was chosen instead."""
    precision = options.get("precision", "")
    lora_on = _listed(options.get("lora_on", ""))
    if precision not in ("", "float32", "bfloat16"):
        raise XlvlaError(f"--precision {precision}: float32 or bfloat16 can be trained in")
    plain = (
        "minutes",
        "steps",
        "batch",
        "draws",
        "rate",
        "warm_up",
        "recompute",
        "lora_alpha",
        "committed",
        "compile",
        "seed",
    )
    chosen = {key: options[key] for key in plain if options.get(key) is not None}
    if "steps" in chosen or "minutes" in chosen:
        chosen = {"steps": None, "minutes": None} | chosen
    chosen |= {"bf16": precision == "bfloat16"} if precision else {}
    chosen |= {"lora_on": lora_on} if lora_on else {}
    return replace(usual, frozen=_listed(options["freeze"]), lora=_ranks(options["lora"]), **chosen)


def _ranks(text: str) -> dict[str, int]:
    """{'language': 16} of 'language=16'."""
    ranks: dict[str, int] = {}
    for part in _listed(text):
        name, _, rank = part.partition("=")
        if not rank.isdigit():
            raise XlvlaError(
                f"--lora {text}: a part and its rank are wanted, as in language=16,action=32"
            )
        ranks[name] = int(rank)
    return ranks


def _listed(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


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

    collect(data, hands=hands, episodes=-(-episodes // len(choose_hands(hands))), workers=2)
