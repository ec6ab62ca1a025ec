"""Runs episodes on the graph and reports them: on the screen and as summary.json."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xlvla import __version__
from xlvla.rig import Rig
from xlvla.screen import Screen, rig_line
from xlvla_cli.ros.session import EpisodeResult, Moment, Session


@dataclass(frozen=True)
class RunReport:
    """Episodes of one rig and what was measured meanwhile."""

    rig: Rig
    episodes: tuple[EpisodeResult, ...]
    measured: dict[str, Any]
    moments: tuple[Moment, ...] = ()

    @property
    def hands(self) -> dict[str, str]:
        return {side: station.hand.type for side, station in self.rig.sides.items()}

    @property
    def title(self) -> str:
        """The hands, from left to right."""
        return " and ".join(dict.fromkeys(self.rig.hand(side).title for side in self.rig.sides))

    @property
    def successes(self) -> int:
        return sum(episode.success for episode in self.episodes)


def run_episodes(
    rig: Rig, count: int, screen: Screen, *, domain: int | None = None, record: bool = False
) -> RunReport:
    """Starts a rig, runs `count` episodes of its simulation, stops it."""
    with Session(
        rig, domain=domain, record=record, listener=screen.on_output, progress=screen.waiting
    ) as session:
        screen.say(
            (RunReport(rig, (), {}).title, "bold"),
            f": {rig.policy.instruction if rig.policy else ''}",
        )
        results = tuple(_episode(session, number, count, screen) for number in range(count))
        factor = sum(r.duration_s for r in results) / max(sum(r.wall_s for r in results), 1e-9)
        measured = {**session.measure.summary(), "real_time_factor": round(factor, 3)}
        return RunReport(rig, results, measured, tuple(session.moments))


def _episode(session: Session, number: int, count: int, screen: Screen) -> EpisodeResult:
    for status in session.episode():
        if isinstance(status, EpisodeResult):
            mark = ("success", "green") if status.success else ("failed", "red")
            why = "" if status.success else f" at {status.stage:.0%} ({status.text})"
            screen.say(
                f"  episode {number + 1}/{count}  seed {status.seed}  {status.duration_s:5.1f} s  ",
                mark,
                why,
            )
            return status
        for line in session.silence.changes():
            screen.say(line)
        screen.now(
            f"episode {number + 1}/{count}  |  " + rig_line(status, session.operator.figures())
        )
    raise AssertionError("an episode ends with its result")


def show(reports: list[RunReport], screen: Screen) -> None:
    """The success rate, in all and by pair of hands, and the latencies."""
    for report in reports:
        latency = report.measured["observation_to_chunk_ms"]
        period = report.measured["command_period_ms"]
        if latency and period:
            screen.say(
                f"{report.title}: chunk {latency['p50']:.0f} ms after its observation (p99 "
                f"{latency['p99']:.0f}), "
                f"commands at {report.measured['command_rate_hz']:.1f} Hz (p99 period "
                f"{period['p99']:.1f} ms), "
                f"{report.measured['real_time_factor']:.2f} x real time"
            )
    successes = sum(r.successes for r in reports)
    count = sum(len(r.episodes) for r in reports)
    by_pair = (
        ", ".join(f"{r.title} {r.successes}/{len(r.episodes)}" for r in reports)
        if len(reports) > 1
        else ""
    )
    screen.say(
        (f"success {successes}/{count} = {successes / max(count, 1):.0%}", "bold"),
        f"  ({by_pair})" if by_pair else "",
    )


def write(out: Path, reports: list[RunReport]) -> Path:
    """Writes OUT/summary.json."""
    successes = sum(r.successes for r in reports)
    count = sum(len(r.episodes) for r in reports)
    summary: dict[str, Any] = {
        "version": __version__,
        "episodes": count,
        "successes": successes,
        "success_rate": successes / max(count, 1),
    }
    path = out / "summary.json"
    path.write_text(
        json.dumps(summary | {"runs": [_plain(report) for report in reports]}, indent=2) + "\n"
    )
    return path


def _plain(report: RunReport) -> dict[str, Any]:
    rig = report.rig
    facts = {
        "rig": rig.name,
        "hands": report.hands,
        "policy": asdict(rig.policy) if rig.policy else None,
    }
    facts |= {
        "task": rig.sim.task if rig.sim else None,
        "speed": rig.sim.speed if rig.sim else None,
    }
    return facts | {
        "episodes": [asdict(episode) for episode in report.episodes],
        "measured": report.measured,
    }
