"""`xlvla bench devices`: a rig of devices, real or emulated, watched while its policy drives it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla_cli.options import FiguresOut, OwnDomain

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.rig import Rig
    from xlvla.screen import Screen
    from xlvla_cli.ros.controls import Controls
    from xlvla_cli.ros.session import Session

LOOK_S = 1.0
FIGURES = {
    "states/s": "states [Hz]",
    "read p99, ms": "read p99 [ms]",
    "write p99, ms": "write p99 [ms]",
    "deadlines missed": "deadlines missed",
    "link losses": "link losses",
    "commands": "commands accepted",
}


def register(app: typer.Typer) -> None:
    app.command("devices")(devices)


def devices(
    rig: Annotated[
        str, typer.Argument(help="A rig of the catalogue or a rig's YAML file, without simulation.")
    ] = "bimanual_emulated",
    seconds: Annotated[float, typer.Option(min=5.0, help="How long to watch.")] = 300.0,
    policy: Annotated[
        str | None,
        typer.Option(help="Policy instead of the rig's; none holds the devices still."),
    ] = None,
    out: FiguresOut = None,
    domain: OwnDomain = None,
) -> None:
    """Watch a rig of devices at work: missed deadlines, lost links and refused commands. Only what
    is emulated is made to move.
    """
    from xlvla.errors import XlvlaError
    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.bench.figures import save
    from xlvla_cli.run import ready_or_raise

    resolved = rig_file.with_choices(rig_file.load(rig), policy=policy)
    if resolved.sim:
        raise XlvlaError(
            f"rig '{resolved.name}' is simulated and has no devices: `xlvla bench control` "
            "measures it"
        )
    ready_or_raise(resolved)
    if domain is None:
        domain = own_domain()
    with Screen() as screen, interruptible():
        figures = _watch(resolved, seconds, domain, screen)
        screen.console.print(_table(figures))
        screen.say(f"{figures['line']}; load average {figures['load_average']:.1f}")
    save(out, figures)


def _watch(rig: Rig, seconds: float, domain: int, screen: Screen) -> dict[str, Any]:
    import os

    from xlvla_cli.bench.ros import machine_pauses
    from xlvla_cli.ros.controls import Controls
    from xlvla_cli.ros.session import Session

    with Session(rig, domain=domain, listener=screen.on_output, progress=screen.waiting) as session:
        controls = Controls(session.operator, rig)
        with machine_pauses.measured(rig.motion.rate_hz) as pauses:
            engaged, scenes = _drive(session, controls, seconds, screen)
        diagnostics = session.operator.figures()
        summary = session.measure.summary()
    devices: dict[str, dict[str, float]] = {}
    for side, part in rig.parts:
        devices[f"{side} {part}"] = _counted(diagnostics.get(f"{side}_{part}", {}))
    motion = diagnostics.get("motion", {})
    stops = max(engaged - 1, 0)
    missed = motion.get("deadlines missed", 0)
    due = round(seconds * rig.motion.rate_hz)
    line = (
        f"{seconds:.0f} s: {scenes} scenes finished, motion stopped {stops} times and missed "
        f"{missed} of {due} deadlines, a bare thread beside it {pauses.missed}; {pauses}"
    )
    return {
        "devices": devices,
        "motion": motion,
        **summary,
        "standstills_s": pauses.pauses_s,
        "bare_thread_missed": pauses.missed,
        "rig": rig.name,
        "seconds": seconds,
        "stops": stops,
        "line": line,
        "load_average": os.getloadavg()[0],
    }


def _drive(session: Session, controls: Controls, seconds: float, screen: Screen) -> tuple[int, int]:
    """Lets an emulated rig be driven, and again whenever a lost device has stopped it; how often,
    and how many scenes were finished.
    """
    import time

    end_s = time.monotonic() + seconds
    look_s = 0.0
    engaged = 0
    scenes = 0
    homing = False
    while (left_s := end_s - time.monotonic()) > 0:
        status = session.tick()
        well = all(status.level != "fault" for status in controls.devices().values())
        if status.get("done") and session.rig.mirrored and not homing:
            controls.press("h")
            homing = True
            look_s = time.monotonic() + 2 * LOOK_S
        if time.monotonic() > look_s:
            look_s = time.monotonic() + LOOK_S
            state = session.operator.figures().get("motion", {}).get("", "")
            if homing and state != "going home":
                controls.press("n")
                homing = False
                scenes += 1
            # Only what is emulated is made to move.
            emulated = session.rig.emulated == session.rig.parts
            stands = not engaged or "disengaged" in state
            if emulated and well and stands:
                controls.press("e")
                engaged += 1
            screen.now(f"watching, {left_s:.0f} s left, {scenes} scenes finished")
    return engaged, scenes


def _counted(figures: dict[str, str]) -> dict[str, float]:
    """How well a device was served, of its diagnostics, and how many commands were refused."""
    counted = {title: float(figures.get(name, 0)) for title, name in FIGURES.items()}
    refused = 0
    for name, count in figures.items():
        if name.startswith("commands refused"):
            refused += int(count)
    counted["refused"] = refused
    return counted


def _table(figures: dict[str, Any]) -> Table:
    from xlvla_cli.tables import table

    columns = list(next(iter(figures["devices"].values())))
    rows = table(f"Devices of {figures['rig']}", "part", *columns)
    for part, counted in figures["devices"].items():
        cells: list[str] = []
        for name, value in counted.items():
            digits = 1 if "ms" in name else 0
            cells.append(f"{value:.{digits}f}")
        rows.add_row(part, *cells)
    return rows
