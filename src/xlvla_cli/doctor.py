"""`xlvla doctor`: what this machine lacks, what that costs and what to do."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from xlvla_cli.machine import UsbPort

COLOURS = {"ok": "green", "lack": "yellow", "fault": "red"}
LOOK_S = 0.3


def register(app: typer.Typer) -> None:
    app.command()(doctor)


def doctor(
    ports: Annotated[
        bool,
        typer.Option(
            "--ports",
            help="Name serial adapters as they are unplugged: to tell which is which.",
        ),
    ] = False,
) -> None:
    """Look at this machine, this shell and what is installed; exit code 1 where there is a fault.

    A lack costs something, and its line says what; what has a fault does not work until it is
    mended.
    """
    if ports:
        _name_ports()
        return
    from xlvla import screen
    from xlvla_cli.machine import examined
    from xlvla_cli.tables import table

    console = screen.console()
    shown = table("This machine", "what", "", "found", "what to do")
    faults = 0
    with console.status("looking ..."):
        for finding in examined():
            faults += finding.level == "fault"
            level = screen.styled((finding.level, COLOURS[finding.level]))
            shown.add_row(finding.what, level, finding.line, finding.remedy)
    console.print(shown)
    if faults:
        raise typer.Exit(1)


def _name_ports() -> None:
    """Prints adapters that come and go, until Ctrl-C."""
    from xlvla_cli.machine import usb_ports

    before = usb_ports()
    for port in before:
        typer.echo(f"there      {_line(port)}")
    typer.echo("unplug the device you look for, and plug it in again; Ctrl-C ends")
    while True:
        time.sleep(LOOK_S)
        now = usb_ports()
        for port in before:
            if port not in now:
                typer.echo(f"unplugged  {_line(port)}")
        for port in now:
            if port not in before:
                typer.echo(f"plugged in {_line(port)}")
        before = now


def _line(port: UsbPort) -> str:
    return f"{port.name}  {port.title}" if port.title else str(port.name)
