"""Data sets of other people and tools: read as far as they are understood, what is left out has its
line, and a depth map never becomes a colour picture.
"""

from __future__ import annotations

import json
from fractions import Fraction

import av
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sets_of_others as others
from made_episodes import WIDTH, bar, episode, picture, run, stamped, touched
from sets_of_others import DEPTH, FRONT, JOINTS

from xlvla.errors import XlvlaError
from xlvla_data import jpeg, store
from xlvla_data.lerobot import layout, tables
from xlvla_data.lerobot.reader import Dataset

BODIES = ("--hands", "left=inspire,right=inspire", "--arms", "left=xarm7,right=xarm7")


def taken_over(root, to):
    """The episodes that an import makes of a data set, and what it prints."""
    text, code = run("import", root, "--to", to, *BODIES)
    assert code == 0, text
    return [stored.read() for stored in store.find(to)], text


def looked_at(root):
    """What check and stats print; neither raises."""
    return run("check", root)[0] + run("stats", root)[0] + run("stats", root, "--joints")[0]


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tiff", ".webp", ".bmp"])
def test_pictures_in_the_table_of_frames_are_those_of_the_camera(tmp_path, suffix):
    root = others.embed(others.made(tmp_path / "theirs", 1), suffix, suffix == ".png")
    (stored,) = store.find(root)
    shown = [bar(each) for each in stored.read().pictures["front"]]
    assert shown == [bar(picture(frame)) for frame in range(40)]
    assert [bar(each) for each in stored.read().pictures["front"][::7]] == shown[::7]


def test_pictures_in_the_table_of_frames_are_checked_imported_and_merged_into_videos(tmp_path):
    root = others.embed(others.made(tmp_path / "theirs", frames=20))
    text, code = run("check", root)
    assert "is wrong" in text or "stats.json" in text, text
    assert FRONT in looked_at(root)
    run("show", root, "--out", tmp_path / "page")
    read, _ = taken_over(root, tmp_path / "to")
    shown = [bar(each) for each in read[0].pictures["front"]][:14]
    assert shown == pytest.approx([bar(picture(frame)) for frame in range(14)], abs=4)
    own = others.made(tmp_path / "own", 1, first=2, session="monday", recording="one")
    text, code = run("merge", root, own, "--to", tmp_path / "both")
    assert code == 0 and "3 episodes" in text
    assert len(list(tmp_path.rglob("both/*/videos/**/*.mp4"))) == 3
    assert run("check", tmp_path / "both") == ("1 data set: nothing is wrong\n", 0)


def test_a_picture_that_the_table_only_names_lies_in_the_data_set_or_is_refused(tmp_path):
    root = others.embed(others.made(tmp_path / "theirs", 1, 30))
    (path,) = others.tables_of(root)
    table = pq.read_table(path)
    (tmp_path / "outside.png").write_bytes(others.compressed(picture(0)))
    (root / "images").mkdir()
    (root / "images/inside.png").write_bytes(others.compressed(picture(3)[..., ::-1]))
    for name, complaint in (
        ("images/inside.png", ""),
        ("images/none.png", "No such file"),
        (str(tmp_path / "outside.png"), "lies outside the data set"),
        ("../../../outside.png", "lies outside the data set"),
        (None, "is missing"),
    ):
        entries = [{"bytes": None, "path": name}] * len(table)
        column = table.column_names.index(FRONT)
        pq.write_table(table.set_column(column, FRONT, pa.array(entries, others.STRUCT)), path)
        pictures = store.find(root)[0].read().pictures["front"]
        if complaint:
            with pytest.raises(XlvlaError, match=complaint):
                list(pictures)
        else:
            assert {bar(each) for each in pictures} == {bar(picture(3))}


DEPTH_ENTRY = {"dtype": "image", "shape": [48, 64, 1], "names": ["height", "width", "channels"]}


@pytest.mark.parametrize("flag", [{"is_depth_map": True}, {"video.is_depth_map": True}, {}])
def test_a_depth_map_is_left_out_with_a_line(tmp_path, flag):
    root = others.embed(others.made(tmp_path / "theirs", 1, 20))
    pixels = others.compressed(np.full((48, 64), 1500, np.uint16), ".tiff")
    entry = {**DEPTH_ENTRY, "info": flag}
    others.add_column(
        root, DEPTH, lambda frame: {"bytes": pixels, "path": ""}, others.STRUCT, **entry
    )
    text = looked_at(root)
    assert f"left out: {DEPTH} (" in text and "camera depth" not in text
    read, text = taken_over(root, tmp_path / "to")
    assert list(read[0].pictures) == ["front"] and f"left out: {DEPTH}" in text


def test_a_depth_video_is_left_out_by_its_format_or_its_flag(tmp_path):
    root = others.made(tmp_path / "theirs", 1, 20)
    for facts in (
        {"video.pix_fmt": "gray12le"},
        {"is_depth_map": True, "video.pix_fmt": "yuv420p"},
    ):
        others.feature(root, DEPTH, {"dtype": "video", "shape": [48, 64, 3], "info": facts})
        assert list(Dataset(root).info.cameras) == ["front"]
        assert f"left out: {DEPTH} (a depth map)" in run("check", root)[0]


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_depth_that_nobody_declared_is_refused_and_never_shown_in_colour(suffix):
    pixels = others.compressed(np.full((48, 64), 1500, np.uint16), suffix)
    with pytest.raises(XlvlaError, match=r"a depth map \(gray16"):
        jpeg.Decoder()(pixels)


def test_text_truth_languages_and_nested_features_are_named_and_numbers_are_kept(tmp_path):
    root = others.made(tmp_path / "theirs")
    others.add_column(root, "note", lambda frame: f"frame {frame}", dtype="string", shape=[1])
    others.add_column(root, "pressed", lambda frame: frame % 2 == 0, dtype="bool", shape=[1])
    words = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
    said = [{"role": "user", "content": "go on"}]
    others.add_column(
        root, "language_events", lambda frame: said, words, dtype="language", shape=[1]
    )
    grid = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
    others.add_column(root, "grid", lambda frame: grid, dtype="float32", shape=[2, 3])
    others.feature(root, "nested", {"inside": {"dtype": "float32", "shape": [2]}})
    text = looked_at(root)
    assert (
        "left out: note (of type 'string'), language_events (of type 'language'), "
        "nested (of type 'unknown')"
    ) in text
    (first, _) = store.find(root)
    columns = first.data.columns(first.row)
    assert columns["pressed"][:3, 0].tolist() == [True, False, True]
    assert columns["grid"].shape == (40, 2, 3)
    (read, _), text = taken_over(root, tmp_path / "to")
    assert "left out: note (of type 'string')" in text
    assert "pressed" not in text and "grid" not in text
    assert read.others["pressed"].values.dtype == bool
    assert read.others["pressed"].values[:3, 0].tolist() == [True, False, True]
    assert read.others["grid"].values.tolist() == [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]] * 40
    run("merge", root, "--to", tmp_path / "merged")
    merged = store.find(tmp_path / "merged")[0]
    assert merged.data.columns(merged.row)["grid"].tolist() == [grid] * 40
    (path,) = others.tables_of(merged.data.root)[:1]
    assert pq.read_table(path)["grid"][0].as_py() == grid


@pytest.mark.parametrize(
    "names",
    [
        {"motors": JOINTS},
        [JOINTS],
        {"left": JOINTS[: len(JOINTS) // 2], "right": JOINTS[len(JOINTS) // 2 :]},
        {name: place for place, name in enumerate(JOINTS)},
        {"arms": {"both": JOINTS}},
    ],
    ids=["dictionary", "list in a list", "by side", "places by name", "nested"],
)
def test_names_in_any_form_are_those_of_the_joints(tmp_path, names):
    root = others.rewritten(others.made(tmp_path / "theirs", 1))
    for key in (layout.STATE, layout.ACTION):
        others.feature(root, key, {"dtype": "float32", "shape": [len(JOINTS)], "names": names})
    read, _ = taken_over(root, tmp_path / "to")
    assert np.allclose(read[0].action["left"]["arm"], episode(0).action["left"]["arm"], atol=1e-5)


def test_a_state_of_one_number_is_read(tmp_path):
    root = others.made(tmp_path / "theirs", 1)
    for shape in ([1], []):
        (path,) = others.tables_of(root)
        table = pq.read_table(path)
        column = pa.array(np.linspace(0, 1, len(table)), pa.float32())
        place = table.column_names.index(layout.STATE)
        pq.write_table(table.set_column(place, layout.STATE, column), path)
        others.feature(root, layout.STATE, {"dtype": "float32", "shape": shape, "names": ["lift"]})
        others.describe(root, xlvla=None)
        (row,) = Dataset(root).episodes
        assert Dataset(root).columns(row)[layout.STATE].shape == (40, 1)
        assert "Error" not in run("check", root)[0]


def test_a_set_without_statistics_or_without_quantiles_is_read_and_merged(tmp_path):
    for name, beginnings in (
        ("quantiles", ("stats/action/q", f"stats/{FRONT}/q")),
        ("any", ("stats/",)),
    ):
        root = others.made(tmp_path / name, 1, 20)
        others.forget(root, *beginnings)
        (root / layout.STATS).unlink()
        text = looked_at(root)
        assert f"{layout.STATS} cannot be read" in text and "action" in text
        run("merge", root, "--to", tmp_path / f"merged_{name}")
        assert run("check", tmp_path / f"merged_{name}") == ("1 data set: nothing is wrong\n", 0)


@pytest.mark.parametrize("fps", [29.97, 12.5, 30])
def test_another_rate_also_one_that_is_no_whole_number_becomes_ours(tmp_path, fps):
    root = others.made(tmp_path / "theirs", 1, 90)
    others.describe(root, fps=fps)
    (path,) = others.tables_of(root)
    table = pq.read_table(path)
    times = pa.array(np.arange(90) / fps, pa.float32())
    place = table.column_names.index("timestamp")
    pq.write_table(table.set_column(place, "timestamp", times), path)
    data = Dataset(root)
    assert data.info.fps == fps and "timestamp" not in run("check", root, "--quick")[0]
    read, _ = taken_over(root, tmp_path / "to")
    assert read[0].frames == pytest.approx(90 / fps * 20, abs=2)


def test_what_every_frame_is_told_is_kept_and_trained_on(tmp_path):
    root = others.made(tmp_path / "theirs", 1)
    tables.write(root / layout.TASKS, tables.tasks(["Open.", "Close."]))
    (path,) = others.tables_of(root)
    table = pq.read_table(path)
    told = pa.array([int(frame >= 25) for frame in range(40)], pa.int64())
    place = table.column_names.index("task_index")
    pq.write_table(table.set_column(place, "task_index", told), path)
    wanted = ["Open."] * 25 + ["Close."] * 15
    assert "is told" in run("check", root, "--quick")[0]
    (page,) = (root / "meta/episodes").rglob("*.parquet")
    table = pq.read_table(page)
    both = pa.array([["Open.", "Close."]], pa.list_(pa.string()))
    pq.write_table(table.set_column(table.column_names.index("tasks"), "tasks", both), page)
    assert run("check", root, "--quick")[1] == 0
    run("merge", root, "--to", tmp_path / "merged")
    for folder in (root, tmp_path / "merged"):
        assert store.find(folder)[0].sentences == wanted


def test_a_set_that_other_tools_wrote_anew_is_told_by_its_joints(tmp_path):
    root = others.rewritten(others.made(tmp_path / "theirs"))
    text, code = run("check", root)
    line = "does not say whose joints it has: by their names those of left inspire, right inspire"
    assert code == 0 and line in text
    assert line in looked_at(root)
    own = others.made(tmp_path / "own", 1, first=2, task="")
    text, code = run("merge", root, own, "--to", tmp_path / "both")
    assert code == 0 and "3 episodes" in text and "latents are encoded anew" in text
    for stored in store.find(tmp_path / "both"):
        made = episode(stored.row.index)
        assert np.allclose(stored.read().latent["left"], made.latent["left"], atol=1e-3)
    assert run("check", tmp_path / "both") == ("1 data set: nothing is wrong\n", 0)


def test_joints_of_no_hand_are_not_taken_for_those_of_one(tmp_path):
    root = others.rewritten(others.made(tmp_path / "theirs", 1))
    names = [*JOINTS[:-1], "right_hand_sixth_finger"]
    for key in (layout.STATE, layout.ACTION):
        others.feature(root, key, {"dtype": "float32", "shape": [len(names)], "names": names})
    assert "does not say which joints are of which hand" in run("check", root)[0]
    with pytest.raises(XlvlaError, match="does not say whose hands it shows"):
        run("merge", root, "--to", tmp_path / "to")


def test_simulated_teleoperated_and_imported_episodes_merge_and_what_is_left_out_is_named(tmp_path):
    simulated = others.made(tmp_path / "simulated", 1)
    teleoperated = store.Store(tmp_path / "teleoperated").add(
        stamped(touched(episode(1, 40, session="monday", recording="episode_000000")))
    )
    theirs = others.rewritten(others.made(tmp_path / "theirs", 1, first=7))
    taken_over_text = run(
        "import", theirs, "--to", tmp_path / "imported", *BODIES, "--task", "push_cans"
    )[0]
    assert "1 episodes imported" in taken_over_text
    every = (simulated, teleoperated, tmp_path / "imported")
    text, code = run("merge", *every, "--to", tmp_path / "all")
    assert code == 0 and "3 episodes" in text
    assert "'operator.wrist.left' is left out: it is only in push_cans-inspire-inspire" in text
    assert "'stamp_ns' is left out" in text
    assert run("check", tmp_path / "all") == ("1 data set: nothing is wrong\n", 0)
    assert "3 were there before" in run("merge", *every, "--to", tmp_path / "all")[0]
    assert len(store.find(tmp_path / "all")) == 3


def test_sets_of_other_rates_or_arms_are_not_merged(tmp_path):
    one = others.made(tmp_path / "one", 1)
    other = others.made(tmp_path / "other", 1)
    others.describe(other, fps=30)
    with pytest.raises(XlvlaError, match=r"differ in rate \(20 and 30 Hz\): they cannot be merged"):
        run("merge", one, other, "--to", tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_a_later_version_of_the_same_layout_and_other_places_of_files_are_read(tmp_path):
    root = others.made(tmp_path / "theirs", 1)
    others.describe(
        root, codebase_version="v3.1", data_path="data/{chunk_index}-{file_index}.parquet"
    )
    others.tables_of(root)[0].rename(root / "data/0-0.parquet")
    assert run("check", root)[1] == 0
    for version in ("v2.1", "v4.0", "3", None):
        others.describe(root, codebase_version=version)
        with pytest.raises(XlvlaError, match="this reads v3"):
            Dataset(root)


@pytest.mark.parametrize("template", ["../{file_index}", "/tmp/{file_index}", "{nobody}", 3])
def test_places_of_files_lead_nowhere_else(tmp_path, template):
    root = others.made(tmp_path / "theirs", 1)
    others.describe(root, data_path=template)
    with pytest.raises(XlvlaError, match=r"data_path (leads out|is )"):
        Dataset(root)


@pytest.mark.parametrize(
    "entry",
    [
        {"fps": 0},
        {"fps": True},
        {"fps": "20"},
        {"fps": float("nan")},
        {"features": []},
        {"features": {"action": {"dtype": "float32", "shape": "7"}}},
        {"total_episodes": -1},
        {"total_episodes": 2.5},
        {"xlvla": {"joints": {"left": []}, "hands": {}}},
        {"xlvla": {"joints": {"left": {"arm": [1], "hand": []}}, "hands": {}}},
        {"xlvla": [1]},
    ],
    ids=str,
)
def test_a_description_that_cannot_be_is_one_line(tmp_path, entry):
    root = others.made(tmp_path / "theirs", 1, 20)
    others.describe(root, **entry)
    with pytest.raises(XlvlaError, match=r"info\.json does not describe a LeRobot data set: "):
        Dataset(root)
    assert json.loads((root / layout.INFO).read_text())


def shown_at(root, times_s):
    """Puts one video of pictures at these times [s] in place of an episode's, as a camera writes
    that drops some.
    """
    (path,) = (root / "videos").rglob("*.mp4")
    with av.open(str(path), "w", format="mp4") as file:
        stream = file.add_stream("libx264", rate=20, options={"g": "2", "bf": "0", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 90000)
        for time_s in times_s:
            pixels = np.ascontiguousarray(picture(round(20 * time_s)))
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = round(time_s * 90000), Fraction(1, 90000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())


def refused_where_frames_are_counted(root, to, complaint):
    """Neither merged nor read for training; said by check."""
    with pytest.raises(XlvlaError, match=complaint):
        run("merge", root, "--to", to / "merged")
    assert not (to / "merged").exists()
    with pytest.raises(XlvlaError, match=complaint):
        store.find(root)[0].read()
    text, code = run("check", root)
    assert code == 1, text
    return text


def test_pictures_that_are_missing_shift_no_others(tmp_path):
    root = others.rewritten(others.made(tmp_path / "theirs", 1))
    # The video goes on behind the episode, as one that holds several does
    every = np.arange(60) / 20
    shown_at(root, np.delete(every, range(20, 26)))
    complaint = "camera front has 34 pictures in the time of 40 frames: `xlvla data import` takes"
    text = refused_where_frames_are_counted(root, tmp_path, complaint)
    assert "picture 20 from 0.00 s on is +0.30 s from its frame" in text
    with pytest.raises(XlvlaError, match=r"picture 20 from 0\.00 s on is \+0\.30 s from its frame"):
        list(Dataset(root).clip(Dataset(root).episodes[0], "front"))
    shown_at(root, np.arange(120) / 40)
    complaint = "camera front has 80 pictures in the time of 40 frames"
    text = refused_where_frames_are_counted(root, tmp_path, complaint)
    assert "80 pictures in the time of 40 frames: a reader that counts them is late" in text


def test_rows_that_are_missing_are_not_closed_up(tmp_path):
    root = others.rewritten(others.made(tmp_path / "theirs", 1))
    (path,) = others.tables_of(root)
    table = pq.read_table(path)
    times = np.arange(40) / 20 + (np.arange(40) >= 15) * 1.0
    place = table.column_names.index("timestamp")
    pq.write_table(table.set_column(place, "timestamp", pa.array(times, pa.float32())), path)
    text = refused_where_frames_are_counted(
        root, tmp_path, "episode 0: the timestamp of frame 15 is 1.00 s from frame / rate"
    )
    assert "timestamp is 1.0000 s from frame / rate at frame 15" in text
