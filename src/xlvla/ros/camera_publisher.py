"""What a camera publishes, simulated or real."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CameraInfo

from xlvla.rig import Camera
from xlvla.ros import convert, topics
from xlvla.ros.node import RigNode
from xlvla.ros.topics import Topic


class CameraPublisher:
    """Publishes the pictures of one camera of a rig."""

    def __init__(self, node: RigNode, name: str, camera: Camera):
        self._name = name
        self._quality = camera.jpeg
        self._image = node.publisher(topics.image(name))
        self._info = node.publisher(topics.camera_info(name))
        self._compressed = node.publisher(topics.compressed(name)) if camera.jpeg else None

    def show(self, rgb: np.ndarray, info: CameraInfo, ns: int) -> None:
        """A picture uint8 [H, W, 3] taken at `ns`."""
        self._image.publish(convert.image(rgb, ns, self._name))
        self._info.publish(info)
        if self._compressed and self._quality:
            self._compressed.publish(convert.jpeg(rgb, self._quality, ns, self._name))


def publishes(name: str, camera: Camera) -> tuple[Topic, ...]:
    """The topics of a camera."""
    compressed = (topics.compressed(name),) if camera.jpeg else ()
    return (topics.image(name), topics.camera_info(name), *compressed)


def seen(name: str, camera: Camera) -> Topic:
    """The topic that a policy reads a camera's pictures from."""
    return topics.compressed(name) if camera.jpeg else topics.image(name)
