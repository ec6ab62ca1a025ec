"""RealSense cameras through pyrealsense2, colour only; it needs `pip install pyrealsense2`."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.ranges import Range
from xlvla.types import SECOND
from xlvla_drivers.cameras.camera import CameraOptions, ImageFrame, Intrinsics, Size
from xlvla_drivers.device import LinkLost

_TIMEOUT_MS = 1000


@dataclass(frozen=True)
class Options(CameraOptions):
    """What a rig may say about a RealSense camera; `rate_hz`: pictures a second to ask for."""

    rate_hz: Annotated[float, Range(0.1, 240)] = 30.0


class Driver:
    """The camera whose serial number `address` is, or any with 'any'. It knows its lens, and stamps
    pictures by the host's clock.
    """

    def __init__(self, address: str, capture: Size, options: Options):
        self.rate_hz = options.rate_hz
        self.intrinsics: Intrinsics | None = None
        self._address = address
        self._capture = capture
        self._pipeline: Any = None

    def connect(self) -> None:
        rs = _sdk()
        self.disconnect()
        devices = rs.context().query_devices()
        there = [device.get_info(rs.camera_info.serial_number) for device in devices]
        if not there or self._address not in ("any", *there):
            raise LinkLost(
                f"there is no RealSense camera '{self._address}': plugged in are "
                f"{', '.join(there) or 'none'}"
            )
        config = rs.config()
        pipeline = rs.pipeline()
        if self._address != "any":
            config.enable_device(self._address)
        config.enable_stream(rs.stream.color, *self._capture, rs.format.rgb8, round(self.rate_hz))
        if not config.can_resolve(rs.pipeline_wrapper(pipeline)):
            width, height = self._capture
            raise XlvlaError(
                f"RealSense {self._address} cannot capture {width} x {height} at {self.rate_hz:g} "
                "Hz: set the camera's `capture`"
            )
        try:
            profile = pipeline.start(config)
        except RuntimeError as error:
            raise LinkLost(f"RealSense {self._address}: {error}") from None
        self._pipeline = pipeline
        stream = profile.get_stream(rs.stream.color).as_video_stream_profile()
        self.intrinsics = _intrinsics(stream.get_intrinsics())
        self._keep_time(rs, profile.get_device())

    def read(self) -> ImageFrame:
        if self._pipeline is None:
            raise LinkLost(f"RealSense {self._address} is not open")
        try:
            colour = self._pipeline.wait_for_frames(_TIMEOUT_MS).get_color_frame()
        except RuntimeError as error:
            raise LinkLost(f"RealSense {self._address}: {error}") from None
        # A copy: the SDK uses the memory of a frame again.
        pixels = np.array(colour.get_data())
        return ImageFrame(self._stamp_ns(colour), pixels, "rgb", colour.get_frame_number())

    def disconnect(self) -> None:
        pipeline = self._pipeline
        self._pipeline = None
        if pipeline is not None:
            with contextlib.suppress(RuntimeError):
                pipeline.stop()

    def _keep_time(self, rs: Any, device: Any) -> None:
        """Asks for stamps by the host's clock."""
        for sensor in device.query_sensors():
            if sensor.supports(rs.option.global_time_enabled):
                sensor.set_option(rs.option.global_time_enabled, 1)

    def _stamp_ns(self, frame: Any) -> int:
        """The picture's own stamp, or its arrival where that is by a clock of the camera's."""
        rs = _sdk()
        now_ns = time.time_ns()
        stamp_ns = round(1e6 * frame.get_timestamp())
        by_host = frame.get_frame_timestamp_domain() != rs.timestamp_domain.hardware_clock
        recent = 0 <= now_ns - stamp_ns < SECOND
        return stamp_ns if by_host and recent else now_ns


def _intrinsics(lens: Any) -> Intrinsics:
    return Intrinsics(
        lens.fx, lens.fy, lens.ppx, lens.ppy, lens.width, lens.height, tuple(lens.coeffs)
    )


def _sdk() -> Any:
    try:
        import pyrealsense2  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise XlvlaError(
            f"RealSense cameras need pyrealsense2: pip install pyrealsense2 ({error})"
        ) from None
    return pyrealsense2
