"""`xlvla bench motion`: motion alone, beside bare rclpy in the same run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla.cli.bench import bench

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.policy import Chunk
    from xlvla.rig import Rig

LOOKS = 300
"""How many poses distances are looked at in."""


def register(app: typer.Typer) -> None:
    bench.command("motion")(motion)


def motion(
    rig: Annotated[str, typer.Argument(help="A rig of the catalogue or a rig's YAML file.")] = "bimanual",
    seconds: Annotated[float, typer.Option(min=2.0, help="How long the stream of commands is measured.")] = 20.0,
    rounds: Annotated[int, typer.Option(min=2, help="How many chunks and e-stops are timed.")] = 20,
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    domain: Annotated[int | None, typer.Option(min=0, max=101, help="ROS domain; by default one of its own.")] = None,
) -> None:
    """Measure motion: processor, regularity, reaction, distances, and the jerk where chunks of the policy meet."""
    import json

    from xlvla import rig as rigs
    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen

    chosen = rigs.load(rig)
    with Screen() as screen, interruptible():
        screen.now("distances")
        figures = _distances(chosen)
        screen.now("chunks of the policy")
        figures |= _jerk(chosen)
        screen.now("commands")
        figures |= _stream(chosen, seconds, rounds, own_domain() if domain is None else domain)
        screen.console.print(_table(figures))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps(figures, indent=2) + "\n")


def _distances(rig: Rig) -> dict[str, Any]:
    """Time of one look at every distance, in poses around home."""
    import numpy as np

    from xlvla.ros.measure import spread
    from xlvla_drivers.motion.guard import Guard

    guard, rng = Guard(rig), np.random.default_rng(0)
    here = np.concatenate([list(rig.start(side).values()) for side in rig.sides])
    poses = here + rng.normal(0, 0.2, (LOOKS, 3, len(here)))
    looks = [guard.look(pose, [near, far], 1.0) for pose, near, far in poses]
    return {"look_ms": spread([1e3 * look.took_s for look in looks]), "distances": len(guard.distances.gaps)}


def _jerk(rig: Rig) -> dict[str, Any]:
    """Jerk of the commands that the policy's chunks of one simulated episode become, with our switching and a naive one."""
    import numpy as np

    from xlvla.cli.eval.stage import arrivals
    from xlvla.types import FIRST_EVALUATION_SEED
    from xlvla_drivers.motion.roughness import blended, naive
    from xlvla_drivers.motion.sides import side_player

    sent = _sent(rig, FIRST_EVALUATION_SEED)
    ways: dict[str, list[Any]] = {"jerk": [], "naive_jerk": []}
    for side in rig.sides:
        came = arrivals(sent, side)
        ways["jerk"].append(blended(side_player(rig, side), came, came[-1].came_s + 0.8))
        ways["naive_jerk"].append(naive(side_player(rig, side), came, came[-1].came_s + 0.8))
    found = {}
    for name, sides in ways.items():
        found[name] = {key: float(np.mean([getattr(side, key) for side in sides])) for key in ("at_boundaries", "inside", "own")}
    return found


DELAY_S = 0.15
"""From an observation to its chunk."""


def _sent(rig: Rig, seed: int) -> list[tuple[float, Chunk]]:
    """The chunks that the rig's policy decides on in a simulated episode, and when they came [s]."""
    from xlvla.cli.eval.stage import Stage

    stage = Stage(rig, DELAY_S, threads=1)
    stage.trial(seed)
    stage.world.close()
    return stage.sent


def _stream(rig: Rig, seconds: float, rounds: int, domain: int) -> dict[str, Any]:
    import os

    import numpy as np

    from xlvla.ros.measure import spread
    from xlvla.ros.motion_trial import MotionTrial

    period_ms = 1e3 / rig.motion.rate_hz
    with MotionTrial(alone(rig), domain) as trial:
        commands, beats, share = trial.stream(seconds)
        first = [trial.first_command_ms() for _ in range(rounds)]
        stops = [trial.stop_ms() for _ in range(rounds)]
        ping = trial.yardstick.round_trip_ms
        timer = np.abs(np.array(trial.yardstick.periods_ms) - 10.0).tolist()
    return {
        "rate_hz": 1e3 / float(np.mean(commands)),
        "share_of_a_core": share,
        "period_error_ms": spread(np.abs(np.array(commands) - period_ms).tolist()),
        "bare_thread_period_error_ms": spread(np.abs(np.array(beats) - period_ms).tolist()),
        "bare_timer_period_error_ms": spread(timer),
        "bare_round_trip_ms": spread(ping),
        "first_command_ms": spread(first),
        "brakes_ms": spread([brakes for brakes, _ in stops]),
        "rests_ms": spread([rests for _, rests in stops]),
        "load_average": os.getloadavg()[0],
    }


def alone(rig: Rig) -> Rig:
    """The rig as hardware that somebody else stands in for."""
    from dataclasses import replace

    from xlvla.device import DeviceConfig

    device = DeviceConfig(emulated=True)
    sides = {
        side: replace(station, arm=replace(station.arm, device=device), hand=replace(station.hand, device=device))
        for side, station in rig.sides.items()
    }
    return replace(rig, sides=sides, cameras={}, sim=None, policy=None)


def _table(figures: dict[str, Any]) -> Table:
    from rich.table import Table

    rows = {
        "period error of commands": "period_error_ms",
        "bare thread: period error": "bare_thread_period_error_ms",
        "bare rclpy timer (100 Hz): period error": "bare_timer_period_error_ms",
        "chunk to first command": "first_command_ms",
        "bare rclpy: round trip": "bare_round_trip_ms",
        "e-stop to the first command that brakes": "brakes_ms",
        "e-stop to a command at rest": "rests_ms",
        f"one look at {figures['distances']} distances, now and ahead (processor time)": "look_ms",
    }
    table = Table("milliseconds", "p50", "p99", "max", "samples")
    for title, key in rows.items():
        found = figures[key]
        table.add_row(title, *(f"{found[name]:.2f}" for name in ("p50", "p99", "max")), str(found["count"]))
    own, elsewhere = ([figures[key]["at_boundaries"] / figures[key][of] for key in ("jerk", "naive_jerk")] for of in ("own", "inside"))
    table.caption = (
        f"{figures['rate_hz']:.1f} commands/s use {figures['share_of_a_core']:.0%} of a core; jerk where chunks meet is {own[0]:.2f} "
        f"times that of the chunk that begins there and {elsewhere[0]:.2f} times that elsewhere, {own[1]:.0f} and {elsewhere[1]:.0f} times "
        f"with naive switching; load average {figures['load_average']:.1f}"
    )
    return table
