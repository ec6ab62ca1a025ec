"""`xlvla sim`: collect demonstrations, look at the expert."""

from __future__ import annotations

from dataclasses import replace

import typer

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla_cli.commands import register_all

sim = typer.Typer(
    no_args_is_help=True, help="Simulated worlds: collect demonstrations, look at the expert."
)


def register(app: typer.Typer) -> None:
    register_all(__name__, __path__, sim)
    app.add_typer(sim, name="sim")


def simulated_rig(rig: str, task: str) -> Rig:
    """A rig with another task, by the paper's code or its name; refuses one that the scripted
    expert cannot drive.
    """
    from xlvla import paper
    from xlvla.rig_file import load

    base = load(rig)
    if base.sim is None:
        raise XlvlaError(f"rig '{rig}' has no `sim` section, so there is nothing to simulate")
    base.refuse_incomplete("a scripted demonstration")
    return replace(base, sim=replace(base.sim, task=paper.task(task)))


def choose_hands(choice: str) -> tuple[str, ...]:
    from xlvla import catalog, paper

    return tuple(catalog.hand(name).name for name in paper.hands(choice))
