"""The files of a LeRobot v3.0 data set, and its description in `meta/info.json`.

Ours has one data file and one video per camera and episode: an episode is complete or absent,
whatever interrupts the writer. Readers only follow the file numbers in the table of episodes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xlvla import files
from xlvla.errors import XlvlaError
from xlvla.text import plain

VERSION = "v3.0"
CHUNK = 1000
"""Files per folder."""

DATA = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
VIDEO = "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
EPISODES = "meta/episodes/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
ROWS = 100
"""Episodes per file of their table; a further episode rewrites only the last file."""

TASKS = "meta/tasks.parquet"
INFO = "meta/info.json"
STATS = "meta/stats.json"
LOCK = "meta/.lock"

STATE = "observation.state"
ACTION = "action"
IMAGES = "observation.images."
INDICES = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}
"""Columns every data set has; the writer makes them."""


@dataclass(frozen=True)
class Feature:
    """Something recorded per frame.

    Args:
        dtype: 'float32', 'int64', 'bool' or 'video'.
        names: of the numbers of a vector.
        info: further facts of a video.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def document(self) -> dict[str, Any]:
        """As `info.json` has it."""
        document: dict[str, Any] = {
            "dtype": self.dtype,
            "shape": list(self.shape),
            "names": None if self.names is None else list(self.names),
        }
        if self.info:
            document["info"] = dict(self.info)
        return document


def vector(names: Sequence[str], dtype: str = "float32") -> Feature:
    """A vector with a name for every number."""
    return Feature(dtype, (len(names),), tuple(names))


def video(height: int, width: int, fps: int) -> Feature:
    """A camera's pictures, RGB."""
    facts = {
        "video.height": height,
        "video.width": width,
        "video.codec": "h264",
        "video.pix_fmt": "yuv420p",
        "video.fps": fps,
        "video.channels": 3,
        "video.is_depth_map": False,
        "has_audio": False,
    }
    return Feature("video", (height, width, 3), ("height", "width", "channels"), facts)


@dataclass(frozen=True)
class Info:
    """What a data set is.

    Args:
        fps: frames per second.
        features: by name, without the columns every data set has.
        robot_type: what recorded it, in a word.
        own: what other readers ignore, e.g. which hand is on which side and the codec of the
            latents.
    """

    fps: int
    features: Mapping[str, Feature]
    robot_type: str = ""
    own: Mapping[str, Any] = field(default_factory=dict[str, Any])
    total_episodes: int = 0
    total_frames: int = 0
    total_tasks: int = 0

    def __post_init__(self):
        """Raises XlvlaError for a name that files or folders are named after and that leads
        elsewhere.
        """
        for key in self.cameras.values():
            files.inside(Path(), key, "a camera")
        task = self.own.get("task")
        if task:
            files.inside(Path(), task, "the task")
        hands = self.own.get("hands", {})
        if not isinstance(hands, Mapping):
            raise XlvlaError(
                "hands are given by side, as in left: xhand; here they are "
                f"{plain(repr(hands), 100)}"
            )
        for side, hand in hands.items():
            files.inside(Path(), hand, f"the {plain(side, 40)} hand")

    @property
    def cameras(self) -> dict[str, str]:
        """Feature by camera's name."""
        return {
            key.removeprefix(IMAGES): key
            for key, feature in self.features.items()
            if feature.dtype == "video"
        }

    @property
    def vectors(self) -> dict[str, Feature]:
        """Features that are numbers, not pictures."""
        return {key: feature for key, feature in self.features.items() if feature.dtype != "video"}

    def document(self) -> dict[str, Any]:
        """The contents of `info.json`."""
        features = {key: feature.document() for key, feature in self.features.items()}
        for key, dtype in INDICES.items():
            features[key] = Feature(dtype, (1,)).document()
        return {
            "codebase_version": VERSION,
            "robot_type": self.robot_type,
            "total_episodes": self.total_episodes,
            "total_frames": self.total_frames,
            "total_tasks": self.total_tasks,
            "chunks_size": CHUNK,
            "data_files_size_in_mb": 100,
            "video_files_size_in_mb": 200,
            "fps": self.fps,
            "splits": {"train": f"0:{self.total_episodes}"},
            "data_path": DATA,
            "video_path": VIDEO if self.cameras else None,
            "features": features,
            "xlvla": dict(self.own),
        }


def differences(one: Info, other: Info) -> list[str]:
    """What differs between two data sets whose episodes cannot be in one."""
    different: list[str] = []
    if one.fps != other.fps:
        different.append("rate")
    for key in dict.fromkeys((*one.features, *other.features)):
        if one.features.get(key) != other.features.get(key):
            different.append(f"feature {key}")
    for key in dict.fromkeys((*one.own, *other.own)):
        if one.own.get(key) != other.own.get(key):
            different.append(key)
    return different


def read_info(root: Path) -> Info:
    """The description of a data set; raises XlvlaError where there is none of this version."""
    path = root / INFO
    try:
        document = json.loads(path.read_text())
        version = document["codebase_version"]
        if version != VERSION:
            raise XlvlaError(
                f"this is a LeRobot data set of version {version}, this reads {VERSION}: convert "
                "it with lerobot's own tool"
            )
        features: dict[str, Feature] = {}
        for key, entry in document["features"].items():
            if key not in INDICES:
                features[key] = _feature(entry)
        return Info(
            fps=int(document["fps"]),
            features=features,
            robot_type=document.get("robot_type") or "",
            own=dict(document.get("xlvla") or {}),
            total_episodes=int(document["total_episodes"]),
            total_frames=int(document["total_frames"]),
            total_tasks=int(document["total_tasks"]),
        )
    except XlvlaError as error:
        raise XlvlaError(f"{path}: {error}") from None
    except FileNotFoundError:
        raise XlvlaError(f"no LeRobot data set in {root}: it has no {INFO}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise XlvlaError(
            f"{path} does not describe a LeRobot data set: {type(error).__name__} {error}"
        ) from None


def write_json(path: Path, document: Any) -> None:
    """Writes JSON atomically."""
    files.write_text(path, json.dumps(document, indent=2) + "\n")


def numbered(template: str, number: int, **fields: str) -> str:
    """The path of the n-th file."""
    return template.format(chunk_index=number // CHUNK, file_index=number % CHUNK, **fields)


def _feature(entry: Mapping[str, Any]) -> Feature:
    """A feature of `info.json`."""
    dtype = "video" if entry["dtype"] == "image" else entry["dtype"]
    names = _names(entry.get("names"))
    return Feature(dtype, tuple(entry["shape"]), names, entry.get("info") or {})


def _names(given: Any) -> tuple[str, ...] | None:
    """Names of a vector's numbers, in any of the ways in which data sets have them."""
    # Older data sets have lists of names by axis
    if isinstance(given, Mapping):
        given = [name for group in given.values() for name in group]
    # Others have a list of the axes' lists
    if isinstance(given, Sequence) and len(given) == 1 and isinstance(given[0], (list, tuple)):
        given = given[0]
    if given is None:
        return None
    return tuple(map(str, given))
