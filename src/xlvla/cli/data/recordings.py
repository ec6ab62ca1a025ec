"""`xlvla data recordings` and `repair`: what was recorded, and what a killed recorder left behind."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xlvla.errors import XlvlaError
from xlvla.text import plain

Bags = Annotated[list[Path], typer.Argument(help="Recorded episodes, sessions, or folders of sessions.", metavar="BAGS")]


def register(app: typer.Typer) -> None:
    app.command("recordings")(recordings)
    app.command("repair")(repair)


def recordings(bags: Bags) -> None:
    """List recorded episodes: what was done with which hands, whether it succeeded, the verdict and its worst finding."""
    from xlvla.cli.list import table
    from xlvla.screen import Screen, styled
    from xlvla_data.bag.card import read_card

    shown = table("Recordings", "episode", "task", "hands", "s", "success", "verdict", "finding")
    for folder in _found(bags):
        card = read_card(folder)
        success = {True: "yes", False: "no", None: "unknown"}[card.success]
        verdict = styled((card.verdict, card.verdict)) if card.verdict else card.state
        worst = str(card.findings[0]).partition(": ")[2] if card.findings else ""
        hands = "+".join(dict.fromkeys(card.hands.values()))
        where = f"{folder.parent.name}/{folder.name}"
        shown.add_row(where, card.task, hands, f"{card.duration_s:.1f}", success, verdict, worst)
    with Screen() as screen:
        screen.console.print(shown)


def repair(bags: Bags) -> None:
    """Make whole what killed recorders left behind: everything that reached the disk is kept, and `ros2 bag` plays it again."""
    from xlvla_data.bag.layout import mcap_path
    from xlvla_data.bag.repair import repair

    count = 0
    for folder in _found(bags):
        if mcap_path(folder).is_file() and repair(folder):
            count += 1
            typer.echo(f"{plain(folder)}: whole again")
    typer.echo(f"{count} repaired" if count else "nothing to repair")


def _found(folders: Sequence[Path]) -> list[Path]:
    from xlvla_data.bag.reader import bags

    found = [bag for folder in folders for bag in bags(folder)]
    if not found:
        raise XlvlaError(f"no recorded episode in {', '.join(map(str, folders))}")
    return list(dict.fromkeys(found))
