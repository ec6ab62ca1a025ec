"""`xlvla data import`: data sets of others, by the names of their joints; and ours in LeRobot's own
hands, where it is installed.
"""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from made_episodes import bar, episode, picture, run, stamped, touched

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.types import PARTS, SIDES
from xlvla_data import store
from xlvla_data.lerobot import layout, tables
from xlvla_data.lerobot import video as mp4
from xlvla_data.lerobot.layout import Info, vector, video
from xlvla_data.lerobot.writer import Writer

MADE = episode(0, 60)
OURS = [name for side in SIDES for part in PARTS for name in MADE.info.joints[side][part]]
BODIES = ("--hands", "left=inspire,right=inspire", "--arms", "left=xarm7,right=xarm7")


def theirs(name):
    return name.replace("left_", "L.").replace("right_", "R.")


def foreign(root, names=theirs, *, fps=20, degrees=False, frames=60, count=2, shuffled=True):
    """A data set of somebody who names, orders and measures joints otherwise."""
    order = np.random.default_rng(0).permutation(len(OURS)) if shuffled else np.arange(len(OURS))
    feature = vector([names(OURS[index]) for index in order])
    writer = Writer(
        root,
        Info(
            fps,
            {
                layout.STATE: feature,
                layout.ACTION: feature,
                f"{layout.IMAGES}top": video(48, 64, fps),
            },
            "robot",
        ),
    )
    for number in range(count):
        made = episode(number, frames)
        rows = {
            key: np.concatenate([values[side][part] for side in SIDES for part in PARTS], 1)[
                :, order
            ]
            for key, values in ((layout.STATE, made.measured), (layout.ACTION, made.action))
        }
        rows = {
            key: (np.degrees(values) if degrees else values).astype(np.float32)
            for key, values in rows.items()
        }
        writer.add(rows, {"top": [picture(frame, number) for frame in range(frames)]}, "Push.")
    return root


def map_of(path, **entries):
    path.write_text(yaml.safe_dump(entries))
    return path


def test_joints_of_other_names_order_and_units_become_ours(tmp_path):
    root = foreign(tmp_path / "theirs", degrees=True)
    mapped = map_of(
        tmp_path / "map.yaml",
        joints={name: theirs(name) for name in OURS},
        degrees=True,
        cameras={"front": "top"},
        task="push_cans",
    )
    text, code = run("import", root, "--to", tmp_path / "to", "--map", mapped, *BODIES)
    assert code == 0 and "2 episodes imported, 0 were there before" in text
    for number, stored in enumerate(store.find(tmp_path / "to")):
        read = stored.read()
        made = episode(number, 60)
        assert (
            stored.data.root.name == "push_cans-inspire-inspire"
            and read.info.instruction == "Push."
            and read.info.success is None
        )
        for side in SIDES:
            for part in PARTS:
                assert np.allclose(read.action[side][part], made.action[side][part], atol=1e-5)
                assert np.allclose(read.measured[side][part], made.measured[side][part], atol=1e-5)
            assert np.allclose(read.latent[side], made.latent[side], atol=1e-3)
        assert len(read.pictures["front"]) == read.frames == 60
    assert run("check", tmp_path / "to")[1] == 0
    assert (
        "0 episodes imported, 2 were there before"
        in run("import", root, "--to", tmp_path / "to", "--map", mapped, *BODIES)[0]
    )


def test_joints_of_our_names_need_no_map_and_another_rate_becomes_ours(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name, fps=30, frames=90, count=1)
    run("import", root, "--to", tmp_path / "to", *BODIES)
    read = store.find(tmp_path / "to")[0].read()
    made = episode(0, 90)
    assert abs(read.frames - 60) <= 1 and read.info.rate_hz == 20
    errors = [
        np.abs(made.measured["left"]["arm"] - row).max(1).min()
        for row in read.measured["left"]["arm"]
    ]
    assert max(errors) < 1e-5


def test_a_joint_that_counts_the_other_way_is_turned(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name, count=1)
    run(
        "import",
        root,
        "--to",
        tmp_path / "to",
        "--map",
        map_of(tmp_path / "map.yaml", scale={"left_arm_joint2": -1.0}),
        *BODIES,
    )
    read = store.find(tmp_path / "to")[0].read()
    assert np.allclose(
        read.action["left"]["arm"] * [1, -1, 1, 1, 1, 1, 1], MADE.action["left"]["arm"], atol=1e-5
    )


@pytest.mark.parametrize(
    ("document", "options", "complaint"),
    [
        (
            {},
            BODIES,
            r"'observation\.state' has no 'left_arm_joint1' for left_arm_joint1, and 25 more are "
            r"missing; it has .*: map them",
        ),
        (
            {"joints": {"left_arm_joint9": "x"}},
            BODIES,
            "no joint 'left_arm_joint9'; did you mean 'left_arm_joint",
        ),
        ({"joint": {}}, BODIES, "unknown key 'joint'.*did you mean 'joints'"),
        (
            {"cameras": {"front": "tip"}},
            BODIES,
            "has no camera 'tip': it has top; did you mean 'top'",
        ),
        (
            {"state": "observation.sate"},
            BODIES,
            r"has no feature 'observation\.sate'.*did you mean 'observation\.state'",
        ),
        (
            {},
            (),
            r"whose joints are these \(\S+, \S+, \S+, \S+ and 22 more\)\? Say --hands "
            r"left=NAME,right=NAME, .*known are .*xhand.* and --arms left=NAME.*known are .*xarm7",
        ),
        ({}, ("--hands", "left=inspire"), "whose joints are these .* Say --arms left=NAME"),
        ({}, ("--hands", "left=inspire", *BODIES[2:]), "hands and arms are of the same sides"),
        ({}, ("--hands", "inspire", *BODIES[2:]), "sides and names are wanted, as in left=xhand"),
        (
            {},
            ("--hands", "left=inspir,right=inspire", *BODIES[2:]),
            "unknown hand 'inspir'.*did you mean 'inspire'",
        ),
    ],
)
def test_what_cannot_be_mapped_is_one_clear_line(tmp_path, document, options, complaint):
    root = foreign(tmp_path / "theirs", count=1)
    if document.get("cameras"):
        document["joints"] = {name: theirs(name) for name in OURS}
    with pytest.raises(XlvlaError, match=complaint):
        run(
            "import",
            root,
            "--to",
            tmp_path / "to",
            "--map",
            map_of(tmp_path / "map.yaml", **document),
            *options,
        )
    assert not (tmp_path / "to").exists()


def test_a_data_set_without_episodes_is_refused(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name, count=1)
    info = json.loads((root / layout.INFO).read_text())
    empty = info | {"total_episodes": 0, "total_frames": 0}
    (root / layout.INFO).write_text(json.dumps(empty))
    with pytest.raises(XlvlaError, match="theirs has no episodes: nothing is imported"):
        run("import", root, "--to", tmp_path / "to", *BODIES)


def test_a_data_set_without_joint_names_is_refused(tmp_path):
    feature = layout.Feature("float32", (4,))
    Writer(tmp_path / "theirs", Info(20, {layout.STATE: feature, layout.ACTION: feature})).add(
        {key: np.zeros((30, 4), np.float32) for key in (layout.STATE, layout.ACTION)}, {}, "Push."
    )
    with pytest.raises(
        XlvlaError,
        match="does not name its 4 numbers one by one: the joints are unknown",
    ):
        run("import", tmp_path / "theirs", "--to", tmp_path / "to", *BODIES)


def test_lerobot_reads_what_we_write(tmp_path):
    lerobot = pytest.importorskip("lerobot.datasets.lerobot_dataset")
    kept = store.Store(tmp_path)
    for number in range(2):
        root = kept.add(stamped(touched(episode(number, 30))))
    data = lerobot.LeRobotDataset(
        "ours/push",
        root=root,
        delta_timestamps={"action": [frame / 20 for frame in range(4)]},
        video_backend="pyav",
    )
    assert (len(data), data.num_episodes, data.fps) == (60, 2, 20)
    item = data[34]
    made = episode(1, 30)
    assert item["task"] == made.info.instruction and int(item["episode_index"]) == 1
    wanted = np.concatenate([made.action[side][part][4:8] for side in SIDES for part in PARTS], 1)
    assert np.allclose(item["action"].numpy(), wanted, atol=1e-6)
    assert item["stamp_ns"].tolist() == [200_000_000, 200_000_000, 200_000_000, 250_000_000]
    assert np.allclose(
        item["operator.keypoints.left"], touched(made).others["operator.keypoints.left"].values[4]
    )
    shown = (255 * item["observation.images.front"].numpy().transpose(1, 2, 0)).round()
    assert np.abs(shown - picture(4, 1)).mean() < 6


def named_day(folder, level, count):
    """A day's data set, in a folder that is called the same every day."""
    root = folder / "lerobot"
    feature = vector(OURS)
    writer = Writer(
        root,
        Info(
            20,
            {
                layout.STATE: feature,
                layout.ACTION: feature,
                f"{layout.IMAGES}top": video(48, 64, 20),
            },
            "robot",
        ),
    )
    for number in range(count):
        rows = np.full((40, len(OURS)), level + 0.01 * number, np.float32)
        writer.add(
            {layout.STATE: rows, layout.ACTION: rows},
            {"top": [picture(frame) for frame in range(40)]},
            "Push.",
        )
    return root


def levels(folder):
    return sorted(
        round(float(stored.read().action["left"]["arm"][0, 0]), 2) for stored in store.find(folder)
    )


def test_two_days_in_folders_of_one_name_are_all_taken_over_and_merged(tmp_path):
    days = [named_day(tmp_path / "monday", 0.2, 1), named_day(tmp_path / "tuesday", 0.5, 2)]
    for day, count in zip(days, (1, 2), strict=True):
        assert (
            f"{count} episodes imported, 0 were there before"
            in run("import", day, "--to", tmp_path / "to", *BODIES)[0]
        )
        assert (
            f"0 episodes imported, {count} were there before"
            in run("import", day, "--to", tmp_path / "to", *BODIES)[0]
        )
        run("import", day, "--to", tmp_path / "apart" / day.parent.name, *BODIES)
    assert levels(tmp_path / "to") == [0.2, 0.5, 0.51]
    run(
        "merge",
        tmp_path / "apart" / "monday",
        tmp_path / "apart" / "tuesday",
        "--to",
        tmp_path / "both",
    )
    assert levels(tmp_path / "both") == levels(tmp_path / "to")


def test_an_episode_that_cannot_be_taken_over_is_named_and_the_others_are_taken_over(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name, count=3)
    (root / layout.numbered(layout.DATA, 1)).unlink()
    for put, there in ((2, 0), (0, 2)):
        text, code = run("import", root, "--to", tmp_path / "to", *BODIES)
        assert (
            code == 1 and f"{put} episodes imported, {there} were there before, 1 left out" in text
        )
        assert "episode 1: left out: " in text and "cannot be read" in text
    assert len(store.find(tmp_path / "to")) == 2


def change(root, column, values, number=0):
    """Puts values into a column of an episode's table of frames."""
    path = root / layout.numbered(layout.DATA, number)
    table = pq.read_table(path)
    made = pa.array(values, table[column].type)
    pq.write_table(table.set_column(table.column_names.index(column), column, made), path)


def retold(root, tasks):
    """Puts what the table of episodes says was told; None takes the column away."""
    path = root / layout.numbered(layout.EPISODES, 0)
    table = pq.read_table(path)
    place = table.column_names.index("tasks")
    made = None if tasks is None else pa.array(tasks, pa.list_(pa.string()))
    pq.write_table(
        table.drop_columns(["tasks"]) if made is None else table.set_column(place, "tasks", made),
        path,
    )


@pytest.mark.parametrize("tasks", [None, [[], []], [None, None]])
def test_the_table_of_tasks_says_what_was_told_where_that_of_episodes_does_not(tmp_path, tasks):
    root = foreign(tmp_path / "theirs", lambda name: name)
    tables.write(root / layout.TASKS, tables.tasks(["Push.", "Pull."]))
    change(root, "task_index", [1] * 60, number=1)
    retold(root, tasks)
    assert "2 episodes imported" in run("import", root, "--to", tmp_path / "to", *BODIES)[0]
    assert [stored.row.sentence for stored in store.find(tmp_path / "to")] == ["Push.", "Pull."]


def test_an_episode_that_was_told_two_things_becomes_two(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name, count=1, frames=80)
    tables.write(root / layout.TASKS, tables.tasks(["Open.", "Put."]))
    change(root, "task_index", [int(frame >= 30) for frame in range(80)])
    text, code = run("import", root, "--to", tmp_path / "to", *BODIES)
    assert (
        code == 0 and "pieces: frames 0 to 29, 30 to 79" in text and "2 episodes imported" in text
    )
    found = store.find(tmp_path / "to")
    made = episode(0, 80)
    assert [(stored.row.sentence, stored.row.length) for stored in found] == [
        ("Open.", 30),
        ("Put.", 50),
    ]
    for stored, begin in zip(found, (0, 30), strict=True):
        read = stored.read()
        frames = slice(begin, begin + stored.row.length)
        assert np.allclose(
            read.measured["left"]["arm"], made.measured["left"]["arm"][frames], atol=1e-5
        )
        shown = [bar(each) for each in read.pictures["top"]]
        assert (
            np.abs(
                np.array(shown)
                - [bar(picture(frame)) for frame in range(frames.start, frames.stop)]
            ).max()
            <= 4
        )
    assert (
        "0 episodes imported, 2 were there before"
        in run("import", root, "--to", tmp_path / "to", *BODIES)[0]
    )


def test_rows_that_are_missing_cut_an_episode_and_what_is_too_short_is_left_out(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name, count=1, frames=80)
    late = np.arange(80) / 20 + (np.arange(80) >= 40) * 1.0 + (np.arange(80) >= 70) * 1.0
    change(root, "timestamp", late)
    text, code = run("import", root, "--to", tmp_path / "to", *BODIES)
    assert code == 1 and "2 episodes imported, 0 were there before, 1 left out" in text
    assert "episode 0, frames 70 to 79: left out: only 0." in text
    steps = [
        np.abs(np.diff(stored.read().measured["left"]["arm"], axis=0)).max()
        for stored in store.find(tmp_path / "to")
    ]
    whole = np.abs(np.diff(MADE.measured["left"]["arm"], axis=0)).max()
    assert max(steps) < 2 * whole
    change(root, "timestamp", np.zeros(80))
    text, code = run("import", root, "--to", tmp_path / "more", *BODIES)
    assert code == 1 and "episode 0: left out: timestamps do not go forward at frame 1" in text


def test_pictures_are_taken_by_their_own_time(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name, count=1)
    path = root / layout.numbered(layout.VIDEO, 0, video_key=f"{layout.IMAGES}top")
    mp4.write(path, [picture(frame // 2) for frame in range(120)], 40)
    assert "1 episodes imported" in run("import", root, "--to", tmp_path / "to", *BODIES)[0]
    shown = [bar(each) for each in store.find(tmp_path / "to")[0].read().pictures["top"]]
    assert np.abs(np.diff(np.unwrap(shown, period=56))).max() <= 8 and len(set(shown)) > 13
    assert shown[:14] == pytest.approx([bar(picture(frame)) for frame in range(14)], abs=4)


def test_names_in_a_list_of_a_list_are_the_joints(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name, count=1)
    info = json.loads((root / layout.INFO).read_text())
    for key in (layout.STATE, layout.ACTION):
        info["features"][key]["names"] = [info["features"][key]["names"]]
    (root / layout.INFO).write_text(json.dumps(info))
    assert "1 episodes imported" in run("import", root, "--to", tmp_path / "to", *BODIES)[0]


def fingers(root, of):
    """A data set whose fingers' numbers are made otherwise of their way from open to closed."""
    feature = vector(OURS)
    shape = np.linspace(0, 1, 60)[:, None]
    writer = Writer(
        root,
        Info(
            20,
            {
                layout.STATE: feature,
                layout.ACTION: feature,
                f"{layout.IMAGES}top": video(48, 64, 20),
            },
            "robot",
        ),
    )
    hand = np.array(["_hand_" in name for name in OURS])
    rows = np.where(hand, of(shape), 0.1 * shape).astype(np.float32)
    writer.add(
        {layout.STATE: rows, layout.ACTION: rows},
        {"top": [picture(frame) for frame in range(60)]},
        "Close.",
    )
    return root


@pytest.mark.parametrize("per_joint", [False, True])
def test_fingers_from_one_to_zero_open_and_close_as_the_map_says(tmp_path, per_joint):
    root = fingers(tmp_path / "theirs", lambda closed: 1 - closed)
    pair = {name: [1, 0] for name in OURS if "_hand_" in name} if per_joint else [1, 0]
    text, code = run(
        "import",
        root,
        "--to",
        tmp_path / "to",
        "--map",
        map_of(tmp_path / "map.yaml", range=pair),
        *BODIES,
    )
    assert code == 0, text
    read = store.find(tmp_path / "to")[0].read()
    for side in SIDES:
        limits = catalog.hand("inspire").limits(side)
        assert np.allclose(read.action[side]["hand"][0], limits.lower, atol=0.05)
        assert np.allclose(read.action[side]["hand"][-1], limits.upper, atol=0.05)
    assert run("check", tmp_path / "to", "--quick")[1] == 0


def test_numbers_that_can_be_no_such_angles_are_left_out_with_a_line(tmp_path):
    for root, of in (
        (tmp_path / "share", lambda closed: 1 - closed),
        (tmp_path / "steps", lambda closed: 1000 * closed),
    ):
        text, code = run("import", fingers(root, of), "--to", tmp_path / "to", *BODIES)
        assert code == 1 and "0 episodes imported, 0 were there before, 1 left out" in text
        assert "`range`, `scale` or `degrees` in the map say what they are" in text
    for entry in (
        {"left_hand_index": [1, 0]},
        {"left_arm_joint1": [1, 1]},
        [1, 0, 2],
        {"left_arm_joint1": 3},
    ):
        with pytest.raises(XlvlaError, match=r"range|no joint"):
            run(
                "import",
                root,
                "--to",
                tmp_path / "to",
                "--map",
                map_of(tmp_path / "map.yaml", range=entry),
                *BODIES,
            )


def beside(root, key, rows, names=None):
    """Adds a feature of numbers, the same rows in every episode."""
    path = root / layout.INFO
    described = json.loads(path.read_text())
    described["features"][key] = {
        "dtype": str(rows.dtype),
        "shape": [rows.shape[1]],
        "names": names,
    }
    path.write_text(json.dumps(described))
    for table in (root / "data").rglob("*.parquet"):
        known = pq.read_table(table)
        column = pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])
        pq.write_table(known.append_column(key, column), table)


def renamed(root, ours, theirs):
    """Gives a number of state and action a name of its own."""
    path = root / layout.INFO
    path.write_text(path.read_text().replace(f'"{ours}"', f'"{theirs}"'))


def test_numbers_that_mean_nothing_to_us_are_carried_along(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name)
    ticks = np.arange(120, dtype=np.int64).reshape(60, 2) + 2**40
    beside(root, "observation.ticks", ticks, ["first", "second"])
    forces = np.linspace(0, 1, 180).reshape(60, 3)
    beside(root, "observation.force", forces)
    text, code = run("import", root, "--to", tmp_path / "to", *BODIES)
    assert code == 0 and "not taken over" not in text
    read = store.find(tmp_path / "to")[0].read()
    assert read.others["observation.ticks"].names == ("first", "second")
    assert read.others["observation.ticks"].values.tolist() == ticks.tolist()
    assert read.others["observation.force"].values.tolist() == forces.tolist()
    assert run("check", tmp_path / "to")[1] == 0


def test_joints_that_are_not_mapped_are_carried_along(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name)
    renamed(root, "left_arm_joint7", "base_x")
    right = ("--hands", "right=inspire", "--arms", "right=xarm7")
    text, code = run("import", root, "--to", tmp_path / "to", *right)
    assert code == 0 and "not taken over" not in text
    read = store.find(tmp_path / "to")[0].read()
    carried = read.others["unmapped.observation.state"]
    assert set(carried.names) == {"base_x", *OURS[:6], *OURS[7:13]}
    column = carried.names.index("left_arm_joint1")
    assert np.allclose(carried.values[:, column], MADE.measured["left"]["arm"][:, 0], atol=1e-5)


def test_what_cannot_be_carried_along_is_counted_and_named_in_the_closing_line(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name)
    run("import", root, "--to", tmp_path / "to", *BODIES)
    later = foreign(tmp_path / "later", lambda name: name, frames=50)
    beside(later, "observation.force", np.zeros((50, 3)))
    text, code = run("import", later, "--to", tmp_path / "to", *BODIES)
    assert code == 0
    closing = text.splitlines()[-1]
    assert closing.endswith("1 not taken over: observation.force")
    broken = foreign(tmp_path / "broken", lambda name: name)
    beside(broken, "observation.force", np.full((60, 3), np.nan))
    text, code = run("import", broken, "--to", tmp_path / "other", *BODIES)
    assert code == 0 and "2 episodes imported" in text
    assert text.splitlines()[-1].endswith("1 not taken over: observation.force")


def test_an_arm_without_a_hand_is_imported(tmp_path):
    root = foreign(tmp_path / "theirs", lambda name: name)
    bare = ("--hands", "left=none,right=inspire", "--arms", "left=xarm7,right=none")
    text, code = run("import", root, "--to", tmp_path / "to", *bare)
    assert code == 0, text
    read = store.find(tmp_path / "to")[0].read()
    assert {side: parts["arm"].shape for side, parts in read.action.items()} == {
        "left": (60, 7),
        "right": (60, 0),
    }
    assert set(read.latent) == {"right"}
    assert run("check", tmp_path / "to")[1] == 0
