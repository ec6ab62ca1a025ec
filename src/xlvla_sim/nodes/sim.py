"""The simulation as a node: it stands in for every driver and camera of a rig, and is its clock."""

from __future__ import annotations

import threading

from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header

from xlvla.ros import convert, stop, topics
from xlvla.ros.main import run
from xlvla.types import Part, Side
from xlvla_sim.ros.simulated_driver import SimulatedDriver
from xlvla_sim.ros.world_node import WorldNode
from xlvla_sim.world import World


class SimNode(WorldNode):
    """The clock runs on through resets, so a stamp is never given twice."""

    def __init__(self) -> None:
        super().__init__("sim")
        self._now_ns = convert.SECOND
        self._drivers: list[SimulatedDriver] = []
        self._joints: dict[tuple[Side, Part], Publisher] = {}
        self._samples: dict[tuple[Side, Part], convert.JointMessage] = {}

    def configure(self) -> None:
        speed = self.rig.sim.speed if self.rig.sim else 1.0
        self.prepare(self.rig, self.rig.cameras, speed)
        self._clock_topic = self.publisher(topics.CLOCK)
        self._reset_topic = self.publisher(topics.RESET)
        self._drivers.clear()
        for side, part in self.parts:
            self._joints[side, part] = self.publisher(topics.joint_states(side, part))
            self._samples[side, part] = convert.JointMessage(self.rig.joint_names(side, part))
            self._drivers.append(SimulatedDriver(self, side, part, self._time_ns))
        self._stops = stop.StopReader(self)

    def _time_ns(self) -> int:
        """The simulation's time."""
        return self._now_ns

    def advance(self, world: World, stop: threading.Event) -> None:
        period_s = 1 / self.sim.joint_state_hz
        self._now_ns = convert.SECOND
        self.begun = 0
        self._publish_reset(world)
        self.health.ok(f"simulating {self.sim.task}")
        while not stop.is_set():
            self.answer_resets(world)
            self._read_stops()
            for driver in self._drivers:
                driver.drive(world)
            world.step(period_s)
            self._now_ns += round(period_s * convert.SECOND)
            self._publish_state(world)
            self.pacer.passed(period_s, stop)
            self.health.tick("steps")

    def begin_again(self, world: World) -> None:
        world.reset(self.seed)
        self._publish_reset(world)

    def _publish_state(self, world: World) -> None:
        for (side, part), publisher in self._joints.items():
            position, velocity, effort = world.joint_state(side, part)
            message = self._samples[side, part].fill(self._now_ns, position, velocity, effort)
            publisher.publish(message)
        self._clock_topic.publish(Clock(clock=convert.stamp(self._now_ns)))
        self.show(world, self._now_ns)

    def _read_stops(self) -> None:
        for request in self._stops.every():
            for driver in self._drivers:
                driver.on_stop(request)

    def _publish_reset(self, world: World) -> None:
        """A reset is stamped later than everything published so far: an earlier stamp shows the
        world before the reset.
        """
        self._now_ns += 1
        for driver in self._drivers:
            driver.begin(self._now_ns, world)
        self._reset_topic.publish(Header(stamp=convert.stamp(self._now_ns)))


def main() -> None:
    run(SimNode)


if __name__ == "__main__":
    main()
