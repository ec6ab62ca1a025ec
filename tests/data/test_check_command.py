"""`xlvla data check`: every way a data set can be broken has its one line."""

from __future__ import annotations

import json
import shutil

import made_episodes
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_episodes import run

from xlvla.errors import XlvlaError
from xlvla_data import store
from xlvla_data.convert import STAMPS
from xlvla_data.lerobot import layout, video

NAME = "push_cans-inspire-inspire"
DATA = layout.DATA.format(chunk_index=0, file_index=1)
VIDEO = layout.VIDEO.format(chunk_index=0, file_index=1, video_key="observation.images.front")


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    kept = store.Store(tmp_path_factory.mktemp("sound"))
    for seed in range(3):
        kept.add(made_episodes.stamped(made_episodes.episode(seed)))
    return kept.root / NAME


@pytest.fixture
def root(sound, tmp_path):
    return shutil.copytree(sound, tmp_path / NAME)


def findings(root):
    text, code = run("check", root)
    lines = text.splitlines()
    assert code == (0 if lines[-1].endswith("nothing is wrong") else 1)
    return lines[:-1]


def change(root, key, of):
    """Changes a column of the second episode."""
    table = pq.read_table(root / DATA)
    column = of(np.array(table[key].to_pylist()))
    made = pa.array(column.tolist(), table[key].type)
    pq.write_table(table.set_column(table.column_names.index(key), key, made), root / DATA)


def told(root, name, **changes):
    path = root / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def put(values, frame, number, value):
    values[frame, number] = value
    return values


def test_nothing_is_wrong_with_a_sound_data_set(sound):
    assert findings(sound) == []
    assert run("check", sound.parent, "--quick") == ("1 data set: nothing is wrong\n", 0)


BROKEN = {
    "a table is missing": (lambda root: (root / DATA).unlink(), ["cannot be read"]),
    "a video is missing": (lambda root: (root / VIDEO).unlink(), ["cannot be read"]),
    "a video is cut short": (
        lambda root: (root / VIDEO).write_bytes((root / VIDEO).read_bytes()[:3000]),
        ["cannot be read"],
    ),
    "a table lacks rows": (
        lambda root: pq.write_table(pq.read_table(root / DATA)[:-3], root / DATA),
        ["has 37 of the 40 frames of episode 1"],
    ),
    "a video lacks pictures": (
        lambda root: video.write(
            root / VIDEO, [made_episodes.picture(frame) for frame in range(33)], 20
        ),
        ["has 33 of 40 pictures"],
    ),
    "a video has too many": (
        lambda root: video.write(
            root / VIDEO, [made_episodes.picture(frame, 1) for frame in range(43)], 20
        ),
        ["camera front: 43 pictures for 40 frames"],
    ),
    "pictures of another size": (
        lambda root: video.write(
            root / VIDEO, [made_episodes.picture(frame, 1)[:32] for frame in range(40)], 20
        ),
        ["pictures are [32, 64, 3], not [48, 64, 3]"],
    ),
    "a camera that stands still": (
        lambda root: video.write(
            root / VIDEO, [made_episodes.picture(min(frame, 9), 1) for frame in range(40)], 20
        ),
        ["camera front is frozen from 0.30 to 2.00 s while joints move"],
    ),
    "a number that is none": (
        lambda root: change(root, layout.STATE, lambda values: put(values, 12, 3, np.nan)),
        ["'observation.state' is not finite in 1 frames, first 12"],
    ),
    "a joint out of its limits": (
        lambda root: change(root, layout.ACTION, lambda values: put(values, slice(None), 7, 5.0)),
        ["'action' out of limits: left_hand_", "of 'action' is not that of its frames"],
    ),
    "a jump": (
        lambda root: change(
            root, layout.STATE, lambda values: put(values, 20, 2, values[20, 2] + 1.0)
        ),
        [
            "'observation.state' jumps: left_arm_joint3",
            "of 'observation.state' is not that of its frames",
        ],
    ),
    "time that runs otherwise": (
        lambda root: change(root, "timestamp", lambda values: values + 0.01 * (np.arange(40) > 30)),
        ["timestamp is 0.0100 s from frame / rate at frame 31, in 9 frames"],
    ),
    "rows that count otherwise": (
        lambda root: change(root, "index", lambda values: values + 5),
        ["index is 45 at frame 0, not 40, in 40 frames"],
    ),
    "a sentence that is not there": (
        lambda root: change(root, "task_index", lambda values: values + 4),
        ["task_index is 4, meta/tasks.parquet has 0"],
    ),
    "a stamp that goes back": (
        lambda root: change(root, STAMPS, lambda values: put(values, 9, 1, 0)),
        [
            "stamps of camera.front go back at frame 9",
            "a picture of camera.front is 0.45 s older than its frame",
        ],
    ),
    "a state from the future": (
        lambda root: change(root, STAMPS, lambda values: values + np.array([0, 0, 60_000_000, 0])),
        ["left.arm.state is from after its frame in 40 frames, first 0", "'stamp_ns'"],
    ),
    "no joint names": (
        lambda root: told(root, layout.INFO, features=_nameless(root)),
        ["no joint names: 'observation.state'", "no joint names: 'action'"],
    ),
    "nobody says whose joints": (
        lambda root: told(root, layout.INFO, xlvla={}),
        ["does not say whose joints it has: by their names those of left inspire, right inspire"],
    ),
    "a wrong total": (
        lambda root: told(root, layout.INFO, total_frames=100),
        ["promises 100 frames, the table of episodes has 120"],
    ),
    "a table of episodes cut short": (
        lambda root: told(root, layout.INFO, total_episodes=4),
        ["promises 4 episodes but its table has 3"],
    ),
    "statistics of something else": (
        lambda root: told(
            root,
            layout.STATS,
            action=json.loads((root / layout.STATS).read_text())["observation.state"],
        ),
        ["the min of 'action' is not that of its frames"],
    ),
    "no statistics": (
        lambda root: (root / layout.STATS).write_text("{}"),
        [f"says nothing of '{key}'" for key in ("observation.state", "action")],
    ),
    "no description": (
        lambda root: (root / layout.INFO).write_text("{"),
        ["does not describe a LeRobot data set"],
    ),
}


def _nameless(root):
    features = json.loads((root / layout.INFO).read_text())["features"]
    return {
        key: entry | ({"names": None} if key in (layout.STATE, layout.ACTION) else {})
        for key, entry in features.items()
    }


@pytest.mark.parametrize("what", BROKEN)
def test_what_is_broken_has_its_line(root, what):
    spoil, expected = BROKEN[what]
    spoil(root)
    lines = findings(root)
    for piece in expected:
        assert any(piece in line for line in lines), (piece, lines)
    assert all(line.startswith((NAME, str(root))) for line in lines)
    if what != "no statistics":
        assert len(lines) <= len(expected) + 1, lines


def test_where_there_is_no_data_set_that_is_the_line(tmp_path):
    with pytest.raises(XlvlaError, match="no data set in"):
        run("check", tmp_path)


def test_episodes_that_are_the_same_are_found(tmp_path):
    kept = store.Store(tmp_path)
    for seed in (0, 1, 0):
        kept.add(made_episodes.episode(seed))
    assert findings(tmp_path / NAME) == [
        f"{NAME}: episodes 0, 2 are the same one, number for number"
    ]


def test_a_video_of_another_rate_is_found(root):
    path = root / VIDEO
    video.write(path, [made_episodes.picture(frame // 2, 1) for frame in range(80)], 40)
    assert any(
        "camera front: 80 pictures in the time of 40 frames" in line for line in findings(root)
    )
