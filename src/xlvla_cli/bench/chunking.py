"""`xlvla bench chunking`: what the ways to join chunks are worth when the policy takes long to
think.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xlvla import rig_file
from xlvla.policy import Chunk, Observation, Policy
from xlvla_cli.options import FiguresOut, SimulatedRig

if TYPE_CHECKING:
    from rich.table import Table

    from xlvla.rig import Rig

SHOWN_S = 0.8
"""How long the last chunk of an episode is followed."""


@dataclass(frozen=True)
class Row:
    """One way at one delay.

    Args:
        gap_rad: root mean square distance of a chunk from the command when it comes.
        naive: jerk there over that of the chunk itself, when the newest is simply followed.
        jerk: the same of the commands that motion makes of the chunks.
        chunk_ms: median processor time to decide.
    """

    chunking: str
    delay_s: float
    trials: int
    successes: int
    gap_rad: float
    naive: float
    jerk: float
    chunk_ms: float


def register(app: typer.Typer) -> None:
    app.command("chunking")(chunking)


def chunking(
    policy: Annotated[
        str | None, typer.Option(help="Weights file; the shipped one if not given.")
    ] = None,
    ways: Annotated[
        str, typer.Option(help="Chunking methods, separated by commas.")
    ] = "plain,ensemble,guided,prefix",
    delays: Annotated[
        str,
        typer.Option(
            help="Seconds from an observation to its chunk's taking effect, separated by commas."
        ),
    ] = "0,0.2,0.4",
    trials: Annotated[int, typer.Option(min=1, help="Episodes per way and delay.")] = 4,
    hands: Annotated[str, typer.Option(help="Hand on both arms, or left+right.")] = "xhand",
    rig: SimulatedRig = "bimanual",
    out: FiguresOut = None,
) -> None:
    """Compare chunking methods in simulation: success, and jerk where chunks join."""
    import json

    from xlvla import screen
    from xlvla.errors import XlvlaError

    left, _, right = hands.partition("+")
    base = rig_file.with_choices(
        rig_file.load(rig), hands={"left": left, "right": right or left}, checkpoint=policy
    )
    console = screen.console()
    rows = []
    for chosen in [_joining(base, way.strip()) for way in ways.split(",")]:
        try:
            rows += _rows(
                chosen, [float(delay) for delay in delays.split(",")], trials, console.print
            )
        except XlvlaError as error:  # weights that cannot
            console.print(str(error))
    console.print(_table(rows))
    if out:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def _joining(rig: Rig, way: str) -> Rig:
    """The rig with another chunking method; raises RigError for an unknown one."""
    from xlvla.errors import XlvlaError

    document = asdict(rig)
    if document["policy"] is None:
        raise XlvlaError(
            f"rig '{rig.name}' has no `policy` section, so there is nothing to measure"
        )
    document["policy"]["chunking"] = way
    return rig_file.from_document(document, rig.name)


def _rows(rig: Rig, delays: list[float], trials: int, progress: Any) -> list[Row]:
    from xlvla.types import FIRST_EVALUATION_SEED
    from xlvla_cli.eval.episode_runner import EpisodeRunner

    assert rig.policy is not None
    runner = EpisodeRunner(rig, 0.0, threads=1)
    way = rig.policy.chunking
    rows = []
    runner.policy = timed = _Timed(runner.policy)
    for delay in delays:
        runner.delay = round(delay / runner.period_s)
        successes = 0
        seams = []
        for seed in range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + trials):
            successes += runner.trial(seed).success
            seams += [
                seam
                for side in rig.sides
                if (seam := _seam(rig, side, runner.sent, runner.commanded[side]))
            ]
        gap, naive, jerk = (
            (sum(values) / len(values) for values in zip(*seams, strict=True))
            if seams
            else [math.nan] * 3
        )
        rows.append(Row(way, delay, trials, successes, gap, naive, jerk, timed.median_ms()))
        progress(
            f"{way} {delay:g} s: {successes}/{trials}, gap {1e3 * gap:.1f} mrad, jerk "
            f"x{naive:.0f}, with motion x{jerk:.2f}"
        )
    runner.world.close()
    return rows


class _Timed:
    """A policy whose time to decide is taken."""

    def __init__(self, policy: Policy):
        self._policy = policy
        self._took_s = list[float]()

    @property
    def frames(self) -> int:
        return self._policy.frames

    @property
    def rate_hz(self) -> float:
        return self._policy.rate_hz

    def predict(self, observation: Observation) -> Chunk:
        began = time.process_time()
        chunk = self._policy.predict(observation)
        self._took_s.append(time.process_time() - began)
        return chunk

    def median_ms(self) -> float:
        """Since the last call."""
        took = self._took_s
        self._took_s = []
        return 1e3 * statistics.median(took)


def _seam(
    rig: Rig, side: Any, sent: list[tuple[float, Any]], commanded: list[Any]
) -> tuple[float, float, float] | None:
    """Gap, and jerk naive and with motion, of one side of an episode; None where there were not two
    chunks, or motion refused one.
    """
    import numpy as np

    from xlvla_cli.eval.episode_runner import arrivals
    from xlvla_cli.eval.roughness import blended, naive
    from xlvla_drivers.motion.chunk import Refused, Trajectory
    from xlvla_drivers.motion.sides import side_player

    if len(sent) < 2:
        return None
    came = arrivals(sent, side)
    gaps = [
        Trajectory(new.points, new.rate_hz).at(new.came_s - new.stamp_s - 1 / new.rate_hz).position
        - commanded[round(new.came_s * rig.motion.rate_hz)]
        for new in came[1:]
    ]
    end_s = came[-1].came_s + SHOWN_S
    try:
        followed = naive(side_player(rig, side), came, end_s)
        played = blended(side_player(rig, side), came, end_s)
    except Refused:
        return None
    return float(np.sqrt(np.mean(np.square(gaps)))), followed.ratio, played.ratio


def _table(rows: list[Row]) -> Table:
    from rich.table import Table

    table = Table(
        "chunking", "delay s", "success", "gap mrad", "jerk, naive", "jerk, motion", "chunk ms"
    )
    for row in rows:
        figures = (
            f"{1e3 * row.gap_rad:.1f}",
            f"x {row.naive:.0f}",
            f"x {row.jerk:.2f}",
            f"{row.chunk_ms:.0f}",
        )
        table.add_row(row.chunking, f"{row.delay_s:g}", f"{row.successes}/{row.trials}", *figures)
    table.caption = (
        "gap and jerk where chunks meet; jerk over that of the following chunk alone, naively "
        "switched and as motion does it"
    )
    return table
