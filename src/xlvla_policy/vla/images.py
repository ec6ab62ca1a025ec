"""Camera images as the model wants them; training and robot go through the same function."""

from __future__ import annotations

import cv2
import numpy as np

from xlvla.errors import XlvlaError
from xlvla_policy.vla.config import VisionConfig

ASPECT_TOLERANCE = 0.02


def fit(image: np.ndarray, config: VisionConfig, camera: str) -> np.ndarray:
    """An RGB uint8 image cropped and resized by pixel area to [height, width, 3]; any size of the
    same aspect ratio will do.

    Where the configuration pads, other aspect ratios are filled up with black, as in openpi (which
    resizes with a triangle filter).

    Raises:
        XlvlaError: another encoding, or an aspect ratio that resizing would distort.
    """
    image = np.asarray(image)
    is_rgb = image.ndim == 3 and image.shape[2] == 3
    if not is_rgb or image.dtype != np.uint8:
        raise XlvlaError(
            f"the image of camera '{camera}' must be RGB uint8 [height, width, 3], is "
            f"{image.dtype} {list(image.shape)}"
        )
    height, width = image.shape[:2]
    is_empty = height == 0 or width == 0
    if config.pad and not is_empty:
        return _padded(_cropped(image, config), config)
    if is_empty or abs(width / height / config.aspect - 1) > ASPECT_TOLERANCE:
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
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (width, height), interpolation=interpolation)


def _cropped(image: np.ndarray, config: VisionConfig) -> np.ndarray:
    rows, columns = image.shape[:2]
    top, left, height, width = config.crop
    first_row = round(top * rows)
    end_row = round((top + height) * rows)
    first_column = round(left * columns)
    end_column = round((left + width) * columns)
    return image[first_row:end_row, first_column:end_column]
