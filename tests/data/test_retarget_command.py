"""`xlvla retarget`: every episode once, and what is there stays as it is."""

from __future__ import annotations

from dataclasses import replace

import made_episodes
import pytest
import typer
from typer.testing import CliRunner

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla_cli import retarget as command
from xlvla_data import store

app = typer.Typer()
command.register(app)
app.callback()(lambda: None)


def run(*arguments):
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(
        app, ["retarget", *map(str, arguments)]
    )
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.fixture
def source(tmp_path):
    kept = store.Store(tmp_path / "source")
    for seed in range(2):
        kept.add(made_episodes.episode(seed, 12, session="monday", recording=f"episode_{seed:06d}"))
    return kept.root


def test_every_episode_is_written_once_and_not_again(source, tmp_path):
    out = tmp_path / "out"
    run(source, "--to", "xhand", "--out", out)
    made = store.find(out)
    assert [stored.key for stored in made] == ["monday/episode_000000", "monday/episode_000001"]
    assert made[0].data.info.total_frames == 24 and {stored.success for stored in made} == {None}
    assert made_episodes.run("check", out, "--quick")[1] == 0
    assert "2 were there before" in run(source, "--to", "xhand", "--out", out)
    store.Store(source).add(
        made_episodes.episode(2, 12, session="monday", recording="episode_000002")
    )
    assert "2 were there before" in run(source, "--to", "xhand", "--out", out)
    assert len(store.find(out)) == 3


def test_a_hand_that_the_codec_does_not_know_is_refused_before_anything_is_read(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(catalog.hands(), "odd", replace(catalog.hand("xhand"), name="odd"))
    with pytest.raises(XlvlaError, match="not 'odd': teach it with `xlvla codec add odd`"):
        run(tmp_path / "nothing", "--to", "odd")


def test_another_episode_of_the_same_name_is_an_error(source, tmp_path):
    other = store.Store(tmp_path / "other")
    other.add(made_episodes.episode(5, 12, session="monday", recording="episode_000001"))
    run(source, "--to", "xhand", "--out", tmp_path / "out")
    with pytest.raises(XlvlaError, match="1 of 1 episodes could not be moved"):
        run(other.root, "--to", "xhand", "--out", tmp_path / "out")
    assert len(store.find(tmp_path / "out")) == 2
