"""Pictures of the codec: poses of one hand decoded by every other, and a path through the
latent.
"""

from __future__ import annotations

from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import numpy as np

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.types import Side
from xlvla_policy.latent.gestures import gestures
from xlvla_policy.latent.hand_renderer import HEIGHT, WIDTH, HandRenderer

INCH = 1.75
"""Width of one hand's picture."""
LEG_S = 1.0
REST_S = 0.3
FILM_HZ = 20
GIF_HZ = 10
BANNER = 44
"""Pixels above the hands for their names."""


def draw(codec: Codec, out: Path, source: str = "inspire", side: Side = "right") -> None:
    """Writes a PNG: a column per pose of `source`, whose latent every row's hand decodes."""
    from matplotlib.figure import Figure

    poses = gestures(catalog.hand(source), side)
    latents = codec.encode(source, side, np.array(list(poses.values())))
    hands = [source, *(hand for hand in codec.hands if hand != source)]
    figure = Figure(
        figsize=(INCH * len(poses) + 0.75, INCH * HEIGHT / WIDTH * len(hands) + 0.3),
        dpi=200,
        facecolor="white",
    )
    axes = figure.subplots(len(hands), len(poses), squeeze=False)
    figure.subplots_adjust(0.052, 0.005, 0.998, 0.97, wspace=0, hspace=0)
    for hand, row in zip(hands, axes, strict=True):
        name = catalog.hand(hand).title.replace(" ", "\n", 1)
        row[0].set_ylabel(f"{name}\n(source)" if hand == source else name, fontsize=10)
        with HandRenderer(catalog.hand(hand), side) as renderer:
            for axis, q in zip(row, codec.decode(hand, side, latents), strict=True):
                axis.imshow(renderer.picture(q))
                axis.set(xticks=[], yticks=[])
                axis.spines[:].set_visible(False)
    for axis, gesture in zip(axes[0], poses, strict=True):
        axis.set_title(gesture, fontsize=11)
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out)


def animate(codec: Codec, out: Path, source: str = "inspire", side: Side = "right") -> None:
    """Writes an mp4 or GIF: every hand decodes one point that goes straight from each pose's latent
    to the next, and back to the first.
    """
    if out.suffix not in (".mp4", ".gif"):
        raise XlvlaError(f"a path is written as .mp4 or .gif, {out.name} is neither")
    poses = gestures(catalog.hand(source), side)
    latents = codec.encode(source, side, np.array(list(poses.values())))
    rate = FILM_HZ if out.suffix == ".mp4" else GIF_HZ
    captions, points = _path([*poses, "open"], np.concatenate([latents, latents[:1]]), rate)
    with ExitStack() as stack:
        renderers = {
            hand: stack.enter_context(HandRenderer(catalog.hand(hand), side))
            for hand in codec.hands
        }
        decoded = {hand: codec.decode(hand, side, points) for hand in codec.hands}
        banner = _banner([renderer.hand.title for renderer in renderers.values()])
        rows = (
            np.concatenate(
                [renderers[hand].picture(decoded[hand][i]) for hand in renderers], axis=1
            )
            for i in range(len(points))
        )
        frames = (
            _captioned(np.concatenate([banner, row]), caption)
            for row, caption in zip(rows, captions, strict=True)
        )
        out.parent.mkdir(parents=True, exist_ok=True)
        _write(out, frames, rate)


def _path(names: list[str], latents: np.ndarray, rate: int) -> tuple[list[str], np.ndarray]:
    """Captions and latents [T, L], at rest for a while in each pose and moving smoothly between."""
    t = np.arange(round(LEG_S * rate)) / round(LEG_S * rate)
    part = np.concatenate([np.zeros(round(REST_S * rate)), 10 * t**3 - 15 * t**4 + 6 * t**5])[
        :, None
    ]
    legs = [(1 - part) * here + part * there for here, there in pairwise(latents)]
    captions = [name if x < 0.5 else after for name, after in pairwise(names) for x in part[:, 0]]
    return captions, np.concatenate(legs).astype(np.float32)


def _banner(titles: list[str]) -> np.ndarray:
    """A white strip with a title over the middle of every hand."""
    import cv2

    strip = np.full((BANNER, WIDTH * len(titles), 3), 255, np.uint8)
    for number, title in enumerate(titles):
        (width, _), _ = cv2.getTextSize(title, cv2.FONT_HERSHEY_SIMPLEX, 0.6, 1)
        place = (WIDTH * number + (WIDTH - width) // 2, 30)
        cv2.putText(
            strip, title, place, cv2.FONT_HERSHEY_SIMPLEX, 0.6, (30, 30, 30), 1, cv2.LINE_AA
        )
    return strip


def _captioned(frame: np.ndarray, caption: str) -> np.ndarray:
    import cv2

    (width, height), _ = cv2.getTextSize(caption, cv2.FONT_HERSHEY_SIMPLEX, 0.7, 1)
    place = ((frame.shape[1] - width) // 2, frame.shape[0] - height)
    return cv2.putText(
        np.ascontiguousarray(frame),
        caption,
        place,
        cv2.FONT_HERSHEY_SIMPLEX,
        0.7,
        (30, 30, 30),
        1,
        cv2.LINE_AA,
    )


def _write(out: Path, frames, rate: int) -> None:
    if out.suffix == ".mp4":
        from xlvla.film import Film

        with Film(out, rate) as film:
            for frame in frames:
                film.add(frame)
        return
    from PIL import Image

    first, *others = (
        Image.fromarray(frame).resize((frame.shape[1] // 2, frame.shape[0] // 2))
        for frame in frames
    )
    first.save(
        out, save_all=True, append_images=others, duration=round(1000 / rate), loop=0, optimize=True
    )
