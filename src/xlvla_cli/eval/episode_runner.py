"""A trial in one process: world, policy and motion without ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.policy import Chunk, Observation, Policy
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, PARTS, SECOND, Part, Side
from xlvla_cli.eval.failure import kind_of, words
from xlvla_cli.eval.trial import Outcome

if TYPE_CHECKING:
    from xlvla_cli.eval.roughness import Arrival
    from xlvla_drivers.motion.rig_motion import RigMotion
    from xlvla_sim.witness import Facts
    from xlvla_sim.world import World

SETTLE_S = 0.5
"""How long a filmed trial goes on after its task is done."""


def load_policy(rig: Rig, threads: int) -> Policy:
    """The policy of a rig; it does not depend on the rig's task."""
    if rig.policy is None:
        raise XlvlaError(f"rig '{rig.name}' needs a `policy` section to be evaluated")
    return catalog.policy(rig.policy.type)(rig, threads=threads)


class EpisodeRunner:
    """A world, a policy and a rig's motion, for one pair of hands and one task.

    Attributes:
        sent: the last trial's chunks and when they came [s].
        commanded: its commands [N] by side at the motion's rate, the first one where it began.
        seen: its world's generalised positions `CHUNK_HZ` times a second, for a film.
    """

    def __init__(self, rig: Rig, delay_s: float, threads: int, policy: Policy | None = None):
        from xlvla_sim.world import World

        if rig.policy is None or rig.sim is None:
            raise XlvlaError(
                f"rig '{rig.name}' needs a `policy` and a `sim` section to be evaluated"
            )
        self.rig = rig
        self.period_s = 1 / rig.motion.rate_hz
        self.instruction = rig.policy.instruction
        self.replan = max(1, round(rig.policy.replan_s / self.period_s))
        self.delay = round(delay_s / self.period_s)
        self.policy: Policy = policy or load_policy(rig, threads)
        self.world: World = World(rig)
        self.names: dict[Side, list[str]] = {}
        self._parts: dict[Side, dict[Part, tuple[str, ...]]] = {}
        for side in rig.sides:
            self._parts[side] = {part: rig.joint_names(side, part) for part in rig.parts_of(side)}
            self.names[side] = list(chain(*self._parts[side].values()))
        self.frame_ticks = round(1 / CHUNK_HZ / self.period_s)
        self.commanded: dict[Side, list[np.ndarray]] = {}
        self.sent = list[tuple[float, Chunk]]()
        self.seen = list[np.ndarray]()
        self._troubles = list[str]()

    def trial(self, seed: int, *, settle: bool = False) -> Outcome:
        """Plays one episode to its end; the same seed has the same outcome, whatever was played
        before.
        """
        from xlvla_drivers.motion.rig_motion import RigMotion
        from xlvla_sim.witness import Witness

        self.world.reset(seed)
        witness = Witness(self.world)
        motion = RigMotion(self.rig)
        self.commanded = {side: [self._measured(side)] for side in self.rig.sides}
        self.sent = []
        self.seen = []
        self._troubles = []
        # The tick at which the newest chunk takes effect, and that chunk.
        waiting: tuple[int, Chunk] | None = None
        outcome = None
        tick = 0
        last = math.inf
        while tick < last:
            now_s = tick * self.period_s
            if tick % self.replan == 0:
                decided = self._decide(now_s)
                if decided is not None:
                    waiting = tick + self.delay, decided
            if waiting and tick >= waiting[0]:
                chunk = waiting[1]
                self._offer(motion, chunk, now_s)
                self.sent.append((now_s, chunk))
                waiting = None
            self._command(motion, now_s)
            self.world.step(self.period_s)
            if tick % self.frame_ticks == 0:
                self.seen.append(self.world.data.qpos.copy())
                witness.look()
            tick += 1
            if outcome is None and self.world.status().done:
                outcome = self._outcome(witness.facts)
                settle_s = SETTLE_S if settle else 0.0
                last = tick + round(settle_s / self.period_s)
        assert outcome is not None
        return outcome

    def _outcome(self, facts: Facts) -> Outcome:
        status = self.world.status()
        stages = [stage.text for stage in self.world.task.stages]
        text = status.text
        if self._troubles:
            text += f"; {len(self._troubles)} times no chunk: {self._troubles[0]}"
        return Outcome(
            status.success,
            status.stage,
            round(self.world.time_s, 2),
            text,
            kind_of(status, stages, facts),
            words(facts),
        )

    def _decide(self, now_s: float) -> Chunk | None:
        """The next chunk; None where the policy has none, as on the robot, which then plays on what
        it has.
        """
        try:
            return self.policy.predict(self._observe(now_s))
        except XlvlaError as error:
            self._troubles.append(str(error))
            return None

    def _observe(self, now_s: float) -> Observation:
        images = {camera: self.world.image(camera) for camera in self.rig.cameras}
        executed: dict[Side, dict[Part, np.ndarray]] = {
            side: self._executed(side, rows) for side, rows in self.commanded.items()
        }
        measured: dict[Side, dict[Part, np.ndarray]] = {
            side: {part: self.world.joint_state(side, part)[0] for part in parts}
            for side, parts in self._parts.items()
        }
        return Observation(
            round(now_s * SECOND),
            images,
            self.instruction,
            executed,
            tuple(chunk for _, chunk in self.sent),
            self.delay * self.period_s,
            measured,
        )

    def _executed(self, side: Side, rows: list[np.ndarray]) -> dict[Part, np.ndarray]:
        """The commands of the last frames up to now, as many and as often as the policy has."""
        frame_ticks = 1 / self.policy.rate_hz / self.period_s
        newest = len(rows) - 1
        backwards = reversed(range(self.policy.frames))
        numbers = [max(0, newest - round(frame_ticks * back)) for back in backwards]
        values = np.stack([rows[number] for number in numbers])
        arm = len(self._parts[side]["arm"])
        return {"arm": values[:, :arm], "hand": values[:, arm:]}

    def _offer(self, motion: RigMotion, chunk: Chunk, now_s: float) -> None:
        from xlvla_drivers.motion.chunk import Refused

        for side, player in motion.players.items():
            start = self.commanded[side][0]
            try:
                player.offer(
                    _points(chunk, side),
                    self.names[side],
                    chunk.stamp_ns / SECOND,
                    chunk.rate_hz,
                    now_s,
                    measured=start,
                )
            except Refused as error:  # as on the robot
                self._troubles.append(f"{side} chunk refused: {error}")

    def _command(self, motion: RigMotion, now_s: float) -> None:
        starts: dict[Side, np.ndarray] = {side: rows[0] for side, rows in self.commanded.items()}
        targets = motion.step(now_s, self.period_s, starts)
        for side, rows in self.commanded.items():
            rows.append(targets.get(side, rows[-1]))
            start = 0
            for part, names in self._parts[side].items():
                end = start + len(names)
                positions = rows[-1][start:end]
                self.world.command(side, part, dict(zip(names, positions, strict=True)))
                start = end

    def _measured(self, side: Side) -> np.ndarray:
        parts = self.rig.parts_of(side)
        return np.concatenate([self.world.joint_state(side, part)[0] for part in parts])


def arrivals(sent: Sequence[tuple[float, Chunk]], side: Side) -> list[Arrival]:
    """One side of the chunks a trial sent, as motion meets them."""
    from xlvla_cli.eval.roughness import Arrival

    return [
        Arrival(came_s, chunk.stamp_ns / SECOND, chunk.rate_hz, _points(chunk, side))
        for came_s, chunk in sent
    ]


def _points(chunk: Chunk, side: Side) -> np.ndarray:
    """A chunk's positions [T, N] rad of a side, those of the arm first."""
    positions = chunk.positions[side]
    return np.concatenate([positions[part] for part in PARTS if part in positions], 1)
