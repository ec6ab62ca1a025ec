"""Whether a camera's pictures are all there, of the size promised, and moving when the robot does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise

import numpy as np

from xlvla_data.lerobot import layout, video
from xlvla_data.lerobot.layout import Info
from xlvla_data.lerobot.statistics import EVERY
from xlvla_data.lerobot.verification import difference
from xlvla_data.lerobot.video import Clip

SAME = 0.3
"""Mean absolute difference of two pictures, of 255, below which nothing moved between them."""

STILL_S = 1.0
"""A camera that shows nothing new for so long, while joints go further than `FAR` [rad], is frozen."""

FAR = 0.3


def findings(camera: str, clip: Clip, info: Info, columns: Mapping[str, np.ndarray], glimpses: list[np.ndarray]) -> Iterator[str]:
    """What is wrong with an episode's pictures, which are put into `glimpses`; raises XlvlaError where they cannot be decoded."""
    wanted, shape = info.features[info.cameras[camera]].shape, None
    for picture in clip:
        shape = picture.shape
        glimpses.append(picture[::EVERY, ::EVERY].copy())
    if shape is not None and shape != wanted:
        yield f"camera {camera}: pictures are {list(shape)}, not {list(wanted)}"
    if clip.start_s == 0 and clip.frames < (there := video.count(clip.path)) and info.own:
        yield f"camera {camera}: {there} pictures for {clip.frames} frames"
    if layout.STATE in columns:
        yield from _frozen(camera, glimpses, columns[layout.STATE], info.fps)


def _frozen(camera: str, glimpses: list[np.ndarray], state: np.ndarray, rate_hz: int) -> Iterator[str]:
    changes = [difference(one, other) for one, other in pairwise(glimpses)]
    moving = [0, *(index + 1 for index, change in enumerate(changes) if change >= SAME), len(glimpses)]
    for begin, end in pairwise(moving):
        if end - begin > STILL_S * rate_hz and np.ptp(state[begin:end], axis=0).max() > FAR:
            yield f"camera {camera} is frozen from {begin / rate_hz:.2f} to {end / rate_hz:.2f} s while joints move"
