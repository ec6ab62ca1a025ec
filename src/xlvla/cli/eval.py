"""`xlvla eval`: success of a policy over seeds it never saw, in one process: world, policy and motion without ROS."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from xlvla.errors import XlvlaError
from xlvla.policy import Chunk, Observation, Policy
from xlvla.rig import Rig
from xlvla.types import CHUNK_FRAMES, CHUNK_HZ, FIRST_EVALUATION_SEED, PARTS, Part, Side

if TYPE_CHECKING:
    from xlvla_drivers.motion.player import Player
    from xlvla_sim.task import TaskStatus
    from xlvla_sim.world import World

SETTLE_S = 0.5
"""How long a trial goes on after its task is done, for the video."""


def register(app: typer.Typer) -> None:
    app.command("eval")(evaluate)


@dataclass(frozen=True)
class Trial:
    """What came of one episode; `stage` is the share of the task's stages reached, `text` what the task says of it."""

    hands: str
    seed: int
    success: bool
    stage: float
    time_s: float
    text: str


def evaluate(
    hands: Annotated[str, typer.Option(help="Hands, separated by commas; 'left+right' for two different ones, 'all' for every pair.")] = (
        "xhand,inspire"
    ),
    trials: Annotated[int, typer.Option(min=1, help="Episodes per hand.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="First seed; seeds from 1000000 on are never trained on.")] = FIRST_EVALUATION_SEED,
    policy: Annotated[str | None, typer.Option(help="Weights file; the shipped one if not given.")] = None,
    rig: Annotated[str, typer.Option(help="Rig to simulate.")] = "bimanual",
    delay: Annotated[float, typer.Option(min=0, help="Seconds from an observation to its chunk's taking effect.")] = 0.15,
    threads: Annotated[int, typer.Option(min=1, help="Processor threads of the policy.")] = 1,
    out: Annotated[Path | None, typer.Option("--json", help="File for the results.")] = None,
    video: Annotated[Path | None, typer.Option(help="Folder for one video per episode.")] = None,
) -> None:
    """Run a policy in simulation and count successes; the same seed gives the same episode."""
    from rich.console import Console

    from xlvla import rig as rigs

    console, base, results = Console(), rigs.load(rig), []
    for pair in _pairs(hands):
        chosen = base.with_choices(hands={"left": pair[0], "right": pair[1]}, checkpoint=policy)
        stage = _Stage(chosen, delay, threads)
        for number in range(seed, seed + trials):
            path = video / f"{pair[0]}-{pair[1]}-{number}.mp4" if video else None
            results.append(stage.trial(number, path))
            console.print(_line(results[-1]), highlight=False)
        stage.world.close()
    console.print(*_summary(results), sep="\n", highlight=False)
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"delay_s": delay, "rates": _rates(results), "trials": [asdict(trial) for trial in results]}, indent=1))


def wilson(successes: int, trials: int, z: float = 1.96) -> tuple[float, float]:
    """Confidence interval (95% by default) of a success rate (Wilson, 1927)."""
    share, spread = successes / trials, z * z / trials
    half = z * math.sqrt(share * (1 - share) / trials + spread / (4 * trials))
    return max(0.0, (share + spread / 2 - half) / (1 + spread)), min(1.0, (share + spread / 2 + half) / (1 + spread))


class _Stage:
    """A world, a policy and a player per side, for one pair of hands; `sent` are the last trial's chunks and when they came [s],
    `commanded` its commands [N] by side, the first one where it began."""

    def __init__(self, rig: Rig, delay_s: float, threads: int):
        from xlvla_policy.policies import xlvla
        from xlvla_sim.world import World

        if rig.policy is None or rig.sim is None:
            raise XlvlaError(f"rig '{rig.name}' needs a `policy` and a `sim` section to be evaluated")
        self.rig, self.period_s = rig, 1 / rig.motion.rate_hz
        self.instruction = rig.policy.instruction
        self.replan = max(1, round(rig.policy.replan_s / self.period_s))
        self.delay = round(delay_s / self.period_s)
        self.policy: Policy = xlvla.load(rig, threads=threads)
        self.world: World = World(rig)
        self.names: dict[Side, list[str]] = {side: [n for part in PARTS for n in rig.joint_names(side, part)] for side in rig.sides}

    def trial(self, seed: int, video: Path | None) -> Trial:
        """Plays one episode to its end."""
        self.world.reset(seed)
        with self._film(video) as shoot:
            status = self._play(shoot)
        hands = "+".join(station.hand.type for station in self.rig.sides.values())
        return Trial(hands, seed, status.success, status.stage, round(self._end_s, 2), status.text)

    @contextmanager
    def _film(self, path: Path | None) -> Iterator[Callable[[], None] | None]:
        """What takes a picture of the scene, 20 per second of simulated time; None where no video is wanted."""
        if path is None:
            yield None
            return
        from xlvla.film import Film

        path.parent.mkdir(parents=True, exist_ok=True)
        with Film(path, CHUNK_HZ) as film:
            yield lambda: film.add(self.world.view(640, 480), self.instruction)

    def _play(self, shoot: Callable[[], None] | None) -> TaskStatus:
        from xlvla_drivers.motion.sides import side_player

        players: dict[Side, Player] = {side: side_player(self.rig, side) for side in self.rig.sides}
        history: dict[Side, list[np.ndarray]] = {side: [self._measured(side)] for side in self.rig.sides}
        self.commanded = history
        self.sent, waiting = list[tuple[float, Chunk]](), None
        every, tick, last, status = round(1 / CHUNK_HZ / self.period_s), 0, math.inf, None
        while tick < last:
            now_s = tick * self.period_s
            if tick % self.replan == 0:
                waiting = tick + self.delay, self.policy.predict(self._observe(history, now_s))
            if waiting and tick >= waiting[0]:
                self._offer(players, waiting[1], now_s)
                self.sent, waiting = [*self.sent, (now_s, waiting[1])], None
            self._command(players, history, now_s)
            self.world.step(self.period_s)
            if shoot and tick % every == 0:
                shoot()
            tick += 1
            if status is None and self.world.status().done:
                status, self._end_s = self.world.status(), self.world.time_s
                last = tick + (round(SETTLE_S / self.period_s) if shoot else 0)
        assert status is not None
        return status

    def _observe(self, history: dict[Side, list[np.ndarray]], now_s: float) -> Observation:
        images = {camera: self.world.image(camera) for camera in self.rig.cameras}
        executed: dict[Side, dict[Part, np.ndarray]] = {side: self._executed(side, rows) for side, rows in history.items()}
        previous = tuple(chunk for _, chunk in self.sent)
        return Observation(round(now_s * 1e9), images, self.instruction, executed, previous, self.delay * self.period_s)

    def _executed(self, side: Side, rows: list[np.ndarray]) -> dict[Part, np.ndarray]:
        """The commands of the last 64 frames, at 20 Hz up to now."""
        every = round(1 / CHUNK_HZ / self.period_s)
        newest = len(rows) - 1
        values = np.stack([rows[max(0, newest - every * back)] for back in reversed(range(CHUNK_FRAMES))])
        arm = len(self.rig.joint_names(side, "arm"))
        return {"arm": values[:, :arm], "hand": values[:, arm:]}

    def _offer(self, players: dict[Side, Player], chunk: Chunk, now_s: float) -> None:
        from xlvla_drivers.motion.chunk import Refused

        for side, player in players.items():
            points = np.concatenate([chunk.positions[side][part] for part in PARTS], 1)
            with suppress(Refused):  # as on the robot, which then plays on what it has
                player.offer(points, self.names[side], chunk.stamp_ns / 1e9, chunk.rate_hz, now_s)

    def _command(self, players: dict[Side, Player], history: dict[Side, list[np.ndarray]], now_s: float) -> None:
        for side, player in players.items():
            target = player.command(now_s, history[side][0])
            history[side].append(target)
            named = dict(zip(self.names[side], target, strict=True))
            for part in PARTS:
                self.world.command(side, part, {name: named[name] for name in self.rig.joint_names(side, part)})

    def _measured(self, side: Side) -> np.ndarray:
        return np.concatenate([self.world.joint_state(side, part)[0] for part in PARTS])


def _pairs(hands: str) -> list[tuple[str, str]]:
    from xlvla import catalog

    names = list(catalog.hands()) if hands == "all" else [name.strip() for name in hands.split(",")]
    pairs = [tuple(name.split("+")) if "+" in name else (name, name) for name in names]
    if wrong := [pair for pair in pairs if len(pair) != 2]:
        raise XlvlaError(f"'{'+'.join(wrong[0])}' names {len(wrong[0])} hands: give one, or left+right")
    return [(catalog.hand(left).name, catalog.hand(right).name) for left, right in pairs]


def _line(trial: Trial) -> str:
    verdict = "[green]success[/]" if trial.success else "[red]failure[/]"
    return f"{trial.hands:16} seed {trial.seed}  {verdict}  stage {trial.stage:.2f}  {trial.time_s:5.1f} s  {trial.text}"


def _rates(results: list[Trial]) -> dict[str, dict]:
    rates = {}
    for hands in dict.fromkeys(trial.hands for trial in results):
        mine = [trial for trial in results if trial.hands == hands]
        successes = sum(trial.success for trial in mine)
        low, high = wilson(successes, len(mine))
        stage = float(np.mean([trial.stage for trial in mine]))
        rates[hands] = {
            "trials": len(mine),
            "successes": successes,
            "rate": successes / len(mine),
            "low": low,
            "high": high,
            "stage": stage,
        }
    return rates


def _summary(results: list[Trial]) -> list[str]:
    def row(hands: str, rate: dict, shown: Callable[[float], str] = "{:.0%}".format) -> str:
        interval = f"95% interval {shown(rate['low'])} to {shown(rate['high'])}"
        return f"{hands:16} {rate['successes']}/{rate['trials']} = {shown(rate['rate'])} ({interval}), mean stage {rate['stage']:.2f}"

    return [row(hands, rate) for hands, rate in _rates(results).items()]
