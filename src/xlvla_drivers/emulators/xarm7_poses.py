"""Poses as an xArm controller tells them: mm, and a turn [rad], either roll, pitch and yaw or a
rotation vector.
"""

from __future__ import annotations

import numpy as np
import pinocchio as pin

from xlvla.urdf import placed


def told(pose: np.ndarray, by_vector: bool = False) -> np.ndarray:
    """A pose [4, 4] in m as six numbers."""
    rotation = pose[:3, :3]
    turn = pin.log3(rotation) if by_vector else pin.rpy.matrixToRpy(rotation)
    return np.concatenate([1000 * pose[:3, 3], turn])


def understood(numbers: np.ndarray, by_vector: bool = False) -> np.ndarray:
    """The opposite of `told`."""
    place = numbers[:3] / 1000
    turn = numbers[3:6]
    if not by_vector:
        return placed(place.tolist(), turn.tolist())
    pose = np.eye(4)
    pose[:3, :3] = pin.exp3(turn)
    pose[:3, 3] = place
    return pose


def shifted(pose: np.ndarray, numbers: np.ndarray, by_vector: bool) -> np.ndarray:
    """A pose [4, 4] after a relative motion in the base: angles are added, as the vendor's SDK does
    it for older controllers; a rotation vector turns about the base's axes.
    """
    if not by_vector:
        return understood(told(pose) + numbers[:6])
    turned = understood(numbers, by_vector=True) @ pose
    turned[:3, 3] = pose[:3, 3] + numbers[:3] / 1000
    return turned
