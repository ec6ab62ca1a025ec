"""Demonstrations as arrays: every command as a frame of the policy's numbers, and its picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from xlvla_policy.vla.frames import Block, Frames
from xlvla_policy.vla.normalise import Moments


@dataclass(frozen=True)
class Recorded:
    """A data set without its pictures.

    Args:
        robot: the frames of the robot that recorded it.
        commands: raw frames [1 + F, frame_dim] by episode: the pose it starts from, then its
            commands.
        executed: the same of what was executed instead, by episode; `commands` itself where they
            were.
        moments: by block of a frame, over all its commands and the poses it stands in before and
            after.
    """

    source: DataSource
    robot: Frames
    commands: tuple[np.ndarray, ...]
    executed: tuple[np.ndarray, ...]
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
        executed: the same of what was executed: pasts are of these.
        start: row of `commands` where the past chunk of an observation begins; its action chunk
            begins T rows on.
        source: index of the episode of an observation [N].
        kind: index of the data set of an episode [episodes].
        instructions: the sentences there are.
        told: index of the sentence of an observation [N].
        names: name by episode.
    """

    recorded: tuple[Recorded, ...]
    images: Pictures
    seen: np.ndarray
    commands: np.ndarray
    executed: np.ndarray
    start: np.ndarray
    source: np.ndarray
    kind: np.ndarray
    instructions: tuple[str, ...]
    told: np.ndarray
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.start)

    def windows(self, rows: np.ndarray, frames: int) -> np.ndarray:
        """Past and action chunks [B, 2 * frames, frame_dim] of some observations."""
        command_rows = self.start[rows, None] + np.arange(2 * frames)
        past = self.executed[command_rows[:, :frames]]
        return np.concatenate([past, self.commands[command_rows[:, frames:]]], axis=1)

    def kinds(self, rows: np.ndarray) -> np.ndarray:
        """Index of the data set of some observations [B]."""
        return self.kind[self.source[rows]]

    @property
    def weights(self) -> np.ndarray:
        """Relative probability [N] of each observation to be drawn."""
        by_data_set = np.array([each.source.weight for each in self.recorded])
        by_episode = by_data_set[self.kind]
        return by_episode[self.source]


def load(
    recorded: Sequence[Recorded], config: VlaConfig, *, stride: int = 1, cache: Path | None = None
) -> Demonstrations:
    """Every `stride`-th frame becomes an observation; all commands are kept.

    Args:
        cache: folder in which decoded pictures are kept for the next run; None keeps them in
            memory.
    """
    decoded: list[np.ndarray] = []
    commands: list[np.ndarray] = []
    executed: list[np.ndarray] = []
    start: list[np.ndarray] = []
    source: list[np.ndarray] = []
    seen: list[np.ndarray] = []
    kind: list[int] = []
    instructions: dict[str, int] = {}
    told: list[int] = []
    episode_names: list[str] = []
    row = 0
    for index, each in enumerate(recorded):
        episodes = each.source.stored
        has_camera = np.array([camera in each.source.cameras for camera in config.cameras])
        for stored, rows, done in zip(episodes, each.commands, each.executed, strict=True):
            count = pictures.observed(stored, stride)
            episode_rows = padded(rows, config.frames)
            commands.append(episode_rows)
            executed.append(episode_rows if done is rows else padded(done, config.frames))
            start.append(row + stride * np.arange(count))
            source.append(np.full(count, len(kind)))
            seen.append(np.repeat(has_camera[None], count, 0))
            kind.append(index)
            for sentence in stored.sentences[::stride]:
                told.append(instructions.setdefault(sentence, len(instructions)))
            episode_names.append(stored.name)
            row += len(episode_rows)
        decoded.append(pictures.decoded(episodes, config, stride, cache))
    all_commands = np.concatenate(commands)
    as_commanded = all(done is rows for done, rows in zip(executed, commands, strict=True))
    return Demonstrations(
        recorded=tuple(recorded),
        images=Pictures(decoded),
        seen=np.concatenate(seen),
        commands=all_commands,
        executed=all_commands if as_commanded else np.concatenate(executed),
        start=np.concatenate(start),
        source=np.concatenate(source),
        kind=np.array(kind),
        instructions=tuple(instructions),
        told=np.array(told, int),
        names=tuple(episode_names),
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
    _check_pictures(source, config)
    robot = Frames(config, source.bodies, codec)
    commands: list[np.ndarray] = []
    executed: list[np.ndarray] = []
    for stored in source.stored:
        episode = stored.read()
        wanted = _commands(stored.name, episode, episode.action, robot)
        done = wanted
        if episode.executed:
            done = _commands(stored.name, episode, episode.executed, robot)
        commands.append(wanted)
        executed.append(done)
    # With the poses at both ends repeated, as windows contain them.
    together = np.concatenate([padded(rows, config.frames) for rows in commands])
    moments: dict[str, Moments] = {}
    for block in robot.blocks:
        moments[block.name] = normalise.moments(together[:, block.columns])
    return Recorded(source, robot, tuple(commands), tuple(executed), moments)


def _check_pictures(source: DataSource, config: VlaConfig) -> None:
    """Refuses cameras whose pictures do not fit the policy, before hours of them are decoded."""
    info = source.stored[0].data.info
    for camera in set(config.cameras) & set(source.cameras):
        shape = info.features[info.cameras[camera]].shape
        black = np.zeros(shape, np.uint8)
        try:
            images.fit(black, config.vision, camera)
        except XlvlaError as error:
            raise XlvlaError(f"{source.root}: {error}") from None


def padded(rows: np.ndarray, frames: int) -> np.ndarray:
    """[1 + F, D] to [T + F + T, D]: the start pose T times, the commands, and the last of them T
    times more.
    """
    before = np.repeat(rows[:1], frames, 0)
    after = np.repeat(rows[-1:], frames, 0)
    return np.concatenate([before, rows[1:], after])


def _commands(
    name: str,
    episode: Episode,
    rows: Mapping[Side, Mapping[Part, np.ndarray]],
    robot: Frames,
) -> np.ndarray:
    """Raw frames [1 + F, frame_dim] of an episode: the pose measured at the start, then all rows
    [F, J] rad by side and part, those that were wanted or those that were executed.
    """
    positions: dict[Side, dict[Part, np.ndarray]] = {}
    for side, body in robot.bodies.items():
        positions[side] = {}
        for part, wanted in zip(PARTS, names(side, body), strict=True):
            joints = list(episode.info.joints[side][part])
            order = [joints.index(joint) for joint in wanted]
            first = episode.measured[side][part][:1]
            values = np.concatenate([first, rows[side][part]])[:, order]
            if not np.isfinite(values).all():
                raise XlvlaError(
                    f"{name}: commands of the {side} {part} hold a number that is not finite"
                )
            positions[side][part] = values
    return robot.encode(positions)


def statistics(recorded: Sequence[Recorded]) -> normalise.Statistics:
    """What frames are normalised with, over all data sets that have a block, each frame weighted as
    it is drawn.
    """
    blocks: dict[str, Block] = {}
    for each in recorded:
        for block in each.robot.blocks:
            blocks[block.name] = block
    return normalise.fit([(block, pooled(recorded, name)) for name, block in blocks.items()])


def pooled(recorded: Sequence[Recorded], name: str) -> Moments:
    """Moments of a block over all data sets that have it."""
    moments: list[Moments] = []
    weights: list[float] = []
    for each in recorded:
        if name in each.moments:
            moments.append(each.moments[name])
            weights.append(each.source.weight)
    return normalise.pooled(moments, weights)
