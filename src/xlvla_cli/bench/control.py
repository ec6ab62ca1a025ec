"""`xlvla bench control`: a running rig from camera to command, beside bare rclpy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file

if TYPE_CHECKING:
    from xlvla.rig import Rig
    from xlvla.screen import Screen


def register(app: typer.Typer) -> None:
    app.command("control")(control)


def control(
    rig: Annotated[
        str, typer.Argument(help="A rig of the catalogue or a rig's YAML file.")
    ] = "bimanual",
    seconds: Annotated[float, typer.Option(min=2.0, help="How long to measure.")] = 30.0,
    checkpoint: Annotated[
        str | None, typer.Option(help="Weights of the policy instead of the shipped ones.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    domain: Annotated[
        int | None, typer.Option(min=0, max=101, help="ROS domain; by default one of its own.")
    ] = None,
) -> None:
    """Measure a running rig from camera to command, beside bare rclpy in the same run."""
    import json

    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.run import ready_or_raise

    chosen = rig_file.with_choices(rig_file.load(rig), checkpoint=checkpoint)
    ready_or_raise(chosen)
    with Screen() as screen, interruptible():
        figures = _measure(chosen, seconds, own_domain() if domain is None else domain, screen)
        screen.console.print(_table(figures))
        screen.say(
            f"simulation at {figures['real_time_factor']:.2f} x real time, load average "
            f"{figures['load_average']:.1f}"
        )
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=2) + "\n")


def _measure(rig: Rig, seconds: float, domain: int, screen: Screen) -> dict[str, Any]:
    import os
    import time

    from xlvla_cli.bench.ros.rclpy_baseline import RclpyBaseline
    from xlvla_cli.ros.measure import spread
    from xlvla_cli.ros.session import Session

    with (
        Session(rig, domain=domain, listener=screen.on_output, progress=screen.waiting) as session,
        RclpyBaseline(session.operator.node, domain) as baseline,
    ):
        factors = []
        status = session.operator.reset()
        session.measure.cut()
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            if status["done"]:
                status = session.operator.reset()
                session.measure.cut()
            status = session.tick()
            baseline.poll()
            factors.append(status["real_time_factor"])
            screen.now(f"measuring, {left:.0f} s left")
        figures = session.measure.summary()
    figures["bare_round_trip_ms"] = spread(baseline.round_trip_ms)
    figures["bare_timer_period_ms"] = spread(baseline.periods_ms)
    return figures | {
        "real_time_factor": sorted(factors)[len(factors) // 2],
        "load_average": os.getloadavg()[0],
        "rig": rig.name,
    }


def _table(figures: dict[str, Any]):
    from rich.table import Table

    rows = {
        "observation to chunk": "observation_to_chunk_ms",
        "chunk to next command": "chunk_to_next_command_ms",
        "command period (100 Hz)": "command_period_ms",
        "bare rclpy: round trip of a command": "bare_round_trip_ms",
        "bare rclpy: timer period (100 Hz)": "bare_timer_period_ms",
    }
    table = Table("milliseconds", "p50", "p99", "max", "samples")
    for title, key in rows.items():
        found = figures[key]
        cells = (
            [f"{found[name]:.2f}" for name in ("p50", "p99", "max")] + [str(found["count"])]
            if found
            else ["-"] * 4
        )
        table.add_row(title, *cells)
    if figures["command_rate_hz"]:
        table.caption = f"command stream: {figures['command_rate_hz']:.2f} Hz"
    return table
