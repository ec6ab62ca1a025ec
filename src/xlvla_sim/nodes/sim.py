"""The simulation as a node: it stands in for every driver and camera of a rig, and is its clock."""

from __future__ import annotations

import threading
from typing import Any

from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header

from xlvla.errors import XlvlaError
from xlvla.ros import convert, forms, topics
from xlvla.ros.node import run
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_sim.ros.world_node import WorldNode
from xlvla_sim.world import World


class SimNode(WorldNode):
    """The clock runs on through resets, so a stamp is never given twice."""

    def __init__(self) -> None:
        super().__init__("sim")

    def configure(self) -> None:
        self.prepare(self.rig, self.rig.cameras, speed=self.rig.sim.speed if self.rig.sim else 1.0)
        self._clock_topic, self._reset_topic = self.publisher(topics.CLOCK), self.publisher(topics.RESET)
        self._joints = {key: self.publisher(topics.joint_states(*key)) for key in self.parts}
        self._samples = {key: convert.JointMessage(self.rig.joint_names(*key)) for key in self.parts}
        self._commands = {key: Reader(self, topics.command(*key), forms.command(self.rig.joint_names(*key))) for key in self.parts}

    def advance(self, world: World, stop: threading.Event) -> None:
        period_s = 1 / self.sim.joint_state_hz
        self._now_ns, self.begun = convert.SECOND, 0
        self._begin_era("start")
        self.health.ok(f"simulating {self.sim.task}")
        while not stop.is_set():
            self.answer_resets(world)
            self._obey(world)
            world.step(period_s)
            self._now_ns += round(period_s * convert.SECOND)
            self._tell(world)
            self.pacer.passed(period_s, stop)
            self.health.tick("steps")

    def begin_again(self, world: World) -> None:
        world.reset(self.seed)
        self._begin_era(f"episode {self.episode}")

    def _tell(self, world: World) -> None:
        for key, publisher in self._joints.items():
            publisher.publish(self._samples[key].fill(self._now_ns, *world.joint_state(*key)))
        self._clock_topic.publish(Clock(clock=convert.stamp(self._now_ns)))
        self.show(world, self._now_ns)

    def _obey(self, world: World) -> None:
        for (side, part), reader in self._commands.items():
            message = reader.newest()
            if message is None:
                continue
            try:
                self._command(world, side, part, message)
            except XlvlaError as error:
                reader.refuse(error)

    def _command(self, world: World, side: Side, part: Part, message: Any) -> None:
        stamp_ns = convert.nanoseconds(message.header.stamp)
        if stamp_ns < self._void_ns or message.header.frame_id not in ("", self._era):
            self.health.counts["void commands"] += 1
            return
        age_s = (self._now_ns - stamp_ns) / convert.SECOND
        if abs(age_s) > self.rig.motion.stale_s:
            raise XlvlaError(f"command refused: its stamp is {age_s:.3f} s old, allowed are {self.rig.motion.stale_s} s")
        world.command(side, part, convert.by_name(message))
        self.health.counts["commands"] += 1

    def _begin_era(self, name: str) -> None:
        """An era begins after everything told so far: what bears an earlier stamp shows the world before the reset."""
        self._now_ns += 1
        self._era, self._void_ns = name, self._now_ns
        self._reset_topic.publish(Header(stamp=convert.stamp(self._now_ns), frame_id=name))


def main() -> None:
    run(SimNode)


if __name__ == "__main__":
    main()
