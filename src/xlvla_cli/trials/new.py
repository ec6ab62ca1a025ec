"""`xlvla trials new`: draws trials, and writes the rigs that they are run on."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.types import FIRST_EVALUATION_SEED
from xlvla_cli.options import Tasks
from xlvla_cli.trials.series import FILE, Series, draw

if TYPE_CHECKING:
    from xlvla.rig import Rig

LARGEST_SEED = 2**31


def register(app: typer.Typer) -> None:
    app.command("new")(new)


def new(
    folder: Annotated[Path, typer.Argument(help="Folder for the trials; it is made.")],
    policy: Annotated[
        list[str],
        typer.Option(
            help="What is compared, twice or more: a policy of the catalogue, a weights file, or a "
            "rig's YAML file, whose `policy` is meant."
        ),
    ],
    rig: Annotated[str, typer.Option(help="The rig that is evaluated.")] = "bimanual",
    tasks: Tasks = "PC",
    hands: Annotated[
        str,
        typer.Option(
            help="Hands, separated by commas, 'left+right' for two different ones; the rig's own "
            "if not given."
        ),
    ] = "",
    trials: Annotated[
        int, typer.Option(min=1, help="Trials of each policy per task and hands.")
    ] = 10,
    scene: Annotated[
        int, typer.Option(min=0, help="Seed of the first scene; the next ones count on from it.")
    ] = FIRST_EVALUATION_SEED,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Seed of the order; drawn if not given, so that nobody knows it."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Record every trial, for its film.")
    ] = True,
) -> None:
    """Draw a blind comparison of policies: the same scenes for all, in random and balanced
    order.
    """
    from xlvla import paper
    from xlvla.screen import console
    from xlvla_cli.trials.contenders import contenders

    if (folder / FILE).exists():
        raise XlvlaError(
            f"{folder} holds trials already: `xlvla trials run {folder}` goes on with them; "
            "another folder begins new ones"
        )
    if len(policy) < 2:
        raise XlvlaError("a comparison needs two policies or more: repeat --policy")
    base = rig_file.load(rig)
    compared = contenders(base, policy)
    order_seed = secrets.randbelow(LARGEST_SEED) if seed is None else seed
    pairs = _pairs(base, hands)
    blocks = [(task, "+".join(pair)) for pair in pairs for task in paper.tasks(tasks)]
    scenes = range(scene, scene + trials)
    drawn = Series(base.name, order_seed, compared, draw(blocks, scenes, len(compared), order_seed))
    for task, worn in drawn.blocks:
        of_block = rig_of_block(base, task, worn, folder if record else None)
        path = rig_path(folder, task, worn)
        path.parent.mkdir(parents=True, exist_ok=True)
        of_block.save(path)
    drawn.save(folder)
    shown = console()
    shown.print(
        f"{len(drawn.trials)} trials of {len(compared)} policies are in {folder / FILE}, which "
        "says who acts when: who scores does not read it"
    )
    shown.print(how_to_go_on(folder, drawn))


def _pairs(base: Rig, hands: str) -> list[tuple[str, ...]]:
    """Hands from left to right; those of the rig's sides alone."""
    from xlvla_cli.eval import hand_pairs

    if not hands:
        return [tuple(base.hand(side).name for side in sorted(base.sides))]
    pairs: list[tuple[str, ...]] = []
    for left, right in hand_pairs(hands):
        by_side = {"left": left, "right": right}
        pairs.append(tuple(by_side[side] for side in sorted(base.sides)))
    return pairs


def rig_path(folder: Path, task: str, hands: str) -> Path:
    """Where the rig of a block is."""
    return folder / "rigs" / f"{hands}-{task}.yaml"


def rig_of_block(base: Rig, task: str, hands: str, recordings: Path | None) -> Rig:
    """The rig that trials of a block run on: without a policy, which every trial brings, with its
    hands, in simulation with its task.

    Args:
        recordings: folder of the trials, into which it records; None records nothing.
    """
    from xlvla.recording import RecorderConfig

    worn = dict(zip(sorted(base.sides), hands.split("+"), strict=True))
    rig = rig_file.with_choices(base, hands=worn, policy="none")
    if rig.sim is not None:
        rig = replace(rig, sim=replace(rig.sim, task=task))
    recorder = None
    if recordings is not None:
        place = str((recordings / "recordings").resolve())
        recorder = replace(rig.recorder or RecorderConfig(), folder=place, task=task)
    return replace(rig, name=f"{base.name}_trials", recorder=recorder)


def how_to_go_on(folder: Path, series: Series) -> str:
    """The commands that the next trial needs."""
    trial = series.next
    if trial is None:
        return f"all trials are scored: xlvla trials show {folder}"
    path = rig_path(folder, trial.task, trial.hands)
    return f"in one terminal: xlvla run {path}\nin another: xlvla trials run {folder}"
