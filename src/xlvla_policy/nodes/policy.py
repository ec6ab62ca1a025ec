"""The policy as a node: observes, decides in its own thread, publishes chunks."""

from __future__ import annotations

import importlib
import threading
import time
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.policy import Chunk, Observation, Policy
from xlvla.ros import convert, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.ghost import Ghost
from xlvla.ros.node import RigNode, run
from xlvla.ros.reader import Reader
from xlvla.types import CHUNK_FRAMES, CHUNK_HZ, PARTS, Part, Side
from xlvla_policy.history import History

LOOK_HZ = 50.0
"""How often commands are collected and the time to plan is checked."""


class NotYet(XlvlaError):
    """There is nothing to decide on now; the line says what is waited for."""


class PartState:
    """What is known of one part: the newest measured pose and the commands that were in force."""

    def __init__(self, node: RigNode, side: Side, part: Part):
        self.names = node.rig.joint_names(side, part)
        self.label = f"/{side}/{part}"
        self.history = History(CHUNK_FRAMES / CHUNK_HZ)
        self._measured = Reader(node, topics.joint_states(side, part))
        self._commands = Reader(node, topics.command(side, part).history(800))
        self._pose: np.ndarray | None = None
        self._pose_ns = 0

    def listen(self, void_ns: int, era: str) -> None:
        while (message := self._commands.next()) is not None:
            stamp_ns = convert.nanoseconds(message.header.stamp)
            if stamp_ns >= void_ns and message.header.frame_id in ("", era):
                self.history.add(stamp_ns, convert.positions(message, self.names))

    def executed(self, stamp_ns: int, oldest_ns: int) -> np.ndarray:
        """Commands [64, J] up to `stamp_ns`; refuses a pose measured before `oldest_ns`."""
        message = self._measured.newest()
        if message is not None:
            self._pose, self._pose_ns = convert.positions(message, self.names), convert.nanoseconds(message.header.stamp)
        if self._pose is None or self._pose_ns < oldest_ns:
            raise NotYet(f"waiting for {self.label}/joint_states")
        return self.history.as_of(stamp_ns, CHUNK_FRAMES, CHUNK_HZ, before=self._pose)


class PolicyNode(RigNode):
    """Decides every `replan_s` on the newest image and the commands in force when it was taken.

    A chunk is stamped with its image's time, so that motion can drop the frames that passed while the policy thought.
    """

    def __init__(self) -> None:
        super().__init__("policy")
        self._void_ns, self._era = 0, ""

    def configure(self) -> None:
        if self.rig.policy is None:
            raise XlvlaError(f"rig '{self.rig.name}' has no `policy` section, so there is nothing to run")
        self._config = self.rig.policy
        self._instruction = self._config.instruction
        self._policy: Policy = importlib.import_module(f"xlvla_policy.policies.{self.parameter('part') or self._config.type}").load(
            self.rig
        )
        self._parts: dict[Side, dict[Part, PartState]] = {
            side: {part: PartState(self, side, part) for part in PARTS} for side in self.rig.sides
        }
        self._images = {camera: Reader(self, topics.image(camera)) for camera in self.rig.cameras}
        self._resets = Reader(self, topics.RESET)
        self._chunks = {side: self.publisher(topics.chunk(side)) for side in self.rig.sides}
        self._latents, self._markers = self.publisher(topics.LATENT), self.publisher(topics.MARKERS)
        self._ghost = Ghost(self.rig)
        said = topics.INSTRUCTION
        self.create_subscription(said.type, said.name, self._on_instruction, said.qos)

    def work(self, stop: threading.Event) -> None:
        plan_ns = 0
        for now_ns, _ in self.clock.ticks(LOOK_HZ, stop):
            if self._heed_reset():
                plan_ns = now_ns
            self._listen()
            if now_ns < plan_ns:
                continue
            try:
                self._plan(now_ns)
            except NotYet as reason:
                self.health.warn(str(reason))
                self.health.counts["waits"] += 1
                continue
            plan_ns = max(plan_ns, now_ns - SECOND // 10) + round(self._config.replan_s * SECOND)

    def _heed_reset(self) -> bool:
        reset = self._resets.newest()
        if reset is None:
            return False
        self._void_ns, self._era = convert.nanoseconds(reset.stamp), reset.frame_id
        for part in self._every_part():
            part.history.clear()
        return True

    def _listen(self) -> None:
        for part in self._every_part():
            try:
                part.listen(self._void_ns, self._era)
            except XlvlaError as error:
                self.warn(f"{part.label}/command: {error}")

    def _every_part(self) -> list[PartState]:
        return [part for parts in self._parts.values() for part in parts.values()]

    def _plan(self, now_ns: int) -> None:
        observation = self._observe(now_ns)
        began = time.monotonic()
        try:
            chunk = self._policy.predict(observation)
        except XlvlaError as error:
            self.health.counts["refused observations"] += 1
            self.warn(str(error))
            raise NotYet(str(error)) from None
        self.health.took("inference", time.monotonic() - began)
        self._heed_reset()
        if observation.stamp_ns >= self._void_ns:
            self._publish(chunk)

    def _observe(self, now_ns: int) -> Observation:
        """The newest image of every camera with the commands in force at the newest stamp."""
        oldest_ns = max(self._void_ns, now_ns - round(self._config.max_age_s * SECOND))
        images: dict[str, np.ndarray] = {}
        stamp_ns = 0
        for camera, reader in self._images.items():
            message = reader.newest()
            if message is None or convert.nanoseconds(message.header.stamp) < oldest_ns:
                raise NotYet(f"waiting for {reader.topic.name}")
            images[camera] = convert.picture(message)
            stamp_ns = max(stamp_ns, convert.nanoseconds(message.header.stamp))
        stamp_ns = stamp_ns or now_ns
        executed: dict[Side, dict[Part, np.ndarray]] = {
            side: {name: part.executed(stamp_ns, oldest_ns) for name, part in parts.items()} for side, parts in self._parts.items()
        }
        return Observation(stamp_ns, images, self._instruction, executed)

    def _publish(self, chunk: Chunk) -> None:
        for side, parts in chunk.positions.items():
            names = [name for part in PARTS for name in self.rig.joint_names(side, part)]
            points = np.concatenate([parts[part] for part in PARTS], axis=1)
            self._chunks[side].publish(convert.trajectory(names, points, chunk.stamp_ns, chunk.rate_hz, "policy"))
        self.health.tick("chunks")
        self.health.took("observation to chunk", (self.clock.now_ns() - chunk.stamp_ns) / SECOND)
        self.health.ok(f"deciding: {self._instruction}")
        self._latents.publish(convert.latents(chunk.latents))
        if self._markers.get_subscription_count():
            self._markers.publish(self._ghost.markers(chunk.positions, chunk.stamp_ns))

    def _on_instruction(self, message: Any) -> None:
        self._instruction = message.data.strip() or self._config.instruction
        self.get_logger().info(f"instruction: {self._instruction}")


def main() -> None:
    run(PolicyNode)


if __name__ == "__main__":
    main()
