"""Any camera that Linux knows as a video device: USB webcams (UVC), capture cards, CSI cameras with
a driver.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from xlvla.errors import XlvlaError
from xlvla.ranges import Range
from xlvla_drivers.cameras.camera import CameraOptions, ImageFrame, Size, system_time_ns
from xlvla_drivers.device import LinkLost

_BUFFERS = 2
"""A picture that waits is an old one."""
_STABLE = "/dev/v4l/by-id/*"


@dataclass(frozen=True)
class Options(CameraOptions):
    """What a rig may say about a video device.

    Args:
        rate_hz: pictures a second to ask for.
        format: four letters of the pixel format to ask for; most USB cameras are slow in any but
            MJPG. '' is the camera's choice.
        controls: by OpenCV's names in lower case, such as `auto_exposure: 1` and `exposure: 150`,
            in the camera's units.
    """

    rate_hz: Annotated[float, Range(0.1, 240)] = 30.0
    format: str = "MJPG"
    controls: Mapping[str, float] = field(default_factory=dict[str, float])


class Driver:
    """The device at `address`: a path, best one under /dev/v4l/by-id, which stays the same wherever
    it is plugged in.
    """

    intrinsics = None

    def __init__(self, address: str, capture: Size, options: Options):
        self.rate_hz = options.rate_hz
        self._address = address
        self._capture = capture
        self._options = options
        self._video: Any = None

    def connect(self) -> None:
        import cv2

        self.disconnect()
        if not os.path.exists(self._address):
            raise LinkLost(f"there is no camera at {self._address}: {_known()}")
        self._video = cv2.VideoCapture(os.path.realpath(self._address), cv2.CAP_V4L2)
        if not self._video.isOpened():
            raise LinkLost(f"{self._address} is no camera, or another program has it")
        self._ask(cv2)
        width = int(self._video.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(self._video.get(cv2.CAP_PROP_FRAME_HEIGHT))
        wanted_width, wanted_height = self._capture
        if (width, height) != (wanted_width, wanted_height):
            raise XlvlaError(
                f"{self._address} cannot capture {wanted_width} x {wanted_height} but {width} x "
                f"{height}: set the camera's `capture` to what it can"
            )
        self.rate_hz = self._video.get(cv2.CAP_PROP_FPS) or self._options.rate_hz

    def read(self) -> ImageFrame:
        import cv2

        if self._video is None:
            raise LinkLost(f"{self._address} is not open")
        sound, pixels = self._video.read()
        if not sound or pixels is None:
            raise LinkLost(f"{self._address} gives no more pictures")
        # The driver stamps pictures by the monotonic clock.
        taken_s = self._video.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        return ImageFrame(system_time_ns(taken_s), pixels)

    def disconnect(self) -> None:
        video = self._video
        self._video = None
        if video is not None:
            video.release()

    def _ask(self, cv2: Any) -> None:
        """What the rig wants of it, in the order that drivers need: format, size, rate, then
        controls.
        """
        if self._options.format:
            self._video.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*self._options.format))
        self._video.set(cv2.CAP_PROP_FRAME_WIDTH, self._capture[0])
        self._video.set(cv2.CAP_PROP_FRAME_HEIGHT, self._capture[1])
        self._video.set(cv2.CAP_PROP_FPS, self._options.rate_hz)
        self._video.set(cv2.CAP_PROP_BUFFERSIZE, _BUFFERS)
        for name, value in self._options.controls.items():
            control = getattr(cv2, f"CAP_PROP_{name.upper()}", None)
            if control is None or not self._video.set(control, value):
                raise XlvlaError(
                    f"{self._address} has no control '{name}' or not the value {value}: `v4l2-ctl "
                    "-L` lists what it has"
                )


def _known() -> str:
    found = sorted(glob.glob(_STABLE)) or sorted(glob.glob("/dev/video*"))
    if not found:
        return "none is plugged in"
    return f"plugged in are {', '.join(found)}"
