"""`xlvla bench control`: a running rig from camera to command, beside bare rclpy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla_cli.options import Checkpoint, FiguresOut, OwnDomain, RigArgument

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.rig import Rig
    from xlvla.screen import Screen


def register(app: typer.Typer) -> None:
    app.command("control")(control)


def control(
    rig: RigArgument = "bimanual",
    seconds: Annotated[float, typer.Option(min=2.0, help="How long to measure.")] = 30.0,
    checkpoint: Checkpoint = None,
    out: FiguresOut = None,
    domain: OwnDomain = None,
) -> None:
    """Measure a running rig from camera to command, beside bare rclpy in the same run."""
    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.bench.figures import save
    from xlvla_cli.run import ready_or_raise

    resolved = rig_file.with_choices(rig_file.load(rig), checkpoint=checkpoint)
    ready_or_raise(resolved)
    if domain is None:
        domain = own_domain()
    with Screen() as screen, interruptible():
        figures = _measure(resolved, seconds, domain, screen)
        screen.console.print(_table(figures))
        screen.say(
            f"simulation at {figures['real_time_factor']:.2f} x real time, load average "
            f"{figures['load_average']:.1f}"
        )
    save(out, figures)


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
    figures["real_time_factor"] = sorted(factors)[len(factors) // 2]
    figures["load_average"] = os.getloadavg()[0]
    figures["rig"] = rig.name
    return figures


def _table(figures: dict[str, Any]) -> Table:
    from rich.table import Table

    from xlvla_cli.bench.figures import spread_cells

    rows = {
        "observation to chunk": "observation_to_chunk_ms",
        "chunk to next command": "chunk_to_next_command_ms",
        "command period": "command_period_ms",
        "bare rclpy: round trip of a command": "bare_round_trip_ms",
        "bare rclpy: timer period (100 Hz)": "bare_timer_period_ms",
    }
    table = Table("milliseconds", "p50", "p99", "max", "samples")
    for title, key in rows.items():
        table.add_row(title, *spread_cells(figures[key]))
    if figures["command_rate_hz"]:
        table.caption = f"command stream: {figures['command_rate_hz']:.2f} Hz"
    return table
