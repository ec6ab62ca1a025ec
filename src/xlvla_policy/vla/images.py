"""Camera images as the model wants them; training and robot go through the same function."""

from __future__ import annotations

import cv2
import numpy as np

from xlvla.errors import XlvlaError
from xlvla_policy.vla.config import VisionConfig

ASPECT_TOLERANCE = 0.02


def fit(image: np.ndarray, config: VisionConfig, camera: str) -> np.ndarray:
    """An RGB uint8 image resized by pixel area to [height, width, 3]; any size of the same proportions will do.

    Raises:
        XlvlaError: another encoding, or proportions that resizing would distort.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise XlvlaError(f"the image of camera '{camera}' must be RGB uint8 [height, width, 3], is {image.dtype} {list(image.shape)}")
    height, width = image.shape[:2]
    if height == 0 or width == 0 or abs(width * config.height / (height * config.width) - 1) > ASPECT_TOLERANCE:
        raise XlvlaError(
            f"the image of camera '{camera}' is {width}x{height}: this policy wants the proportions of {config.width}x{config.height}"
        )
    if (height, width) == (config.height, config.width):
        return image
    shrinks = height >= config.height
    return cv2.resize(image, (config.width, config.height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
