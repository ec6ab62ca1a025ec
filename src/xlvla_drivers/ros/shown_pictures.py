"""What the robot's camera sees, shown to the operator: the newest picture, with its age on it."""

from __future__ import annotations

import threading
import time
from typing import Any, cast

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.ros import camera_publisher, convert, forms
from xlvla.ros.convert import SECOND
from xlvla.ros.node import RigNode
from xlvla.ros.reader import Reader
from xlvla_drivers.teleop.operator import ShowsPictures, TeleopSource

PERIOD_S = 1 / 30
"""Between two looks for a picture."""
AGAIN_S = 0.25
"""After so long without a new one the last is shown again, with its age now."""
OLD_S = 0.5
"""An older picture has a red frame: the robot may have moved on."""
QUALITY = 75
"""Of the JPEG."""
RED = (220, 0, 0)
WHITE = (255, 255, 255)
BLACK = (0, 0, 0)


class ShownPictures:
    """Shows one camera's pictures on a source's device. `run` has a thread of its own: whoever
    follows the operator never waits for a picture.
    """

    def __init__(self, node: RigNode, camera: str, source: TeleopSource):
        self._node = node
        self._camera = camera
        self._source = cast(ShowsPictures, source)
        settings = node.rig.cameras[camera]
        topic = camera_publisher.seen(camera, settings)
        self._reader: Reader[Any] = Reader(node, topic, forms.picture(*settings.publish))
        # The newest picture [H, W, 3], when it was taken, and when it was shown last.
        self._rgb: np.ndarray | None = None
        self._taken_ns = 0
        self._shown_s = 0.0

    def run(self, stop: threading.Event) -> None:
        """Shows pictures until `stop` is set."""
        while not stop.wait(PERIOD_S):
            is_new = self._look()
            if self._rgb is None:
                continue
            if is_new or time.monotonic() - self._shown_s > AGAIN_S:
                self._show(self._rgb)

    def _look(self) -> bool:
        """Takes the newest picture; whether there was one."""
        message = self._reader.newest()
        if message is None:
            return False
        try:
            self._rgb = convert.picture(message)
        except XlvlaError as error:
            self._reader.refuse(error)
            return False
        self._taken_ns = convert.nanoseconds(message.header.stamp)
        return True

    def _show(self, rgb: np.ndarray) -> None:
        age_s = max(0.0, (self._node.clock.now_ns() - self._taken_ns) / SECOND)
        height, width, _ = rgb.shape
        marked = with_age(rgb, self._camera, age_s)
        data = convert.jpeg(marked, QUALITY, self._taken_ns, self._camera).data.tobytes()
        self._shown_s = time.monotonic()
        if self._source.show(data, width / height):
            self._node.health.tick("pictures")
            self._node.health.took("picture's age", age_s)


def with_age(rgb: np.ndarray, camera: str, age_s: float) -> np.ndarray:
    """A copy of a picture [H, W, 3] with its camera and age in a corner, framed where it is old."""
    import cv2

    marked = np.ascontiguousarray(rgb).copy()
    height, width, _ = marked.shape
    size = height / 480
    thick = max(1, round(2 * size))
    place = (round(10 * size), round(30 * size))
    is_old = age_s > OLD_S
    line = f"{camera}: {age_s:.1f} s old" if is_old else f"{camera} {age_s:.2f} s"
    for colour, more in ((BLACK, 2 * thick), (RED if is_old else WHITE, 0)):
        cv2.putText(marked, line, place, cv2.FONT_HERSHEY_SIMPLEX, 0.9 * size, colour, thick + more)
    if is_old:
        cv2.rectangle(marked, (0, 0), (width - 1, height - 1), RED, 4 * thick)
    return marked
