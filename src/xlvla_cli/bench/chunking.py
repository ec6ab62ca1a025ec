"""`xlvla bench chunking`: what the ways to join chunks are worth when the policy takes long to
think.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from xlvla import rig_file
from xlvla.policy import Chunk, Observation, Policy
from xlvla.types import FIRST_EVALUATION_SEED, Side
from xlvla_cli.options import FiguresOut, SimulatedRig

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from xlvla.rig import Rig
    from xlvla_cli.eval.episode_runner import EpisodeRunner
    from xlvla_cli.eval.roughness import Arrival

SHOWN_S = 0.8
"""How long the last chunk of an episode is followed."""


@dataclass(frozen=True)
class Row:
    """One chunking method at one delay, means over its seams.

    Args:
        gap_rad, naive, jerk: see `Seam`; NaN where no chunk followed another.
        chunk_ms: median processor time of an inference.
    """

    chunking: str
    delay_s: float
    trials: int
    successes: int
    gap_rad: float
    naive: float
    jerk: float
    chunk_ms: float


@dataclass(frozen=True)
class Seam:
    """How the chunks of one side of an episode join.

    Args:
        gap_rad: root mean square distance of a chunk from the command when it comes.
        naive: jerk there over that of the chunk itself, when the newest is simply followed.
        jerk: the same of the commands that motion makes of the chunks.
    """

    gap_rad: float
    naive: float
    jerk: float


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
    from xlvla import screen
    from xlvla.errors import XlvlaError
    from xlvla_cli.bench.figures import save

    left, _, right = hands.partition("+")
    base = rig_file.with_choices(
        rig_file.load(rig), hands={"left": left, "right": right or left}, checkpoint=policy
    )
    delays_s = [float(delay) for delay in delays.split(",")]
    # A method that is unknown is refused before the first is measured.
    rigs = [with_chunking(base, way.strip()) for way in ways.split(",")]
    console = screen.console()
    rows: list[Row] = []
    for chosen in rigs:
        try:
            rows += _rows(chosen, delays_s, trials, console.print)
        except XlvlaError as error:
            # These weights do not support the method.
            console.print(str(error))
    console.print(_table(rows))
    save(out, [asdict(row) for row in rows], indent=1)


def with_chunking(rig: Rig, method: str) -> Rig:
    """The rig with another chunking method; raises RigError for an unknown one."""
    from xlvla.errors import XlvlaError

    document = asdict(rig)
    if document["policy"] is None:
        raise XlvlaError(
            f"rig '{rig.name}' has no `policy` section, so there is nothing to measure"
        )
    document["policy"]["chunking"] = method
    return rig_file.from_document(document, rig.name)


def _rows(
    rig: Rig, delays_s: Sequence[float], trials: int, progress: Callable[[str], None]
) -> list[Row]:
    from xlvla_cli.eval.episode_runner import EpisodeRunner

    runner = EpisodeRunner(rig, 0.0, threads=1)
    timed = _Timed(runner.policy)
    runner.policy = timed
    rows: list[Row] = []
    for delay_s in delays_s:
        row = _row(runner, timed, delay_s, trials)
        rows.append(row)
        progress(
            f"{row.chunking} {delay_s:g} s: {row.successes}/{trials}, "
            f"gap {1e3 * row.gap_rad:.1f} mrad, jerk x{row.naive:.0f}, "
            f"with motion x{row.jerk:.2f}"
        )
    runner.world.close()
    return rows


def _row(runner: EpisodeRunner, timed: _Timed, delay_s: float, trials: int) -> Row:
    rig = runner.rig
    assert rig.policy is not None
    runner.delay = round(delay_s / runner.period_s)
    successes = 0
    seams: list[Seam] = []
    for seed in range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + trials):
        successes += runner.trial(seed).success
        for side in rig.sides:
            seam = side_seam(rig, side, runner.sent, runner.commanded[side])
            if seam is not None:
                seams.append(seam)
    return Row(
        chunking=rig.policy.chunking,
        delay_s=delay_s,
        trials=trials,
        successes=successes,
        gap_rad=_mean([seam.gap_rad for seam in seams]),
        naive=_mean([seam.naive for seam in seams]),
        jerk=_mean([seam.jerk for seam in seams]),
        chunk_ms=timed.median_ms(),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan


class _Timed:
    """A policy, and the processor time of its inferences."""

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


def side_seam(
    rig: Rig, side: Side, sent: Sequence[tuple[float, Chunk]], commanded: Sequence[np.ndarray]
) -> Seam | None:
    """How the chunks of one side join; None where there were not two, or motion refused one.

    Args:
        sent: the episode's chunks and when they came [s].
        commanded: the side's commands [N] rad at the motion's rate.
    """
    import numpy as np

    from xlvla_cli.eval.episode_runner import arrivals
    from xlvla_cli.eval.roughness import blended, naive
    from xlvla_drivers.motion.chunk import Refused
    from xlvla_drivers.motion.sides import side_player

    if len(sent) < 2:
        return None
    chunks = arrivals(sent, side)
    gaps: list[np.ndarray] = []
    for chunk in chunks[1:]:
        command = commanded[round(chunk.came_s * rig.motion.rate_hz)]
        gaps.append(_pose_on_arrival(chunk) - command)
    end_s = chunks[-1].came_s + SHOWN_S
    try:
        switched = naive(side_player(rig, side), chunks, end_s)
        played = blended(side_player(rig, side), chunks, end_s)
    except Refused:
        return None
    gap_rad = float(np.sqrt(np.mean(np.square(gaps))))
    return Seam(gap_rad, switched.ratio, played.ratio)


def _pose_on_arrival(chunk: Arrival) -> np.ndarray:
    """Where a chunk has the side [N] rad when it comes."""
    from xlvla_drivers.motion.chunk import Trajectory

    # The first frame is due one period after the stamp.
    elapsed_s = chunk.came_s - chunk.stamp_s - 1 / chunk.rate_hz
    return Trajectory(chunk.points, chunk.rate_hz).at(elapsed_s).position


def _table(rows: Sequence[Row]) -> Table:
    from rich.table import Table

    table = Table(
        "chunking", "delay s", "success", "gap mrad", "jerk, naive", "jerk, motion", "chunk ms"
    )
    for row in rows:
        table.add_row(
            row.chunking,
            f"{row.delay_s:g}",
            f"{row.successes}/{row.trials}",
            f"{1e3 * row.gap_rad:.1f}",
            f"x {row.naive:.0f}",
            f"x {row.jerk:.2f}",
            f"{row.chunk_ms:.0f}",
        )
    table.caption = (
        "gap and jerk where chunks meet; jerk over that of the following chunk alone, naively "
        "switched and as motion does it"
    )
    return table
