"""The policy as a node: observes, predicts in a thread of its own, publishes chunks."""

from __future__ import annotations

import threading
import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from xlvla import catalog
from xlvla.errors import XlvlaError, unknown
from xlvla.policy import Chunk, Observation, Policy
from xlvla.rig import Rig
from xlvla.ros import convert, forms, priority, topics
from xlvla.ros.chunk_markers import ChunkMarkers
from xlvla.ros.convert import SECOND
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla_policy.ros.observer import NotYet, Observer

POLL_HZ = 50.0
"""Rate at which commands are collected and the time of the next chunk is checked, also while the
policy computes.
"""

PATIENCE_S = 2.0
"""Time to wait for something before there is a warning."""

BRIEFLY_S = 2.0
"""Shortest time between two warnings."""
REPEAT_S = 30.0
"""Shortest time until the same warning is repeated."""

LATEST_S = 0.1
"""Longest delay of a chunk that is made up for by an earlier next one."""

DELAY_PERCENTILE = 95
DELAYS = 50
"""Number of chunks over which the delay from observation to chunk is estimated."""


class PolicyNode(RigNode):
    """Predicts a chunk every `replan_s` from the newest image and the commands in force when it was
    taken.

    A chunk is stamped with its image's time, so that motion can skip the frames that passed while
    the policy computed. A chunk that became invalid meanwhile (a reset, another instruction, too
    much time) is discarded.
    """

    def __init__(self) -> None:
        super().__init__("policy")
        self._lock = threading.Lock()
        self._sent: tuple[Chunk, ...] = ()
        self._delays_s: deque[float] = deque(maxlen=DELAYS)
        self._prediction: Future[bool] | None = None
        # Simulated or real time of the next prediction, and of the newest chunk published.
        self._plan_ns = 0
        self._newest_ns = 0
        # Stamp and instruction of the observation last predicted from.
        self._predicted_from: tuple[int, str] = (0, "")
        self._waiting_for = ""
        # Monotonic times; 0 while the node does not work.
        self._waiting_since = 0.0
        self._polled_at = 0.0
        self._warning = ""
        self._warned_at = 0.0

    def configure(self) -> None:
        if self.rig.policy is None:
            raise XlvlaError(
                f"rig '{self.rig.name}' has no `policy` section, so there is nothing to run"
            )
        if not self.rig.sim:
            priority.give_way()
        self._config = self.rig.policy
        self._instruction = self._config.instruction
        kind = self.parameter("part") or self._config.type
        self._policy: Policy = catalog.policy(kind)(self.rig)
        if self._policy.frames > convert.MOST_FRAMES:
            raise XlvlaError(
                f"chunks of policy '{kind}' have {self._policy.frames} frames: motion plays at "
                f"most {convert.MOST_FRAMES}"
            )
        self._observer = Observer(self, self._policy, self._config.max_age_s)
        self._chunks = {
            side: self.publisher(topics.chunk(side, "policy")) for side in self.rig.sides
        }
        self._latents = self.publisher(topics.LATENT)
        self._markers = self.publisher(topics.MARKERS)
        self._chunk_markers = ChunkMarkers(self.rig)
        self.listen(topics.INSTRUCTION, forms.WORDS, self._on_instruction)

    def work(self, stop: threading.Event) -> None:
        replan_ns = round(self._config.replan_s * SECOND)
        latest_ns = round(LATEST_S * SECOND)
        with ThreadPoolExecutor(1, "policy predicts") as pool:
            self._polled_at = time.monotonic()
            for now_ns, _ in self.clock.ticks(POLL_HZ, stop):
                self._polled_at = time.monotonic()
                self.health.tick("looks")
                with self._lock:
                    self._heed_reset(now_ns)
                    self._heed_clock(now_ns)
                    observation = self._observe(now_ns)
                if observation is not None:
                    due_ns = max(self._plan_ns, now_ns - latest_ns)
                    self._plan_ns = due_ns + replan_ns
                    self._prediction = pool.submit(self._predict, observation, stop)
        self._polled_at = 0.0

    def _observe(self, now_ns: int) -> Observation | None:
        """Collects commands; the observation to predict from where it is time for it and the policy
        is idle.
        """
        try:
            self._observer.listen()
            if self._busy(now_ns) or now_ns < self._plan_ns:
                return None
            previous = self._previous(now_ns)
            observation = self._observer.observe(self._instruction, previous, self._delay_s())
        except NotYet as reason:
            self.health.counts["waits"] += 1
            self._await(str(reason))
            return None
        except XlvlaError as error:
            self._refuse(error)
            return None
        self._waiting_for = ""
        key = observation.stamp_ns, observation.instruction
        if key == self._predicted_from or observation.stamp_ns <= self._newest_ns:
            return None
        self._predicted_from = key
        return observation

    def _busy(self, now_ns: int) -> bool:
        """Whether the policy computes; after a discarded chunk the next is due at once."""
        if self._prediction is None:
            return False
        if not self._prediction.done():
            return True
        was_discarded = self._prediction.result()
        if was_discarded:
            self._plan_ns = now_ns
        self._prediction = None
        return False

    def _heed_reset(self, now_ns: int) -> None:
        """Forgets everything before a reset of the simulation."""
        if self._observer.heed_reset():
            self._forget(now_ns)

    def _heed_clock(self, now_ns: int) -> None:
        """Forgets everything from before the clock was set back: it is of the future now."""
        latest_ns = now_ns + forms.FUTURE_NS
        planned_from_ns = self._plan_ns - round(self._config.replan_s * SECOND)
        if max(self._newest_ns, planned_from_ns) > latest_ns:
            self._forget(now_ns)

    def _forget(self, now_ns: int) -> None:
        self._sent = ()
        self._plan_ns = now_ns
        self._newest_ns = 0

    def _previous(self, now_ns: int) -> tuple[Chunk, ...]:
        """The published chunks that have not ended, or that the commands observed come from."""
        duration_ns = round(SECOND * self._policy.frames / self._policy.rate_hz)
        oldest_ns = now_ns - 2 * duration_ns
        self._sent = tuple(chunk for chunk in self._sent if chunk.stamp_ns > oldest_ns)
        return self._sent

    def _delay_s(self) -> float:
        """Time from an observation to its chunk, of the last chunks."""
        if not self._delays_s:
            return 0.0
        return float(np.percentile(self._delays_s, DELAY_PERCENTILE))

    def _predict(self, observation: Observation, stop: threading.Event) -> bool:
        """Predicts a chunk and publishes it; whether it was discarded, because the simulation or
        the instruction changed meanwhile.
        """
        began = time.monotonic()
        try:
            chunk = self._policy.predict(observation)
            require_joints(chunk, self.rig)
        except XlvlaError as error:
            self._refuse(error)
            return True
        self.health.took("inference", time.monotonic() - began)
        with self._lock:
            now_ns = self.clock.now_ns()
            self._heed_reset(now_ns)
            if stop.is_set() or self._is_discarded(observation):
                return True
            # Not due at once: a machine that cannot keep up must not be loaded more.
            if self._is_late(observation, now_ns):
                return False
            self._publish(chunk, now_ns)
        if self._markers.get_subscription_count():
            markers = self._chunk_markers.markers(chunk.positions, chunk.stamp_ns)
            self._markers.publish(markers)
        return False

    def _is_late(self, observation: Observation, now_ns: int) -> bool:
        """Whether motion would refuse the chunk for its age."""
        stale_s = self.rig.motion.stale_s
        if now_ns - observation.stamp_ns <= stale_s * SECOND:
            return False
        line = (
            f"a chunk came more than {stale_s:g} s (motion.stale_s) after its image: the policy is "
            "too slow on this machine"
        )
        self._refuse(XlvlaError(line))
        return True

    def _is_discarded(self, observation: Observation) -> bool:
        """Whether an observation became invalid."""
        before_reset = observation.stamp_ns < self._observer.valid_since_ns
        another_instruction = observation.instruction != self._instruction
        discarded = before_reset or another_instruction
        self.health.counts["discarded chunks"] += discarded
        return discarded

    def _publish(self, chunk: Chunk, now_ns: int) -> None:
        for side, parts in chunk.positions.items():
            names: list[str] = []
            own = self.rig.parts_of(side)
            for part in own:
                names += self.rig.joint_names(side, part)
            points = np.concatenate([parts[part] for part in own], axis=1)
            self._chunks[side].publish(
                convert.trajectory(names, points, chunk.stamp_ns, chunk.rate_hz)
            )
        if chunk.latents:
            self._latents.publish(convert.latents(chunk.latents))
        self._sent = (*self._sent, chunk)
        self._newest_ns = chunk.stamp_ns
        delay_s = (now_ns - chunk.stamp_ns) / SECOND
        self._delays_s.append(delay_s)
        self._warning = ""
        self.health.tick("chunks")
        self.health.took("observation to chunk", delay_s)
        self.health.ok(f"deciding: {self._instruction}")

    def _await(self, reason: str) -> None:
        """Something is missing, which is a warning when it lasts."""
        if not self._waiting_for:
            self._waiting_since = time.monotonic()
        self._waiting_for = reason
        self.health.warn(reason)

    def _refuse(self, error: XlvlaError) -> None:
        """Something is wrong, which is a warning at once."""
        self.health.counts["refused observations"] += 1
        self._warn_operator(str(error))

    def _warn_operator(self, line: str) -> None:
        """One line for the operator, repeated only when it changes or after a while."""
        self.health.warn(line)
        now = time.monotonic()
        pause_s = REPEAT_S if line == self._warning else BRIEFLY_S
        if now - self._warned_at > pause_s:
            self._warning = line
            self._warned_at = now
            self.warn(f"{line}; no chunk is published")

    def _on_instruction(self, sentence: str) -> None:
        """Chunks for another instruction no longer count, and the next is due at once."""
        instruction = sentence or self._config.instruction
        with self._lock:
            if instruction != self._instruction:
                self._instruction = instruction
                self._sent = ()
                self._plan_ns = 0
        self.info(f"instruction: {instruction}")

    def _report(self) -> None:
        now = time.monotonic()
        stands_still = self._polled_at and now - self._polled_at > PATIENCE_S
        waits_long = self._waiting_for and now - self._waiting_since > PATIENCE_S
        if stands_still:
            self._warn_operator(
                f"waiting for {topics.CLOCK.name}: the simulation's time stands still"
            )
        elif waits_long:
            self._warn_operator(self._waiting_for)
        super()._report()


def require_joints(chunk: Chunk, rig: Rig) -> None:
    """Refuses a chunk that does not have as many frames for every joint of its sides."""
    for side, parts in chunk.positions.items():
        if side not in rig.sides:
            raise unknown("side of the policy's chunk", side, rig.sides)
        frames = max(len(rows) for rows in parts.values())
        for part in rig.parts_of(side):
            joints = len(rig.joint_names(side, part))
            shape = np.shape(parts[part]) if part in parts else ()
            if shape != (frames, joints):
                wanted = f"positions [{frames}, {joints}] of the {side} {part}"
                has = list(shape) or "none"
                raise XlvlaError(f"the policy's chunk needs {wanted}, it has {has}")


def main() -> None:
    run(PolicyNode)


if __name__ == "__main__":
    main()
