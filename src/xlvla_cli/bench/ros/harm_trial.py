"""Unsafe chunks, sent to a running rig; its commands and what was measured are checked from
outside.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from xlvla.types import PARTS, Side
from xlvla_cli.bench.adversary.checker import Breach, DistanceCheck, Nearest
from xlvla_cli.bench.adversary.chunk_source import ChunkOffer, UnsafeChunks
from xlvla_cli.bench.adversary.fixed import FIXED, Fixed
from xlvla_cli.bench.adversary.rig_variants import RigVariant
from xlvla_cli.bench.adversary.scenarios import KINDS, Kind, Scenario, scenarios
from xlvla_cli.bench.ros.running_rig import RunningRig
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.limits import Bounds
from xlvla_drivers.motion.sides import side_player
from xlvla_drivers.rest import PoseSeries

OFFERED_S = 1.5
SETTLES_S = 0.7
"""How long chunks come, and how long the rig is watched afterwards."""

MEASURED_S = 0.02
"""Measured poses are checked at this interval."""

FRAMES = (0, 1, 4, 10, 16)
"""Of the fixed scenarios, those whose `frames` is one of these."""

VARIANT = RigVariant("xarm7", ("xhand", "xhand"), presses=True, boxed=False)
"""Of the scenarios, which are played on whatever rig runs."""


@dataclass(frozen=True)
class Harmed:
    """What became of chunks of one kind; distances of the commanded path, between commands too, and
    of what was measured.
    """

    kind: str
    sent: int
    commanded: Nearest
    breach: Breach
    measured: Nearest
    measured_breach: Breach
    acceleration: float
    jerk: float


def path(streams: Sequence[PoseSeries], start: np.ndarray) -> list[np.ndarray]:
    """The poses [N] rad of parts that move together: each stays at its last pose, and before its
    first at its share of `start` [N].
    """
    cuts = np.cumsum([stream.poses.shape[1] for stream in streams])[:-1]
    here = [part.copy() for part in np.split(start, cuts)]
    commands: list[tuple[float, int, np.ndarray]] = []
    for number, stream in enumerate(streams):
        for time_s, pose in zip(stream.times_s, stream.poses, strict=True):
            commands.append((time_s, number, pose))
    commands.sort(key=lambda command: command[:2])
    poses = [start]
    # Parts that are commanded at the same time move together.
    for _, together in itertools.groupby(commands, key=lambda command: command[0]):
        for _, number, pose in together:
            here[number] = pose
        poses.append(np.concatenate(here))
    return poses


def seen(streams: Sequence[PoseSeries]) -> list[np.ndarray]:
    """Measured poses [N] rad of parts that report at different times, while all of them did."""
    first_s = max(stream.times_s[0] for stream in streams)
    last_s = min(stream.times_s[-1] for stream in streams)
    grid = np.arange(first_s, last_s, MEASURED_S)
    columns: list[np.ndarray] = []
    for stream in streams:
        for column in stream.poses.T:
            columns.append(np.interp(grid, stream.times_s, column))
    return list(np.stack(columns, axis=1))


class HarmTrial:
    """Sends unsafe chunks to a rig that runs."""

    def __init__(self, running: RunningRig):
        self.running = running
        self.rig = running.rig
        self.watch = running.watch
        self._distances = Distances(self.rig)
        self._bounds: dict[Side, Bounds] = {
            side: side_player(self.rig, side).bounds for side in self.rig.sides
        }

    def fixed(self, entries: Iterable[Fixed] = FIXED) -> Iterator[Harmed]:
        """Some that are always the same; not those in which an arm would have to be elsewhere
        first.
        """
        for entry in entries:
            if not entry.beside_rad and entry.frames in FRAMES:
                yield self._tried(entry.name, partial(self._send_fixed, entry))

    def drawn(self, seed: int, number: int, kinds: Sequence[Kind] = KINDS) -> Iterator[Harmed]:
        """This many scenarios of every kind, from a seed."""
        drawn = scenarios(seed, kinds, [VARIANT], self.rig.motion.stale_s)
        for scenario in itertools.islice(drawn, number * len(kinds)):
            scenario = replace(scenario, too_near=False)
            chunks = UnsafeChunks(scenario, self.rig, self._distances, self._bounds)
            yield self._tried(scenario.kind, partial(self._send_drawn, scenario, chunks))

    def _send_fixed(self, entry: Fixed) -> int:
        """Sends the chunks of a fixed scenario; how many."""
        began_s = self.running.now_s()
        sent = 0
        due_s = 0.0
        while (passed_s := self.running.now_s() - began_s) < OFFERED_S:
            if passed_s >= due_s:
                for side in entry.moving:
                    bound = self._bounds[side]
                    limits = (bound.lower, bound.upper)
                    self.running.chunk(side, entry.points(side, self._here(side), limits))
                    sent += 1
                due_s = due_s + entry.every_s if entry.every_s else np.inf
            self.running.pause(0.001)
        return sent

    def _send_drawn(self, scenario: Scenario, chunks: UnsafeChunks) -> int:
        """Sends the chunks of a random scenario; how many."""
        began_s = self.running.now_s()
        sent = 0
        due_s = dict.fromkeys(scenario.moving, began_s)
        while (now_s := self.running.now_s()) - began_s < OFFERED_S:
            for side in scenario.moving:
                if now_s >= due_s[side]:
                    due_s[side] = now_s + 1 / scenario.hz
                    here: dict[Side, np.ndarray] = {
                        other: self._here(other) for other in self.rig.sides
                    }
                    self._send(side, chunks.next_chunk(side, now_s, here), now_s)
                    sent += 1
            self.running.pause(0.0)
        return sent

    def _send(self, side: Side, offer: ChunkOffer, now_s: float) -> None:
        self.running.chunk(
            side,
            offer.points,
            late_s=now_s - offer.stamp_s,
            rate_hz=offer.rate_hz,
            relative=offer.relative,
        )

    def _here(self, side: Side) -> np.ndarray:
        """The newest command, where there is none what was measured [N] rad."""
        return np.concatenate([self.watch.latest((side, part)) for part in PARTS])

    def _tried(self, kind: str, send: Callable[[], int]) -> Harmed:
        self._begin()
        start = np.concatenate([self.running.here(side) for side in self.rig.sides])
        sent = send()
        self.running.pass_s(SETTLES_S)
        commands = [self.watch.commands(key) for key in self.rig.parts]
        measured = [self.watch.measured(key) for key in self.rig.parts]
        check = DistanceCheck(self._distances)
        # A part that is not commanded is where it was measured: one that is touched gives way.
        ways: list[PoseSeries] = []
        for stream, reported in zip(commands, measured, strict=True):
            ways.append(stream if len(stream) else reported)
        nearest, breach = check.look(path(ways, start))
        measured_nearest, measured_breach = check.look(seen(measured))
        shares: list[tuple[float, float]] = []
        for (side, part), stream in zip(self.rig.parts, commands, strict=True):
            shares.append(self._shares(stream, side, part))
        acceleration, jerk = np.max(shares, axis=0).tolist()
        return Harmed(
            kind=kind,
            sent=sent,
            commanded=nearest,
            breach=breach,
            measured=measured_nearest,
            measured_breach=measured_breach,
            acceleration=acceleration,
            jerk=jerk,
        )

    def _shares(self, stream: PoseSeries, side: Side, part: str) -> tuple[float, float]:
        """Largest acceleration and jerk of the commands to a part, as shares of their limits."""
        arm = len(self.rig.joint_names(side, "arm"))
        bound = self._bounds[side]
        joints = slice(arm) if part == "arm" else slice(arm, None)
        return stream.share(2, bound.acceleration[joints]), stream.share(3, bound.jerk[joints])

    def _begin(self) -> None:
        """Every scenario begins at home, at rest, and without a source."""
        self.running.engage()
        if self.rig.sim:
            self.running.operator.reset()
        else:
            self.running.go_home()
            self.running.engage()
        self.running.pass_s(0.3)
        self.watch.cut()
        self.running.pass_s(0.1)
