"""`xlvla bench faults`: what every driver makes of every fault its device can have."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla_cli.bench.figures import milliseconds
from xlvla_cli.options import FiguresOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.table import Table

    from xlvla.rig import Rig
    from xlvla.screen import Screen
    from xlvla.types import Part
    from xlvla_cli.bench.given_back import GivenBack
    from xlvla_cli.bench.rehearsal import Outcome
    from xlvla_cli.bench.ros.graph_faults import GraphFault
    from xlvla_cli.ros.faults import Unplugged
    from xlvla_cli.ros.session import Session
    from xlvla_cli.tables import Columns


OPTIONS: dict[str, dict[str, Any]] = {"dynamixel": {"baud": 1_000_000, "hold_current_A": 0.5}}
"""Driver options without which a device would not follow commands."""

HUMANOID = "g1"
"""The arm that is taken over from a robot, and given back to it."""


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
    out: FiguresOut = None,
) -> None:
    """Break every emulated device in every way it knows, while it moves; the drivers, links and
    guards are those of a real rig.

    Of a humanoid's arms it also shows how they are given back, whatever stops their driver.

    Ends with exit code 1 where a running rig handles a fault wrongly, or arms are let go at once.
    """
    from dataclasses import asdict

    from xlvla.run import interruptible
    from xlvla.screen import Screen
    from xlvla_cli.bench import figures

    _isolate()
    rehearsed = list(_rehearsed(device))
    _refuse_unknown(fault or [], rehearsed)
    outcomes: list[Outcome] = []
    rows: list[GivenBack] = []
    unplugged: list[Unplugged] = []
    graph_faults: list[GraphFault] = []
    with Screen() as screen, interruptible():
        for rig, part in rehearsed:
            outcomes += _outcomes(rig, part, fault, screen)
        screen.console.print(_table(outcomes))
        for rig, part in rehearsed:
            if part == "arm" and rig.arm("left").name == HUMANOID and not fault:
                rows = _given_back(rig, screen)
        if graph:
            unplugged, graph_faults = _on_the_graph(screen)
    figures.save(
        out,
        {
            "devices": [asdict(outcome) for outcome in outcomes],
            "given back": [asdict(row) for row in rows],
            "graph": [asdict(entry) for entry in unplugged],
            "faults of the graph": [asdict(entry) for entry in graph_faults],
        },
    )
    if any(entry.wrong for entry in [*graph_faults, *rows]):
        raise typer.Exit(1)


def _isolate() -> None:
    """Takes a ROS domain that no rig on this machine uses, and the scheduling a driver's node
    has.
    """
    import os

    from xlvla.errors import XlvlaError
    from xlvla.run import own_domain

    os.environ.setdefault("ROS_DOMAIN_ID", str(own_domain()))
    try:
        from xlvla.ros.priority import hasten
    except XlvlaError:  # no ROS 2 here, and none needed
        return
    hasten()


def _rehearsed(names: list[str] | None) -> Iterator[tuple[Rig, Part]]:
    """A rig and part for every device to rehearse, by the names of drivers; refuses unknown
    names.
    """
    from xlvla import catalog
    from xlvla.errors import unknown
    from xlvla.types import PARTS
    from xlvla_drivers import registry

    parts: dict[str, Part] = {}
    for part in PARTS:
        for name in catalog.drivers(part):
            if registry.has_emulator(name):
                parts[name] = part
    for name in names or parts:
        if name not in parts:
            raise unknown("emulated device", name, parts)
        yield rig_with(parts[name], name), parts[name]


def _refuse_unknown(faults: list[str], rehearsed: list[tuple[Rig, Part]]) -> None:
    """Refuses faults that none of the devices has."""
    from xlvla.errors import unknown
    from xlvla_drivers import registry

    known_faults: set[str] = set()
    for rig, part in rehearsed:
        configured = registry.configured(rig, "left", part)
        known_faults |= set(registry.emulator(configured).known_faults)
    for name in faults:
        if name not in known_faults:
            raise unknown("fault", name, sorted(known_faults))


def rig_with(part: Part, driver: str) -> Rig:
    """The left side of the emulated rig, with another device."""
    base = rig_file.load("bimanual_emulated")
    left: dict[str, Any] = {
        "arm": {"type": base.arm("left").name, "device": {"emulated": True}},
        "hand": {"type": base.hand("left").name, "device": {"emulated": True}},
    }
    left[part]["type"] = _type_of(part, driver) or left[part]["type"]
    device = left[part]["device"]
    device["driver"] = driver
    device["options"] = OPTIONS.get(driver, {})
    for side, other in base.parts:
        usual = base.device(side, other)
        if other == part and usual and usual.driver == driver:
            device["rate_hz"] = usual.rate_hz
    document = {"name": "rehearsal", "sides": {"left": left}, "policy": None, "sim": None}
    return rig_file.from_document(document, "rehearsal")


def _type_of(part: Part, driver: str) -> str | None:
    """The first arm or hand of the catalogue that has this driver; None where it is not the usual
    driver of any.
    """
    from xlvla import catalog

    entries = catalog.arms() if part == "arm" else catalog.hands()
    for entry in entries.values():
        if entry.driver == driver:
            return entry.name
    return None


def _outcomes(rig: Rig, part: Part, faults: list[str] | None, screen: Screen) -> list[Outcome]:
    """What became of these faults of a device, of all where none are named."""
    from xlvla_cli.bench.rehearsal import Rehearsal

    outcomes: list[Outcome] = []
    with Rehearsal(rig, "left", part) as rehearsal:
        for fault in rehearsal.emulator.known_faults:
            if not faults or fault in faults:
                screen.now(f"{rehearsal.name}: {fault}")
                outcomes.append(rehearsal.run(fault))
    return outcomes


def _given_back(rig: Rig, screen: Screen) -> list[GivenBack]:
    """How its arms are given back."""
    from xlvla_cli.bench.given_back import given_back
    from xlvla_cli.tables import table_of

    rows: list[GivenBack] = []
    for row in given_back(rig):
        screen.now(f"{HUMANOID}: {row.cause}")
        rows.append(row)
    columns: Columns[GivenBack] = (
        ("while it swings", lambda row: row.cause),
        ("last weight", lambda row: f"{row.weight:.2f}"),
        ("last stiffness", lambda row: f"{row.stiffness:.0f} Nm/rad"),
        ("sent before", lambda row: milliseconds(row.silent_s)),
        ("weight over time", _curve),
        ("largest step", lambda row: f"{row.steepest:.3f}"),
        ("moved", lambda row: f"{row.moved_rad:.2f} rad"),
        ("fastest", lambda row: f"{row.fastest_rad_s:.2f} rad/s"),
        ("verdict", lambda row: row.wrong or "held"),
    )
    screen.console.print(table_of("How a humanoid's arms are given back", columns, rows))
    return rows


def _curve(row: GivenBack) -> str:
    """`0.0 s 1.00, 0.3 s 0.95, 2.2 s 0.00`: its beginning, and where it first and last changed."""
    from itertools import pairwise

    changes = [after for before, after in pairwise(row.curve) if after[1] != before[1]]
    shown = [*row.curve[:1], *changes[:1], *changes[1:][-1:]]
    return ", ".join(f"{seconds:.1f} s {weight:.2f}" for seconds, weight in shown)


def _on_the_graph(screen: Screen) -> tuple[list[Unplugged], list[GraphFault]]:
    """How running rigs handle faults: one with the real drivers of emulated devices, then a
    simulated one, which has a clock.
    """
    from xlvla.run import own_domain
    from xlvla_cli.bench.ros import clock_faults, driver_faults, graph_faults
    from xlvla_cli.ros.session import Session

    domain = own_domain()
    log = graph_faults.Log(screen.on_output)
    emulated = _without_policy("bimanual_emulated")
    with Session(emulated, domain=domain, listener=log, progress=screen.waiting) as session:
        unplugged = _unplugged(session, screen)
        faults = _each(driver_faults.of_drivers(session, domain, log), screen)
    simulated = _without_policy("bimanual")
    with Session(simulated, domain=domain, listener=log, progress=screen.waiting) as session:
        faults += _each(clock_faults.of_the_clock(session, domain, log), screen)
    faults.append(graph_faults.leftovers())
    screen.console.print(_verdicts(faults))
    return unplugged, faults


def _without_policy(name: str) -> Rig:
    return rig_file.with_choices(rig_file.load(name), policy="none")


def _unplugged(session: Session, screen: Screen) -> list[Unplugged]:
    """Every device of the running rig unplugged, seen from its graph."""
    from xlvla_cli.ros.faults import unplug_each
    from xlvla_cli.tables import table_of

    unplugged: list[Unplugged] = []
    for entry in unplug_each(session):
        screen.now(f"{entry.part} unplugged")
        unplugged.append(entry)
    columns: Columns[Unplugged] = (
        ("part", lambda entry: entry.part),
        ("graph reported after", lambda entry: milliseconds(entry.reported_s)),
        ("as", lambda entry: entry.line),
        ("well again after", lambda entry: milliseconds(entry.well_s)),
    )
    screen.console.print(table_of("Unplugged on the running graph", columns, unplugged))
    return unplugged


def _each(causes: dict[str, Callable[[], GraphFault]], screen: Screen) -> list[GraphFault]:
    from xlvla_cli.bench.ros.graph_faults import tried

    faults: list[GraphFault] = []
    for name, cause in causes.items():
        screen.now(name)
        faults.append(tried(name, cause))
    return faults


def _verdicts(faults: list[GraphFault]) -> Table:
    from xlvla_cli.tables import table_of

    columns: Columns[GraphFault] = (
        ("fault", lambda fault: fault.fault),
        ("as", lambda fault: fault.line or "-"),
        ("reported after", lambda fault: milliseconds(fault.reported_s)),
        ("arm moved", lambda fault: _moved(fault)),
        ("verdict", lambda fault: fault.wrong or "held"),
    )
    return table_of("What became of the running rig", columns, faults)


def _moved(fault: GraphFault) -> str:
    if fault.moved_rad is None:
        return "-"
    return f"{fault.moved_rad:.4f} of {fault.allowed_rad:.4f} rad"


def _table(outcomes: list[Outcome]) -> Table:
    from xlvla_cli.tables import table_of

    columns: Columns[Outcome] = (
        ("device", lambda outcome: outcome.device),
        ("fault", lambda outcome: outcome.fault),
        ("noticed after", lambda outcome: milliseconds(outcome.detected_s)),
        ("as", lambda outcome: outcome.reported or "-"),
        ("targets sent", lambda outcome: str(outcome.targets)),
        ("largest step", _largest_step),
        ("first step back", _step_back),
        ("ended by", lambda outcome: outcome.recovery),
        ("followed after", lambda outcome: milliseconds(outcome.recovered_s)),
    )
    return table_of("What became of each fault, while the device was moving", columns, outcomes)


def _largest_step(outcome: Outcome) -> str:
    return f"{outcome.largest_step_rad:.4f} of {outcome.allowed_step_rad:.4f} rad"


def _step_back(outcome: Outcome) -> str:
    if outcome.return_step_rad is None:
        return "-"
    return f"{outcome.return_step_rad:.4f} rad"
