"""A video file as a camera, played at its own speed: to rehearse with what a camera once saw."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

from xlvla.errors import XlvlaError
from xlvla.types import SECOND
from xlvla_drivers.cameras.camera import CameraOptions, ImageFrame, Size
from xlvla_drivers.device import LinkLost


@dataclass(frozen=True)
class Options(CameraOptions):
    """What a rig may say about a video file; `loop`: it begins anew when it ends, otherwise the
    camera is gone then.
    """

    loop: bool = True


class Driver:
    """The file at `address`. Its pictures have the file's size, whatever the rig says about the
    capture.
    """

    intrinsics = None

    def __init__(self, address: str, capture: Size, options: Options):
        self.rate_hz = 0.0
        self._address = address
        self._options = options
        self._video: Any = None
        self._count = 0
        self._began_ns = 0
        self._ended = False

    def connect(self) -> None:
        import cv2

        self.disconnect()
        if self._ended:
            raise LinkLost(f"the video {self._address} has ended")
        if not os.path.isfile(self._address):
            raise LinkLost(f"there is no video at {self._address}")
        self._video = cv2.VideoCapture(self._address)
        self.rate_hz = self._video.get(cv2.CAP_PROP_FPS) if self._video.isOpened() else 0.0
        if not self.rate_hz > 0:
            raise XlvlaError(f"{self._address} is not a video that OpenCV can read")
        self._began_ns = time.time_ns()
        self._count = 0

    def read(self) -> ImageFrame:
        if self._video is None:
            raise LinkLost(f"{self._address} is not open")
        # Pictures that are late by more than a period are left out.
        while self._wait_s() < -1 / self.rate_hz and self._video.grab():
            self._count += 1
        time.sleep(max(self._wait_s(), 0.0))
        sound, pixels = self._video.read()
        if not sound:
            self._rewind()
            sound, pixels = self._video.read()
        if not sound:
            raise LinkLost(f"{self._address} has no pictures")
        stamp_ns = self._due_ns()
        self._count += 1
        return ImageFrame(stamp_ns, pixels, number=self._count)

    def disconnect(self) -> None:
        video = self._video
        self._video = None
        if video is not None:
            video.release()

    def _due_ns(self) -> int:
        """When the next picture is due."""
        return self._began_ns + round(SECOND * self._count / self.rate_hz)

    def _wait_s(self) -> float:
        return (self._due_ns() - time.time_ns()) / SECOND

    def _rewind(self) -> None:
        import cv2

        if not (self._options.loop and self._video.set(cv2.CAP_PROP_POS_FRAMES, 0)):
            self._ended = True
            raise LinkLost(f"the video {self._address} has ended")
