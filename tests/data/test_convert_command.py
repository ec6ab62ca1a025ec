"""`xlvla data convert`: what was recorded is what is in the data set, whatever interrupts it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import made_episodes
import numpy as np
import pytest
from made_episodes import run

from xlvla.errors import XlvlaError
from xlvla.types import PARTS, SIDES
from xlvla_data import bagged, store
from xlvla_data.bag.card import CARD
from xlvla_data.bag.reader import Bag
from xlvla_data.convert import STAMPS
from xlvla_data.lerobot import verification, video
from xlvla_data.recorded import take
from xlvla_data.validation import Inspection


def record(folder, *episodes, verdicts=()):
    """A session of these episodes."""
    for number, episode in enumerate(episodes):
        verdict = verdicts[number] if number < len(verdicts) else "green"
        bagged.write(episode, folder / f"episode_{number:06d}", verdict)
    return folder


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    made = made_episodes
    folder = tmp_path_factory.mktemp("recordings") / "monday"
    return record(
        folder, made.episode(0), made.episode(1), made.episode(2, hands=("xhand", "inspire"))
    )


@pytest.fixture(scope="module")
def converted(session, tmp_path_factory):
    to = tmp_path_factory.mktemp("converted")
    text, code = run("convert", session, "--to", to)
    assert code == 0 and "3 converted" in text and "x real time, every frame read back" in text
    return to


def test_a_recording_becomes_the_episode_that_was_recorded(converted):
    found = store.find(converted)
    assert [stored.key for stored in found] == [
        f"monday/episode_{number:06d}" for number in (0, 1, 2)
    ]
    assert {root.name for root in store.roots(converted)} == {
        "push_cans-inspire-inspire",
        "push_cans-xhand-inspire",
    }
    for seed, stored in enumerate(found):
        read = stored.read()
        made = made_episodes.episode(seed, hands=tuple(stored.hands[side] for side in SIDES))
        assert read.frames == made.frames and (
            read.info.seed,
            read.info.success,
            read.info.verdict,
        ) == (seed, True, "green")
        for side in SIDES:
            for part in PARTS:
                assert np.allclose(read.action[side][part], made.action[side][part], atol=1e-5)
                assert np.allclose(read.measured[side][part], made.measured[side][part], atol=1e-5)
            assert np.allclose(read.latent[side], made.latent[side], atol=1e-3)
        assert [made_episodes.bar(each) for each in read.pictures["front"]] == [
            made_episodes.bar(each) for each in made.pictures["front"]
        ]
        assert len(read.others[STAMPS].names) == 1 + 1 + 2 * 4 and set(
            np.diff(read.others[STAMPS].values[:, 0])
        ) == {50_000_000}


def test_nothing_is_wrong_with_what_was_converted(converted):
    assert run("check", converted) == ("2 data sets: nothing is wrong\n", 0)


def test_what_is_there_is_not_converted_again(session, converted):
    before = {path: path.stat().st_mtime_ns for path in converted.rglob("*")}
    text, code = run("convert", session, "--to", converted)
    assert code == 0 and "0 converted, 3 there before" in text
    assert {path: path.stat().st_mtime_ns for path in converted.rglob("*")} == before


def test_discarded_and_red_episodes_are_left_out_and_red_ones_taken_when_asked(tmp_path):
    session = record(
        tmp_path / "s", *map(made_episodes.episode, range(3)), verdicts=("green", "red", "yellow")
    )
    (session / "discarded").mkdir()
    (session / "episode_000000").rename(session / "discarded" / "episode_000000")
    text, code = run("convert", session, "--to", tmp_path / "to")
    assert (
        code == 0
        and "s/episode_000001: red, left out" in text
        and "1 converted, 1 left out" in text
    )
    text, _ = run("convert", session, "--to", tmp_path / "to", "--red")
    assert "1 converted, 1 there before" in text
    assert [stored.verdict for stored in store.find(tmp_path / "to")] == ["yellow", "red"]


def test_where_every_episode_is_left_out_the_exit_code_says_so(tmp_path):
    session = record(tmp_path / "s", made_episodes.episode(0), verdicts=("red",))
    text, code = run("convert", session, "--to", tmp_path / "to")
    assert code == 1 and "s/episode_000000: red, left out" in text
    assert "0 converted, 1 left out" in text


def test_an_episode_that_cannot_be_trusted_is_refused_with_a_line_and_the_others_are_converted(
    tmp_path,
):
    session = record(
        tmp_path / "s",
        made_episodes.episode(0),
        made_episodes.episode(1),
        made_episodes.episode(2, frames=10),
    )
    card = session / "episode_000000" / CARD
    card.write_text(json.dumps(json.loads(card.read_text()) | {"state": "recording"}))
    bag = session / "episode_000001" / "episode_000001_0.mcap"
    bag.write_bytes(bag.read_bytes()[: len(bag.read_bytes()) // 30])
    text, code = run("convert", session, "--to", tmp_path / "to")
    assert code == 1 and "0 converted, 1 left out, 2 refused" in text and "Traceback" not in text
    assert "s/episode_000000: left out: its state is 'recording'" in text
    assert "s/episode_000002: refused: only 0.5 s of it have all of" in text


def test_old_samples_are_allowed_where_the_user_says_so(tmp_path):
    session = record(tmp_path / "s", made_episodes.episode(0))
    assert (
        run("convert", session, "--to", tmp_path / "to", "--max-age", "camera=0,state=1")[1] == 0
    )  # pictures are as old as their frames
    text, code = run("convert", session, "--to", tmp_path / "more", "--max-age", "state=-1")
    assert code == 1 and "refused: only 0.0 s of it have all of" in text
    with pytest.raises(XlvlaError, match=r"unknown stream 'camrea'.*did you mean 'camera'"):
        run("convert", session, "--to", tmp_path / "to", "--max-age", "camrea=1")
    with pytest.raises(XlvlaError, match="a stream and seconds are wanted"):
        run("convert", session, "--to", tmp_path / "to", "--max-age", "camera=soon")
    with pytest.raises(XlvlaError, match="no recorded episodes in"):
        run("convert", tmp_path / "to", "--to", tmp_path / "most")


def test_forces_and_the_operators_hands_are_kept_unless_they_are_not_wanted(tmp_path):
    made = made_episodes.touched(made_episodes.episode(0))
    session = record(tmp_path / "s", made)
    run("convert", session, "--to", tmp_path / "to")
    read = store.find(tmp_path / "to")[0].read()
    assert set(read.others) == {*made.others, STAMPS} and set(read.others[STAMPS].names) >= set(
        made.others
    )
    for key, column in made.others.items():
        assert read.others[key].names == column.names and np.allclose(
            read.others[key].values, column.values, atol=1e-6
        ), key
    run("convert", session, "--to", tmp_path / "bare", "--without", "operator,observation.tactile")
    assert set(store.find(tmp_path / "bare")[0].read().others) == {STAMPS}
    text, code = run(
        "convert", record(tmp_path / "t", made_episodes.episode(1)), "--to", tmp_path / "to"
    )
    assert (
        code == 1
        and "t/episode_000000: refused: " in text
        and "holds a data set of other feature" in text
    )


def test_a_converter_killed_at_any_moment_leaves_whole_episodes_and_goes_on(tmp_path):
    session = record(tmp_path / "s", *(made_episodes.episode(seed, frames=60) for seed in range(6)))
    to = tmp_path / "to"
    command = [
        sys.executable,
        "-m",
        "xlvla",
        "data",
        "convert",
        str(session),
        "--to",
        str(tmp_path / "to"),
    ]
    root = to / "push_cans-inspire-inspire"
    for most in (2,):
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "COLUMNS": "100"},
        )
        end = time.monotonic() + 60
        while (
            len(list((root / "data").rglob("*.parquet"))) < most
            and process.poll() is None
            and time.monotonic() < end
        ):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
        if store.roots(to):
            inspection = Inspection(root)
            lines = [
                *inspection.before(),
                *(line for row in inspection.episodes for line in inspection.of(row)),
                *inspection.after(),
            ]
            assert lines == []
    text, code = run("convert", session, "--to", to)
    assert code == 0 and "refused" not in text
    assert sorted(stored.key for stored in store.find(to)) == [
        f"s/episode_{number:06d}" for number in range(6)
    ]
    assert run("check", to)[1] == 0


def test_what_is_read_back_otherwise_is_no_part_of_the_data_set(tmp_path):
    pictures = list(made_episodes.episode(0).pictures["front"])
    video.write(tmp_path / "a.mp4", pictures, 20)
    small = [each[::4, ::4] for each in pictures]
    verification.same_pictures(tmp_path / "a.mp4", small)
    with pytest.raises(XlvlaError, match="written with 39 pictures but holds more"):
        verification.same_pictures(tmp_path / "a.mp4", small[:-1])
    with pytest.raises(XlvlaError, match="written with 41 pictures but holds fewer"):
        verification.same_pictures(tmp_path / "a.mp4", [*small, small[-1]])
    with pytest.raises(
        XlvlaError, match=r"picture 5 is read back other than it was written, by \d+ of 255"
    ):
        verification.same_pictures(tmp_path / "a.mp4", [*small[:5], small[9], *small[6:]])


def test_the_topics_read_are_those_the_graph_has(session):
    topics = pytest.importorskip("xlvla.ros.topics")
    from xlvla_data import recorded

    kept = recorded.kept({"left": "xhand", "right": "xhand"})
    for side in SIDES:
        wanted = {
            topics.tactile(side).name,
            topics.operator_wrist(side).name,
            topics.operator_keypoints(side).name,
            topics.leader(side).name,
        }
        assert wanted <= set(kept)
    assert set(take(Bag(session / "episode_000000"), 20).cameras) == {"front"}


def test_another_session_of_the_same_name_is_refused_with_a_line(tmp_path):
    monday = record(
        tmp_path / "monday" / "session", made_episodes.episode(0), made_episodes.episode(1)
    )
    tuesday = record(
        tmp_path / "tuesday" / "session",
        made_episodes.episode(2),
        made_episodes.episode(3),
        made_episodes.episode(4),
    )
    run("convert", monday, "--to", tmp_path / "to")
    text, code = run("convert", tuesday, "--to", tmp_path / "to")
    assert code == 1 and "1 converted, 2 refused" in text
    assert (
        "another recording called 'session/episode_000001' is there already: rename the folder of "
        "this session" in text
    )
    assert "0 converted, 2 there before" in run("convert", monday, "--to", tmp_path / "to")[0]
    tuesday.rename(tuesday.with_name("session2"))
    text, code = run("convert", tuesday.with_name("session2"), "--to", tmp_path / "to")
    assert code == 0 and "3 converted" in text


@pytest.mark.parametrize("task", ["../elsewhere", "/tmp/elsewhere", "a/b"])
def test_a_task_that_leads_out_of_the_folder_is_refused(tmp_path, task):
    session = record(tmp_path / "deep" / "s", made_episodes.episode(0))
    card = session / "episode_000000" / CARD
    card.write_text(json.dumps(json.loads(card.read_text()) | {"task": task}))
    before = sorted(tmp_path.rglob("*"))
    text, code = run("convert", session, "--to", tmp_path / "deep" / "to")
    assert (
        code == 1
        and f"refused: the task is called '{task}': a name is one to 200 letters, without slashes"
        in text
    )
    assert sorted(tmp_path.rglob("*")) == before
