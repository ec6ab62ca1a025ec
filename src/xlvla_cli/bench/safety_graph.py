"""`xlvla bench safety-graph`: unsafe chunks, sent to a running rig; how near its commands and
devices come to anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.bench.stops import RIGS
from xlvla_cli.options import FiguresOut, HarmlessRigs, OwnDomain, Seed

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.screen import Screen
    from xlvla_cli.bench.ros.harm_trial import Harmed, HarmTrial
    from xlvla_cli.tables import Columns

CAPTION = (
    "room: the smallest distance less its stop; below: how far below the stop, or below where "
    "the scenario began if that was nearer;\n"
    "commanded: on the path of all commands, between them too; measured: of joint states, "
    "which a servo's lag puts elsewhere; "
    "acc., jerk: of commands, as shares of their limits"
)


def register(app: typer.Typer) -> None:
    app.command("safety-graph")(safety_graph)


def safety_graph(
    rig: HarmlessRigs = None,
    seed: Seed = 0,
    number: Annotated[int, typer.Option(min=0, help="Random scenarios of every kind.")] = 2,
    fixed: Annotated[bool, typer.Option(help="Also play the fixed scenarios.")] = True,
    out: FiguresOut = None,
    domain: OwnDomain = None,
) -> None:
    """Try to make the arms of a running rig meet; exit code 1 where its commands come nearer than a
    stop by more than 0.5 mm.
    """
    from dataclasses import asdict

    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.bench import figures
    from xlvla_cli.bench.adversary.trial import ALLOWED_M
    from xlvla_cli.bench.ros.harm_trial import HarmTrial
    from xlvla_cli.bench.ros.running_rig import RunningRig, harmless

    if domain is None:
        domain = own_domain()
    results: dict[str, list[Harmed]] = {}
    with Screen() as screen, interruptible():
        for name in rig or RIGS:
            loaded = harmless(name)
            with RunningRig(loaded, domain) as running:
                trial = HarmTrial(running)
                screen.now(f"{name}: unsafe chunks")
                results[name] = list(_shown(name, _trials(trial, seed, number, fixed), screen))
            screen.console.print(_table(name, results[name]))
    document = {name: [asdict(result) for result in each] for name, each in results.items()}
    figures.save(out, document)
    for each in results.values():
        if any(result.breach.below_m > ALLOWED_M for result in each):
            raise typer.Exit(1)


def _trials(trial: HarmTrial, seed: int, number: int, fixed: bool) -> Iterator[Harmed]:
    if fixed:
        yield from trial.fixed()
    yield from trial.drawn(seed, number)


def _shown(name: str, results: Iterator[Harmed], screen: Screen) -> Iterator[Harmed]:
    for result in results:
        screen.now(f"{name}: {result.kind}, {1e3 * result.breach.below_m:.2f} mm below")
        yield result


def _table(name: str, results: Sequence[Harmed]) -> Table:
    from xlvla_cli.tables import table_of

    by_kind: dict[str, list[Harmed]] = {}
    for result in results:
        by_kind.setdefault(result.kind, []).append(result)
    columns: Columns[list[Harmed]] = (
        ("kind", lambda each: each[0].kind),
        ("chunks", lambda each: str(sum(result.sent for result in each))),
        ("commanded room mm", lambda each: f"{1e3 * _commanded(each).commanded.room_m:+.2f}"),
        ("below mm", lambda each: _millimetres([result.breach.below_m for result in each])),
        ("measured room mm", lambda each: f"{1e3 * _measured(each).measured.room_m:+.2f}"),
        (
            "below mm",
            lambda each: _millimetres([result.measured_breach.below_m for result in each]),
        ),
        ("acc.", lambda each: f"{max(result.acceleration for result in each):.2f}"),
        ("jerk", lambda each: f"{max(result.jerk for result in each):.2f}"),
        ("nearest commanded and measured", _nearest_gaps),
    )
    title = f"Unsafe chunks, on the running rig '{name}'"
    shown = table_of(title, columns, by_kind.values())
    shown.caption = CAPTION
    return shown


def _commanded(results: Sequence[Harmed]) -> Harmed:
    """The result whose commands came nearest."""
    return min(results, key=lambda result: result.commanded.room_m)


def _measured(results: Sequence[Harmed]) -> Harmed:
    """The result whose measured poses came nearest."""
    return min(results, key=lambda result: result.measured.room_m)


def _nearest_gaps(results: Sequence[Harmed]) -> str:
    commanded = _commanded(results).commanded.gap
    measured = _measured(results).measured.gap
    return commanded if commanded == measured else f"{commanded}; {measured}"


def _millimetres(metres: Sequence[float]) -> str:
    """The largest."""
    return f"{1e3 * max(metres):.2f}"
