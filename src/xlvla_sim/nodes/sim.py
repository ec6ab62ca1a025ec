"""The simulation as a node: it stands in for every driver and camera of a rig, and is its clock."""

from __future__ import annotations

import json
import queue
import threading
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from rosgraph_msgs.msg import Clock
from std_msgs.msg import Header, String

from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.ros import convert, topics
from xlvla.ros.node import RigNode, run
from xlvla.ros.reader import Reader
from xlvla.types import PARTS, Part, Side
from xlvla_sim.pace import Due, Pacer
from xlvla_sim.world import World

STATUS_HZ = 10.0
RESET_TIMEOUT_S = 10.0


class SimNode(RigNode):
    """One thread steps the world, because its graphics belong to the thread that made it; ROS is input and output around it.

    The clock runs on through resets, so a stamp is never given twice. Episode n has seed `sim.seed` + n; episode 0
    stands from the start, and the first `/sim/reset` begins it anew.
    """

    def __init__(self) -> None:
        super().__init__("sim")
        self._resets: queue.Queue[Future[str]] = queue.Queue()
        self._world: World | None = None

    @property
    def up(self) -> bool:
        return self._world is not None

    def configure(self) -> None:
        if self.rig.sim is None:
            raise XlvlaError(f"rig '{self.rig.name}' has no `sim` section, so there is nothing to simulate")
        self._sim = self.rig.sim
        self._clock_topic, self._status = self.publisher(topics.CLOCK), self.publisher(topics.SIM_STATUS)
        self._reset_topic, self._positions = self.publisher(topics.RESET), self.publisher(topics.SIM_STATE)
        self._images = {name: self.publisher(topics.image(name)) for name in self.rig.cameras}
        self._infos = {name: self.publisher(topics.camera_info(name)) for name in self.rig.cameras}
        self._joints = {key: self.publisher(topics.joint_states(*key)) for key in _parts(self.rig)}
        self._samples = {key: convert.JointMessage(self.rig.joint_names(*key)) for key in _parts(self.rig)}
        self._commands = {key: Reader(self, topics.command(*key)) for key in _parts(self.rig)}
        self.serve(topics.SIM_RESET, self._ask_reset)

    def work(self, stop: threading.Event) -> None:
        self._world = world = World(self.rig)
        try:
            self._run(world, stop)
        finally:
            self._world = None
            world.close()

    def _run(self, world: World, stop: threading.Event) -> None:
        period_s = 1 / self._sim.joint_state_hz
        self._now_ns, self._begun = convert.SECOND, 0
        self._begin_era("start")
        self._due = Due()
        self._pacer = Pacer(self._sim.speed)
        self.health.ok(f"simulating {self._sim.task}")
        while not stop.is_set():
            self._answer_resets(world)
            self._obey(world)
            world.step(period_s)
            self._now_ns += round(period_s * convert.SECOND)
            self._tell(world)
            self._pacer.passed(period_s, stop)
            self.health.tick("steps")

    def _tell(self, world: World) -> None:
        for key, publisher in self._joints.items():
            publisher.publish(self._samples[key].fill(self._now_ns, *world.joint_state(*key)))
        self._clock_topic.publish(Clock(clock=convert.stamp(self._now_ns)))
        for name, camera in self.rig.cameras.items():
            if self._due(name, camera.rate_hz, self._now_ns):
                self._show(world, name)
        if self._due("status", STATUS_HZ, self._now_ns):
            self._status.publish(String(data=self._state(world)))
        if self._due("state", topics.STATE_HZ, self._now_ns):
            self._positions.publish(convert.vector(world.data.qpos, str(self._begun)))

    def _show(self, world: World, camera: str) -> None:
        info = world.camera_info(camera)
        self._images[camera].publish(convert.image(world.image(camera), self._now_ns, camera))
        self._infos[camera].publish(convert.camera_info(*info, self._now_ns, camera))
        self.health.tick(f"camera {camera}")

    def _obey(self, world: World) -> None:
        for (side, part), reader in self._commands.items():
            message = reader.newest()
            if message is None:
                continue
            try:
                self._command(world, side, part, message)
            except XlvlaError as error:
                self.health.counts[f"refused commands {side} {part}"] += 1
                self.warn(f"/{side}/{part}/command: {error}")

    def _command(self, world: World, side: Side, part: Part, message: Any) -> None:
        stamp_ns = convert.nanoseconds(message.header.stamp)
        if stamp_ns < self._void_ns or message.header.frame_id not in ("", self._era):
            self.health.counts["void commands"] += 1
            return
        age_s = (self._now_ns - stamp_ns) / convert.SECOND
        if abs(age_s) > self.rig.motion.stale_s:
            raise XlvlaError(f"command refused: its stamp is {age_s:.3f} s old, allowed are {self.rig.motion.stale_s} s")
        if len(message.position) != len(message.name) or len(set(message.name)) != len(message.name):
            raise XlvlaError(f"command refused: {len(set(message.name))} joints are named but {len(message.position)} positions given")
        world.command(side, part, dict(zip(message.name, message.position, strict=True)))
        self.health.counts["commands"] += 1

    def _ask_reset(self, request: Any) -> str:
        if self._world is None:
            raise XlvlaError("the simulation is not running")
        asked: Future[str] = Future()
        self._resets.put(asked)
        try:
            return asked.result(RESET_TIMEOUT_S)
        except FutureTimeout:
            raise XlvlaError(f"the simulation did not reset within {RESET_TIMEOUT_S:.0f} s") from None

    def _answer_resets(self, world: World) -> None:
        while not self._resets.empty():
            asked = self._resets.get()
            self._begun += 1
            world.reset(self._seed)
            self._begin_era(f"episode {self._episode}")
            asked.set_result(self._state(world))

    def _begin_era(self, name: str) -> None:
        """An era begins after everything told so far: what bears an earlier stamp shows the world before the reset."""
        self._now_ns += 1
        self._era, self._void_ns = name, self._now_ns
        self._reset_topic.publish(Header(stamp=convert.stamp(self._now_ns), frame_id=name))

    @property
    def _episode(self) -> int:
        return max(self._begun - 1, 0)

    @property
    def _seed(self) -> int:
        return self._sim.seed + self._episode

    def _state(self, world: World) -> str:
        status = world.status()
        state = {"begun": self._begun, "episode": self._episode, "seed": self._seed, "time_s": round(world.time_s, 3)}
        state |= {"success": bool(status.success), "stage": float(status.stage), "done": bool(status.done), "text": status.text}
        self.health.fact("real-time factor", round(self._pacer.factor, 2))
        return json.dumps(state | {"real_time_factor": round(self._pacer.factor, 3)})


def _parts(rig: Rig) -> list[tuple[Side, Part]]:
    return [(side, part) for side in rig.sides for part in PARTS]


def main() -> None:
    run(SimNode)


if __name__ == "__main__":
    main()
