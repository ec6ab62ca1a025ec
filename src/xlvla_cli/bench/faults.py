"""`xlvla bench faults`: what every driver makes of every fault its device can have."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from xlvla.rig import Rig
    from xlvla.screen import Screen
    from xlvla.types import Part
    from xlvla_cli.bench.rehearsal import Outcome
    from xlvla_cli.bench.ros.graph_faults import GraphFault
    from xlvla_cli.ros.faults import Unplugged
    from xlvla_cli.ros.session import Session


OPTIONS: dict[str, dict[str, Any]] = {"dynamixel": {"baud": 1_000_000, "hold_current_A": 0.5}}
"""What lets a device follow commands that by itself would not."""


def register(app: typer.Typer) -> None:
    app.command("faults")(faults)


def faults(
    device: Annotated[
        list[str] | None,
        typer.Option(help="Driver to test; repeatable. By default every driver with an emulator."),
    ] = None,
    fault: Annotated[
        list[str] | None,
        typer.Option(help="Fault to inject; repeatable. By default every fault of the emulator."),
    ] = None,
    graph: Annotated[
        bool,
        typer.Option(
            "--graph",
            help="Also inject faults into running rigs: unplugged devices, a silent driver, "
            "rogue nodes.",
        ),
    ] = False,
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
) -> None:
    """Break every emulated device in every way it knows, while it moves; the drivers, links and
    guards are those of a real rig.

    Ends with exit code 1 where a running rig makes something of a fault that it should not.
    """
    import json
    from dataclasses import asdict

    from xlvla.run import interruptible
    from xlvla.screen import Screen

    _apart()
    rehearsed = list(_rehearsed(device))
    _know(fault or [], rehearsed)
    outcomes: list[Outcome] = []
    with Screen() as screen, interruptible():
        for rig, part in rehearsed:
            outcomes += _suffered(rig, part, fault, screen)
        screen.console.print(_table(outcomes))
        unplugged, suffered = _on_the_graph(screen) if graph else ([], [])
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        results = {"devices": outcomes, "graph": unplugged, "faults of the graph": suffered}
        figures = {what: [asdict(entry) for entry in entries] for what, entries in results.items()}
        out.write_text(json.dumps(figures, indent=2) + "\n")
    if any(fault.wrong for fault in suffered):
        raise typer.Exit(1)


def _apart() -> None:
    """Addresses that no rig on this machine uses, and the scheduling a driver's node has."""
    import os

    from xlvla.errors import XlvlaError
    from xlvla.run import own_domain

    os.environ.setdefault("ROS_DOMAIN_ID", str(own_domain()))
    try:
        from xlvla.ros.priority import hasten
    except XlvlaError:  # no ROS 2 here, and none needed
        return
    hasten()


def _rehearsed(chosen: list[str] | None) -> Iterator[tuple[Rig, Part]]:
    """A rig and part for every device to rehearse; refuses unknown names."""
    from xlvla import catalog
    from xlvla.errors import unknown
    from xlvla.types import PARTS
    from xlvla_drivers import registry

    known: dict[str, Part] = {
        name: part
        for part in PARTS
        for name in catalog.drivers(part)
        if registry.has_emulator(name)
    }
    for name in chosen or known:
        if name not in known:
            raise unknown("emulated device", name, known)
        part = known[name]
        entries = catalog.arms() if part == "arm" else catalog.hands()
        yield (
            _rig(
                part,
                name,
                next((entry.name for entry in entries.values() if entry.driver == name), None),
            ),
            part,
        )


def _know(faults: list[str], rehearsed: list[tuple[Rig, Part]]) -> None:
    """Refuses faults that none of the devices has."""
    from xlvla.errors import unknown
    from xlvla_drivers import registry

    known = sorted(
        {
            fault
            for rig, part in rehearsed
            for fault in registry.emulator(registry.configured(rig, "left", part)).known_faults
        }
    )
    for name in faults:
        if name not in known:
            raise unknown("fault", name, known)


def _rig(part: Part, driver: str, kind: str | None) -> Rig:
    """The left side of the emulated rig, with another device; `kind` None is a driver of a device
    that the catalogue knows by another.
    """

    base = rig_file.load("bimanual_emulated")
    left: dict[str, Any] = {
        "arm": {"type": base.arm("left").name, "device": {"emulated": True}},
        "hand": {"type": base.hand("left").name, "device": {"emulated": True}},
    }
    left[part]["type"] = kind or left[part]["type"]
    left[part]["device"] |= {"driver": driver, "options": OPTIONS.get(driver, {})}
    for side, other in base.parts:
        device = base.device(side, other)
        if other == part and device and device.driver == driver:
            left[part]["device"]["rate_hz"] = device.rate_hz
    return rig_file.from_document(
        {"name": "rehearsal", "sides": {"left": left}, "policy": None, "sim": None}, "rehearsal"
    )


def _suffered(rig: Rig, part: Part, chosen: list[str] | None, screen: Screen) -> list[Outcome]:
    from xlvla_cli.bench.rehearsal import Rehearsal

    outcomes: list[Outcome] = []
    with Rehearsal(rig, "left", part) as rehearsal:
        for fault in rehearsal.emulator.known_faults:
            if not chosen or fault in chosen:
                screen.now(f"{rehearsal.name}: {fault}")
                outcomes.append(rehearsal.run(fault))
    return outcomes


def _on_the_graph(screen: Screen) -> tuple[list[Unplugged], list[GraphFault]]:
    """What running rigs make of faults: one with the real drivers of emulated devices, then a
    simulated one, which has a clock.
    """
    from xlvla.run import own_domain
    from xlvla_cli.bench.ros import clock_faults, driver_faults, graph_faults
    from xlvla_cli.ros.session import Session

    domain = own_domain()
    log = graph_faults.Log(screen.on_output)
    with Session(
        _without_policy("bimanual_emulated"), domain=domain, listener=log, progress=screen.waiting
    ) as session:
        unplugged = _unplugged(session, screen)
        suffered = _each(driver_faults.of_drivers(session, domain, log), screen)
    with Session(
        _without_policy("bimanual"), domain=domain, listener=log, progress=screen.waiting
    ) as session:
        suffered += _each(clock_faults.of_the_clock(session, domain, log), screen)
    suffered.append(graph_faults.leftovers())
    screen.console.print(_verdicts(suffered))
    return unplugged, suffered


def _without_policy(name: str) -> Rig:

    return rig_file.with_choices(rig_file.load(name), policy="none")


def _unplugged(session: Session, screen: Screen) -> list[Unplugged]:
    """Every device of the running rig unplugged, seen from its graph."""
    from xlvla_cli.ros.faults import unplug_each
    from xlvla_cli.tables import table

    rows = table(
        "Unplugged on the running graph", "part", "graph told after", "as", "well again after"
    )
    unplugged: list[Unplugged] = []
    for entry in unplug_each(session):
        screen.now(f"{entry.part} unplugged")
        unplugged.append(entry)
        rows.add_row(entry.part, _ms(entry.reported_s), entry.line, _ms(entry.well_s))
    screen.console.print(rows)
    return unplugged


def _each(causes: dict[str, Callable[[], GraphFault]], screen: Screen) -> list[GraphFault]:
    from xlvla_cli.bench.ros.graph_faults import tried

    suffered: list[GraphFault] = []
    for fault, cause in causes.items():
        screen.now(fault)
        suffered.append(tried(fault, cause))
    return suffered


def _verdicts(suffered: list[GraphFault]) -> Table:
    from xlvla_cli.tables import table

    rows = table(
        "What became of the running rig", "fault", "as", "told after", "arm moved", "verdict"
    )
    for fault in suffered:
        moved = (
            "-"
            if fault.moved_rad is None
            else f"{fault.moved_rad:.4f} of {fault.allowed_rad:.4f} rad"
        )
        rows.add_row(
            fault.fault, fault.line or "-", _ms(fault.reported_s), moved, fault.wrong or "held"
        )
    return rows


def _table(outcomes: list[Outcome]) -> Table:
    from xlvla_cli.tables import table

    rows = table(
        "What became of each fault, while the device was moving",
        *(
            "device",
            "fault",
            "noticed after",
            "as",
            "targets sent",
            "largest step",
            "first step back",
            "ended by",
            "followed after",
        ),
    )
    for outcome in outcomes:
        rows.add_row(
            outcome.device,
            outcome.fault,
            _ms(outcome.detected_s),
            outcome.reported or "-",
            str(outcome.targets),
            f"{outcome.largest_step_rad:.4f} of {outcome.allowed_step_rad:.4f} rad",
            "-" if outcome.return_step_rad is None else f"{outcome.return_step_rad:.4f} rad",
            outcome.recovery,
            _ms(outcome.recovered_s),
        )
    return rows


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.0f} ms"
