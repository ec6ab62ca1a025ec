"""Chunks that mean harm, sent to a running rig; its commands and what was measured are looked at
from outside.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xlvla.ros import topics
from xlvla.types import PARTS, Side
from xlvla_cli.bench.adversary.asker import Asker, Request
from xlvla_cli.bench.adversary.checker import Breach, DistanceCheck, Nearest
from xlvla_cli.bench.adversary.fixed import FIXED, Fixed
from xlvla_cli.bench.adversary.scenarios import KINDS, Kind, Scenario, scenarios
from xlvla_cli.bench.adversary.workplaces import Workplace
from xlvla_cli.bench.ros.running_rig import RunningRig
from xlvla_drivers.motion.distance import Distances
from xlvla_drivers.motion.limits import Bounds
from xlvla_drivers.motion.sides import side_player
from xlvla_drivers.rest import PoseSeries

OFFERED_S = 1.5
SETTLES_S = 0.7
"""How long chunks come, and how long the rig is watched afterwards."""

MEASURED_S = 0.02
"""What was measured is looked at so often."""

HOME_S = 6.0

FRAMES = (0, 1, 4, 10, 16)
"""Of the fixed scenarios, those within so many frames."""

PLACE = Workplace("xarm7", ("xhand", "xhand"), presses=True, boxed=False)
"""Names scenarios; the rig that runs is the one that is tried."""


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
    """The poses [N] rad that parts command together: each stands where it was said last, at first
    at its share of `start` [N].
    """
    cuts = np.cumsum([stream.poses.shape[1] for stream in streams])[:-1]
    here = [part.copy() for part in np.split(start, cuts)]
    offers = [
        (time_s, number, pose)
        for number, stream in enumerate(streams)
        for time_s, pose in zip(stream.times_s, stream.poses, strict=True)
    ]
    offers.sort(key=lambda entry: entry[:2])
    poses = [start]
    for _, together in itertools.groupby(offers, key=lambda entry: entry[0]):
        for _, number, pose in together:
            here[number] = pose
        poses.append(np.concatenate(here))
    return poses


def seen(streams: Sequence[PoseSeries]) -> list[np.ndarray]:
    """Measured poses [N] rad of parts that report at different times, while all of them did."""
    first_s = max(stream.times_s[0] for stream in streams)
    last_s = min(stream.times_s[-1] for stream in streams)
    grid = np.arange(first_s, last_s, MEASURED_S)
    columns = [
        np.interp(grid, stream.times_s, column) for stream in streams for column in stream.poses.T
    ]
    return list(np.stack(columns, axis=1))


class HarmTrial:
    """Means harm to a rig that runs."""

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
                yield self._tried(entry.name, self._asks_fixed(entry))

    def drawn(self, seed: int, number: int, kinds: Sequence[Kind] = KINDS) -> Iterator[Harmed]:
        """So many scenarios of every kind, from a seed."""
        drawn = scenarios(seed, kinds, [PLACE], self.rig.motion.stale_s)
        for scenario in itertools.islice(drawn, number * len(kinds)):
            yield self._tried(scenario.kind, self._asks(replace(scenario, too_near=False)))

    def _asks_fixed(self, entry: Fixed) -> Callable[[], int]:
        def ask() -> int:
            began_s = self.running.now_s()
            sent = 0
            due_s = 0.0
            while (passed_s := self.running.now_s() - began_s) < OFFERED_S:
                if passed_s >= due_s:
                    for side in entry.moving:
                        bound = self._bounds[side]
                        self.running.chunk(
                            side, entry.points(side, self._here(side), (bound.lower, bound.upper))
                        )
                        sent += 1
                    due_s = due_s + entry.every_s if entry.every_s else np.inf
                self.running.pause(0.001)
            return sent

        return ask

    def _asks(self, scenario: Scenario) -> Callable[[], int]:
        asker = Asker(scenario, self.rig, self._distances, self._bounds)

        def ask() -> int:
            began_s = self.running.now_s()
            sent = 0
            due_s = dict.fromkeys(scenario.moving, began_s)
            while (now_s := self.running.now_s()) - began_s < OFFERED_S:
                for side in scenario.moving:
                    if now_s >= due_s[side]:
                        due_s[side] = now_s + 1 / scenario.hz
                        self._send(
                            side,
                            asker.ask(
                                side, now_s, {other: self._here(other) for other in self.rig.sides}
                            ),
                            now_s,
                        )
                        sent += 1
                self.running.pause(0.0)
            return sent

        return ask

    def _send(self, side: Side, request: Request, now_s: float) -> None:
        late_s = now_s - request.stamp_s
        self.running.chunk(
            side,
            request.points,
            late_s=late_s,
            rate_hz=request.rate_hz,
            relative=request.relative,
        )

    def _here(self, side: Side) -> np.ndarray:
        """The newest command, where there is none what was measured [N] rad."""
        return np.concatenate([self.watch.latest((side, part)) for part in PARTS])

    def _tried(self, kind: str, ask: Callable[[], int]) -> Harmed:
        self._begin()
        start = np.concatenate([self.running.here(side) for side in self.rig.sides])
        sent = ask()
        self.running.pass_s(SETTLES_S)
        commands = [self.watch.commands(key) for key in self.rig.parts]
        look = DistanceCheck(self._distances).look
        nearest, breach = look(path(commands, start))
        measured_nearest, measured_breach = look(
            seen([self.watch.measured(key) for key in self.rig.parts])
        )
        shares = [
            self._shares(stream, *key) for stream, key in zip(commands, self.rig.parts, strict=True)
        ]
        acceleration, jerk = np.max(shares, axis=0).tolist()
        return Harmed(
            kind, sent, nearest, breach, measured_nearest, measured_breach, acceleration, jerk
        )

    def _shares(self, stream: PoseSeries, side: Side, part: str) -> tuple[float, float]:
        """Largest acceleration and jerk of the commands to a part, as shares of their limits."""
        arm = len(self.rig.joint_names(side, "arm"))
        bound = self._bounds[side]
        joints = slice(arm) if part == "arm" else slice(arm, None)
        return stream.share(2, bound.acceleration[joints]), stream.share(3, bound.jerk[joints])

    def _begin(self) -> None:
        """Every scenario begins at home, at rest, and with nobody driving."""
        self.running.engage()
        if self.rig.sim:
            self.running.operator.reset()
        else:
            self._go_home()
            self.running.engage()
        self.running.pass_s(0.3)
        self.watch.cut()
        self.running.pass_s(0.1)

    def _go_home(self) -> None:
        """As far as it gets in `HOME_S`: the way home is straight, and what is near on it slows
        it.
        """
        self.running.operator.call(topics.HOME)
        self.running.pause(0.2)
        give_up_s = self.running.now_s() + HOME_S
        while self.watch.state == "going home" and self.running.now_s() < give_up_s:
            self.running.pause(0.05)
