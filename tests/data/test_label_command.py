"""`xlvla data label`: success, sentence and task of a recorded episode, said afterwards."""

from __future__ import annotations

import pytest
from made_episodes import episode, run

from xlvla.errors import XlvlaError
from xlvla_data import bagged
from xlvla_data.bag.card import read_episode_card


@pytest.fixture
def recorded(tmp_path):
    return bagged.write(episode(0, 40), tmp_path / "session/episode_000000")


def test_what_is_said_changes_and_nothing_else(recorded):
    before = read_episode_card(recorded)
    text, code = run("label", recorded, "--success", "no", "--instruction", "Pour it.")
    assert code == 0 and "success no, 'Pour it.'" in text
    after = read_episode_card(recorded)
    assert (after.success, after.instruction, after.task) == (False, "Pour it.", before.task)
    run("label", recorded, "--success", "unknown", "--task", "SC")
    after = read_episode_card(recorded)
    assert (after.success, after.instruction, after.task) == (None, "Pour it.", "stack_cans")


def test_one_wrong_folder_or_word_changes_nothing(recorded, tmp_path):
    before = read_episode_card(recorded)
    with pytest.raises(XlvlaError, match="is no recorded episode"):
        run("label", recorded, tmp_path, "--success", "no")
    with pytest.raises(XlvlaError, match="unknown success 'maybe'"):
        run("label", recorded, "--success", "maybe")
    with pytest.raises(XlvlaError, match="nothing to label"):
        run("label", recorded)
    assert read_episode_card(recorded) == before


@pytest.mark.parametrize("command", ["show", "stats", "merge"])
def test_recordings_taken_for_a_data_set_are_told_apart(recorded, tmp_path, command):
    options = ("--to", tmp_path / "to") if command == "merge" else ()
    with pytest.raises(XlvlaError, match="holds recordings, no data set: `xlvla data convert"):
        run(command, recorded.parents[1], *options)
