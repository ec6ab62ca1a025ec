"""`xlvla bench peers`: everybody's work is real and checked; a package that is missing is named."""

from __future__ import annotations

import os
import pickle
import re
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("mcap")
pytest.importorskip("rosbags")
pytest.importorskip("daqp")

from xlvla.errors import XlvlaError
from xlvla_cli.bench.peers import bags
from xlvla_cli.bench.peers.contest import OURS, Standing, compared, core_of
from xlvla_cli.bench.peers.contests import CONTESTS

ROOT = Path(__file__).parents[1]
in_a_checkout = pytest.mark.skipif(
    not (ROOT / "pyproject.toml").is_file(), reason="the installed package has no lists"
)
BY_NAME = {contest.name: contest for contest in CONTESTS}
SMALL = 0.005


def among(name, *packages):
    """The contest among those whose packages every environment of the tests has."""
    contest = BY_NAME[name]
    here = {who: how for who, how in contest.peers.items() if who in (*packages, OURS)}
    return replace(contest, peers=here, packages=("mcap",))


def result(contest, folder):
    return compared(contest, folder, 1, SMALL, 0, lambda said: None)


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("write", ["mcap"]),
        pytest.param("write-fsync", [], marks=pytest.mark.long),
        pytest.param("read", ["mcap", "rosbags"], marks=pytest.mark.long),
    ],
)
def test_a_robots_messages_are_written_and_read_back(tmp_path, name, others):
    standings = result(among(name, *others), tmp_path)
    assert [standing.who for standing in standings] == [*others, OURS]
    assert all(standing.median > 0 and standing.done == 1.0 for standing in standings)


@pytest.mark.parametrize("name", ["servo", pytest.param("ik", marks=pytest.mark.long)])
def test_an_arm_reaches_poses_and_follows_a_path(tmp_path, name):
    (ours,) = result(among(name), tmp_path)
    assert ours.median > 0 and ours.done > 0.9


def test_who_did_not_do_all_of_the_work_has_no_figure(tmp_path):
    """The bag that is read holds half of the messages that are asked for."""
    bags.prepare(tmp_path, SMALL)
    whole = pickle.loads((tmp_path / bags.WORK).read_bytes())
    messages = whole.messages + [(number, ns + 1, data) for number, ns, data in whole.messages]
    (tmp_path / bags.WORK).write_bytes(pickle.dumps(replace(whole, messages=messages)))
    assert "of" in bags.read_ours(tmp_path).fault
    assert bags.read_rosbags(tmp_path).fault


def test_ratios_are_of_figures_of_the_same_round():
    standing = Standing("other", [1.0, 2.0, 4.0], [2.0, 2.0, 2.0], 1.0)
    assert standing.ratio == (1.0, 0.5, 2.0)
    assert Standing(OURS, [1.0], [1.0], 1.0).ratio is None


def test_a_package_that_is_missing_is_named(tmp_path):
    contest = replace(among("ik"), packages=("a-library-of-nobody",))
    with pytest.raises(XlvlaError, match=r"a-library-of-nobody is not installed.*xlvla\[peers\]"):
        result(contest, tmp_path)


@in_a_checkout
def test_every_package_that_takes_part_comes_with_the_extra():
    text = (ROOT / "pyproject.toml").read_text()
    extra = re.findall(r'"([a-z0-9-]+)[<>=]', text[text.index("\npeers = [") :].split("]")[0])
    taking_part = {package for contest in CONTESTS for package in contest.packages}
    assert taking_part <= {*extra, "pin"}


def test_a_core_that_a_container_has_not_is_one_line():
    mine = sorted(os.sched_getaffinity(0))
    assert core_of(None) == mine[0] and core_of(mine[-1]) == mine[-1]
    beyond = mine[-1] + 1000
    with pytest.raises(XlvlaError, match=rf"--core {beyond}: this process may use {mine[0]}"):
        core_of(beyond)
