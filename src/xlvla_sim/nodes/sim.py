"""The simulation as a node: it stands in for every driver and camera of a rig, and is its clock."""

from __future__ import annotations

import threading

from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header

from xlvla.ros import convert, stop, topics
from xlvla.ros.main import run
from xlvla.ros.reader import Reader
from xlvla_sim.ros.simulated_driver import SimulatedDriver
from xlvla_sim.ros.world_node import WorldNode
from xlvla_sim.world import World


class SimNode(WorldNode):
    """The clock runs on through resets, so a stamp is never given twice."""

    def __init__(self) -> None:
        super().__init__("sim")

    def configure(self) -> None:
        self.prepare(self.rig, self.rig.cameras, speed=self.rig.sim.speed if self.rig.sim else 1.0)
        self._clock_topic, self._reset_topic = (
            self.publisher(topics.CLOCK),
            self.publisher(topics.RESET),
        )
        self._joints = {key: self.publisher(topics.joint_states(*key)) for key in self.parts}
        self._samples = {
            key: convert.JointMessage(self.rig.joint_names(*key)) for key in self.parts
        }
        self._drivers = {
            key: SimulatedDriver(self, *key, lambda: self._now_ns) for key in self.parts
        }
        self._stops = Reader(self, topics.STOP.history(stop.KEPT), stop.FORM)
        self._now_ns = convert.SECOND

    def advance(self, world: World, stop: threading.Event) -> None:
        period_s = 1 / self.sim.joint_state_hz
        self._now_ns = convert.SECOND
        self.begun = 0
        self._publish_reset(world)
        self.health.ok(f"simulating {self.sim.task}")
        while not stop.is_set():
            self.answer_resets(world)
            self._read_stops()
            for driver in self._drivers.values():
                driver.drive(world)
            world.step(period_s)
            self._now_ns += round(period_s * convert.SECOND)
            self._tell(world)
            self.pacer.passed(period_s, stop)
            self.health.tick("steps")

    def begin_again(self, world: World) -> None:
        world.reset(self.seed)
        self._publish_reset(world)

    def _tell(self, world: World) -> None:
        for key, publisher in self._joints.items():
            publisher.publish(self._samples[key].fill(self._now_ns, *world.joint_state(*key)))
        self._clock_topic.publish(Clock(clock=convert.stamp(self._now_ns)))
        self.show(world, self._now_ns)

    def _read_stops(self) -> None:
        for request in self._stops.every():
            for driver in self._drivers.values():
                driver.on_stop(request)

    def _publish_reset(self, world: World) -> None:
        """A reset is stamped later than everything published so far: an earlier stamp shows the
        world before the reset.
        """
        self._now_ns += 1
        for driver in self._drivers.values():
            driver.begin(self._now_ns, world)
        self._reset_topic.publish(Header(stamp=convert.stamp(self._now_ns)))


def main() -> None:
    run(SimNode)


if __name__ == "__main__":
    main()
