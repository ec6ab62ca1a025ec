"""One demonstration as a file: compressed frames, commands and measurements at 20 Hz, and what it was."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.types import Part, Side

FORMAT = 1


@dataclass(frozen=True)
class EpisodeInfo:
    """What an episode is; `hands` by side, `joints` by side and part in the order of the columns."""

    task: str
    instruction: str
    hands: Mapping[Side, str]
    joints: Mapping[Side, Mapping[Part, Sequence[str]]]
    rate_hz: float
    seed: int
    success: bool
    codec: str


@dataclass(frozen=True)
class Episode:
    """F frames of a demonstration.

    Args:
        jpeg: encoded RGB frames by camera, F each.
        action: commanded positions [F, J] rad by side and part; action[f] is in force after observation f.
        measured: measured positions [F, J] rad by side and part at the time of observation f.
        latent: latent of each hand's action [F, 32] by side.
    """

    info: EpisodeInfo
    jpeg: Mapping[str, Sequence[bytes]]
    action: Mapping[Side, Mapping[Part, np.ndarray]]
    measured: Mapping[Side, Mapping[Part, np.ndarray]]
    latent: Mapping[Side, np.ndarray]

    @property
    def frames(self) -> int:
        return len(next(iter(self.latent.values())))


def write(path: Path, episode: Episode) -> None:
    """Writes an episode atomically: the file is complete or absent."""
    arrays: dict[str, np.ndarray] = {"info": np.array(json.dumps({"format": FORMAT, **asdict(episode.info)}))}
    for camera, frames in episode.jpeg.items():
        arrays[f"jpeg/{camera}"] = np.frombuffer(b"".join(frames), np.uint8)
        arrays[f"jpeg_size/{camera}"] = np.array([len(frame) for frame in frames])
    for kind in ("action", "measured"):
        for side, parts in getattr(episode, kind).items():
            arrays |= {f"{kind}/{side}/{part}": values.astype(np.float32) for part, values in parts.items()}
    arrays |= {f"latent/{side}": values.astype(np.float32) for side, values in episode.latent.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
    os.replace(partial, path)


def read(path: Path) -> Episode:
    """The episode in a file."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        info = json.loads(str(arrays.pop("info")))
    except (OSError, ValueError, KeyError) as error:
        raise XlvlaError(f"{path} is not an episode: {error}") from None
    if info.pop("format", None) != FORMAT:
        raise XlvlaError(f"{path} is an episode of another format; this version reads format {FORMAT}")
    return Episode(
        info=EpisodeInfo(**info),
        jpeg={camera: _split(arrays, camera) for camera in _under(arrays, "jpeg_size")},
        action=_by_side_and_part(arrays, "action"),
        measured=_by_side_and_part(arrays, "measured"),
        latent=_under(arrays, "latent"),
    )


def _split(arrays: Mapping[str, np.ndarray], camera: str) -> list[bytes]:
    ends = np.cumsum(arrays[f"jpeg_size/{camera}"])
    data = arrays[f"jpeg/{camera}"].tobytes()
    return [data[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _under(arrays: Mapping[str, np.ndarray], prefix: str) -> dict:
    return {key.removeprefix(f"{prefix}/"): value for key, value in arrays.items() if key.startswith(f"{prefix}/")}


def _by_side_and_part(arrays: Mapping[str, np.ndarray], kind: str) -> dict:
    nested: dict = {}
    for key, value in _under(arrays, kind).items():
        side, part = key.split("/")
        nested.setdefault(side, {})[part] = value
    return nested
