"""The files of a LeRobot v3.0 data set, and its description in `meta/info.json`.

Ours has one data file and one video per camera and episode: an episode is complete or absent,
whatever interrupts the writer. Readers only follow the file numbers in the table of episodes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xlvla import files
from xlvla.errors import XlvlaError
from xlvla.text import plain
from xlvla.types import PARTS, SIDES
from xlvla_data.jpeg import DEEP

VERSION = "v3.0"
READABLE = re.compile(r"v?3\.\d+(\.\d+)?")
"""Versions of LeRobot's code base whose data sets this reads."""

FASTEST_HZ = 1000.0
"""No data set has more frames per second."""

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

SHARED = "shared_video"
"""Column of the table of episodes: videos are those of a data set that has several episodes in one,
so that they hold more pictures than the episode.
"""

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

NUMBERS = frozenset(
    ["bool", "float16", "float32", "float64"]
    + [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
)
"""Types of features that are numbers."""

PICTURES = ("video", "image")
"""Types of features that are pictures: in a video, or in the table of frames."""

COLOURS = 3
"""Channels of a picture that is read."""


@dataclass(frozen=True)
class Feature:
    """Something recorded per frame.

    Args:
        dtype: one of `NUMBERS` or `PICTURES`; others are left out.
        names: of the numbers of a vector.
        info: further facts of pictures.
    """

    dtype: str
    shape: tuple[int, ...]
    names: tuple[str, ...] | None = None
    info: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def size(self) -> int:
        """How many numbers a frame has."""
        return math.prod(self.shape)

    @property
    def depth(self) -> bool:
        """Whether its pictures are distances, which nobody may take for colours."""
        flagged = self.info.get("is_depth_map") or self.info.get("video.is_depth_map")
        return bool(flagged) or DEEP.match(str(self.info.get("video.pix_fmt"))) is not None

    @property
    def left_out(self) -> str:
        """Why this is not read; '' where it is."""
        if self.dtype in PICTURES:
            if self.depth:
                return "a depth map"
            channels = self.shape[-1]
            return "" if channels == COLOURS else f"pictures of {channels} channels, not {COLOURS}"
        if self.dtype in NUMBERS:
            return ""
        return f"of type '{plain(self.dtype, 40)}'"

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


def video(height: int, width: int, fps: float) -> Feature:
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
        data_path, video_path: where files are, by the numbers in the table of episodes.
    """

    fps: float
    features: Mapping[str, Feature]
    robot_type: str = ""
    own: Mapping[str, Any] = field(default_factory=dict[str, Any])
    total_episodes: int = 0
    total_frames: int = 0
    total_tasks: int = 0
    data_path: str = DATA
    video_path: str = VIDEO

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
            if feature.dtype in PICTURES and not feature.left_out
        }

    @property
    def vectors(self) -> dict[str, Feature]:
        """Features that are numbers."""
        return {key: feature for key, feature in self.features.items() if feature.dtype in NUMBERS}

    @property
    def left_out(self) -> dict[str, str]:
        """Why a feature is not read, of those that are not."""
        return {key: feature.left_out for key, feature in self.features.items() if feature.left_out}

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


def same_kind(one: Feature, other: Feature) -> bool:
    """Whether frames of two features fit into one; pictures may be encoded differently."""
    if one.dtype in PICTURES and other.dtype in PICTURES:
        return one.shape == other.shape
    return (one.dtype, one.shape, one.names) == (other.dtype, other.shape, other.names)


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
        return _info(json.loads(path.read_text()))
    except XlvlaError as error:
        raise XlvlaError(f"{path} does not describe a LeRobot data set: {error}") from None
    except FileNotFoundError:
        raise XlvlaError(f"no LeRobot data set in {root}: it has no {INFO}") from None
    # No JSON, no text, or nested too deeply
    except (OSError, ValueError, RecursionError) as error:
        raise XlvlaError(
            f"{path} does not describe a LeRobot data set: {plain(error, 120)}"
        ) from None


def _info(document: Any) -> Info:
    """What a document of `info.json` says; raises XlvlaError where it is none."""
    if not isinstance(document, dict):
        raise XlvlaError(f"a mapping is wanted, it holds {_shown(document)}")
    version = document.get("codebase_version")
    if not isinstance(version, str) or not READABLE.fullmatch(version):
        raise XlvlaError(
            f"it is of version {plain(version, 40)}, this reads {VERSION}: convert it with "
            "lerobot's own tool"
        )
    fps = document.get("fps")
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps <= FASTEST_HZ:
        raise XlvlaError(
            f"fps is {_shown(fps)}: a number above 0, of at most {FASTEST_HZ:g} frames per second, "
            "is wanted"
        )
    entries = document.get("features")
    if not isinstance(entries, dict):
        raise XlvlaError(f"features are {_shown(entries)}: a mapping is wanted")
    features: dict[str, Feature] = {}
    for key, entry in entries.items():
        if key not in INDICES:
            features[key] = _feature(key, entry)
    return Info(
        fps=int(fps) if fps == int(fps) else fps,
        features=features,
        robot_type=plain(document.get("robot_type") or "", 100),
        own=_own(document.get("xlvla")),
        total_episodes=_total(document, "total_episodes"),
        total_frames=_total(document, "total_frames"),
        # Only a table's length, which data sets of others need not state
        total_tasks=_total({"total_tasks": 0, **document}, "total_tasks"),
        data_path=_template(document, "data_path", DATA),
        video_path=_template(document, "video_path", VIDEO),
    )


def _total(document: Mapping[str, Any], key: str) -> int:
    total = document.get(key)
    if isinstance(total, bool) or not isinstance(total, int) or total < 0:
        raise XlvlaError(f"{key} is {_shown(total)}: a whole number of at least 0 is wanted")
    return total


def _template(document: Mapping[str, Any], key: str, usual: str) -> str:
    """Where files are; LeRobot writes null where there are none."""
    template = document.get(key)
    if template is None:
        return usual
    fields = {"chunk_index": 0, "file_index": 0, "video_key": "camera"}
    try:
        place = Path(template.format(**fields))
    # No text, or it has other fields
    except (AttributeError, KeyError, IndexError, ValueError, TypeError):
        raise XlvlaError(f"{key} is {_shown(template)}: {usual} is usual") from None
    if place.is_absolute() or ".." in place.parts:
        raise XlvlaError(f"{key} leads out of the data set: {_shown(template)}")
    return template


def _own(block: Any) -> dict[str, Any]:
    """Our own block, {} where there is none; raises XlvlaError where it is of another shape."""
    if block is None or block == {}:
        return {}
    if not isinstance(block, dict):
        raise XlvlaError(f"xlvla is {_shown(block)}: a mapping is wanted")
    joints = block.get("joints")
    if joints is None:
        return block
    if not isinstance(joints, dict) or not set(joints) <= set(SIDES):
        raise XlvlaError(f"joints are given by side, here they are {_shown(joints)}")
    for side, parts in joints.items():
        if not isinstance(parts, dict) or set(parts) != set(PARTS):
            raise XlvlaError(f"joints of the {side} side are those of its arm and its hand")
        for names in parts.values():
            if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
                raise XlvlaError(f"joints are lists of names, here they are {_shown(names)}")
    return block


def _shown(value: Any) -> str:
    """A value in a message."""
    return plain(repr(value), 80)


def write_json(path: Path, document: Any) -> None:
    """Writes JSON atomically."""
    files.write_text(path, json.dumps(document, indent=2) + "\n")


def numbered(template: str, number: int, **fields: str) -> str:
    """The path of the n-th file."""
    return template.format(chunk_index=number // CHUNK, file_index=number % CHUNK, **fields)


def _feature(key: str, entry: Any) -> Feature:
    """A feature of `info.json`; raises XlvlaError where it is none."""
    if not isinstance(entry, dict) or not isinstance(entry.get("dtype"), str):
        # Nested or of a later version: it is left out by its name
        return Feature("unknown", ())
    dtype = entry["dtype"]
    shape = entry.get("shape")
    # LeRobot's language columns have no shape of use
    if dtype not in NUMBERS and dtype not in PICTURES:
        return Feature(dtype, ())
    whole = isinstance(shape, list) and all(type(size) is int and size > 0 for size in shape)
    if not isinstance(shape, list) or not whole:
        raise XlvlaError(f"the shape of '{plain(key, 80)}' is {_shown(shape)}: sizes are wanted")
    info = entry.get("info") or entry.get("video_info")
    if not isinstance(info, dict):
        info = {}
    names = _names(entry.get("names"))
    if dtype in PICTURES:
        return Feature(dtype, _height_width_channels(key, shape, names), names, info)
    feature = Feature(dtype, tuple(shape), names, info)
    # Names of the axes are no names of the numbers
    if names is not None and len(names) != feature.size:
        return Feature(dtype, tuple(shape), None, info)
    return feature


def _height_width_channels(
    key: str, shape: Sequence[int], names: Sequence[str] | None
) -> tuple[int, int, int]:
    """A picture's size as [H, W, C]; others have the channels first."""
    if len(shape) != 3:
        raise XlvlaError(f"pictures of '{plain(key, 80)}' are {list(shape)}: [H, W, C] is wanted")
    height, width, channels = shape
    few = (1, COLOURS)
    channels_first = shape[0] in few and shape[2] not in few
    if names and len(names) == 3:
        channels_first = names[0].startswith("channel")
    if channels_first:
        channels, height, width = shape
    # Transparency is not read
    return (height, width, COLOURS if channels == COLOURS + 1 else channels)


def _names(given: Any) -> tuple[str, ...] | None:
    """Names of a vector's numbers, in any of the ways in which data sets have them: a list, lists
    in a list, lists by axis, or places by name.
    """
    if isinstance(given, Mapping) and all(type(place) is int for place in given.values()):
        given = sorted(given, key=lambda name: given[name])
    names = [str(name) for name in _leaves(given)]
    return tuple(names) or None


def _leaves(given: Any, depth: int = 0) -> Iterator[Any]:
    """What lists in lists, or lists by name, hold."""
    if isinstance(given, Mapping):
        given = list(given.values())
    if isinstance(given, list) and depth < 5:
        for entry in given:
            yield from _leaves(entry, depth + 1)
    elif given is not None:
        yield given
