"""`xlvla bench devices`: a rig of devices, real or emulated, watched while its policy drives it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file

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
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    domain: Annotated[
        int | None, typer.Option(min=0, max=101, help="ROS domain; by default one of its own.")
    ] = None,
) -> None:
    """Watch a rig of devices at work: missed deadlines, lost links and refused commands. Only what
    is emulated is made to move.
    """
    import json

    from xlvla.errors import XlvlaError
    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.run import ready_or_raise

    chosen = rig_file.with_choices(rig_file.load(rig), policy=policy)
    if chosen.sim:
        raise XlvlaError(
            f"rig '{chosen.name}' is simulated and has no devices: `xlvla bench control` measures "
            "it"
        )
    ready_or_raise(chosen)
    with Screen() as screen, interruptible():
        figures = _watch(chosen, seconds, own_domain() if domain is None else domain, screen)
        screen.console.print(_table(figures))
        screen.say(f"{figures['line']}; load average {figures['load_average']:.1f}")
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=2) + "\n")


def _watch(rig: Rig, seconds: float, domain: int, screen: Screen) -> dict[str, Any]:
    import os

    from xlvla_cli.bench.ros import machine_pauses
    from xlvla_cli.ros.controls import Controls
    from xlvla_cli.ros.session import Session

    with Session(rig, domain=domain, listener=screen.on_output, progress=screen.waiting) as session:
        controls = Controls(session.operator, rig)
        with machine_pauses.measured(rig.motion.rate_hz) as still:
            engaged, scenes = _drive(session, controls, seconds, screen)
        found = session.operator.figures()
        figures: dict[str, Any] = {
            f"{side} {part}": _counted(found.get(f"{side}_{part}", {})) for side, part in rig.parts
        }
        figures = {
            "devices": figures,
            "motion": found.get("motion", {}),
            **session.measure.summary(),
        }
    stops = max(engaged - 1, 0)
    missed = figures["motion"].get("deadlines missed", 0)
    due = round(seconds * rig.motion.rate_hz)
    line = (
        f"{seconds:.0f} s: {scenes} scenes finished, motion stopped {stops} times and missed "
        f"{missed} of {due} deadlines, "
    )
    line += f"a bare thread beside it {still.missed}; {still}"
    return figures | {
        "standstills_s": still.pauses_s,
        "bare_thread_missed": still.missed,
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
        well = all(word.level != "fault" for word in controls.devices().values())
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
                scenes = scenes + 1
            if (
                session.rig.emulated == session.rig.parts
                and well
                and (not engaged or "disengaged" in state)
            ):
                controls.press("e")
                engaged += 1
            screen.now(f"watching, {left_s:.0f} s left, {scenes} scenes finished")
    return engaged, scenes


def _counted(figures: dict[str, str]) -> dict[str, float]:
    """The figures of a device that say how well it was served."""
    refused = sum(
        int(count) for name, count in figures.items() if name.startswith("commands refused")
    )
    return {title: float(figures.get(name, 0)) for title, name in FIGURES.items()} | {
        "refused": refused
    }


def _table(figures: dict[str, Any]) -> Table:
    from xlvla_cli.tables import table

    columns = list(next(iter(figures["devices"].values())))
    rows = table(f"Devices of {figures['rig']}", "part", *columns)
    for part, counted in figures["devices"].items():
        rows.add_row(
            part,
            *(
                f"{value:.1f}" if "ms" in name else f"{value:.0f}"
                for name, value in counted.items()
            ),
        )
    return rows
