"""Pictures of the codec: poses of one hand decoded by every other, and a path through the
latent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.types import Side
from xlvla_policy.latent.gestures import gestures
from xlvla_policy.latent.hand_renderer import HEIGHT, WIDTH, HandRenderer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INCH = 1.75
"""Width of one hand's picture."""
LEG_S = 1.0
"""From one pose to the next."""
REST_S = 0.3
"""In each pose."""
FILM_HZ = 20
GIF_HZ = 10
BANNER = 44
"""Pixels above the hands for their names."""
INK = (30, 30, 30)
"""Colour of text."""


def draw(codec: Codec, out: Path, source: str = "inspire", side: Side = "right") -> None:
    """Writes a PNG: a column per pose of `source`, whose latent every row's hand decodes."""
    poses = gestures(catalog.hand(source), side)
    latents = codec.encode(source, side, np.array(list(poses.values())))
    others = [hand for hand in codec.hands if hand != source]
    hands = [source, *others]
    figure, axes = grid(len(hands), len(poses), dpi=200)
    for hand, row in zip(hands, axes, strict=True):
        label = row_label(hand)
        if hand == source:
            label = f"{label}\n(source)"
        row[0].set_ylabel(label, fontsize=10)
        with HandRenderer(catalog.hand(hand), side) as renderer:
            for axis, q in zip(row, codec.decode(hand, side, latents), strict=True):
                axis.imshow(renderer.picture(q))
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
    for axis, gesture in zip(axes[0], poses, strict=True):
        axis.set_title(gesture, fontsize=11)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def grid(rows: int, columns: int, dpi: int) -> tuple[Figure, np.ndarray]:
    """A figure of hands' pictures without gaps, and its axes [rows, columns]."""
    from matplotlib.figure import Figure

    width = INCH * columns + 0.75
    height = INCH * HEIGHT / WIDTH * rows + 0.3
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor="white")
    axes = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.052, 0.005, 0.998, 0.97, wspace=0, hspace=0)
    return figure, axes


def row_label(hand: str) -> str:
    """A hand's title on two lines."""
    return catalog.hand(hand).title.replace(" ", "\n", 1)


def animate(codec: Codec, out: Path, source: str = "inspire", side: Side = "right") -> None:
    """Writes an mp4 or GIF: every hand decodes one point that goes straight from each pose's latent
    to the next, and back to the first.
    """
    if out.suffix not in (".mp4", ".gif"):
        raise XlvlaError(f"a path is written as .mp4 or .gif, {out.name} is neither")
    poses = gestures(catalog.hand(source), side)
    latents = codec.encode(source, side, np.array(list(poses.values())))
    rate = FILM_HZ if out.suffix == ".mp4" else GIF_HZ
    there_and_back = np.concatenate([latents, latents[:1]])
    captions, points = _path([*poses, "open"], there_and_back, rate)
    decoded = {hand: codec.decode(hand, side, points) for hand in codec.hands}
    banner = _banner([catalog.hand(hand).title for hand in codec.hands])
    with ExitStack() as stack:
        renderers: dict[str, HandRenderer] = {}
        for hand in codec.hands:
            renderers[hand] = stack.enter_context(HandRenderer(catalog.hand(hand), side))

        def frames() -> Iterator[np.ndarray]:
            for number, caption in enumerate(captions):
                hands = [renderers[hand].picture(decoded[hand][number]) for hand in renderers]
                frame = np.concatenate([banner, np.concatenate(hands, axis=1)])
                yield _captioned(frame, caption)

        out.parent.mkdir(parents=True, exist_ok=True)
        _write(out, frames(), rate)


def _path(names: list[str], latents: np.ndarray, rate: int) -> tuple[list[str], np.ndarray]:
    """Captions and latents [T, L], at rest for a while in each pose and moving smoothly between."""
    frames = round(LEG_S * rate)
    t = np.arange(frames) / frames
    rest = np.zeros(round(REST_S * rate))
    part = np.concatenate([rest, 10 * t**3 - 15 * t**4 + 6 * t**5])
    legs: list[np.ndarray] = []
    for start, end in pairwise(latents):
        legs.append((1 - part)[:, None] * start + part[:, None] * end)
    captions: list[str] = []
    for start, end in pairwise(names):
        captions += [start if done < 0.5 else end for done in part]
    return captions, np.concatenate(legs).astype(np.float32)


def _banner(titles: list[str]) -> np.ndarray:
    """A white strip with a title over the middle of every hand."""
    import cv2

    font = cv2.FONT_HERSHEY_SIMPLEX
    strip = np.full((BANNER, WIDTH * len(titles), 3), 255, np.uint8)
    for number, title in enumerate(titles):
        (width, _), _ = cv2.getTextSize(title, font, 0.6, 1)
        place = (WIDTH * number + (WIDTH - width) // 2, 30)
        cv2.putText(strip, title, place, font, 0.6, INK, 1, cv2.LINE_AA)
    return strip


def _captioned(frame: np.ndarray, caption: str) -> np.ndarray:
    import cv2

    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(caption, font, 0.7, 1)
    place = ((frame.shape[1] - width) // 2, frame.shape[0] - height)
    # OpenCV draws into contiguous memory only.
    frame = np.ascontiguousarray(frame)
    return cv2.putText(frame, caption, place, font, 0.7, INK, 1, cv2.LINE_AA)


def _write(out: Path, frames: Iterable[np.ndarray], rate: int) -> None:
    if out.suffix == ".mp4":
        from xlvla.film import Film

        with Film(out, rate) as film:
            for frame in frames:
                film.add(frame)
        return
    from PIL import Image

    images: list[Image.Image] = []
    for frame in frames:
        height, width, _ = frame.shape
        images.append(Image.fromarray(frame).resize((width // 2, height // 2)))
    images[0].save(
        out,
        save_all=True,
        append_images=images[1:],
        duration=round(1000 / rate),
        loop=0,
        optimize=True,
    )
