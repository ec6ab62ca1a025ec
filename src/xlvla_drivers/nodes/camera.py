"""The driver of one camera: its pictures as the rig publishes them, and how it is."""

from __future__ import annotations

import threading
import time

from xlvla.errors import XlvlaError, unknown
from xlvla.rig import Camera
from xlvla.ros import convert
from xlvla.ros.camera_publisher import CameraPublisher
from xlvla.ros.convert import SECOND
from xlvla.ros.main import run
from xlvla.ros.node import RigNode
from xlvla_drivers import registry
from xlvla_drivers.cameras.camera import (
    CameraDevice,
    ImageFrame,
    Intrinsics,
    Size,
    published,
    published_intrinsics,
)
from xlvla_drivers.cameras.watch import FrameSelector, Watch

SILENCE_PERIODS = 3
SHORTEST_SILENCE_S = 0.1
"""A camera that has shown nothing for so long is spoken of."""


class CameraNode(RigNode):
    """One camera of the rig, which is the node's parameter `part`. A thread of its own waits for
    pictures.
    """

    def __init__(self) -> None:
        super().__init__("camera")
        self.health.name = self.get_name()
        self._watch: Watch | None = None

    @property
    def up(self) -> bool:
        return self._watch is not None and self._watch.counts["pictures"] > 0

    def configure(self) -> None:
        self._name: str = self.parameter("part")
        if self._name not in self.rig.cameras:
            raise unknown("camera", self._name, self.rig.cameras)
        self._camera: Camera = self.rig.cameras[self._name]
        self._watch = Watch(self._device())
        self._eye = CameraPublisher(self, self._name, self._camera)

    def _device(self) -> CameraDevice:
        device = self.rig.camera_device(self._name)
        if device is None or device.emulated:
            raise XlvlaError(
                f"cameras.{self._name} has no device of its own: add `device: {{address: ...}}`"
            )
        self._options = registry.options(
            "camera", device.driver, device.options, f"cameras.{self._name}.device.options"
        )
        self.health.fact("device", f"{device.driver} at {device.address}")
        return registry.driver("camera", device.driver).Driver(
            device.address, self._camera.capture, self._options
        )

    def work(self, stop: threading.Event) -> None:
        assert self._watch is not None
        pace = FrameSelector(self._camera.rate_hz)
        silence_s = max(SILENCE_PERIODS / self._camera.rate_hz, SHORTEST_SILENCE_S)
        self._watch.start()
        try:
            while not stop.is_set():
                frame = self._watch.take(silence_s)
                if frame is None:
                    self._say(self._watch.why or f"no picture for {silence_s:.1f} s")
                elif pace(frame.stamp_ns, self._watch.camera.rate_hz):
                    self._publish(frame, self._watch.camera)
        finally:
            self._watch.stop()

    def _publish(self, frame: ImageFrame, camera: CameraDevice) -> None:
        picture = published(frame, self._camera.publish, self._options)
        lens = self._lens(frame.size, camera.intrinsics)
        info = convert.camera_info(lens, frame.stamp_ns, self._name)
        info.d = list(lens.distortion)
        self._eye.show(picture, info, frame.stamp_ns)
        self.health.tick(f"camera {self._name}")
        self.health.took("taken to published", (time.time_ns() - frame.stamp_ns) / SECOND)
        self.health.ok(f"{frame.size[0]} x {frame.size[1]} at {camera.rate_hz:.0f} Hz")

    def _lens(self, captured: Size, known: Intrinsics | None) -> Intrinsics:
        return published_intrinsics(
            captured, self._camera.publish, self._options, known, self._camera.fovy_deg
        )

    def _say(self, why: str) -> None:
        self.health.error(why)
        self.warn(f"camera {self._name}: {why}")

    def _report(self) -> None:
        if self._watch is not None:
            for what, count in dict(self._watch.counts).items():
                self.health.counts[what] = count
        super()._report()


def main() -> None:
    run(CameraNode)


if __name__ == "__main__":
    main()
