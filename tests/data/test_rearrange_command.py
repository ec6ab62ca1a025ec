"""`xlvla data merge | split | stats | show`: episodes chosen, put together, counted and drawn."""

from __future__ import annotations

import json
import os
import shutil

import made_episodes
import numpy as np
import pytest
from made_episodes import run

from rows import rows
from xlvla.errors import XlvlaError
from xlvla_data import rearrange, store
from xlvla_data.lerobot.reader import Dataset


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two folders: three episodes of inspires, the same three and two more with another hand and of
    another task.
    """
    first, second = (store.Store(tmp_path_factory.mktemp(name)) for name in ("first", "second"))
    facts = {"verdict": "green", "session": "monday"}
    for seed in range(3):
        first.add(made_episodes.episode(seed, 20 + seed, recording=f"episode_{seed:06d}", **facts))
    facts = {"verdict": "yellow", "session": "tuesday", "success": None}
    for seed in range(2):
        second.add(made_episodes.episode(seed, 24, recording=f"episode_{seed:06d}", **facts))
        second.add(
            made_episodes.episode(
                seed,
                22,
                ("xhand", "inspire"),
                recording=f"episode_{seed + 2:06d}",
                **{**facts, "success": False},
            )
        )
        second.add(
            made_episodes.episode(
                seed,
                21,
                task="push_sugar",
                recording=f"episode_{seed + 4:06d}",
                **{**facts, "verdict": "red"},
            )
        )
    return first.root, second.root


def keys(folder):
    return sorted(stored.key for stored in store.find(folder))


def test_merged_episodes_are_what_they_were(folders, tmp_path):
    text, code = run("merge", *folders, "--to", tmp_path)
    assert code == 0 and f"{tmp_path / 'push_cans-inspire-inspire'}: 5 episodes" in text
    assert keys(tmp_path) == sorted((*keys(folders[0]), *keys(folders[1])))
    before = {stored.key: stored.read() for folder in folders for stored in store.find(folder)}
    for stored in store.find(tmp_path):
        now = stored.read()
        then = before[stored.key]
        assert (now.info.session, now.info.verdict, now.info.success) == (
            then.info.session,
            then.info.verdict,
            then.info.success,
        )
        assert all(
            np.array_equal(now.action[side]["hand"], then.action[side]["hand"])
            for side in now.action
        )
        assert all(
            np.array_equal(*pair)
            for pair in zip(now.pictures["front"], then.pictures["front"], strict=True)
        )
    assert run("check", tmp_path)[1] == 0


def test_videos_are_linked_and_what_is_there_is_not_put_there_again(folders, tmp_path):
    run("merge", folders[0], "--to", tmp_path)
    videos = list(tmp_path.rglob("*.mp4"))
    assert len(videos) == 3 and all(os.stat(path).st_nlink >= 2 for path in videos)
    text, _ = run("merge", *folders, "--to", tmp_path)
    assert "3 were there before" in text and len(keys(tmp_path)) == 9


def test_a_data_set_is_not_merged_into_itself_nor_with_other_features(folders, tmp_path):
    with pytest.raises(XlvlaError, match="one of the data sets that are read"):
        run("merge", folders[0], "--to", folders[0])
    odd = store.Store(tmp_path / "odd")
    episode = made_episodes.episode(9)
    odd.add(made_episodes.replace(episode, pictures={"wrist": episode.pictures["front"]}))
    with pytest.raises(XlvlaError, match="have no camera in common: they cannot be merged"):
        run("merge", folders[0], odd.root, "--to", tmp_path / "to")
    assert not (tmp_path / "to").exists()


def test_disturbed_and_other_episodes_are_merged_each_with_what_was_executed(folders, tmp_path):
    odd = store.Store(tmp_path / "odd")
    plan = made_episodes.episode(9, session="monday", recording="odd", disturbed="left arm 0-1 s")
    executed = {
        side: {part: rows * 0.99 for part, rows in parts.items()}
        for side, parts in plan.action.items()
    }
    odd.add(made_episodes.replace(plan, executed=executed))
    for first, second in ((odd.root, folders[0]), (folders[0], odd.root)):
        to = tmp_path / f"to_{first.name}"
        text, _ = run("merge", first, second, "--to", to)
        assert "left out" not in text and run("check", to, "--quick")[1] == 0
        merged = {stored.key: stored for stored in store.find(to)}
        assert merged["monday/odd"].disturbed == "left arm 0-1 s"
        assert merged["monday/episode_000000"].disturbed is None
        for key, stored in merged.items():
            read = stored.read()
            wanted = executed if key == "monday/odd" else read.action
            for side in ("left", "right"):
                assert np.allclose(read.executed[side]["hand"], wanted[side]["hand"], atol=1e-6)


def test_an_executed_command_beyond_the_limits_is_found(tmp_path):
    plan = made_episodes.episode(9, session="monday", recording="odd")
    beyond = {side: {**parts, "arm": parts["arm"] + 10} for side, parts in plan.action.items()}
    store.Store(tmp_path).add(made_episodes.replace(plan, executed=beyond))
    text, code = run("check", tmp_path, "--quick")
    assert code == 1 and "'executed' out of limits" in text


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--hands", "xhand"), 2),
        (("--hands", "inspire+inspire"), 7),
        (("--tasks", "PuS"), 2),
        (("--verdict", "yellow,red"), 6),
        (("--success", "yes"), 3),
        (("--success", "unknown,no", "--tasks", "push_cans"), 4),
    ],
)
def test_episodes_are_chosen_by_hand_task_verdict_and_success(folders, tmp_path, options, expected):
    run("merge", *folders, "--to", tmp_path, *options)
    assert len(keys(tmp_path)) == expected


def test_a_word_nobody_knows_and_a_choice_of_nothing_are_one_clear_line(folders, tmp_path):
    for options, complaint in (
        (("--hands", "xhnad"), "unknown hand 'xhnad'.*did you mean 'xhand'"),
        (("--verdict", "gren"), "unknown verdict 'gren'.*did you mean 'green'"),
        (("--success", "maybe"), "unknown success 'maybe': known are yes, no, unknown"),
        (("--hands", "paxini"), "none of the 3 episodes is what was asked for"),
    ):
        with pytest.raises(XlvlaError, match=complaint):
            run("merge", folders[0], "--to", tmp_path, *options)


def test_a_hand_is_held_out_at_a_task(folders, tmp_path):
    run("split", *folders, "--to", tmp_path, "--holdout", "xhand:PC")
    assert {stored.hands["left"] for stored in store.find(tmp_path / "held_out")} == {"xhand"}
    assert len(keys(tmp_path / "train")) == 7 and "xhand" not in {
        stored.hands["left"] for stored in store.find(tmp_path / "train")
    }


def test_a_share_is_held_out_by_seed_and_an_episode_stays_where_it_is_when_others_come(
    folders, tmp_path
):
    run("split", *folders, "--to", tmp_path / "a", "--share", "0.4", "--seed", "3")
    run("split", *folders, "--to", tmp_path / "b", "--share", "0.4", "--seed", "3")
    run("split", folders[1], "--to", tmp_path / "c", "--share", "0.4", "--seed", "3")
    held = keys(tmp_path / "a" / "held_out")
    kept = keys(tmp_path / "a" / "train")
    assert not set(held) & set(kept) and len(held) + len(kept) == 9
    assert keys(tmp_path / "b" / "held_out") == held and set(
        keys(tmp_path / "c" / "held_out")
    ) <= set(held)
    episodes = [stored for folder in folders for stored in store.find(folder)]
    others = {
        tuple(move.folder.name for move in rearrange.share(episodes, tmp_path, 0.4, seed))
        for seed in range(6)
    }
    assert len(others) > 1


def test_a_split_that_splits_nothing_is_refused(folders, tmp_path):
    with pytest.raises(XlvlaError, match="one of the two"):
        run("split", folders[0], "--to", tmp_path)
    with pytest.raises(XlvlaError, match="all 3 episodes would be train: nothing is split"):
        run("split", folders[0], "--to", tmp_path, "--holdout", "xhand:PC")


def test_figures_count_episodes_durations_successes_and_verdicts(folders):
    text, code = run("stats", *folders)
    assert code == 0
    rows = [[cell for cell in line.split("  ") if cell.strip()] for line in text.splitlines()]
    (cans,) = [
        row for row in rows if [cell.strip() for cell in row[:2]] == ["push_cans", "inspire"]
    ]
    assert [cell.strip() for cell in cans[2:]] == [
        "5",
        "0.1",
        "1.0 - 1.2",
        "3/3",
        "3 green, 2 yellow",
        "2",
    ]
    assert "observation.images.front" in text and "48x64x3" in text
    text, _ = run("stats", folders[0], "--joints")
    assert "left_arm_joint1" in text and "%" in text


def test_a_report_is_one_page_with_pictures_joints_and_coverage(folders, tmp_path):
    text, code = run(
        "show", *folders, "--out", tmp_path, "--most", "1", "--hands", "inspire+inspire"
    )
    assert code == 0 and str(tmp_path / "report.html") in text
    page = (tmp_path / "report.html").read_text()
    assert page.count("<svg") == 3 + 2 + 4 and page.count("data:image/jpeg") == 8
    assert 'src="http' not in page and "<script" not in page
    assert "left_arm_joint1" in page and "coverage of the latent space" in page
    assert (tmp_path / "overview.png").read_bytes().startswith(b"\x89PNG")


def test_statistics_of_a_merged_data_set_are_those_of_all_its_frames(folders, tmp_path):
    run("merge", *folders, "--to", tmp_path)
    data = Dataset(tmp_path / "push_cans-inspire-inspire")
    every = np.concatenate([data.columns(row, "action")["action"] for row in data.episodes])
    told = json.loads((data.root / "meta/stats.json").read_text())["action"]
    assert np.allclose(told["mean"], every.mean(0), atol=1e-5) and np.allclose(
        told["std"], every.std(0), atol=1e-5
    )


def test_episodes_of_one_name_that_are_not_the_same_are_not_merged_and_nothing_is_lost(
    folders, tmp_path
):
    other = store.Store(tmp_path / "other")
    other.add(made_episodes.episode(7, 20, session="monday", recording="episode_000001"))
    for first, second in ((folders[0], other.root), (other.root, folders[0])):
        with pytest.raises(
            XlvlaError,
            match="both called 'monday/episode_000001' but are not the same: nothing is put there",
        ):
            run("merge", first, second, "--to", tmp_path / "to")
        assert not (tmp_path / "to").exists()


def test_episodes_without_a_recording_or_a_seed_are_told_apart_by_their_content(tmp_path):
    kept = store.Store(tmp_path / "made")
    for seed in range(3):
        made = made_episodes.episode(seed)
        kept.add(made_episodes.replace(made, info=made_episodes.replace(made.info, seed=-1)))
    run("merge", kept.root, "--to", tmp_path / "to")
    assert keys(tmp_path / "to") == keys(kept.root) and len(set(keys(kept.root))) == 3


OUTSIDE = ("../elsewhere", "/tmp/elsewhere", "..", "a/b", "a\\b", "line\nbreak", 3, "x" * 300)


@pytest.mark.parametrize(("command", "name"), rows(("merge", "split", "check"), OUTSIDE))
def test_names_that_lead_out_of_the_folder_are_refused_and_found(folders, tmp_path, command, name):
    root = tmp_path / "deep" / "theirs"
    shutil.copytree(folders[0] / "push_cans-inspire-inspire", root)
    sound = json.loads((root / "meta/info.json").read_text())
    front = sound["features"].pop("observation.images.front")
    spoilt = [
        sound | {"xlvla": sound["xlvla"] | {"task": name}},
        sound | {"xlvla": sound["xlvla"] | {"hands": {"left": name}}},
    ]
    spoilt += [sound | {"features": {**sound["features"], str(name): front}}] if name != 3 else []
    for document in spoilt:
        (root / "meta/info.json").write_text(json.dumps(document))
        before = sorted(tmp_path.rglob("*"))
        options = {
            "merge": ("--to", tmp_path / "deep" / "to"),
            "split": ("--to", tmp_path / "deep" / "to", "--share", "0.5"),
            "check": (),
        }
        if command == "check":
            text, code = run("check", root)
            assert code == 1 and "a name is one to 200 letters, without slashes" in text
        else:
            with pytest.raises(XlvlaError, match="a name is one to 200 letters, without slashes"):
                run(command, root, *options[command])
        assert sorted(tmp_path.rglob("*")) == before
