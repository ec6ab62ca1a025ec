"""`xlvla data show`: a page to look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from xlvla_cli.data import Folders, Hands, Success, Tasks, Verdict, print_notes


def register(app: typer.Typer) -> None:
    app.command("show")(show)


def show(
    datasets: Folders,
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for report.html, one file that needs nothing else, and overview.png."
        ),
    ] = Path("out/report"),
    most: Annotated[
        int, typer.Option(min=1, help="Episodes to look at closely, of all data sets in turn.")
    ] = 6,
    hands: Hands = "",
    tasks: Tasks = "",
    verdict: Verdict = "",
    success: Success = "",
) -> None:
    """Draw joints, pictures, durations, verdicts and how much of the latent space is covered."""
    from xlvla import screen
    from xlvla.codec import Codec
    from xlvla_data import selection
    from xlvla_data.report import page
    from xlvla_data.report.gather import gather

    console = screen.console()
    with console.status("reading episodes"):
        episodes = selection.find(datasets, selection.parse(hands, tasks, verdict, success))
        overview = gather(episodes, Codec.load(), most)
    with console.status("drawing"):
        page.write(
            overview,
            " + ".join(folder.resolve().name for folder in datasets),
            out / "report.html",
            out / "overview.png",
        )
    print(out / "report.html", out / "overview.png")
    print_notes(episodes)
