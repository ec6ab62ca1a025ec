"""`xlvla data label`: what is known of a recorded episode only afterwards."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from xlvla.errors import XlvlaError, unknown

SUCCESS = {"yes": True, "no": False, "unknown": None}


def register(app: typer.Typer) -> None:
    app.command("label")(label)


def label(
    episodes: Annotated[
        list[Path], typer.Argument(help="Recorded episodes, the folders of their bags.")
    ],
    success: Annotated[
        str, typer.Option(help="Whether the task was done: yes, no or unknown.")
    ] = "",
    instruction: Annotated[str, typer.Option(help="The task instruction.")] = "",
    task: Annotated[str, typer.Option(help="The task, the paper's code or a name.")] = "",
) -> None:
    """Label recorded episodes; data sets that were converted from them before do not change."""
    from xlvla import paper
    from xlvla_data.bag.card import read_episode_card

    if not (success or instruction or task):
        raise XlvlaError("nothing to label: say --success, --instruction or --task")
    if success and success not in SUCCESS:
        raise unknown("success", success, SUCCESS)
    # All are read before any is written
    cards = {folder: read_episode_card(folder) for folder in episodes}
    for folder, card in cards.items():
        if card.state == "recording":
            raise XlvlaError(f"{folder} is being recorded: label it afterwards")
    for folder, card in cards.items():
        labelled = replace(
            card,
            success=SUCCESS[success] if success else card.success,
            instruction=instruction or card.instruction,
            task=paper.task(task) if task else card.task,
        )
        labelled.write(folder)
        said = {True: "yes", False: "no", None: "unknown"}[labelled.success]
        typer.echo(f"{folder}: success {said}, '{labelled.instruction}'")
