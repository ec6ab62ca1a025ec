"""Picture of an operator's poses and what every robot hand makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from xlvla import catalog, human
from xlvla.codec import Codec
from xlvla.human_codec import HumanCodec
from xlvla.types import FINGERS, Side
from xlvla_policy.latent.figure import grid, row_label
from xlvla_policy.latent.hand_renderer import COLOURS, HEIGHT, PALM, WIDTH, HandRenderer

AZIMUTH = np.radians(35)
ELEVATION = np.radians(10)
"""The hand is seen from before the palm, from the thumb's side and a little from above, as robot
hands are.
"""
MIDDLE_KNUCKLE = 9
"""Keypoint of the middle finger's knuckle."""
WINDOW_M = 0.25
"""Width of a picture."""
STRAIGHT = (0.0, 0.0, 0.0, 0.0)
RESTING = (0.0, 0.3, 0.4, 0.25)
CURLED = (0.0, 1.4, 1.6, 0.9)
"""Joints [rad] of a finger: to the side, knuckle, middle and last joint."""


def _gesture(
    thumb: tuple[float, float, float, float], *fingers: tuple[float, float, float, float]
) -> np.ndarray:
    return np.concatenate([thumb, *fingers])


GESTURES: Mapping[str, np.ndarray] = {
    "open": _gesture(
        (0.2, 0.9, 0.0, 0.0),
        (0.1, 0.0, 0.0, 0.0),
        STRAIGHT,
        STRAIGHT,
        (-0.1, 0.0, 0.0, 0.0),
    ),
    "relaxed": _gesture((0.7, 0.7, 0.1, 0.1), *[RESTING] * 4),
    "fist": _gesture((1.2, 0.8, 0.5, 0.6), *[CURLED] * 4),
    "thumb up": _gesture((0.0, 0.8, 0.0, 0.0), *[CURLED] * 4),
    "pointing": _gesture((1.2, 0.8, 0.5, 0.6), STRAIGHT, *[CURLED] * 3),
    "thumb + index": _gesture((1.18, 0.67, 0.33, 0.15), (0.3, 0.63, 0.81, 0.51), *[RESTING] * 3),
    "thumb + middle": _gesture(
        (1.61, 0.77, 0.28, 0.22), RESTING, (0.3, 0.72, 0.91, 0.56), *[RESTING] * 2
    ),
    "thumb + ring": _gesture(
        (1.79, 0.88, 0.32, 0.15), *[RESTING] * 2, (0.3, 0.83, 0.74, 0.48), RESTING
    ),
    "thumb + little": _gesture((1.91, 0.90, 0.48, 0.17), *[RESTING] * 3, (0.3, 0.74, 0.57, 0.33)),
}
"""Joints [20] rad of a person's hand."""


def draw(codec: Codec, people: HumanCodec, out: Path, side: Side = "right") -> None:
    """Writes a PNG: a column per gesture, the operator's hand in the first row, what robot hands
    decode of its latent below.
    """
    points = human.keypoints(side, np.array(list(GESTURES.values())))
    latents = people.encode(side, points)
    figure, axes = grid(1 + len(codec.hands), len(GESTURES), dpi=150)
    for axis, pose in zip(axes[0], points, strict=True):
        _skeleton(axis, pose, side)
    for hand, row in zip(codec.hands, axes[1:], strict=True):
        with HandRenderer(catalog.hand(hand), side) as renderer:
            for axis, q in zip(row, codec.decode(hand, side, latents), strict=True):
                axis.imshow(renderer.picture(q))
        row[0].set_ylabel(row_label(hand), fontsize=10)
    axes[0][0].set_ylabel("an operator\n(source)", fontsize=10)
    for axis, gesture in zip(axes[0], GESTURES, strict=True):
        axis.set_title(gesture, fontsize=11)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def _skeleton(axis: Any, points: np.ndarray, side: Side) -> None:
    """Bones of a hand, far ones first."""
    turn = AZIMUTH if side == "right" else -AZIMUTH
    # The picture's axes in the hand frame: to its right, towards the camera, and up.
    right = np.array([-np.sin(turn), np.cos(turn), 0.0])
    level = np.cos(ELEVATION)
    towards = np.array([np.cos(turn) * level, np.sin(turn) * level, np.sin(ELEVATION)])
    up = np.cross(towards, right)
    flat = points @ np.array([right, up]).T
    depth = points @ towards
    knuckles = [0, *human.KNUCKLES]
    axis.fill(*flat[knuckles].T, color=PALM, alpha=0.5, lw=0)
    for finger in sorted(FINGERS, key=lambda name: depth[human.TIPS[name]]):
        tip = human.TIPS[finger]
        # From the wrist along the four keypoints of the finger.
        chain = [0, tip - 3, tip - 2, tip - 1, tip]
        axis.plot(
            *flat[chain].T,
            color=COLOURS[finger],
            lw=5,
            solid_capstyle="round",
            solid_joinstyle="round",
        )
    middle = flat[[0, MIDDLE_KNUCKLE], 0].mean()
    height = 0.09 * np.cos(ELEVATION)
    both_ways = np.array([-1, 1])
    axis.set(
        xlim=middle + 0.5 * WINDOW_M * both_ways,
        ylim=height + 0.5 * WINDOW_M * HEIGHT / WIDTH * both_ways,
    )
    axis.set_aspect("equal")
