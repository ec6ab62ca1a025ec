"""The camera of a rehearsal: emulated devices move a simulated robot among the objects of a task, and this node shows it."""

from __future__ import annotations

import json
import queue
import threading
import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from std_msgs.msg import String

from xlvla.errors import XlvlaError
from xlvla.ros import convert, topics
from xlvla.ros.node import RigNode, run
from xlvla.ros.reader import Reader
from xlvla.types import PARTS, Part, Side
from xlvla_sim.pace import Due, Pacer
from xlvla_sim.world import World

STEP_S = 0.01
STATUS_HZ = 10.0
RESET_TIMEOUT_S = 10.0


class MirrorNode(RigNode):
    """A world in real time whose robot goes where the drivers say the devices are; it says nothing but what is to be seen.

    `/sim/reset` puts the objects of the next seed on the table; the robot stays where its devices are.
    """

    def __init__(self) -> None:
        super().__init__("mirror")
        self._resets: queue.Queue[Future[str]] = queue.Queue()
        self._world: World | None = None

    @property
    def up(self) -> bool:
        return self._world is not None

    def configure(self) -> None:
        if self.rig.sim:
            raise XlvlaError(f"rig '{self.rig.name}' is simulated: only a rig of devices can be mirrored")
        self._simulated = self.rig.with_choices(sim=True)
        self._cameras = {name: camera for name, camera in self.rig.cameras.items() if camera.device and camera.device.emulated}
        self._images = {name: self.publisher(topics.image(name)) for name in self._cameras}
        self._infos = {name: self.publisher(topics.camera_info(name)) for name in self._cameras}
        self._status, self._positions = self.publisher(topics.SIM_STATUS), self.publisher(topics.SIM_STATE)
        parts: list[tuple[Side, Part]] = [(side, part) for side in self.rig.sides for part in PARTS]
        self._devices = {key: Reader(self, topics.joint_states(*key)) for key in parts}
        self._measured: dict[str, float] = {}
        self._due, self._begun = Due(), 0
        self.serve(topics.SIM_RESET, self._ask_reset)

    def work(self, stop: threading.Event) -> None:
        self._world = world = World(self._simulated)
        try:
            self._run(world, stop)
        finally:
            self._world = None
            world.close()

    def _run(self, world: World, stop: threading.Event) -> None:
        pacer = Pacer(1.0)
        self.health.ok("mirroring the devices")
        while not stop.is_set():
            self._answer_resets(world)
            self._follow(world)
            world.step(STEP_S)
            self._tell(world, time.time_ns(), pacer.factor)
            pacer.passed(STEP_S, stop)
            self.health.tick("steps")

    def _follow(self, world: World) -> None:
        for (side, part), reader in self._devices.items():
            message = reader.newest()
            if message is None:
                continue
            names = self.rig.joint_names(side, part)
            measured = dict(zip(names, convert.positions(message, names), strict=True))
            if not self._measured.keys() & measured.keys():  # a device's first word: be there at once
                world.reset(self._seed, self._measured | measured)
            self._measured |= measured
            world.command(side, part, measured)

    def _tell(self, world: World, now_ns: int, factor: float) -> None:
        for name, camera in self._cameras.items():
            if self._due(name, camera.rate_hz, now_ns):
                self._images[name].publish(convert.image(world.image(name), now_ns, name))
                self._infos[name].publish(convert.camera_info(*world.camera_info(name), now_ns, name))
                self.health.tick(f"camera {name}")
        if self._due("status", STATUS_HZ, now_ns):
            self.health.fact("real-time factor", round(factor, 2))
            self._status.publish(String(data=self._state(world)))
        if self._due("state", topics.STATE_HZ, now_ns):
            self._positions.publish(convert.vector(world.data.qpos, str(self._begun)))

    def _ask_reset(self, request: Any) -> str:
        if self._world is None:
            raise XlvlaError("the mirror is not running")
        asked: Future[str] = Future()
        self._resets.put(asked)
        try:
            return asked.result(RESET_TIMEOUT_S)
        except FutureTimeout:
            raise XlvlaError(f"the mirror did not reset within {RESET_TIMEOUT_S:.0f} s") from None

    def _answer_resets(self, world: World) -> None:
        while not self._resets.empty():
            asked = self._resets.get()
            self._begun += 1
            world.reset(self._seed, self._measured)
            asked.set_result(self._state(world))

    @property
    def _seed(self) -> int:
        assert self._simulated.sim is not None
        return self._simulated.sim.seed + max(self._begun - 1, 0)

    def _state(self, world: World) -> str:
        status = world.status()
        state = {"begun": self._begun, "episode": max(self._begun - 1, 0), "seed": self._seed, "time_s": round(world.time_s, 3)}
        return json.dumps(
            state | {"success": bool(status.success), "stage": float(status.stage), "done": bool(status.done), "text": status.text}
        )


def main() -> None:
    run(MirrorNode)


if __name__ == "__main__":
    main()
