"""`xlvla data push` and `pull`: data sets to the Hugging Face Hub and from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla_cli.hub import License, Public, Source, Target, folder_of, print_pulled, print_pushed


def register(app: typer.Typer) -> None:
    app.command("push")(push)
    app.command("pull")(pull)


def push(
    dataset: Annotated[Path, typer.Argument(help="Folder of one data set.")],
    repository: Target,
    public: Public = False,
    license: License = "",
) -> None:
    """Push a data set with a card to the Hugging Face Hub, in one commit that LeRobot reads, too.

    What has gone over is not sent twice, if a push is interrupted and done again. HF_TOKEN or
    `hf auth login` says who pushes, HF_ENDPOINT to which server.
    """
    from xlvla.run import ended_by_signals
    from xlvla_data import hub

    with ended_by_signals():
        print_pushed(hub.push(dataset, repository, public=public, license=license))


def pull(
    repository: Source,
    to: Annotated[
        Path | None, typer.Option(help="Folder to bring it to; data/NAME if not given.")
    ] = None,
) -> None:
    """Pull a LeRobot v3 data set from the Hugging Face Hub.

    What is there already is not fetched again, and an interrupted pull goes on where it was. A
    folder in which something would be lost is refused.
    """
    from xlvla.run import ended_by_signals
    from xlvla_data import hub

    with ended_by_signals():
        print_pulled(*hub.pull(repository, to or folder_of(repository, "data")))
