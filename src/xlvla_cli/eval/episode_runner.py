"""A trial in one process: world, policy and motion without ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.policy import Chunk, Observation, Policy
from xlvla.rig import Rig
from xlvla.types import CHUNK_HZ, PARTS, SECOND, Part, Side
from xlvla_cli.eval.trial import Outcome

if TYPE_CHECKING:
    from xlvla_cli.eval.roughness import Arrival
    from xlvla_drivers.motion.rig_motion import RigMotion
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
        self.names: dict[Side, list[str]] = {
            side: [n for part in PARTS for n in rig.joint_names(side, part)] for side in rig.sides
        }

    def trial(self, seed: int, *, settle: bool = False) -> Outcome:
        """Plays one episode to its end; the same seed has the same outcome, whatever was played
        before.
        """
        from xlvla_drivers.motion.rig_motion import RigMotion

        self.world.reset(seed)
        motion = RigMotion(self.rig)
        self.commanded: dict[Side, list[np.ndarray]] = {
            side: [self._measured(side)] for side in self.rig.sides
        }
        self.sent = list[tuple[float, Chunk]]()
        self.seen = list[np.ndarray]()
        self._troubles = list[str]()
        waiting: tuple[int, Chunk] | None = None
        outcome = None
        tick = 0
        last = math.inf
        every = round(1 / CHUNK_HZ / self.period_s)
        while tick < last:
            now_s = tick * self.period_s
            if tick % self.replan == 0 and (chunk := self._decide(now_s)):
                waiting = tick + self.delay, chunk
            if waiting and tick >= waiting[0]:
                self._offer(motion, waiting[1], now_s)
                self.sent = [*self.sent, (now_s, waiting[1])]
                waiting = None
            self._command(motion, now_s)
            self.world.step(self.period_s)
            if tick % every == 0:
                self.seen.append(self.world.data.qpos.copy())
            tick += 1
            if outcome is None and self.world.status().done:
                outcome = self._outcome()
                last = tick + (round(SETTLE_S / self.period_s) if settle else 0)
        assert outcome is not None
        return outcome

    def _outcome(self) -> Outcome:
        status = self.world.status()
        troubles = (
            f"; {len(self._troubles)} times no chunk: {self._troubles[0]}" if self._troubles else ""
        )
        return Outcome(
            status.success, status.stage, round(self.world.time_s, 2), status.text + troubles
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
        previous = tuple(chunk for _, chunk in self.sent)
        return Observation(
            round(now_s * SECOND),
            images,
            self.instruction,
            executed,
            previous,
            self.delay * self.period_s,
        )

    def _executed(self, side: Side, rows: list[np.ndarray]) -> dict[Part, np.ndarray]:
        """The commands of the last frames up to now, as many and as often as the policy has."""
        every = 1 / self.policy.rate_hz / self.period_s
        newest = len(rows) - 1
        frames = reversed(range(self.policy.frames))
        values = np.stack([rows[max(0, newest - round(every * back))] for back in frames])
        arm = len(self.rig.joint_names(side, "arm"))
        return {"arm": values[:, :arm], "hand": values[:, arm:]}

    def _offer(self, motion: RigMotion, chunk: Chunk, now_s: float) -> None:
        from xlvla_drivers.motion.chunk import Refused

        for side, player in motion.players.items():
            points = np.concatenate([chunk.positions[side][part] for part in PARTS], 1)
            began = self.commanded[side][0]
            try:
                player.offer(
                    points,
                    self.names[side],
                    chunk.stamp_ns / SECOND,
                    chunk.rate_hz,
                    now_s,
                    measured=began,
                )
            except Refused as error:  # as on the robot
                self._troubles.append(f"{side} chunk refused: {error}")

    def _command(self, motion: RigMotion, now_s: float) -> None:
        targets = motion.step(
            now_s, self.period_s, {side: rows[0] for side, rows in self.commanded.items()}
        )
        for side, rows in self.commanded.items():
            rows.append(targets.get(side, rows[-1]))
            named = dict(zip(self.names[side], rows[-1], strict=True))
            for part in PARTS:
                self.world.command(
                    side, part, {name: named[name] for name in self.rig.joint_names(side, part)}
                )

    def _measured(self, side: Side) -> np.ndarray:
        return np.concatenate([self.world.joint_state(side, part)[0] for part in PARTS])


def arrivals(sent: Sequence[tuple[float, Chunk]], side: Side) -> list[Arrival]:
    """One side of the chunks a trial sent, as motion meets them."""
    from xlvla_cli.eval.roughness import Arrival

    return [
        Arrival(
            at,
            c.stamp_ns / SECOND,
            c.rate_hz,
            np.concatenate([c.positions[side][part] for part in PARTS], 1),
        )
        for at, c in sent
    ]
