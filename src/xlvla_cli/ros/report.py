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
        return title(self.rig)

    @property
    def successes(self) -> int:
        return sum(episode.success for episode in self.episodes)


def title(rig: Rig) -> str:
    """The hands of a rig, from left to right; two alike count as one."""
    return " and ".join(dict.fromkeys(rig.hand(side).title for side in rig.sides))


def run_episodes(
    rig: Rig, count: int, screen: Screen, *, domain: int | None = None, record: bool = False
) -> RunReport:
    """Starts a rig, runs `count` episodes of its simulation, stops it."""
    with Session(
        rig, domain=domain, record=record, listener=screen.on_output, progress=screen.waiting
    ) as session:
        instruction = rig.policy.instruction if rig.policy else ""
        screen.say((title(rig), "bold"), f": {instruction}")
        results: list[EpisodeResult] = []
        for number in range(1, count + 1):
            results.append(_episode(session, f"episode {number}/{count}", screen))
        simulated_s = sum(result.duration_s for result in results)
        wall_s = sum(result.wall_s for result in results)
        measured = session.measure.summary()
        measured["real_time_factor"] = round(simulated_s / max(wall_s, 1e-9), 3)
        return RunReport(rig, tuple(results), measured, tuple(session.moments))


def _episode(session: Session, name: str, screen: Screen) -> EpisodeResult:
    for status in session.episode():
        if isinstance(status, EpisodeResult):
            verdict = ("success", "green") if status.success else ("failed", "red")
            reached = "" if status.success else f" at {status.stage:.0%} ({status.text})"
            facts = f"  {name}  seed {status.seed}  {status.duration_s:5.1f} s  "
            screen.say(facts, verdict, reached)
            return status
        for line in session.silence.changes():
            screen.say(line)
        screen.now(f"{name}  |  {rig_line(status, session.operator.figures())}")
    raise AssertionError("an episode ends with its result")


def show(reports: list[RunReport], screen: Screen) -> None:
    """The success rate, in all and by pair of hands, and the latencies."""
    for report in reports:
        measured = report.measured
        latency = measured["observation_to_chunk_ms"]
        period = measured["command_period_ms"]
        if latency and period:
            screen.say(
                f"{report.title}: "
                f"chunk {latency['p50']:.0f} ms after its observation (p99 {latency['p99']:.0f}), "
                f"commands at {measured['command_rate_hz']:.1f} Hz "
                f"(p99 period {period['p99']:.1f} ms), "
                f"{measured['real_time_factor']:.2f} x real time"
            )
    successes, count = _totals(reports)
    total = f"success {successes}/{count} = {successes / max(count, 1):.0%}"
    by_pair = ""
    if len(reports) > 1:
        pairs = [f"{report.title} {report.successes}/{len(report.episodes)}" for report in reports]
        by_pair = f"  ({', '.join(pairs)})"
    screen.say((total, "bold"), by_pair)


def write(out: Path, reports: list[RunReport]) -> Path:
    """Writes OUT/summary.json."""
    successes, count = _totals(reports)
    summary: dict[str, Any] = {
        "version": __version__,
        "episodes": count,
        "successes": successes,
        "success_rate": successes / max(count, 1),
        "runs": [_plain(report) for report in reports],
    }
    path = out / "summary.json"
    path.write_text(json.dumps(summary, indent=2) + "\n")
    return path


def _totals(reports: list[RunReport]) -> tuple[int, int]:
    """Successes, of how many episodes."""
    successes = sum(report.successes for report in reports)
    count = sum(len(report.episodes) for report in reports)
    return successes, count


def _plain(report: RunReport) -> dict[str, Any]:
    rig = report.rig
    return {
        "rig": rig.name,
        "hands": report.hands,
        "policy": asdict(rig.policy) if rig.policy else None,
        "task": rig.sim.task if rig.sim else None,
        "speed": rig.sim.speed if rig.sim else None,
        "episodes": [asdict(episode) for episode in report.episodes],
        "measured": report.measured,
    }
