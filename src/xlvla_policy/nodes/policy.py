"""The policy as a node: observes, decides in a thread of its own, publishes chunks."""

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
from xlvla.types import PARTS
from xlvla_policy.ros.observer import NotYet, Observer

LOOK_HZ = 50.0
"""How often commands are collected and the time to plan is checked, whether or not the policy
thinks.
"""

PATIENCE_S = 2.0
"""How long something may be waited for before it is said."""

BRIEFLY_S = 2.0
REPEAT_S = 30.0
"""How long after a complaint another may be made, and the same again."""


class PolicyNode(RigNode):
    """Decides every `replan_s` on the newest image and the commands in force when it was taken.

    A chunk is stamped with its image's time, so that motion can drop the frames that passed while
    the policy thought. A chunk that became invalid meanwhile (a reset, another instruction, too
    much time) is discarded.
    """

    def __init__(self) -> None:
        super().__init__("policy")
        self._lock = threading.Lock()
        self._sent: tuple[Chunk, ...] = ()
        self._delays_s: deque[float] = deque(maxlen=50)
        self._thinking: Future[bool] | None = None
        self._plan_ns = self._newest_ns = 0
        self._asked: tuple[int, str] = (0, "")
        self._wait = ""
        self._wait_since = 0.0
        self._ticked = 0.0
        self._complaint = ""
        self._complained = 0.0

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
        self._chunks = {side: self.publisher(topics.chunk(side)) for side in self.rig.sides}
        self._latents, self._markers = self.publisher(topics.LATENT), self.publisher(topics.MARKERS)
        self._chunk_markers = ChunkMarkers(self.rig)
        self.listen(topics.INSTRUCTION, forms.WORDS, self._on_instruction)

    def work(self, stop: threading.Event) -> None:
        with ThreadPoolExecutor(1, "policy thinks") as thinker:
            self._ticked = time.monotonic()
            for now_ns, _ in self.clock.ticks(LOOK_HZ, stop):
                self._ticked = time.monotonic()
                self.health.tick("looks")
                with self._lock:
                    self._heed_reset(now_ns)
                    observation = self._look(now_ns)
                if observation is not None:
                    self._plan_ns = max(self._plan_ns, now_ns - SECOND // 10) + round(
                        self._config.replan_s * SECOND
                    )
                    self._thinking = thinker.submit(self._think, observation, stop)
        self._ticked = 0.0

    def _look(self, now_ns: int) -> Observation | None:
        """Listens, and where it is time to decide and nothing is being decided, what to decide
        on.
        """
        try:
            self._observer.listen(now_ns)
            if self._busy(now_ns) or now_ns < self._plan_ns:
                return None
            observation = self._observer.observe(
                now_ns, self._instruction, self._still_publishing(now_ns), self._delay_s()
            )
        except NotYet as reason:
            self.health.counts["waits"] += 1
            self._await(str(reason))
            return None
        except XlvlaError as error:
            self._refuse(error)
            return None
        self._wait = ""
        asked = observation.stamp_ns, observation.instruction
        if asked == self._asked or observation.stamp_ns <= self._newest_ns:
            return None
        self._asked = asked
        return observation

    def _busy(self, now_ns: int) -> bool:
        """Whether the policy thinks; a thought in vain is made anew at once."""
        if self._thinking is None:
            return False
        if not self._thinking.done():
            return True
        if self._thinking.result():
            self._plan_ns = now_ns
        self._thinking = None
        return False

    def _heed_reset(self, now_ns: int) -> None:
        if self._observer.heed_reset():
            self._sent = ()
            self._plan_ns = now_ns
            self._newest_ns = 0

    def _still_publishing(self, now_ns: int) -> tuple[Chunk, ...]:
        """The chunks sent that have not run out."""
        oldest_ns = now_ns - round(SECOND * self._policy.frames / self._policy.rate_hz)
        self._sent = tuple(chunk for chunk in self._sent if chunk.stamp_ns > oldest_ns)
        return self._sent

    def _delay_s(self) -> float:
        """How long it takes from an observation to its chunk, of late."""
        return float(np.percentile(self._delays_s, 95)) if self._delays_s else 0.0

    def _think(self, observation: Observation, stop: threading.Event) -> bool:
        """Decides and publishes; whether the world or the task changed meanwhile, so that it was in
        vain.
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
            if self._late(
                observation, now_ns
            ):  # a machine that cannot keep up is not asked for more
                return False
            self._publish(chunk, now_ns)
        if self._markers.get_subscription_count():
            self._markers.publish(self._chunk_markers.markers(chunk.positions, chunk.stamp_ns))
        return False

    def _late(self, observation: Observation, now_ns: int) -> bool:
        """Whether motion would refuse the chunk for its age."""
        if now_ns - observation.stamp_ns <= self.rig.motion.stale_s * SECOND:
            return False
        late = f"more than {self.rig.motion.stale_s:g} s (motion.stale_s) after its image"
        self._refuse(XlvlaError(f"a chunk came {late}: the policy is too slow on this machine"))
        return True

    def _is_discarded(self, observation: Observation) -> bool:
        """Whether what was thought about no longer holds."""
        discarded = (
            observation.stamp_ns < self._observer.valid_since_ns
            or observation.instruction != self._instruction
        )
        self.health.counts["discarded chunks"] += discarded
        return discarded

    def _publish(self, chunk: Chunk, now_ns: int) -> None:
        for side, parts in chunk.positions.items():
            names = [name for part in PARTS for name in self.rig.joint_names(side, part)]
            points = np.concatenate([parts[part] for part in PARTS], axis=1)
            self._chunks[side].publish(
                convert.trajectory(names, points, chunk.stamp_ns, chunk.rate_hz, "policy")
            )
        if chunk.latents:
            self._latents.publish(convert.latents(chunk.latents))
        self._sent = (*self._sent, chunk)
        self._newest_ns = chunk.stamp_ns
        self._delays_s.append((now_ns - chunk.stamp_ns) / SECOND)
        self._complaint = ""
        self.health.tick("chunks")
        self.health.took("observation to chunk", self._delays_s[-1])
        self.health.ok(f"deciding: {self._instruction}")

    def _await(self, reason: str) -> None:
        """Something is missing: said once it has lasted."""
        if not self._wait:
            self._wait_since = time.monotonic()
        self._wait = reason
        self.health.warn(reason)

    def _refuse(self, error: XlvlaError) -> None:
        """Something is wrong: said at once."""
        self.health.counts["refused observations"] += 1
        self._complain(str(error))

    def _complain(self, line: str) -> None:
        """One line for the operator, again only when it changes or after long."""
        self.health.warn(line)
        now = time.monotonic()
        if now - self._complained > (REPEAT_S if line == self._complaint else BRIEFLY_S):
            self._complaint = line
            self._complained = now
            self.warn(f"{line}; no chunk is published")

    def _on_instruction(self, sentence: str) -> None:
        """Chunks made for another instruction bind no longer, and the next is due at once."""
        instruction = sentence or self._config.instruction
        with self._lock:
            if instruction != self._instruction:
                self._instruction = instruction
                self._sent = ()
                self._plan_ns = 0
        self.info(f"instruction: {instruction}")

    def _report(self) -> None:
        now = time.monotonic()
        if self._ticked and now - self._ticked > PATIENCE_S:
            self._complain(f"waiting for {topics.CLOCK.name}: the simulation's time stands still")
        elif self._wait and now - self._wait_since > PATIENCE_S:
            self._complain(self._wait)
        super()._report()


def require_joints(chunk: Chunk, rig: Rig) -> None:
    """Refuses a chunk that does not have as many frames for every joint of its sides."""
    for side, parts in chunk.positions.items():
        if side not in rig.sides:
            raise unknown("side of the policy's chunk", side, rig.sides)
        frames = max(len(rows) for rows in parts.values())
        for part in PARTS:
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
