"""`xlvla bench stops`: a running rig is stopped in every way there is, and must come to rest within
limits.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.screen import Screen
    from xlvla_cli.bench.ros.stop_rows import Row

RIGS = ("bimanual", "bimanual_emulated")


def register(app: typer.Typer) -> None:
    app.command("stops")(stops)


def stops(
    rig: Annotated[
        list[str] | None,
        typer.Option(
            help="Rig, simulated or of emulated devices; repeatable. Both kinds by default."
        ),
    ] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Only stops whose name contains this; repeatable.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    domain: Annotated[
        int | None, typer.Option(min=0, max=101, help="ROS domain; by default one of its own.")
    ] = None,
    reported: Annotated[
        bool, typer.Option("--told", help="Also show every status and log line after each stop.")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", help="Also show the nodes' output.")
    ] = False,
) -> None:
    """Stop a running rig in every way there is while it moves; exit code 1 where it does not come
    to rest within limits.
    """
    import json
    from dataclasses import asdict

    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen

    found: dict[str, list[Row]] = {}
    with Screen() as screen, interruptible():
        for name in rig or RIGS:
            found[name] = _tried(
                name, stop or [""], own_domain() if domain is None else domain, screen, verbose
            )
            screen.console.print(_table(name, found[name]))
            if reported:
                _tell(found[name], screen)
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            json.dumps(
                {name: [asdict(row) for row in rows] for name, rows in found.items()}, indent=2
            )
            + "\n"
        )
    if any(row.faults for rows in found.values() for row in rows):
        raise typer.Exit(1)


def _tried(name: str, chosen: list[str], domain: int, screen: Screen, verbose: bool) -> list[Row]:
    from xlvla.errors import unknown
    from xlvla_cli.bench.ros.running_rig import RunningRig, harmless
    from xlvla_cli.bench.ros.stop_trial import StopTrial
    from xlvla_cli.bench.ros.stops import TRIED, tried

    loaded = harmless(name)
    for words in chosen:
        if not any(words in stop.name for stop, _, _ in TRIED):
            raise unknown("stop", words, {stop.name for stop, _, _ in TRIED})
    rows: list[Row] = []
    with RunningRig(
        loaded, domain, screen.on_output if verbose else lambda name, line: None
    ) as running:
        trial = StopTrial(running)
        for stop, what, rogue in tried(running.rig):
            if any(words in stop.name for words in chosen):
                screen.now(f"{name}: {stop.name}, {what}")
                rows.append(trial.row(stop, what, rogue))
                _complain(rows[-1:], screen)
    return rows


def _table(name: str, rows: list[Row]) -> Table:
    from xlvla_cli.bench.ros.stop_trial import MEASURED
    from xlvla_cli.tables import table

    heads = (
        "stop",
        "moving",
        "who",
        "last rad/s",
        "acc.",
        "jerk",
        "to rest",
        "measured acc.",
        "moved rad",
        "back rad/s",
        "told",
        "at rest within limits",
    )
    shown = table(f"Stops on the rig '{name}'", *heads)
    for row in rows:
        shown.add_row(
            *(
                row.stop,
                row.what,
                row.who,
                f"{row.last_speed:.2f}",
                f"{row.acceleration:.2f}",
                f"{row.jerk:.2f}",
            ),
            "-"
            if row.commands is None or row.rest_s is None
            else f"{row.commands}, {1e3 * row.rest_s:.0f} ms",
            f"{row.measured:.2f}",
            f"{row.moved_rad:.2f}",
            "-" if row.return_rad_s is None else f"{row.return_rad_s:.2f}",
            str(len(row.reported)),
            "no" if row.faults else "yes",
        )
    shown.caption = (
        "last: speed of motion's last command; acc., jerk: of its commands as a share of their "
        "limits; to rest: commands after the stop "
        "that still move;\nmeasured acc.: of devices, as a share of what drivers may send, "
        f"{MEASURED:g} is tolerated; "
        "back: fastest once what stood still went on; told: lines of status and log"
    )
    return shown


def _complain(rows: list[Row], screen: Screen) -> None:
    for row in rows:
        for fault in row.faults:
            screen.say((f"{row.stop}, {row.what}, {row.who}: {fault}", "red"))


def _tell(rows: list[Row], screen: Screen) -> None:
    for row in rows:
        screen.say(
            f"{row.stop}, {row.what}, {row.who}: ",
            ("; ".join(row.reported) or "nothing was reported", "dim"),
        )
