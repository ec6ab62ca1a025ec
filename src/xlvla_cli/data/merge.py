"""`xlvla data merge`: episodes of several data sets, or some of one, as others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla_cli.data import Folders, Hands, Success, Tasks, Verdict, print_notes

if TYPE_CHECKING:
    from xlvla_data.rearrange import Move


def register(app: typer.Typer) -> None:
    app.command("merge")(merge)


def merge(
    datasets: Folders,
    to: Annotated[
        Path,
        typer.Option(
            help="Folder for the data sets, one per task and pair of hands; existing "
            "episodes are skipped."
            ""
        ),
    ],
    hands: Hands = "",
    tasks: Tasks = "",
    verdict: Verdict = "",
    success: Success = "",
) -> None:
    """Merge episodes, all or some. Features that not all of a data set's episodes have are left
    out with a line. Videos are hard-linked where the disk allows it.
    """
    from xlvla_data import rearrange, selection

    episodes = selection.find(datasets, selection.parse(hands, tasks, verdict, success))
    carry_out(rearrange.merge(episodes, to), [to], datasets)


def carry_out(moves: Sequence[Move], targets: Sequence[Path], sources: Sequence[Path]) -> None:
    """Moves episodes behind a progress bar and says how many went where."""
    from collections import Counter

    from rich.progress import track

    from xlvla.run import interruptible
    from xlvla_data import rearrange

    read = {source.resolve() for source in sources}
    for target in targets:
        if target.resolve() in read:
            raise XlvlaError(
                f"--to {target}: it is one of the data sets that are read; choose another folder"
            )
    put = Counter[Path]()
    there = 0
    with interruptible():
        common = rearrange.agree(moves)
        for move, new in track(
            rearrange.carry_out(moves, common), "episodes", total=len(moves), transient=True
        ):
            put[move.root] += new
            there += not new
    for root, count in sorted(put.items()):
        print(f"{root}: {count} episode{'s' * (count != 1)}")
    if there:
        print(f"{there} were there before")
    print_notes([move.stored for move in moves])
    for root, what in sorted(common.items()):
        for line in what.lines:
            print(plain(f"{root.name}: {line}"))
