"""A node with a simulated world: it steps the world, shows what its cameras see, and resets it when
asked.
"""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from std_msgs.msg import String

from xlvla.errors import XlvlaError
from xlvla.rig import Camera, Rig
from xlvla.ros import convert, forms, topics
from xlvla.ros.camera_publisher import CameraPublisher
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_sim.pace import Due, Pacer
from xlvla_sim.world import World

STATUS_HZ = 10.0
RESET_TIMEOUT_S = 10.0


class WorldNode(RigNode):
    """One thread steps the world, because its graphics belong to the thread that made it; ROS is
    input and output around it.

    Episode n has seed `sim.seed` + n, or counts on from the one that was last said on `/sim/seed`;
    episode 0 stands from the start, and the first `/sim/reset` begins it anew.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._resets: queue.Queue[Future[str]] = queue.Queue()
        self._world: World | None = None
        # Of the episode that is on, and of the one after the next reset.
        self.seed = 0
        self._next_seed = 0

    @property
    def up(self) -> bool:
        return self._world is not None

    def advance(self, world: World, stop: threading.Event) -> None:
        """Steps the world until `stop` is set."""
        raise NotImplementedError

    def begin_again(self, world: World) -> None:
        """Resets the world to `seed`."""
        raise NotImplementedError

    def prepare(self, simulated: Rig, cameras: Mapping[str, Camera], speed: float) -> None:
        """Publishers and services.

        Args:
            simulated: the rig whose world it is.
            cameras: those that are published.
            speed: simulated seconds per second; 0 is as fast as it can.
        """
        if simulated.sim is None:
            raise XlvlaError(
                f"rig '{simulated.name}' has no `sim` section, so there is nothing to simulate"
            )
        self.sim = simulated.sim
        self._simulated = simulated
        self._speed = speed
        self._cameras = cameras
        self._pictures = {
            name: CameraPublisher(self, name, camera) for name, camera in cameras.items()
        }
        self._status = self.publisher(topics.SIM_STATUS)
        self._positions = self.publisher(topics.SIM_STATE)
        self._seeds = Reader(self, topics.SIM_SEED, forms.SEED)
        self.begun = 0
        self.serve(topics.SIM_RESET, self._ask_reset)

    @property
    def parts(self) -> list[tuple[Side, Part]]:
        return list(self.rig.parts)

    def work(self, stop: threading.Event) -> None:
        world = World(self._simulated)
        self._world = world
        self.seed = self._next_seed = self.sim.seed
        self._due = Due()
        self.pacer = Pacer(self._speed)
        try:
            self.advance(world, stop)
        finally:
            self._world = None
            world.close()

    def show(self, world: World, now_ns: int) -> None:
        """Publishes what is due: pictures, the state of the task, positions."""
        for name, camera in self._cameras.items():
            if self._due(name, camera.rate_hz, now_ns):
                info = convert.camera_info(world.lens(name), now_ns, name)
                self._pictures[name].show(world.image(name), info, now_ns)
                self.health.tick(f"camera {name}")
        if self._due("status", STATUS_HZ, now_ns):
            self._status.publish(String(data=self._state(world)))
        if self._due("state", topics.STATE_HZ, now_ns):
            self._positions.publish(convert.vector(world.data.qpos, str(self.begun)))

    def _ask_reset(self, request: Any) -> str:
        if self._world is None:
            raise XlvlaError(f"the {self.get_name()} is not running")
        asked: Future[str] = Future()
        self._resets.put(asked)
        try:
            return asked.result(RESET_TIMEOUT_S)
        except FutureTimeout:
            asked.cancel()
            raise XlvlaError(
                f"the {self.get_name()} did not reset within {RESET_TIMEOUT_S:.0f} s"
            ) from None

    def answer_resets(self, world: World) -> None:
        # What is no seed is refused when it is said, not when it is needed.
        self._hear_seed()
        while not self._resets.empty():
            asked = self._resets.get()
            if not asked.set_running_or_notify_cancel():
                # The caller has given up.
                continue
            self.begun += 1
            self._hear_seed()
            self.seed = self._next_seed
            self._next_seed += 1
            self.begin_again(world)
            asked.set_result(self._state(world))

    def _hear_seed(self) -> None:
        said = self._seeds.newest()
        if said is not None:
            self._next_seed = said

    @property
    def episode(self) -> int:
        return max(self.begun - 1, 0)

    def _state(self, world: World) -> str:
        self.health.fact("real-time factor", round(self.pacer.factor, 2))
        status = world.status()
        state = {
            "begun": self.begun,
            "episode": self.episode,
            "task": self.sim.task,
            "seed": self.seed,
            "time_s": round(world.time_s, 3),
            "success": bool(status.success),
            "stage": float(status.stage),
            "done": bool(status.done),
            "text": status.text,
            "real_time_factor": round(self.pacer.factor, 3),
        }
        return json.dumps(state)
