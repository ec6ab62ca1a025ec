"""`xlvla data split`: what is trained on and what is kept for judging it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla_cli.data import Folders, Hands, Success, Tasks, Verdict


def register(app: typer.Typer) -> None:
    app.command("split")(split)


def split(
    datasets: Folders,
    to: Annotated[Path, typer.Option(help="Folder for the folders `train` and `held_out`.")],
    holdout: Annotated[
        str, typer.Option(help="Pairs of hand and task to hold out: xhand:SC,inspire:PC.")
    ] = "",
    share: Annotated[
        float | None, typer.Option(min=0, max=1, help="Or the share of the episodes to hold out.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Seed of --share: the same seed holds out the same episodes.")
    ] = 0,
    hands: Hands = "",
    tasks: Tasks = "",
    verdict: Verdict = "",
    success: Success = "",
) -> None:
    """Split by hand and task, or by episodes; videos are linked where the disk allows it."""
    from xlvla import holdout as pairs
    from xlvla_cli.data.merge import carry_out
    from xlvla_data import rearrange, selection

    if bool(holdout) == (share is not None):
        raise XlvlaError("split by --holdout HAND:TASK,... or by --share 0.1: one of the two")
    episodes = selection.find(datasets, selection.parse(hands, tasks, verdict, success))
    if share is None:
        moves = rearrange.hold_out(episodes, to, pairs.parse(holdout))
    else:
        moves = rearrange.share(episodes, to, share, seed)
    folders = {move.folder for move in moves}
    if len(folders) < 2:
        raise XlvlaError(
            f"all {len(episodes)} episodes would be "
            f"{' and '.join(folder.name for folder in folders)}: nothing is split"
        )
    carry_out(moves, [to, *folders], datasets)
