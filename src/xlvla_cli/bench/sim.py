"""`xlvla bench sim`: how much faster than real time simulated worlds run, and whether their memory
grows.
"""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla_cli.options import Hands, SimulatedRig, Tasks
from xlvla_cli.sim import choose_hands, simulated_rig

if TYPE_CHECKING:
    from xlvla.rig import Rig
    from xlvla_sim.world import World

WARM = 20
"""Resets before memory is measured: until then caches fill."""


def register(app: typer.Typer) -> None:
    app.command("sim")(worlds)


@dataclass(frozen=True)
class SimulationSpeed:
    """Simulated seconds per second of playing, and episodes per minute with planning."""

    times_real: float
    per_minute: float


def worlds(
    task: Tasks = "all",
    hands: Hands = "xhand",
    rig: SimulatedRig = "bimanual",
    episodes: Annotated[int, typer.Option(min=1, help="Expert episodes per task and hand.")] = 2,
    resets: Annotated[
        int,
        typer.Option(
            min=0, help="Resets over which memory is measured, per task and hand; 0 skips it."
        ),
    ] = 100,
) -> None:
    """Measure how much faster than real time expert episodes run, physics alone and with a 20 Hz
    camera, and memory over resets.
    """
    from rich.table import Table

    from xlvla import paper, screen

    table = Table(
        "task",
        "hand",
        "physics",
        "with camera",
        "episodes/min",
        "reset ms",
        "MiB more",
        title="Times real time, one process",
    )
    for name in paper.tasks(task):
        base = simulated_rig(rig, name)
        for hand in choose_hands(hands):
            resolved = rig_file.with_choices(base, hands=dict.fromkeys(base.sides, hand))
            physics = simulation_speed(resolved, episodes, render=False)
            rendered = simulation_speed(resolved, episodes, render=True)
            table.add_row(
                paper.code(name),
                hand,
                f"{physics.times_real:.1f}",
                f"{rendered.times_real:.1f}",
                f"{rendered.per_minute:.0f}",
                *_memory_cells(resolved, resets),
            )
    table.caption = (
        f"MiB more: resident memory after {resets} resets with a picture and 0.2 s each, beyond "
        f"the first {WARM}"
    )
    screen.console().print(table)


def _memory_cells(rig: Rig, resets: int) -> tuple[str, str]:
    if not resets:
        return "-", "-"
    reset_s, more = memory(rig, resets)
    return f"{1000 * reset_s:.0f}", f"{more:+.1f}"


def simulation_speed(rig: Rig, episodes: int, *, render: bool) -> SimulationSpeed:
    """Plays episodes of the expert, with the cameras' pictures or without."""
    from xlvla.codec import Codec
    from xlvla_sim.demonstration import demonstrate
    from xlvla_sim.expert import Expert
    from xlvla_sim.world import World

    world = World(rig, render=render)
    began = list[float]()
    playing_s = 0.0
    simulated_s = 0.0
    expert = Expert(rig, Codec.load())
    begin = time.perf_counter()
    for seed in range(episodes):
        began.clear()
        with suppress(XlvlaError):  # an arm cannot follow: what was played until then counts
            demonstrate(world, expert, seed, watch=lambda _: began.append(time.perf_counter()))
        # Planning comes before the first frame and does not count as playing.
        if began:
            playing_s += time.perf_counter() - began[0]
        simulated_s += world.time_s
    spent_s = time.perf_counter() - begin
    world.close()
    return SimulationSpeed(
        times_real=simulated_s / max(playing_s, 1e-9), per_minute=60 * episodes / spent_s
    )


def memory(rig: Rig, resets: int) -> tuple[float, float]:
    """Seconds per reset, and MiB by which this process grows over some resets, each rendered and
    played a little.
    """
    from xlvla_sim.world import World

    world = World(rig)
    _reset(world, range(WARM))
    before = _resident_mib()
    spent_s = _reset(world, range(WARM, WARM + resets))
    more = _resident_mib() - before
    world.close()
    return spent_s / resets, more


def _reset(world: World, seeds: range) -> float:
    """Seconds spent in resets."""
    spent_s = 0.0
    for seed in seeds:
        began = time.perf_counter()
        world.reset(seed)
        spent_s += time.perf_counter() - began
        world.step(0.2)
        for camera in world.rig.cameras:
            world.image(camera)
    return spent_s


def _resident_mib() -> float:
    """Memory that this process occupies."""
    import os

    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
