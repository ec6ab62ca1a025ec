"""What a tracker gets wrong about one person's hand, fitted from their own touches and taken out of
every sample.

A tracker follows joints well and lengths badly: it shows fingers as long as those of the hand it
was made with. Whoever touches thumb and finger then sees the robot's apart. While they touch, both
tips are at one place, which says how long the fingers are and what is left of a pinch.

All lengths are those of a hand of middle size (`xlvla.human.PALM_M`) in a right hand's frame, so
that one calibration serves both hands.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml
from numpy.typing import ArrayLike, NDArray

from xlvla import files, human
from xlvla.errors import XlvlaError, unknown
from xlvla.human import MIRROR, TIPS
from xlvla.types import FINGERS, Finger, Side

Array = NDArray[np.floating[Any]]

FOLDER = "XLVLA_OPERATORS"
"""Names the folder of calibrations; without it they are in the user's configuration."""

_, *OPPOSING = FINGERS
"""Fingers that a thumb touches."""

LENGTH_SPREAD = 0.1
"""By so much, as a part of it, a tracker has a finger's length wrong: the standard deviation that
the fit begins with ...
"""
TOUCH_SPREAD_M = 0.004
"""... and by so much tips that touch are apart for other reasons, skin among them."""

LONGEST = 0.25
"""No finger is made longer or shorter by a larger part."""

APART_M = 0.05
"""Tips that a tracker shows further apart than this do not touch."""
STRAY_M = 0.012
"""Samples of a touch that differ by more from its median are left out."""
FEWEST = 15
"""Samples of a touch that are needed."""

FADE_M = 0.03
"""How far from a touch its offset has hardly any effect: it is taken out by a Gaussian of this
width.
"""
LARGEST_OFFSET_M = 0.025
"""A larger offset would make some fingers open while they close, as `FADE_M` is."""


@dataclass(frozen=True)
class OperatorHand:
    """The calibration of one person with one tracker.

    Args:
        lengths: [5] in the order of `FINGERS`, what the length of a finger as tracked is multiplied
            with.
        offsets: [4, 3] m lines from the thumb's tip to the others', with these lengths, while they
            touch.
    """

    lengths: Array
    offsets: Array

    def corrected(self, side: Side, keypoints: ArrayLike) -> Array:
        """Keypoints [..., 21, 3] m of any frame as they should have been tracked, in the hand frame
        of a hand of middle size.

        Raises:
            XlvlaError: the keypoints are no hand, see `xlvla.human.hand_axes`.
        """
        points = self._stretched(human.normalised(side, keypoints))
        thumb = points[..., TIPS["thumb"], :]
        for finger, offset in zip(OPPOSING, self.offsets, strict=True):
            tip = TIPS[finger]
            away = points[..., tip, :] - thumb - offset
            nearness = np.exp(-np.square(away).sum(-1) / FADE_M**2)
            shift = nearness[..., None] * offset
            # The further from the knuckle, the more.
            for number, part in enumerate((1 / 3, 2 / 3, 1.0)):
                points[..., tip - 2 + number, :] -= part * shift
        return points if side == "right" else points * MIRROR

    def _stretched(self, points: Array) -> Array:
        """With fingers of the fitted lengths, from their roots on."""
        stretched = points.copy()
        for length, finger in zip(self.lengths, FINGERS, strict=True):
            tip = TIPS[finger]
            root = points[..., tip - 3 : tip - 2, :]
            stretched[..., tip - 2 : tip + 1, :] = root + length * (
                points[..., tip - 2 : tip + 1, :] - root
            )
        return stretched


AS_TRACKED = OperatorHand(np.ones(len(FINGERS)), np.zeros((len(OPPOSING), 3)))
"""Changes nothing but size and frame."""


def fit(side: Side, touches: Mapping[Finger, ArrayLike]) -> OperatorHand:
    """The calibration that brings tips together which touched.

    Lengths by least squares, each as likely to be right as `LENGTH_SPREAD` says; the offsets are
    what they leave.

    Args:
        touches: by finger, keypoints [N, 21, 3] m of any frame while it touched the thumb.

    Raises:
        XlvlaError: a finger is missing, was hardly seen, or was never near the thumb.
    """
    held = {finger: touching(side, finger, touches.get(finger, ())) for finger in OPPOSING}
    count = len(FINGERS)
    normal = np.eye(count) * (TOUCH_SPREAD_M / LENGTH_SPREAD) ** 2
    wanted = np.zeros(count)
    for column, finger in enumerate(OPPOSING, start=1):
        points = held[finger]
        # Tips meet where root + length * reach is the same for both.
        reach = np.zeros((len(points), 3, count))
        reach[..., column] = _reach(points, finger)
        reach[..., 0] = -_reach(points, "thumb")
        apart = _line(points, finger)
        normal += np.einsum("nij,nik->jk", reach, reach) / len(points)
        wanted -= np.einsum("nij,ni->j", reach, apart) / len(points)
    change = np.clip(np.linalg.solve(normal, wanted), -LONGEST, LONGEST)
    stretched = OperatorHand(1 + change, AS_TRACKED.offsets)
    offsets = [
        _line(stretched.corrected("right", held[finger]), finger).mean(0) for finger in OPPOSING
    ]
    return OperatorHand(stretched.lengths, np.array([_limited(offset) for offset in offsets]))


def touching(side: Side, finger: Finger, keypoints: ArrayLike) -> Array:
    """Samples [N, 21, 3] m of a touch, those that stray left out, as those of a right hand of
    middle size; errors as of `fit`.
    """
    seen = np.asarray(keypoints, dtype=float)
    if len(seen) < FEWEST:
        raise XlvlaError(
            f"thumb and {finger} finger: the {side} hand was seen {len(seen)} times, not "
            f"{FEWEST}: hold it before the tracker"
        )
    points = human.normalised(side, seen)
    apart = _line(points, finger)
    stray = np.linalg.norm(apart - np.median(apart, axis=0), axis=-1)
    kept = points[stray < STRAY_M]
    gap_m = float(np.linalg.norm(np.median(apart, axis=0)))
    if gap_m > APART_M:
        raise XlvlaError(
            f"thumb and {finger} finger were {1000 * gap_m:.0f} mm apart for the tracker, at most "
            f"{1000 * APART_M:.0f} mm is a touch: touch them"
        )
    if len(kept) < FEWEST:
        raise XlvlaError(f"thumb and {finger} finger did not stay together: hold them")
    return kept


def gap_m(hand: OperatorHand, side: Side, finger: Finger, keypoints: ArrayLike) -> float:
    """Mean distance [m], on a hand of middle size, of tips that touch, after a calibration; errors
    as of `fit`.
    """
    points = hand.corrected("right", touching(side, finger, keypoints))
    return float(np.linalg.norm(_line(points, finger), axis=-1).mean())


def folder() -> Path:
    """Where calibrations are."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "xlvla" / "operators"


def known() -> list[str]:
    """Names of those who were calibrated."""
    return sorted(path.stem for path in folder().glob("*.yaml"))


def path_of(name: str) -> Path:
    """Where a person's calibration is; XlvlaError where the name is none of a file."""
    return files.inside(folder(), f"{name}.yaml", "an operator")


def save(name: str, hand: OperatorHand) -> Path:
    """Stores a calibration; one of the same name is replaced."""
    path = path_of(name)
    offsets_mm = {
        finger: [round(1000 * float(value), 2) for value in offset]
        for finger, offset in zip(OPPOSING, hand.offsets, strict=True)
    }
    lengths = {
        finger: round(float(length), 4)
        for finger, length in zip(FINGERS, hand.lengths, strict=True)
    }
    document = {"lengths": lengths, "offsets_mm": offsets_mm}
    try:
        files.write_text(path, yaml.safe_dump(document, sort_keys=False, default_flow_style=None))
    except OSError as error:
        raise XlvlaError(f"cannot write {path}: {error.strerror}") from None
    return path


def load(name: str) -> OperatorHand:
    """The calibration of that name; XlvlaError where there is none, or its file is damaged."""
    path = path_of(name)
    if not path.is_file():
        line = unknown("operator", name, known())
        raise XlvlaError(f"{line}; `xlvla calibrate operator {name}` measures one")
    with files.reading_card(path):
        document = cast(Mapping[str, Any], files.read_yaml(path))
        lengths = np.array([float(document["lengths"][finger]) for finger in FINGERS])
        rows = [document["offsets_mm"][finger] for finger in OPPOSING]
        offsets = np.array(rows, dtype=float).reshape(len(OPPOSING), 3) / 1000
    sizes = np.linalg.norm(offsets, axis=-1)
    # One more: what was rounded.
    lengths_fit = (np.abs(lengths - 1) <= LONGEST + 1e-3).all()
    offsets_fit = (sizes <= LARGEST_OFFSET_M + 1e-4).all()
    # What is no number fits nowhere.
    if not (lengths_fit and offsets_fit):
        raise XlvlaError(
            f"{path} is no hand: lengths are 1 to within {LONGEST}, offsets at most "
            f"{1000 * LARGEST_OFFSET_M:.0f} mm; run `xlvla calibrate operator {name}`"
        )
    return OperatorHand(lengths, offsets)


def _line(points: Array, finger: Finger) -> Array:
    """From the thumb's tip to a finger's [..., 3] m."""
    return points[..., TIPS[finger], :] - points[..., TIPS["thumb"], :]


def _reach(points: Array, finger: Finger) -> Array:
    """From a finger's root to its tip [..., 3] m."""
    return points[..., TIPS[finger], :] - points[..., TIPS[finger] - 3, :]


def _limited(offset: Array) -> Array:
    size = float(np.linalg.norm(offset))
    return offset * min(1.0, LARGEST_OFFSET_M / max(size, 1e-9))
