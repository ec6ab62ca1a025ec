"""`xlvla data recordings` and `repair`: what was recorded, and what a killed recorder left
behind.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.text import plain

Bags = Annotated[
    list[Path],
    typer.Argument(help="Recorded episodes, sessions, or folders of sessions.", metavar="BAGS"),
]


def register(app: typer.Typer) -> None:
    app.command("recordings")(recordings)
    app.command("repair")(repair)


def recordings(bags: Bags) -> None:
    """List recorded episodes: what was done with which hands, whether it succeeded, the verdict and
    its worst issue.
    """
    from xlvla.screen import Screen, styled
    from xlvla_cli.tables import table
    from xlvla_data.bag.card import read_episode_card

    shown = table("Recordings", "episode", "task", "hands", "s", "success", "verdict", "finding")
    damaged: list[str] = []
    for folder in _found(bags):
        try:
            card = read_episode_card(folder)
        except XlvlaError as error:
            damaged.append(plain(error))
            continue
        success = {True: "yes", False: "no", None: "unknown"}[card.success]
        verdict = styled((card.verdict, card.verdict)) if card.verdict else card.state
        worst = str(card.findings[0]).partition(": ")[2] if card.findings else ""
        hands = "+".join(dict.fromkeys(card.hands.values()))
        where = f"{folder.parent.name}/{folder.name}"
        shown.add_row(where, card.task, hands, f"{card.duration_s:.1f}", success, verdict, worst)
    with Screen() as screen:
        screen.console.print(shown)
    for line in damaged:
        typer.echo(line)
    raise typer.Exit(1 if damaged else 0)


def repair(bags: Bags) -> None:
    """Make whole what killed recorders left behind or what was damaged since, so that `ros2 bag`
    plays it again.

    Everything that can be read is kept, and a file that holds more than that stays beside it with
    `.damaged` behind its name. What cannot be repaired is left as it is with a line, and the exit
    code is then 1.
    """
    from xlvla_data.recorder.repair import repair

    repaired = 0
    failed = 0
    for folder in _found(bags):
        try:
            done = repair(folder)
        except XlvlaError as error:
            failed += 1
            typer.echo(plain(error))
            continue
        if done:
            repaired += 1
            typer.echo(plain(f"{folder}: {done}"))
    counts: list[str] = []
    if repaired:
        counts.append(f"{repaired} repaired")
    if failed:
        counts.append(f"{failed} could not be repaired")
    typer.echo(", ".join(counts) or "nothing to repair")
    raise typer.Exit(1 if failed else 0)


def _found(folders: Sequence[Path]) -> list[Path]:
    from xlvla_data.bag.reader import bags

    episodes: list[Path] = []
    for folder in folders:
        episodes += bags(folder)
    if not episodes:
        raise XlvlaError(f"no recorded episode in {', '.join(map(str, folders))}")
    # A folder may be named twice, or lie in another one.
    return list(dict.fromkeys(episodes))
