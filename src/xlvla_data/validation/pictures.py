"""Whether a camera's pictures are all there, of the size promised, and moving when the robot
does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from xlvla_data.lerobot import layout, video
from xlvla_data.lerobot.layout import Info
from xlvla_data.lerobot.statistics import EVERY
from xlvla_data.lerobot.video import Clip

SAME = 4.0
"""Difference, of 255, of what is seen anywhere below which a picture shows nothing new: encoding
one picture again and again differs by 3, a fingertip that moves by more than 10.
"""

BLOCK = 6
"""Glimpses are compared in squares of so many pixels, whose noise averages out."""

STILL_S = 1.0
"""A camera that shows nothing new for so long, while joints go further than `FAR` [rad], is frozen.
"""

FAR = 0.3


def findings(
    camera: str,
    clip: Clip,
    info: Info,
    columns: Mapping[str, np.ndarray],
    glimpses: list[np.ndarray],
) -> Iterator[str]:
    """What is wrong with an episode's pictures, which are put into `glimpses`; raises XlvlaError
    where they cannot be decoded.
    """
    wanted = info.features[info.cameras[camera]].shape
    shape = None
    for picture in clip:
        shape = picture.shape
        glimpses.append(picture[::EVERY, ::EVERY].copy())
    if shape is not None and shape != wanted:
        yield f"camera {camera}: pictures are {list(shape)}, not {list(wanted)}"
    if clip.start_s == 0 and clip.frames < (there := video.count(clip.path)) and info.own:
        yield f"camera {camera}: {there} pictures for {clip.frames} frames"
    if layout.STATE in columns:
        yield from _frozen(camera, glimpses, columns[layout.STATE], info.fps)


def _frozen(
    camera: str, glimpses: list[np.ndarray], state: np.ndarray, rate_hz: int
) -> Iterator[str]:
    squares = [_squares(glimpse) for glimpse in glimpses]
    for begin, end in _alike(squares):
        if end - begin > STILL_S * rate_hz and np.ptp(state[begin:end], axis=0).max() > FAR:
            yield (
                f"camera {camera} is frozen from {begin / rate_hz:.2f} to {end / rate_hz:.2f} s "
                "while joints move"
            )


def _alike(squares: list[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Stretches of pictures, from one to before another, that show nothing which their first does
    not.
    """
    begin = 0
    for index, each in enumerate(squares):
        if np.abs(each - squares[begin]).max() > SAME:
            yield begin, index
            begin = index
    yield begin, len(squares)


def _squares(glimpse: np.ndarray) -> np.ndarray:
    """Mean colours of the squares of a picture."""
    size = min(BLOCK, *glimpse.shape[:2])
    rows, columns = (length // size for length in glimpse.shape[:2])
    return (
        glimpse[: rows * size, : columns * size].reshape(rows, size, columns, size, 3).mean((1, 3))
    )
