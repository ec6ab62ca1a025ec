"""Data sets as LeRobot's own tools and other people's converters write them, made from one of ours."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import pyarrow as pa
import pyarrow.parquet as pq
from made_episodes import WIDTH, episode, picture

from xlvla.types import PARTS, SIDES
from xlvla_data import store
from xlvla_data.lerobot import layout

FRONT = f"{layout.IMAGES}front"
DEPTH = f"{layout.IMAGES}depth"
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
JOINTS = [
    name for side in SIDES for part in PARTS for name in episode(0, 2).info.joints[side][part]
]


def made(folder: Path, count: int = 2, frames: int = 40, first: int = 0, **facts) -> Path:
    """A data set of ours without the columns that only our recorder writes."""
    kept = store.Store(folder)
    root = folder
    for seed in range(first, first + count):
        root = kept.add(episode(seed, frames, **facts))
    return root


def describe(root: Path, **entries) -> dict:
    """Changes `info.json`; an entry that is None goes."""
    path = root / layout.INFO
    document = {**json.loads(path.read_text()), **entries}
    document = {key: value for key, value in document.items() if value is not None}
    path.write_text(json.dumps(document))
    return document


def feature(root: Path, key: str, entry: dict | None) -> None:
    """Puts a feature into `info.json`; None takes it out."""
    features = json.loads((root / layout.INFO).read_text())["features"]
    features.pop(key, None)
    describe(root, features=features if entry is None else {**features, key: entry})


def tables_of(root: Path) -> list[Path]:
    """The tables of frames."""
    return sorted((root / "data").rglob("*.parquet"))


def add_column(root: Path, key: str, of, kind: pa.DataType | None = None, **entry) -> None:
    """Adds a column with `of(frame)` at every frame, and its feature where there is an entry."""
    for path in tables_of(root):
        table = pq.read_table(path)
        values = [of(frame) for frame in range(len(table))]
        pq.write_table(table.append_column(key, pa.array(values, kind)), path)
    if entry:
        feature(root, key, {"names": None, **entry})


def compressed(pixels, suffix: str = ".png") -> bytes:
    """An image file of pixels [H, W] or BGR [H, W, 3]."""
    written, data = cv2.imencode(suffix, pixels)
    assert written
    return data.tobytes()


def embed(root: Path, suffix: str = ".png", first_channel: bool = False) -> Path:
    """Puts the front camera's pictures into the tables of frames, as `use_videos=False` does."""

    def of(frame: int) -> dict:
        pixels = compressed(picture(frame)[..., ::-1], suffix)
        return {"bytes": pixels, "path": f"frame-{frame:06d}{suffix}"}

    size = {"shape": [48, WIDTH, 3], "names": ["height", "width", "channels"]}
    if first_channel:
        size = {"shape": [3, 48, WIDTH], "names": ["channels", "height", "width"]}
    add_column(root, FRONT, of, STRUCT, dtype="image", **size)
    forget(root, f"videos/{FRONT}/", f"stats/{FRONT}/")
    describe(root, video_path=None)
    for path in (root / "videos").rglob("*.mp4"):
        path.unlink()
    return root


def forget(root: Path, *beginnings: str) -> None:
    """Takes columns out of the table of episodes."""
    for path in (root / "meta/episodes").rglob("*.parquet"):
        table = pq.read_table(path)
        names = [name for name in table.column_names if name.startswith(beginnings)]
        pq.write_table(table.drop_columns(names), path)


def rewritten(root: Path) -> Path:
    """As LeRobot's edit tools leave a data set: only what they know of is there."""
    describe(root, xlvla=None)
    facts = ("success", "seed", "verdict", "session", "recording", "source", "hands")
    forget(root, *facts)
    return root
