"""Whether a camera's pictures are all there, of the right size, and change when the robot moves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from xlvla_data.lerobot import layout, video
from xlvla_data.lerobot.embedded import EmbeddedClip
from xlvla_data.lerobot.layout import Info
from xlvla_data.lerobot.statistics import EVERY
from xlvla_data.lerobot.video import Clip

SAME = 4.0
"""Largest difference, of 255, between squares of two pictures that show the same: encoding one
picture again and again differs by 3, a fingertip that moves by more than 10.
"""

BLOCK = 6
"""Width of the squares [pixels] in which glimpses are compared; their noise averages out."""

STILL_S = 1.0
"""A camera is frozen where it shows the same for longer, while joints move by more than `FAR`."""

FAR = 0.3
"""Movement of a joint [rad] that every camera sees."""


def findings(
    camera: str,
    clip: Clip | EmbeddedClip,
    info: Info,
    columns: Mapping[str, np.ndarray],
    glimpses: list[np.ndarray],
) -> Iterator[str]:
    """What is wrong with an episode's pictures. Some of their pixels are put into `glimpses`.

    Raises:
        XlvlaError: they cannot be decoded.
    """
    wanted = info.features[info.cameras[camera]].shape
    shape = None
    for picture in clip:
        shape = picture.shape
        glimpses.append(picture[::EVERY, ::EVERY].copy())
    if shape is not None and shape != wanted:
        yield f"camera {camera}: pictures are {list(shape)}, not {list(wanted)}"
    if layout.STATE in columns:
        yield from _frozen(camera, glimpses, columns[layout.STATE], info.fps)


def too_many(camera: str, clip: Clip) -> Iterator[str]:
    """Pictures in the video of one episode alone that no frame has."""
    there = video.count(clip.path)
    if clip.frames < there:
        yield f"camera {camera}: {there} pictures for {clip.frames} frames"


def _frozen(
    camera: str, glimpses: list[np.ndarray], state: np.ndarray, rate_hz: float
) -> Iterator[str]:
    """Stretches in which joints move and the pictures stay the same."""
    squares = [_squares(glimpse) for glimpse in glimpses]
    for begin, end in _alike(squares):
        if end - begin <= STILL_S * rate_hz:
            continue
        farthest = np.ptp(state[begin:end], axis=0).max()
        if farthest > FAR:
            yield (
                f"camera {camera} is frozen from {begin / rate_hz:.2f} to {end / rate_hz:.2f} s "
                "while joints move"
            )


def _alike(squares: list[np.ndarray]) -> Iterator[tuple[int, int]]:
    """Stretches of pictures, from one to before another, that look like their first."""
    begin = 0
    for index, picture in enumerate(squares):
        if np.abs(picture - squares[begin]).max() > SAME:
            yield begin, index
            begin = index
    yield begin, len(squares)


def _squares(glimpse: np.ndarray) -> np.ndarray:
    """Mean colours of the squares of a picture."""
    height, width = glimpse.shape[:2]
    size = min(BLOCK, height, width)
    rows = height // size
    columns = width // size
    whole = glimpse[: rows * size, : columns * size]
    return whole.reshape(rows, size, columns, size, 3).mean((1, 3))
