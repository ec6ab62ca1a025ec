"""Touch of a hand as a message."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sensor_msgs.msg import JointState

from xlvla.ros.convert import doubles, stamp


class TactileMessage:
    """A message of named forces that is filled again for every sample: the names of a field cost
    more than its numbers.
    """

    def __init__(self) -> None:
        self._message = JointState()
        self._shapes: dict[str, tuple[int, ...]] = {}

    def fill(self, ns: int, forces: Mapping[str, np.ndarray]) -> JointState:
        """The message for forces [N] by sensor; publish it before the next fill."""
        shapes = {name: np.shape(force) for name, force in forces.items()}
        if shapes != self._shapes:
            self._shapes = shapes
            names: list[str] = []
            for name, shape in shapes.items():
                names.extend(labels(name, shape))
            self._message.name = names
        self._message.header.stamp = stamp(ns)
        numbers = np.concatenate([np.ravel(force) for force in forces.values()])
        self._message.effort = doubles(numbers)
        return self._message


def labels(name: str, shape: tuple[int, ...]) -> list[str]:
    """Names of a sensor's numbers, in C order.

    >>> labels("thumb_tip", ()), labels("palm", (1, 2))
    (['thumb_tip'], ['palm[0,0]', 'palm[0,1]'])
    """
    if not shape:
        return [name]
    indices = [",".join(map(str, index)) for index in np.ndindex(shape)]
    return [f"{name}[{index}]" for index in indices]
