"""`xlvla bench sim`: how much faster than real time a simulated world runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xlvla.cli.bench import bench
from xlvla.cli.sim import choose_hands, simulated_rig

if TYPE_CHECKING:
    from xlvla.rig import Rig


def register(app: typer.Typer) -> None:
    bench.command("sim")(worlds)


def worlds(
    task: Annotated[str, typer.Option(help="Task to simulate.")] = "push_cans",
    hands: Annotated[str, typer.Option(help="Hands, separated by commas, or 'all'.")] = "all",
    rig: Annotated[str, typer.Option(help="Rig to simulate.")] = "bimanual",
    episodes: Annotated[int, typer.Option(min=1, help="Expert episodes per hand.")] = 3,
) -> None:
    """Measure how much faster than real time expert episodes run, physics alone and with a 20 Hz camera."""
    from rich.console import Console
    from rich.table import Table

    base = simulated_rig(rig, task)
    table = Table("hand", "physics", "with camera", "episodes/min", title=f"Times real time, {task}, one process")
    for name in choose_hands(hands):
        chosen = base.with_choices(hands=dict.fromkeys(base.sides, name))
        (blind, _), (seeing, pace) = (_speed(chosen, episodes, render=render) for render in (False, True))
        table.add_row(name, f"{blind:.1f}", f"{seeing:.1f}", f"{pace:.0f}")
    Console().print(table)


def _speed(rig: Rig, episodes: int, *, render: bool) -> tuple[float, float]:
    """Simulated seconds per second of playing, and episodes per minute with planning."""
    import time

    from xlvla.codec import Codec
    from xlvla_sim.demonstration import demonstrate
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    world, started, simulated = World(rig, render=render), [], 0.0
    expert, begin = Expert(rig, Codec.load()), time.perf_counter()
    playing_s = 0.0
    for seed in range(episodes):
        started.clear()
        demonstrate(world, expert, seed, watch=lambda _: started.append(time.perf_counter()))
        playing_s += time.perf_counter() - started[0]
        simulated += world.time_s
    world.close()
    return simulated / playing_s, 60 * episodes / (time.perf_counter() - begin)
