"""Pictures printed on things, RGB uint8 [height, width, 3]."""

from __future__ import annotations

import numpy as np

Colour = tuple[int, int, int]


def tomato_label(width: int = 512, height: int = 192) -> np.ndarray:
    """A red label with a cream band, tomatoes and the word."""
    import cv2

    label = np.full((height, width, 3), (196, 28, 30), np.uint8)
    label[int(height * 0.60) :] = (240, 232, 214)
    label[int(height * 0.58) : int(height * 0.61)] = (214, 170, 70)
    for quarter in range(4):
        x = int((quarter + 0.5) * width / 4)
        cv2.circle(
            label, (x, int(height * 0.80)), int(height * 0.13), (206, 44, 32), -1, cv2.LINE_AA
        )
        cv2.ellipse(
            label,
            (x, int(height * 0.69)),
            (int(height * 0.07), int(height * 0.025)),
            0,
            0,
            360,
            (60, 130, 50),
            -1,
            cv2.LINE_AA,
        )
        cv2.putText(
            label,
            "TOMATO",
            (x - 50, int(height * 0.38)),
            cv2.FONT_HERSHEY_DUPLEX,
            0.8,
            (250, 244, 230),
            2,
            cv2.LINE_AA,
        )
    return label


def wrapper(
    word: str,
    ground: Colour,
    band: Colour,
    ink: Colour,
    *,
    times: int = 4,
    width: int = 512,
    height: int = 192,
) -> np.ndarray:
    """A label with a coloured band and a word on it, as often as it is seen round a thing."""
    import cv2

    label = np.full((height, width, 3), ground, np.uint8)
    label[int(height * 0.34) : int(height * 0.70)] = band
    for edge in (0.32, 0.72):
        cv2.line(
            label, (0, int(height * edge)), (width, int(height * edge)), ink, max(1, height // 64)
        )
    (long, tall), _ = cv2.getTextSize(word, cv2.FONT_HERSHEY_DUPLEX, 1.0, 2)
    size = min(0.85 * width / times / long, 0.24 * height / tall)
    for turn in range(times):
        x = int((turn + 0.5) * width / times - size * long / 2)
        cv2.putText(
            label,
            word,
            (x, int(height * 0.52 + size * tall / 2)),
            cv2.FONT_HERSHEY_DUPLEX,
            size,
            ink,
            2,
            cv2.LINE_AA,
        )
    return label


def carton(word: str, ground: Colour, band: Colour, ink: Colour, size: int = 192) -> np.ndarray:
    """The six square sides of a box, +x, -x, +y, -y, +z, -z below each other as a cube map wants
    them; they are stretched to the box, and turned so that the word is upright on a box that
    stands.
    """
    side = wrapper(word, ground, band, ink, times=1, width=size, height=size)
    return np.concatenate([np.rot90(side, quarters) for quarters in (1, 3, 2, 0, 0, 0)])
