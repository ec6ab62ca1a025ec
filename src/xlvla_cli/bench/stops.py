"""`xlvla bench stops`: a running rig is stopped in every way there is, and must come to rest within
limits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.options import FiguresOut, HarmlessRigs, OwnDomain

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.screen import Screen
    from xlvla_cli.bench.ros.stop_rows import Row
    from xlvla_cli.tables import Columns

RIGS = ("bimanual", "bimanual_emulated")

CAPTION = (
    "last: speed of motion's last command; acc., jerk: of its commands as a share of their limits; "
    "to rest: commands after the stop that still move;\n"
    "measured acc.: of devices, as a share of what drivers may send, {measured:g} is tolerated; "
    "back: fastest once what stood still went on; told: lines of status and log"
)


def register(app: typer.Typer) -> None:
    app.command("stops")(stops)


def stops(
    rig: HarmlessRigs = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Only stops whose name contains this; repeatable.")
    ] = None,
    out: FiguresOut = None,
    domain: OwnDomain = None,
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
    from dataclasses import asdict

    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.bench import figures

    if domain is None:
        domain = own_domain()
    rows_of: dict[str, list[Row]] = {}
    with Screen() as screen, interruptible():
        for name in rig or RIGS:
            rows = _tried(name, stop or [""], domain, screen, verbose)
            rows_of[name] = rows
            screen.console.print(_table(name, rows))
            if reported:
                _show_reported(rows, screen)
    figures.save(out, {name: [asdict(row) for row in rows] for name, rows in rows_of.items()})
    for rows in rows_of.values():
        if any(row.faults for row in rows):
            raise typer.Exit(1)


def _tried(name: str, parts: list[str], domain: int, screen: Screen, verbose: bool) -> list[Row]:
    """The stops whose names contain one of some parts, tried on a rig."""
    from xlvla.errors import unknown
    from xlvla_cli.bench.ros.running_rig import RunningRig, harmless
    from xlvla_cli.bench.ros.stop_trial import StopTrial
    from xlvla_cli.bench.ros.stops import TRIED, tried

    loaded = harmless(name)
    names = {stop.name for stop, _, _ in TRIED}
    for part in parts:
        if not any(part in other for other in names):
            raise unknown("stop", part, names)
    rows: list[Row] = []
    listener = screen.on_output if verbose else lambda name, line: None
    with RunningRig(loaded, domain, listener) as running:
        trial = StopTrial(running)
        for stop, moving, rogue in tried(running.rig):
            if any(part in stop.name for part in parts):
                screen.now(f"{name}: {stop.name}, {moving}")
                row = trial.row(stop, moving, rogue)
                rows.append(row)
                _show_faults(row, screen)
    return rows


def _table(name: str, rows: list[Row]) -> Table:
    from xlvla_cli.bench.ros.stop_trial import MEASURED
    from xlvla_cli.tables import table_of

    columns: Columns[Row] = (
        ("stop", lambda row: row.stop),
        ("moving", lambda row: row.what),
        ("who", lambda row: row.who),
        ("last rad/s", lambda row: f"{row.last_speed:.2f}"),
        ("acc.", lambda row: f"{row.acceleration:.2f}"),
        ("jerk", lambda row: f"{row.jerk:.2f}"),
        ("to rest", _to_rest),
        ("measured acc.", lambda row: f"{row.measured:.2f}"),
        ("moved rad", lambda row: f"{row.moved_rad:.2f}"),
        ("back rad/s", _back),
        ("told", lambda row: str(len(row.reported))),
        ("at rest within limits", lambda row: "no" if row.faults else "yes"),
    )
    shown = table_of(f"Stops on the rig '{name}'", columns, rows)
    shown.caption = CAPTION.format(measured=MEASURED)
    return shown


def _to_rest(row: Row) -> str:
    if row.commands is None or row.rest_s is None:
        return "-"
    return f"{row.commands}, {1e3 * row.rest_s:.0f} ms"


def _back(row: Row) -> str:
    return "-" if row.return_rad_s is None else f"{row.return_rad_s:.2f}"


def _show_faults(row: Row, screen: Screen) -> None:
    for fault in row.faults:
        screen.say((f"{row.stop}, {row.what}, {row.who}: {fault}", "red"))


def _show_reported(rows: list[Row], screen: Screen) -> None:
    for row in rows:
        lines = "; ".join(row.reported) or "nothing was reported"
        screen.say(f"{row.stop}, {row.what}, {row.who}: ", (lines, "dim"))
