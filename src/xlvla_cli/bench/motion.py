"""`xlvla bench motion`: motion alone, beside bare rclpy in the same run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla_cli.options import FiguresOut, OwnDomain, RigArgument

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.policy import Chunk
    from xlvla.rig import Rig, Station
    from xlvla.types import Side
    from xlvla_cli.eval.roughness import Roughness

TOWARDS_RAD = 1.2
TOWARDS_S = 1.5
"""How far the first joints of the arms turn towards each other while distances are looked at, and
within which time.
"""


DELAY_S = 0.15
"""From an observation to its chunk."""

LAST_CHUNK_S = 0.8
"""How long the last chunk of an episode is followed."""


def register(app: typer.Typer) -> None:
    app.command("motion")(motion)


def motion(
    rig: RigArgument = "bimanual",
    seconds: Annotated[
        float, typer.Option(min=2.0, help="Duration of the measurement of the command stream.")
    ] = 20.0,
    rounds: Annotated[int, typer.Option(min=2, help="Number of chunks and e-stops to time.")] = 20,
    rate_hz: Annotated[
        float | None, typer.Option(min=20.0, max=1000.0, help="Of commands, instead of the rig's.")
    ] = None,
    beside: Annotated[
        str | None,
        typer.Option(help="Another rig, measured in the same run: also show ratios to it."),
    ] = None,
    out: FiguresOut = None,
    domain: OwnDomain = None,
) -> None:
    """Measure motion: processor, regularity, reaction, distances, and the jerk where chunks of the
    policy meet.
    """
    from xlvla.run import interruptible, own_domain
    from xlvla.screen import Screen
    from xlvla_cli.bench.figures import save

    if domain is None:
        domain = own_domain()
    names = [rig, beside] if beside else [rig]
    rigs = [_at_rate(rig_file.load(name), rate_hz) for name in names]
    measured: list[dict[str, Any]] = []
    with Screen() as screen, interruptible():
        for loaded in rigs:
            screen.now(f"{loaded.name}: distances")
            figures = _distances(loaded)
            if loaded.sim and loaded.policy:
                screen.now(f"{loaded.name}: chunks of the policy")
                figures |= _jerk(loaded)
            screen.now(f"{loaded.name}: commands")
            figures |= _stream(loaded, seconds, rounds, domain)
            screen.console.print(_table(loaded.name, figures))
            measured.append(figures)
        if beside:
            ratios = _ratios_of(*measured)
            measured[0] |= {"beside": measured[1], "ratios": ratios}
            shown = ", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items())
            screen.say(f"{rigs[0].name} over {rigs[1].name}: {shown}")
    save(out, measured[0])


def _at_rate(rig: Rig, rate_hz: float | None) -> Rig:
    from dataclasses import replace

    return rig if rate_hz is None else replace(rig, motion=replace(rig.motion, rate_hz=rate_hz))


def _ratios_of(figures: dict[str, Any], others: dict[str, Any]) -> dict[str, float]:
    """How much more of a core one rig's motion takes than another's, how much later its commands
    come, and how much longer its ticks are.
    """
    return {
        "share of a core": figures["share_of_a_core"] / others["share_of_a_core"],
        "period error p99": figures["period_error_ms"]["p99"] / others["period_error_ms"]["p99"],
        "tick p50": figures["look_ms"]["p50"] / others["look_ms"]["p50"],
        "tick p99": figures["look_ms"]["p99"] / others["look_ms"]["p99"],
    }


def _distances(rig: Rig) -> dict[str, Any]:
    """Processor time of motion's own work in a tick, while the arms go towards each other and come
    to stand before they meet.
    """
    import time

    import numpy as np

    from xlvla.types import CHUNK_FRAMES, CHUNK_HZ
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
        pose = home[side]
        towards = np.zeros(len(pose))
        towards[0] = TOWARDS_RAD if side == "right" else -TOWARDS_RAD
        points = pose + share * towards
        player.offer(points, player.joints, 0.0, CHUNK_HZ, 0.0, measured=pose)
    for tick in range(1, round(2 * TOWARDS_S / period_s)):
        began = time.thread_time()
        motion.step(tick * period_s, period_s, home)
        took.append(1e3 * (time.thread_time() - began))
    return {"look_ms": spread(took), "distances": motion.watched}


def _jerk(rig: Rig) -> dict[str, Any]:
    """Jerk of the commands that the policy's chunks of one simulated episode become, with our
    switching and a naive one.
    """

    from xlvla.types import FIRST_EVALUATION_SEED
    from xlvla_cli.eval.episode_runner import arrivals
    from xlvla_cli.eval.roughness import blended, naive
    from xlvla_drivers.motion.sides import side_player

    sent = _sent(rig, FIRST_EVALUATION_SEED)
    ours: list[Roughness] = []
    naives: list[Roughness] = []
    for side in rig.sides:
        chunks = arrivals(sent, side)
        end_s = chunks[-1].came_s + LAST_CHUNK_S
        ours.append(blended(side_player(rig, side), chunks, end_s))
        naives.append(naive(side_player(rig, side), chunks, end_s))
    return {"jerk": _mean(ours), "naive_jerk": _mean(naives)}


def _mean(sides: Sequence[Roughness]) -> dict[str, float]:
    import numpy as np

    return {
        "at_boundaries": float(np.mean([side.at_boundaries for side in sides])),
        "inside": float(np.mean([side.inside for side in sides])),
        "own": float(np.mean([side.own for side in sides])),
    }


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
    sides: dict[Side, Station] = {}
    for side, station in rig.sides.items():
        arm = replace(station.arm, device=device)
        hand = replace(station.hand, device=device)
        sides[side] = replace(station, arm=arm, hand=hand)
    return replace(rig, sides=sides, cameras={}, sim=None, policy=None)


def _table(name: str, figures: dict[str, Any]) -> Table:
    from rich.table import Table

    from xlvla_cli.bench.figures import spread_cells

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
    table = Table(f"{name}, milliseconds", "p50", "p99", "max", "samples")
    for title, key in rows.items():
        table.add_row(title, *spread_cells(figures[key]))
    table.caption = (
        f"{figures['rate_hz']:.1f} commands/s use {figures['share_of_a_core']:.0%} of a core; "
        f"{_jerk_words(figures)}load average {figures['load_average']:.1f}"
    )
    return table


def _jerk_words(figures: dict[str, Any]) -> str:
    """Of a rig with a policy; '' without."""
    if "jerk" not in figures:
        return ""
    own, elsewhere = _ratios(figures["jerk"])
    naive_own, naive_elsewhere = _ratios(figures["naive_jerk"])
    return (
        f"jerk where chunks meet is {own:.2f} times that of the chunk that begins there and "
        f"{elsewhere:.2f} times that elsewhere, "
        f"{naive_own:.0f} and {naive_elsewhere:.0f} times with naive switching; "
    )


def _ratios(jerk: Mapping[str, float]) -> tuple[float, float]:
    """Jerk where chunks meet, over that of the following chunk alone and over that elsewhere."""
    return jerk["at_boundaries"] / jerk["own"], jerk["at_boundaries"] / jerk["inside"]
