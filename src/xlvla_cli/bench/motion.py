"""`xlvla bench motion`: motion alone, beside bare rclpy in the same run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.policy import Chunk
    from xlvla.rig import Rig

TOWARDS_RAD = 1.2
TOWARDS_S = 1.5
"""How far the first joints of the arms turn towards each other while distances are looked at, and
within which time.
"""


def register(app: typer.Typer) -> None:
    app.command("motion")(motion)


def motion(
    rig: Annotated[
        str, typer.Argument(help="A rig of the catalogue or a rig's YAML file.")
    ] = "bimanual",
    seconds: Annotated[
        float, typer.Option(min=2.0, help="Duration of the measurement of the command stream.")
    ] = 20.0,
    rounds: Annotated[int, typer.Option(min=2, help="Number of chunks and e-stops to time.")] = 20,
    out: Annotated[Path | None, typer.Option(help="JSON file for the figures.")] = None,
    domain: Annotated[
        int | None, typer.Option(min=0, max=101, help="ROS domain; by default one of its own.")
    ] = None,
) -> None:
    """Measure motion: processor, regularity, reaction, distances, and the jerk where chunks of the
    policy meet.
    """
    import json

    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen

    chosen = rig_file.load(rig)
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
    """Processor time of motion's own work in a tick, while the arms go towards each other and come
    to stand before they meet.
    """
    import time

    import numpy as np

    from xlvla.types import CHUNK_FRAMES, CHUNK_HZ, Side
    from xlvla_cli.ros.measure import spread
    from xlvla_drivers.motion.rig_motion import RigMotion

    motion = RigMotion(rig)
    period_s = 1 / rig.motion.rate_hz
    took = list[float]()
    home: dict[Side, np.ndarray] = {
        side: np.array(list(rig.start(side).values())) for side in rig.sides
    }
    share = np.minimum(np.arange(1, CHUNK_FRAMES + 1) / (TOWARDS_S * CHUNK_HZ), 1.0)[:, None]
    for side, player in motion.players.items():
        towards = np.zeros(len(home[side]))
        towards[0] = TOWARDS_RAD if side == "right" else -TOWARDS_RAD
        player.offer(
            home[side] + share * towards, player.joints, 0.0, CHUNK_HZ, 0.0, measured=home[side]
        )
    for tick in range(1, round(2 * TOWARDS_S / period_s)):
        began = time.thread_time()
        motion.step(tick * period_s, period_s, home)
        took.append(1e3 * (time.thread_time() - began))
    return {"look_ms": spread(took), "distances": motion.watched}


def _jerk(rig: Rig) -> dict[str, Any]:
    """Jerk of the commands that the policy's chunks of one simulated episode become, with our
    switching and a naive one.
    """
    import numpy as np

    from xlvla.types import FIRST_EVALUATION_SEED
    from xlvla_cli.eval.episode_runner import arrivals
    from xlvla_cli.eval.roughness import blended, naive
    from xlvla_drivers.motion.sides import side_player

    sent = _sent(rig, FIRST_EVALUATION_SEED)
    ways: dict[str, list[Any]] = {"jerk": [], "naive_jerk": []}
    for side in rig.sides:
        came = arrivals(sent, side)
        ways["jerk"].append(blended(side_player(rig, side), came, came[-1].came_s + 0.8))
        ways["naive_jerk"].append(naive(side_player(rig, side), came, came[-1].came_s + 0.8))
    found = {}
    for name, sides in ways.items():
        found[name] = {
            key: float(np.mean([getattr(side, key) for side in sides]))
            for key in ("at_boundaries", "inside", "own")
        }
    return found


DELAY_S = 0.15
"""From an observation to its chunk."""


def _sent(rig: Rig, seed: int) -> list[tuple[float, Chunk]]:
    """The chunks that the rig's policy decides on in a simulated episode, and when they came
    [s].
    """
    from xlvla_cli.eval.episode_runner import EpisodeRunner

    runner = EpisodeRunner(rig, DELAY_S, threads=1)
    runner.trial(seed)
    runner.world.close()
    return runner.sent


def _stream(rig: Rig, seconds: float, rounds: int, domain: int) -> dict[str, Any]:
    import os

    import numpy as np

    from xlvla_cli.bench.ros.motion_trial import MotionTrial
    from xlvla_cli.ros.measure import spread

    period_ms = 1e3 / rig.motion.rate_hz
    with MotionTrial(alone(rig), domain) as trial:
        commands, beats, share = trial.stream(seconds)
        first = [trial.first_command_ms() for _ in range(rounds)]
        stops = [trial.stop_ms() for _ in range(rounds)]
        ping = trial.baseline.round_trip_ms
        timer = np.abs(np.array(trial.baseline.periods_ms) - 10.0).tolist()
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
    """The rig as hardware whose devices the bench emulates."""
    from dataclasses import replace

    from xlvla.device import DeviceConfig

    device = DeviceConfig(emulated=True)
    sides = {
        side: replace(
            station,
            arm=replace(station.arm, device=device),
            hand=replace(station.hand, device=device),
        )
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
        f"a tick that keeps {figures['distances']} distances, arms towards each other (processor "
        "time)": "look_ms",
    }
    table = Table("milliseconds", "p50", "p99", "max", "samples")
    for title, key in rows.items():
        found = figures[key]
        table.add_row(
            title, *(f"{found[name]:.2f}" for name in ("p50", "p99", "max")), str(found["count"])
        )
    own, elsewhere = (
        [figures[key]["at_boundaries"] / figures[key][of] for key in ("jerk", "naive_jerk")]
        for of in ("own", "inside")
    )
    table.caption = (
        f"{figures['rate_hz']:.1f} commands/s use {figures['share_of_a_core']:.0%} of a core; jerk "
        f"where chunks meet is {own[0]:.2f} "
        f"times that of the chunk that begins there and {elsewhere[0]:.2f} times that elsewhere, "
        f"{own[1]:.0f} and {elsewhere[1]:.0f} times "
        f"with naive switching; load average {figures['load_average']:.1f}"
    )
    return table
