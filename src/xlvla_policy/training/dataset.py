"""Demonstrations as arrays: frames decoded once at the model's size, actions as normalised-to-be frames of arm joints and latents."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.types import Part, Side, scoped
from xlvla_data.episode import Episode
from xlvla_data.store import Stored
from xlvla_policy.vla import images
from xlvla_policy.vla.config import VlaConfig


@dataclass(frozen=True)
class Demonstrations:
    """Observations drawn from episodes.

    Args:
        images: uint8 [N, C, H, W, 3] of the N observations, possibly on disk.
        seen: [N, C], False where an episode lacks a camera.
        commands: the frames [M, frame_dim] of all episodes on end, each with T frames of its start pose before and T
            frames of its last command after it. Raw: rad and latents.
        start: row of `commands` where the past chunk of an observation begins; its action chunk begins T rows on.
        source: index of the episode of an observation [N].
        instructions: sentence by episode.
        hands: hand by side by episode.
        names: name by episode.
    """

    images: np.ndarray
    seen: np.ndarray
    commands: np.ndarray
    start: np.ndarray
    source: np.ndarray
    instructions: tuple[str, ...]
    hands: tuple[dict[Side, str], ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.start)

    def windows(self, rows: np.ndarray, frames: int) -> np.ndarray:
        """Past and action chunks [B, 2 * frames, frame_dim] of some observations."""
        return self.commands[self.start[rows, None] + np.arange(2 * frames)]


def load(stored: Sequence[Stored], config: VlaConfig, codec: Codec, *, stride: int = 1, cache: Path | None = None) -> Demonstrations:
    """Reads episodes; every `stride`-th frame becomes an observation, every command stays.

    Args:
        cache: folder in which decoded frames are kept for the next run; None keeps them in memory.
    """
    store = _Frames(stored, config, stride, cache)
    commands, start, source, instructions, hands, row = [], [], [], [], [], 0
    for index, each in enumerate(stored):
        one = each.read()
        _check(each.name, one, config)
        frames = padded(one, config, codec)
        observed = np.arange(0, one.frames, stride)
        store.add(one)
        commands.append(frames)
        start.append(row + observed)
        source.append(np.full(len(observed), index))
        instructions.append(one.info.instruction)
        hands.append(dict(one.info.hands))
        row += len(frames)
    pictures, seen = store.finish()
    names = tuple(each.name for each in stored)
    starts, sources = np.concatenate(start), np.concatenate(source)
    return Demonstrations(pictures, seen, np.concatenate(commands), starts, sources, tuple(instructions), tuple(hands), names)


def padded(one: Episode, config: VlaConfig, codec: Codec) -> np.ndarray:
    """Commands of an episode [T + F + T, frame_dim] between its start pose and its last command, both repeated T times."""
    first = np.concatenate([_side_frames(one, side, codec, start=True) for side in config.sides], 1)
    actions = np.concatenate([_side_frames(one, side, codec, start=False) for side in config.sides], 1)
    return np.concatenate([np.repeat(first, config.frames, 0), actions, np.repeat(actions[-1:], config.frames, 0)]).astype(np.float32)


def _side_frames(one: Episode, side: Side, codec: Codec, *, start: bool) -> np.ndarray:
    """[arm, latent] of one side: what was measured at the start [1, ...], or all commands [F, ...]."""
    rows = {part: (one.measured[side][part][:1] if start else one.action[side][part]) for part in ("arm", "hand")}
    if not start and one.info.codec == codec.hash:
        return np.concatenate([rows["arm"], one.latent[side]], 1)
    hand = one.info.hands[side]
    joints = rows["hand"][:, _order(one, side, "hand", codec.joints(hand, side))]
    return np.concatenate([rows["arm"], codec.encode(hand, side, joints)], 1)


def _order(one: Episode, side: Side, part: Part, wanted: Sequence[str]) -> list[int]:
    """Columns of a part in the wanted order; files carry rig-wide names."""
    known = list(one.info.joints[side][part])
    return [known.index(scoped(side, part, name)) for name in wanted]


def _check(name: str, one: Episode, config: VlaConfig) -> None:
    if missing := [side for side in config.sides if side not in one.action]:
        raise XlvlaError(f"{name} has no {' and no '.join(missing)} side; this policy drives {' and '.join(config.sides)}")
    if not set(config.cameras) & set(one.pictures):
        raise XlvlaError(f"{name} has cameras {', '.join(one.pictures) or 'none'}; this policy looks through {', '.join(config.cameras)}")
    for side in config.sides:
        width = one.action[side]["arm"].shape[1]
        if width != config.arm_joints:
            raise XlvlaError(f"{name}: the {side} arm has {width} joints, this policy drives {config.arm_joints}")
        if not all(np.isfinite(one.action[side][part]).all() for part in ("arm", "hand")):
            raise XlvlaError(f"{name}: commands of the {side} side hold a number that is not finite")


class _Frames:
    """Decoded frames, in memory or in a cache file that the next run with the same episodes and size reuses."""

    def __init__(self, stored: Sequence[Stored], config: VlaConfig, stride: int, cache: Path | None):
        self.config, self.stride, self.file = config, stride, None
        self.pictures: list[np.ndarray] = []
        self.seen: list[np.ndarray] = []
        if cache is not None:
            vision = config.vision
            key = [each.mark for each in stored]
            facts = json.dumps([key, vision.height, vision.width, vision.crop, config.cameras, stride])
            self.file = cache / f"frames-{hashlib.sha256(facts.encode()).hexdigest()[:16]}.npy"
        self.ready = self.file is not None and self.file.is_file()

    def add(self, one: Episode) -> None:
        observed = len(range(0, one.frames, self.stride))
        present = np.array([camera in one.pictures for camera in self.config.cameras])
        self.seen.append(np.repeat(present[None], observed, 0))
        if not self.ready:
            self.pictures.append(np.stack([self._fitted(one, camera, observed) for camera in self.config.cameras], 1))

    def finish(self) -> tuple[np.ndarray, np.ndarray]:
        seen = np.concatenate(self.seen)
        if self.ready and self.file is not None:
            return np.load(self.file, mmap_mode="r"), seen
        pictures = np.concatenate(self.pictures)
        if self.file is not None:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            partial = self.file.with_suffix(".partial")
            with partial.open("wb") as out:
                np.save(out, pictures)
            partial.replace(self.file)
        return pictures, seen

    def _fitted(self, one: Episode, camera: str, observed: int) -> np.ndarray:
        """A camera's pictures [F, H, W, 3] at the model's size; a missing camera is black, and masked."""
        vision = self.config.vision
        if camera not in one.pictures:
            return np.zeros((observed, vision.height, vision.width, 3), np.uint8)
        return np.stack([images.fit(picture, vision, camera) for picture in one.pictures[camera][:: self.stride]])
