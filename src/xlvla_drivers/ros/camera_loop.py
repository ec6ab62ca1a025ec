"""The loop of a camera's node: pictures in, as the rig publishes them out."""

from __future__ import annotations

import threading
import time

from xlvla.errors import XlvlaError, unknown
from xlvla.ros import convert
from xlvla.ros.camera_publisher import CameraPublisher
from xlvla.ros.convert import SECOND
from xlvla.ros.node import RigNode
from xlvla_drivers import registry
from xlvla_drivers.cameras.camera import (
    CameraDevice,
    ImageFrame,
    published,
    published_intrinsics,
)
from xlvla_drivers.cameras.watch import FrameSelector, Watch

SILENCE_PERIODS = 3
SHORTEST_SILENCE_S = 0.1
"""A camera that has sent no picture for this many periods, and this long, is reported."""


class CameraLoop:
    """Publishes the pictures of one camera of a rig.

    `run` has its own thread, which waits for pictures.
    """

    def __init__(self, node: RigNode, name: str):
        if name not in node.rig.cameras:
            raise unknown("camera", name, node.rig.cameras)
        device = node.rig.camera_device(name)
        if device is None or device.emulated:
            raise XlvlaError(
                f"cameras.{name} has no device of its own: add `device: {{address: ...}}`"
            )
        self._node = node
        self._health = node.health
        self._name = name
        self._camera = node.rig.cameras[name]
        self._options = registry.options(
            "camera", device.driver, device.options, f"cameras.{name}.device.options"
        )
        self._health.fact("device", f"{device.driver} at {device.address}")
        driver = registry.driver("camera", device.driver)
        self._watch = Watch(driver.Driver(device.address, self._camera.capture, self._options))
        self._publisher = CameraPublisher(node, name, self._camera)

    @property
    def up(self) -> bool:
        """There has been a picture."""
        return self._watch.counts["pictures"] > 0

    def run(self, stop: threading.Event) -> None:
        """Publishes until `stop` is set."""
        selected = FrameSelector(self._camera.rate_hz)
        silence_s = max(SILENCE_PERIODS / self._camera.rate_hz, SHORTEST_SILENCE_S)
        self._watch.start()
        try:
            while not stop.is_set():
                frame = self._watch.take(silence_s)
                if frame is None:
                    self._report_fault(self._watch.why or f"no picture for {silence_s:.1f} s")
                elif selected(frame.stamp_ns, self._watch.camera.rate_hz):
                    self._publish(frame, self._watch.camera)
        finally:
            self._watch.stop()

    def report(self) -> None:
        """Updates the counts of /diagnostics; called once a second by another thread."""
        # A copy, because the camera's thread goes on counting.
        for what, count in dict(self._watch.counts).items():
            self._health.counts[what] = count

    def _publish(self, frame: ImageFrame, camera: CameraDevice) -> None:
        picture = published(frame, self._camera.publish, self._options)
        lens = published_intrinsics(
            frame.size,
            self._camera.publish,
            self._options,
            camera.intrinsics,
            self._camera.fovy_deg,
        )
        info = convert.camera_info(lens, frame.stamp_ns, self._name)
        info.d = list(lens.distortion)
        self._publisher.show(picture, info, frame.stamp_ns)
        self._health.tick(f"camera {self._name}")
        age_ns = time.time_ns() - frame.stamp_ns
        self._health.took("taken to published", age_ns / SECOND)
        width, height = frame.size
        self._health.ok(f"{width} x {height} at {camera.rate_hz:.0f} Hz")

    def _report_fault(self, why: str) -> None:
        self._health.error(why)
        self._node.warn(f"camera {self._name}: {why}")
