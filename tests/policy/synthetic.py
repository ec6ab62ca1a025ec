"""Episodes of a world of coloured discs: where a disc is says where its arm goes. Small, and
learnable from the image alone.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from xlvla.codec import Codec
from xlvla.rig import Rig
from xlvla.types import SIDES, Side
from xlvla_data import store
from xlvla_data.episode import Episode, EpisodeInfo
from xlvla_data.store import Stored

DIRECTIONS = np.random.default_rng(3).normal(0, 0.25, (2, 7))


def write(
    folder: Path,
    rig: Rig,
    codec: Codec,
    count: int,
    *,
    frames: int = 40,
    codec_hash: str | None = None,
) -> list[Stored]:
    """Writes episodes with seeds 0, 1, ...; `codec_hash` pretends that another codec made the
    latents.
    """
    kept = store.Store(folder)
    for seed in range(count):
        kept.add(make(rig, codec, seed, frames, codec_hash or codec.hash))
    return store.find(folder)


def make(rig: Rig, codec: Codec, seed: int, frames: int, codec_hash: str) -> Episode:
    rng = np.random.default_rng(seed)
    places = {side: rng.uniform(0, 1, 2) for side in SIDES}
    hands: dict[Side, str] = {side: rig.sides[side].hand.type for side in SIDES}
    action = {side: _commands(codec, hands[side], side, places[side], frames) for side in SIDES}
    joints = {
        side: {part: rig.joint_names(side, part) for part in ("arm", "hand")} for side in SIDES
    }
    latent = {side: codec.encode(hands[side], side, action[side]["hand"]) for side in SIDES}
    if codec_hash != codec.hash:
        latent = {side: np.zeros_like(values) for side, values in latent.items()}
    picture = scene(places)
    info = EpisodeInfo(
        "", "Push the two tomato cans together.", hands, joints, 20, seed, True, codec_hash
    )
    return Episode(info, {"front": [picture] * frames}, action, action, latent)


def scene(places: dict[Side, np.ndarray]) -> np.ndarray:
    """RGB [96, 128, 3] with a red disc for the left side and a blue one for the right."""
    image = np.full((96, 128, 3), 110, np.uint8)
    for side, colour, shift in (("left", (220, 30, 30), 0), ("right", (30, 30, 220), 64)):
        x, y = places[side]
        cv2.circle(image, (int(12 + 40 * x + shift), int(16 + 64 * y)), 10, colour, -1, cv2.LINE_AA)
    return image


def _commands(codec: Codec, hand: str, side: Side, place: np.ndarray, frames: int) -> dict:
    """From rest to a pose that is linear in the disc's place, the hand closing half-way."""
    phase = np.clip((np.arange(frames) + 1) / (frames - 10), 0, 1)[:, None]
    lower, upper = codec.limits(hand, side)
    return {
        "arm": phase * ((2 * place - 1) @ DIRECTIONS),
        "hand": lower + 0.4 * phase * (upper - lower),
    }
