"""`xlvla bench teleop`: from what an operator's device saw to the command, through the nodes that a
real robot has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla_cli.options import FiguresOut, OwnDomain, chosen

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.rig import Rig

SOURCES = ("topics", "vision_pro", "webxr")


def register(app: typer.Typer) -> None:
    app.command("teleop")(teleop)


def teleop(
    sources: Annotated[
        str, typer.Option(help="Sources, separated by commas; headsets are emulated.")
    ] = ",".join(SOURCES),
    fingers: Annotated[str, typer.Option(help="Finger retargeting: codec or dex.")] = "codec",
    left_hand: Annotated[str, typer.Option(help="Hand on the left arm.")] = "xhand",
    right_hand: Annotated[str, typer.Option(help="Hand on the right arm.")] = "xhand",
    seconds: Annotated[
        float, typer.Option(min=2.0, help="Duration of the measurement per source.")
    ] = 20.0,
    out: FiguresOut = None,
    domain: OwnDomain = None,
) -> None:
    """Measure teleoperation: rate, latency from sample to command, processor time; the robot's
    devices are emulated.
    """
    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.bench.figures import save

    names = chosen("source to measure", sources, SOURCES)
    if domain is None:
        domain = own_domain()
    figures: dict[str, Any] = {}
    with Screen() as screen, interruptible():
        for name in names:
            screen.now(f"measuring {name}")
            rig = _alone(name, fingers, {"left": left_hand, "right": right_hand})
            figures[name] = _measured(rig, name, seconds, domain)
        screen.console.print(_table(figures))
    save(out, figures)


def _alone(source: str, fingers: str, hands: Any) -> Rig:
    """The rig of a source as hardware whose devices the bench emulates."""
    from dataclasses import replace

    from xlvla.rig_file import load
    from xlvla_cli.bench.motion import alone

    rig = rig_file.with_choices(load(f"teleop_{source}"), hands=hands)
    assert rig.teleop is not None
    return replace(alone(rig), teleop=replace(rig.teleop, fingers=fingers), recorder=None)


def _measured(rig: Rig, source: str, seconds: float, domain: int) -> dict[str, Any]:
    import os

    from xlvla_cli.bench.ros.teleop_trial import TeleopTrial
    from xlvla_cli.ros.measure import spread
    from xlvla_drivers.emulators.person import hand

    moves = hand if source == "topics" else None
    with _headset(source), TeleopTrial(rig, domain, moves) as trial:
        times = trial.measure(seconds)
        bare_ms = trial.baseline.round_trip_ms
    return {
        "rate_hz": times.rate_hz,
        "sample_to_chunk_ms": spread(times.to_chunk_ms),
        "sample_to_command_ms": spread(times.to_command_ms),
        "share_of_a_core": times.share,
        "disengaged": times.disengaged,
        "bare_round_trip_ms": spread(bare_ms),
        "load_average": os.getloadavg()[0],
    }


@contextmanager
def _headset(source: str) -> Iterator[None]:
    """The emulated headset of a source, as a process of its own."""
    import subprocess
    import sys

    if source == "topics":
        yield
        return
    process = subprocess.Popen(
        [sys.executable, "-m", "xlvla", "emulate", source],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(timeout=10)


def _table(figures: dict[str, Any]) -> Table:
    from rich.table import Table

    from xlvla_cli.bench.figures import spread_cells

    table = Table(
        "source",
        "samples/s",
        "to chunk p50",
        "p99",
        "to command p50",
        "p99",
        "max",
        "core: teleop",
        "motion",
        "disengaged",
    )
    for name, entry in figures.items():
        share = entry["share_of_a_core"]
        to_chunk = spread_cells(entry["sample_to_chunk_ms"])
        to_command = spread_cells(entry["sample_to_command_ms"])
        table.add_row(
            name,
            f"{entry['rate_hz']:.1f}",
            *to_chunk[:2],
            *to_command[:3],
            f"{share['teleop']:.0%}",
            f"{share['motion']:.0%}",
            str(entry["disengaged"]),
        )
    first = next(iter(figures.values()))
    bare_ms = first["bare_round_trip_ms"]
    bare = ""
    if bare_ms:
        bare = f"; bare rclpy round trip p99 {bare_ms['p99']:.2f} ms"
    table.caption = (
        f"milliseconds from a sample's arrival, both sides followed{bare}; load average "
        f"{first['load_average']:.1f}"
    )
    return table
