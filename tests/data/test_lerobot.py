"""LeRobot data sets: what is written is what is read, and an interruption loses nothing that was
finished.
"""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from xlvla.errors import XlvlaError
from xlvla_data.lerobot import layout, statistics
from xlvla_data.lerobot.layout import Info, vector, video
from xlvla_data.lerobot.reader import Dataset
from xlvla_data.lerobot.writer import Writer, locked

JOINTS = ("left_arm_joint1", "left_hand_index", "right_arm_joint1")
INFO = Info(
    20,
    {
        layout.STATE: vector(JOINTS),
        layout.ACTION: vector(JOINTS),
        f"{layout.IMAGES}front": video(48, 64, 20),
    },
    "two arms",
    {"hands": {"left": "xhand", "right": "inspire"}},
)


def episode(seed, frames=9):
    rng = np.random.default_rng(seed)
    columns = {
        name: rng.normal(size=(frames, 3)).astype(np.float32)
        for name in (layout.STATE, layout.ACTION)
    }
    x = np.linspace(0, 255, 64)
    picture = [
        np.broadcast_to(np.stack([np.roll(x, 3 * f + seed), x, x[::-1]], -1), (48, 64, 3)).astype(
            np.uint8
        )
        for f in range(frames)
    ]
    return columns, {"front": picture}


@pytest.fixture
def written(tmp_path):
    writer = Writer(tmp_path, INFO)
    for seed, sentence in enumerate(("push the cans", "wave", "push the cans")):
        writer.add(*episode(seed, 7 + seed), sentence, success=True, seed=seed)
    return tmp_path


def test_what_is_written_is_what_is_read(written):
    data = Dataset(written)
    assert (len(data), data.info.total_frames, data.info.own) == (3, 24, INFO.own)
    assert [(row.length, row.sentence, row.row["seed"]) for row in data.episodes] == [
        (7, "push the cans", 0),
        (8, "wave", 1),
        (9, "push the cans", 2),
    ]
    for row in data.episodes:
        columns, pictures = episode(row.index, row.length)
        read = data.columns(row)
        assert all(np.array_equal(read[name], columns[name]) for name in columns)
        seen = list(data.clip(row, "front"))
        assert len(seen) == row.length
        errors = [
            np.abs(a.astype(int) - b).mean() for a, b in zip(seen, pictures["front"], strict=True)
        ]
        assert max(errors) < 6 < min(np.abs(seen[0].astype(int) - seen[k]).mean() for k in (3, 6))


def test_every_nth_picture_is_the_same_as_of_all(written):
    data = Dataset(written)
    everything = list(data.clip(data.episodes[2], "front"))
    some = list(data.clip(data.episodes[2], "front")[::4])
    assert len(some) == 3 and all(np.array_equal(a, everything[4 * k]) for k, a in enumerate(some))


def test_columns_every_reader_looks_for_count_frames_episodes_and_time(written):
    data = Dataset(written)
    columns = data.columns(data.episodes[1], *layout.INDICES)
    assert columns["index"].tolist() == list(range(7, 15)) and columns[
        "frame_index"
    ].tolist() == list(range(8))
    assert set(columns["episode_index"]) == {1} and set(columns["task_index"]) == {1}
    assert np.allclose(columns["timestamp"], np.arange(8) / 20)


def test_a_writer_goes_on_where_another_stopped(written):
    writer = Writer(written, INFO)
    assert writer.add(*episode(5), "wave", success=False, seed=5) == 3
    data = Dataset(written)
    assert [row.length for row in data.episodes] == [7, 8, 9, 9]
    assert data.columns(data.episodes[3], "index")["index"][0] == 24
    assert data.info.total_tasks == 2


def test_an_episode_cut_short_by_a_crash_is_not_there_and_its_place_is_taken(written):
    columns, pictures = episode(6)

    def dying():
        yield from pictures["front"][:4]
        raise KeyboardInterrupt

    class Camera(list):
        def __iter__(self):
            return dying()

    with pytest.raises(KeyboardInterrupt):
        Writer(written, INFO).add(
            columns, {"front": Camera(pictures["front"])}, "wave", success=True, seed=6
        )
    assert len(Dataset(written)) == 3
    assert Writer(written, INFO).add(columns, pictures, "wave", success=True, seed=6) == 3
    assert len(list(Dataset(written).clip(Dataset(written).episodes[3], "front"))) == 9


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (lambda columns, pictures: columns.pop(layout.ACTION), "without feature action"),
        (
            lambda columns, pictures: columns.update(velocity=np.zeros((9, 3))),
            "unknown feature 'velocity'",
        ),
        (lambda columns, pictures: pictures.update(top=pictures["front"]), "unknown camera 'top'"),
        (lambda columns, pictures: pictures.update(front=pictures["front"][:5]), "as many frames"),
        (lambda columns, pictures: columns[layout.STATE].__setitem__((2, 1), np.nan), "not finite"),
        (
            lambda columns, pictures: columns.update({layout.STATE: np.zeros((9, 4))}),
            r"\[4\] per frame, this data set's is \[3\]",
        ),
    ],
)
def test_an_unsound_episode_is_refused_whole(written, spoil, complaint):
    columns, pictures = episode(4)
    spoil(columns, pictures)
    with pytest.raises(XlvlaError, match=complaint):
        Writer(written, INFO).add(columns, pictures, "wave", success=True, seed=4)
    assert len(Dataset(written)) == 3


def test_another_data_set_is_not_written_into(written):
    with pytest.raises(XlvlaError, match="choose another folder"):
        Writer(written, Info(30, INFO.features))


def test_statistics_of_all_are_those_of_the_frames_together(written):
    stats = json.loads((written / layout.STATS).read_text())
    states = np.concatenate([episode(seed, 7 + seed)[0][layout.STATE] for seed in range(3)])
    for name, expected in {
        "mean": states.mean(0),
        "std": states.std(0),
        "min": states.min(0),
        "max": states.max(0),
    }.items():
        assert np.allclose(stats[layout.STATE][name], expected, atol=1e-6)
    assert stats[layout.STATE]["count"] == [24]
    assert np.array(stats[f"{layout.IMAGES}front"]["mean"]).shape == (3, 1, 1)
    alone = statistics.of_vector(states)
    assert all(np.allclose(statistics.merged([alone])[name], alone[name]) for name in alone)


@pytest.mark.parametrize(
    "victim",
    [
        layout.EPISODES.format(chunk_index=0, file_index=0),
        layout.DATA.format(chunk_index=0, file_index=1),
    ],
)
def test_a_truncated_table_is_one_clear_line(written, victim):
    path = written / victim
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(XlvlaError, match="cannot be read"):
        [Dataset(written).columns(row) for row in Dataset(written).episodes]


def test_a_truncated_video_is_one_clear_line(written):
    path = next((written / "videos").rglob("*.mp4"))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(XlvlaError, match=r"video .*file-00"):
        [list(Dataset(written).clip(row, "front")) for row in Dataset(written).episodes]


def test_a_data_set_of_another_version_says_so(written):
    info = json.loads((written / layout.INFO).read_text())
    (written / layout.INFO).write_text(json.dumps(info | {"codebase_version": "v2.1"}))
    with pytest.raises(XlvlaError, match=r"version v2\.1"):
        Dataset(written)
    with pytest.raises(XlvlaError, match="no LeRobot data set"):
        Dataset(written / "data")


def test_two_processes_do_not_write_one_data_set_at_once(written):
    other = (
        "import sys; from pathlib import Path; from xlvla_data.lerobot.writer import locked; "
        "locked(Path(sys.argv[1]))"
    )
    with locked(written / layout.LOCK):
        done = subprocess.run(
            [sys.executable, "-c", other, written / layout.LOCK],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "is being written by another process" in done.stderr
    assert (
        subprocess.run([sys.executable, "-c", other, written / layout.LOCK], timeout=60).returncode
        == 0
    )


def test_a_table_of_many_episodes_has_several_files(tmp_path, monkeypatch):
    monkeypatch.setattr(layout, "ROWS", 2)
    for seed in range(5):
        Writer(tmp_path, INFO).add(*episode(seed, 3), "wave", success=None, seed=seed)
    assert len(list((tmp_path / "meta/episodes").rglob("*.parquet"))) == 3
    data = Dataset(tmp_path)
    assert [row.row["seed"] for row in data.episodes] == [0, 1, 2, 3, 4]
    assert [row.row["meta/episodes/file_index"] for row in data.episodes] == [0, 0, 1, 1, 2]
    states = np.concatenate([episode(seed, 3)[0][layout.STATE] for seed in range(5)])
    assert np.allclose(
        json.loads((tmp_path / layout.STATS).read_text())[layout.STATE]["std"],
        states.std(0),
        atol=1e-6,
    )
