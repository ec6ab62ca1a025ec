"""The camera of a rehearsal: emulated devices move a simulated robot among the objects of a task,
and this node shows it.
"""

from __future__ import annotations

import threading
import time
from typing import Any

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.rig import Camera
from xlvla.ros import forms, priority, topics
from xlvla.ros.main import run
from xlvla.ros.reader import Reader
from xlvla.types import Part, Side
from xlvla_sim.ros.world_node import WorldNode
from xlvla_sim.world import World

STEP_S = 0.01


class MirrorNode(WorldNode):
    """A world in real time whose robot goes where the drivers say the devices are; it publishes
    nothing but what is to be seen.

    `/sim/reset` puts the objects of the next seed on the table; the robot stays where its devices
    are.
    """

    def __init__(self) -> None:
        super().__init__("mirror")
        self._devices: dict[tuple[Side, Part], Reader[Any]] = {}
        # Where the devices have said their joints are [rad], by name.
        self._measured: dict[str, float] = {}

    def configure(self) -> None:
        if self.rig.sim:
            raise XlvlaError(
                f"rig '{self.rig.name}' is simulated: only a rig of devices can be mirrored"
            )
        priority.give_way()
        self._measured.clear()
        emulated: dict[str, Camera] = {}
        for name, camera in self.rig.cameras.items():
            if camera.device and camera.device.emulated:
                emulated[name] = camera
        self.prepare(rig_file.with_choices(self.rig, sim=True), emulated, speed=1.0)
        for side, part in self.parts:
            form = forms.joints(self.rig.joint_names(side, part), self.clock.now_ns)
            self._devices[side, part] = Reader(self, topics.joint_states(side, part), form)

    def advance(self, world: World, stop: threading.Event) -> None:
        self.health.ok("mirroring the devices")
        while not stop.is_set():
            self.answer_resets(world)
            self._follow(world)
            world.step(STEP_S)
            self.show(world, time.time_ns())
            self.pacer.passed(STEP_S, stop)
            self.health.tick("steps")

    def begin_again(self, world: World) -> None:
        world.reset(self.seed, self._measured)

    def _follow(self, world: World) -> None:
        for (side, part), reader in self._devices.items():
            state = reader.newest()
            if state is None:
                continue
            names = self.rig.joint_names(side, part)
            measured = dict(zip(names, state.position.tolist(), strict=True))
            first = not self._measured.keys() & measured.keys()
            self._measured |= measured
            if first:
                # The robot is where its device is at once, and does not travel there.
                world.reset(self.seed, self._measured)
            world.command(side, part, measured)


def main() -> None:
    run(MirrorNode)


if __name__ == "__main__":
    main()
