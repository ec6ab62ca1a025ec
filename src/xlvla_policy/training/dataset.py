"""Demonstrations as arrays: every command as a frame of the policy's numbers, and which picture
goes with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.types import PARTS, Part, Side
from xlvla_data.episode import Episode
from xlvla_policy.training import pictures
from xlvla_policy.training.pictures import Pictures
from xlvla_policy.training.sources import DataSource, names
from xlvla_policy.vla import images, normalise
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.frames import Frames
from xlvla_policy.vla.normalise import Moments


@dataclass(frozen=True)
class Recorded:
    """A data set, all of it but its pictures.

    Args:
        robot: the frames of the robot that recorded it.
        commands: raw frames [1 + F, frame_dim] by episode: the pose it starts from, then its
            commands.
        moments: by block of a frame, over all its commands and the poses it stands in before and
            after.
    """

    source: DataSource
    robot: Frames
    commands: tuple[np.ndarray, ...]
    moments: dict[str, Moments]

    @property
    def frames(self) -> int:
        return sum(len(rows) - 1 for rows in self.commands)


@dataclass(frozen=True)
class Demonstrations:
    """Observations drawn from the episodes of several data sets.

    Args:
        images: uint8 [C, H, W, 3] of each of the N observations.
        seen: [N, C], False where a data set lacks a camera.
        commands: the frames [M, frame_dim] of all episodes on end, each with T frames of its start
            pose before and T frames of its last command after it. Raw: rad and latents.
        start: row of `commands` where the past chunk of an observation begins; its action chunk
            begins T rows on.
        source: index of the episode of an observation [N].
        kind: index of the data set of an episode [episodes].
        instructions: sentence by episode.
        names: name by episode.
    """

    recorded: tuple[Recorded, ...]
    images: Pictures
    seen: np.ndarray
    commands: np.ndarray
    start: np.ndarray
    source: np.ndarray
    kind: np.ndarray
    instructions: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.start)

    def windows(self, rows: np.ndarray, frames: int) -> np.ndarray:
        """Past and action chunks [B, 2 * frames, frame_dim] of some observations."""
        return self.commands[self.start[rows, None] + np.arange(2 * frames)]

    def kinds(self, rows: np.ndarray) -> np.ndarray:
        """Index of the data set of some observations [B]."""
        return self.kind[self.source[rows]]

    @property
    def weights(self) -> np.ndarray:
        """How often each observation is drawn [N], relatively."""
        return np.array([each.source.weight for each in self.recorded])[self.kind[self.source]]


def load(
    recorded: Sequence[Recorded], config: VlaConfig, *, stride: int = 1, cache: Path | None = None
) -> Demonstrations:
    """Every `stride`-th frame becomes an observation, every command stays.

    Args:
        cache: folder in which decoded pictures are kept for the next run; None keeps them in
            memory.
    """
    commands = []
    start = []
    source = []
    kind = []
    seen = []
    row = 0
    for index, each in enumerate(recorded):
        present = np.array([camera in each.source.cameras for camera in config.cameras])
        for stored, rows in zip(each.source.stored, each.commands, strict=True):
            count = pictures.observed(stored, stride)
            start.append(row + stride * np.arange(count))
            source.append(np.full(count, len(kind)))
            seen.append(np.repeat(present[None], count, 0))
            commands.append(padded(rows, config.frames))
            kind.append(index)
            row += len(commands[-1])
    every = [stored for each in recorded for stored in each.source.stored]
    return Demonstrations(
        recorded=tuple(recorded),
        images=Pictures(
            [pictures.decoded(each.source.stored, config, stride, cache) for each in recorded]
        ),
        seen=np.concatenate(seen),
        commands=np.concatenate(commands),
        start=np.concatenate(start),
        source=np.concatenate(source),
        kind=np.array(kind),
        instructions=tuple(stored.row.sentence for stored in every),
        names=tuple(stored.name for stored in every),
    )


def read(source: DataSource, config: VlaConfig, codec: Codec) -> Recorded:
    """A data set's commands as frames, every hand's joints encoded by that hand's codec.

    Raises:
        XlvlaError: its frames come at another rate, it lacks a side or every camera of the policy,
            its robot is none of the policy's, its pictures are of other proportions, or a number is
            not finite.
    """
    if source.info.rate_hz != config.rate_hz:
        found = f"{source.root} has {source.info.rate_hz} frames/s, this policy {config.rate_hz:g}"
        raise XlvlaError(f"{found}: record or convert it at that rate")
    if missing := [side for side in config.sides if side not in source.bodies]:
        raise XlvlaError(
            f"{source.root} has no {' and no '.join(missing)} side; this policy drives "
            f"{' and '.join(config.sides)}"
        )
    if not set(config.cameras) & set(source.cameras):
        there = ", ".join(source.cameras) or "none"
        raise XlvlaError(
            f"{source.root} has cameras {there}; this policy looks through "
            f"{', '.join(config.cameras)}: choose --cameras"
        )
    _look(source, config)
    robot = Frames(config, {side: source.bodies[side] for side in config.sides}, codec)
    commands = tuple(_commands(stored.name, stored.read(), robot) for stored in source.stored)
    together = np.concatenate(
        [padded(rows, config.frames) for rows in commands]
    )  # as windows see them, standing at both ends
    return Recorded(
        source,
        robot,
        commands,
        {block.name: normalise.moments(together[:, block.columns]) for block in robot.blocks},
    )


def _look(source: DataSource, config: VlaConfig) -> None:
    """Refuses cameras whose pictures the policy cannot look at, before hours of them are
    decoded.
    """
    info = source.stored[0].data.info
    for camera in set(config.cameras) & set(source.cameras):
        try:
            images.fit(
                np.zeros(info.features[info.cameras[camera]].shape, np.uint8), config.vision, camera
            )
        except XlvlaError as error:
            raise XlvlaError(f"{source.root}: {error}") from None


def padded(rows: np.ndarray, frames: int) -> np.ndarray:
    """[1 + F, D] to [T + F + T, D]: the start pose T times, the commands, and the last of them T
    times more.
    """
    return np.concatenate(
        [np.repeat(rows[:1], frames, 0), rows[1:], np.repeat(rows[-1:], frames, 0)]
    )


def _commands(name: str, one: Episode, robot: Frames) -> np.ndarray:
    """Raw frames [1 + F, frame_dim] of an episode: what was measured at the start, then all
    commands.
    """
    positions: dict[Side, dict[Part, np.ndarray]] = {}
    for side, body in robot.bodies.items():
        positions[side] = {}
        for part, wanted in zip(PARTS, names(side, body), strict=True):
            order = [list(one.info.joints[side][part]).index(joint) for joint in wanted]
            values = np.concatenate([one.measured[side][part][:1], one.action[side][part]])[
                :, order
            ]
            if not np.isfinite(values).all():
                raise XlvlaError(
                    f"{name}: commands of the {side} {part} hold a number that is not finite"
                )
            positions[side][part] = values
    return robot.encode(positions)


def statistics(recorded: Sequence[Recorded]) -> normalise.Statistics:
    """What frames are normalised with, over all data sets that have a block, a frame counting as
    often as it is drawn.
    """
    blocks = {block.name: block for each in recorded for block in each.robot.blocks}
    return normalise.fit((block, pooled(recorded, name)) for name, block in blocks.items())


def pooled(recorded: Sequence[Recorded], name: str) -> Moments:
    """Moments of a block over all data sets that have it."""
    having = [each for each in recorded if name in each.moments]
    return normalise.pooled(
        [each.moments[name] for each in having], [each.source.weight for each in having]
    )
