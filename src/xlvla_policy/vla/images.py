"""Camera images as the model wants them; training and robot go through the same function."""

from __future__ import annotations

import cv2
import numpy as np

from xlvla.errors import XlvlaError
from xlvla_policy.vla.config import VisionConfig

ASPECT_TOLERANCE = 0.02


def fit(image: np.ndarray, config: VisionConfig, camera: str) -> np.ndarray:
    """An RGB uint8 image cropped and resized by pixel area to [height, width, 3]; any size of the
    same proportions will do.

    Other proportions are filled up with black where the configuration pads, as openpi does (it
    resizes with a triangle filter).

    Raises:
        XlvlaError: another encoding, or proportions that resizing would distort.
    """
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise XlvlaError(
            f"the image of camera '{camera}' must be RGB uint8 [height, width, 3], is "
            f"{image.dtype} {list(image.shape)}"
        )
    height, width = image.shape[:2]
    if height and width and config.pad:
        return _padded(_cropped(image, config), config)
    if height == 0 or width == 0 or abs(width / height / config.aspect - 1) > ASPECT_TOLERANCE:
        raise XlvlaError(
            f"the image of camera '{camera}' is {width}x{height}: this policy wants "
            f"{config.aspect:.3f} times as wide as high"
        )
    return _resized(_cropped(image, config), config.height, config.width)


def _padded(image: np.ndarray, config: VisionConfig) -> np.ndarray:
    """As large as fits, in the middle of black."""
    rows, columns = image.shape[:2]
    ratio = max(columns / config.width, rows / config.height)
    height = int(rows / ratio)
    width = int(columns / ratio)
    top = (config.height - height) // 2
    left = (config.width - width) // 2
    padded = np.zeros((config.height, config.width, 3), np.uint8)
    padded[top : top + height, left : left + width] = _resized(image, height, width)
    return padded


def _resized(image: np.ndarray, height: int, width: int) -> np.ndarray:
    if image.shape[:2] == (height, width):
        return image
    shrinks = image.shape[0] >= height
    return cv2.resize(
        image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )


def _cropped(image: np.ndarray, config: VisionConfig) -> np.ndarray:
    rows, columns = image.shape[:2]
    top, left, height, width = config.crop
    return image[
        round(top * rows) : round((top + height) * rows),
        round(left * columns) : round((left + width) * columns),
    ]
