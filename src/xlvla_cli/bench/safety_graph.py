"""`xlvla bench safety-graph`: chunks that mean harm, sent to a running rig; how near its commands
and devices come to anything.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla_cli.bench.stops import RIGS

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.screen import Screen
    from xlvla_cli.bench.ros.harm_trial import Harmed


def register(app: typer.Typer) -> None:
    app.command("safety-graph")(safety_graph)


def safety_graph(
    rig: Annotated[
        list[str] | None,
        typer.Option(
            help="Rig, simulated or of emulated devices; repeatable. Both kinds by default."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    number: Annotated[int, typer.Option(min=0, help="Random scenarios of every kind.")] = 2,
    fixed: Annotated[bool, typer.Option(help="Also play the fixed scenarios.")] = True,
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    domain: Annotated[
        int | None, typer.Option(min=0, max=101, help="ROS domain; by default one of its own.")
    ] = None,
) -> None:
    """Try to make the arms of a running rig meet; exit code 1 where its commands come nearer than a
    stop by more than 0.5 mm.
    """
    import json
    from dataclasses import asdict

    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.bench.adversary.trial import ALLOWED_M

    found: dict[str, list[Harmed]] = {}
    with Screen() as screen, interruptible():
        for name in rig or RIGS:
            found[name] = _harmed(
                name, seed, number, fixed, own_domain() if domain is None else domain, screen
            )
            screen.console.print(_table(name, found[name]))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(
            json.dumps(
                {name: [asdict(one) for one in every] for name, every in found.items()}, indent=2
            )
            + "\n"
        )
    if any(one.breach.below_m > ALLOWED_M for every in found.values() for one in every):
        raise typer.Exit(1)


def _harmed(
    name: str, seed: int, number: int, fixed: bool, domain: int, screen: Screen
) -> list[Harmed]:
    from itertools import chain

    from xlvla_cli.bench.ros.harm_trial import HarmTrial
    from xlvla_cli.bench.ros.running_rig import RunningRig, harmless

    rig = harmless(name)
    found: list[Harmed] = []
    with RunningRig(rig, domain) as running:
        trial = HarmTrial(running)
        screen.now(f"{name}: chunks that mean harm")
        for one in chain(trial.fixed() if fixed else (), trial.drawn(seed, number)):
            found.append(one)
            screen.now(f"{name}: {one.kind}, {1e3 * one.breach.below_m:.2f} mm below")
    return found


def _table(name: str, found: list[Harmed]) -> Table:
    from xlvla_cli.tables import table

    heads = (
        "kind",
        "chunks",
        "commanded room mm",
        "below mm",
        "measured room mm",
        "below mm",
        "acc.",
        "jerk",
        "nearest commanded and measured",
    )
    shown = table(f"Chunks that mean harm, on the running rig '{name}'", *heads)
    for kind in dict.fromkeys(one.kind for one in found):
        same = [one for one in found if one.kind == kind]
        commanded, measured = (
            min((getattr(one, what) for one in same), key=lambda near: near.room_m)
            for what in ("commanded", "measured")
        )
        shown.add_row(
            *(kind, str(sum(one.sent for one in same))),
            *(
                f"{1e3 * commanded.room_m:+.2f}",
                f"{1e3 * max(one.breach.below_m for one in same):.2f}",
            ),
            *(
                f"{1e3 * measured.room_m:+.2f}",
                f"{1e3 * max(one.measured_breach.below_m for one in same):.2f}",
            ),
            *(
                f"{max(one.acceleration for one in same):.2f}",
                f"{max(one.jerk for one in same):.2f}",
            ),
            commanded.gap if commanded.gap == measured.gap else f"{commanded.gap}; {measured.gap}",
        )
    shown.caption = (
        "room: the smallest distance less its stop; below: how far below the stop, or below where "
        "the scenario began if that was nearer;\n"
        "commanded: on the path of all commands, between them too; measured: of joint states, "
        "which a servo's lag puts elsewhere; "
        "acc., jerk: of commands, as shares of their limits"
    )
    return shown
