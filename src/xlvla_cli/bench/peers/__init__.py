"""`xlvla bench peers`: the same work done by public libraries and by us, beside each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.options import FiguresOut, chosen

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla_cli.bench.peers.contest import Contest, Standing


def register(app: typer.Typer) -> None:
    app.command("peers")(peers)


def peers(
    what: Annotated[str, typer.Option(help="Contests, separated by commas, or 'all'.")] = "all",
    rounds: Annotated[int, typer.Option(min=1, help="How often everybody does the work.")] = 5,
    size: Annotated[
        float, typer.Option(min=0.01, help="Share of the whole work; less is quicker and rougher.")
    ] = 1.0,
    core: Annotated[
        int | None,
        typer.Option(min=0, help="Processor core that all of it runs on; the first if not given."),
    ] = None,
    out: FiguresOut = None,
) -> None:
    """Measure recording, reading, inverse kinematics and the servo step beside public libraries:
    everybody in turn in a process of its own on one core, and what was done is checked.
    """
    import tempfile
    from pathlib import Path

    from xlvla.screen import Screen
    from xlvla_cli.bench.figures import save
    from xlvla_cli.bench.peers.contest import compared, core_of, versions
    from xlvla_cli.bench.peers.contests import CONTESTS

    known = {contest.name: contest for contest in CONTESTS}
    names = list(known) if what == "all" else chosen("contest", what, known)
    # What is missing is said before anything is measured for minutes.
    used = versions(known[name] for name in names)
    core = core_of(core)
    figures: dict[str, object] = {}
    with Screen() as screen:
        for name in names:
            contest = known[name]
            with tempfile.TemporaryDirectory() as folder:
                screen.now(contest.title)
                standings = compared(contest, Path(folder), rounds, size, core, screen.now)
            screen.console.print(_table(contest, standings))
            figures[name] = [standing.figures() for standing in standings]
    screen.console.print(", ".join(f"{name} {version}" for name, version in used.items()))
    save(out, {"versions": used, "contests": figures})


def _table(contest: Contest, standings: list[Standing]) -> Table:
    from xlvla_cli.tables import table

    shown = table(
        contest.title, "who", contest.unit, "least", "most", "done", "xlvla / it", "least", "most"
    )
    for standing in standings:
        cells = [f"{number:,.0f}" for number in (standing.median, standing.least, standing.most)]
        cells.append(f"{standing.done:.3f}")
        ratio = standing.ratio
        cells += ["", "", ""] if ratio is None else [f"{number:.2f}" for number in ratio]
        shown.add_row(standing.who, *cells)
    return shown
