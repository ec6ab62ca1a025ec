"""Trials are drawn in a balanced order, kept whatever ends the program, and told nobody too early."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import command_line
from xlvla.errors import XlvlaError
from xlvla_cli.trials.results import comparisons, rows
from xlvla_cli.trials.series import FILE, Contender, Series, balanced, draw, load

BLOCKS = [("push_cans", "xhand+xhand"), ("stack_cans", "xhand+xhand")]
WAVE = Path(__file__).parents[2] / "examples" / "policies" / "wave.py"


def made(scenes=4, contenders=2, seed=3):
    names = [Contender(f"secret_{number}", {}, str(number)) for number in range(contenders)]
    trials = draw(BLOCKS, range(100, 100 + scenes), contenders, seed)
    return Series("bimanual", seed, tuple(names), trials)


def scored(series, stages):
    """The series with every trial scored by the share that `stages` says of it."""
    for trial in series.trials:
        share = stages(trial)
        series = series.with_trial(
            replace(trial, state="scored", attempts=1, stage=share, success=share == 1.0)
        )
    return series


@pytest.mark.parametrize("contenders", [2, 3])
def test_every_policy_plays_every_scene_and_comes_first_equally_often(contenders):
    scenes = 2 * contenders
    trials = draw(BLOCKS, range(scenes), contenders, seed=11)
    played = Counter((trial.block, trial.scene, trial.contender) for trial in trials)
    assert set(played.values()) == {1}
    assert len(played) == len(BLOCKS) * scenes * contenders
    for block in BLOCKS:
        of_block = [trial for trial in trials if trial.block == block]
        first = Counter(trial.contender for trial in of_block[::contenders])
        assert set(first.values()) == {2}


def test_the_policies_of_a_scene_follow_each_other():
    trials = draw(BLOCKS, range(4), 2, seed=0)
    for one, other in zip(trials[::2], trials[1::2], strict=True):
        assert (one.block, one.scene) == (other.block, other.scene)


def test_the_order_is_the_seeds_and_another_seed_gives_another():
    orders = [balanced(2, 16, np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]


def test_a_series_is_the_same_when_it_is_read_again(tmp_path):
    series = made()
    series.save(tmp_path)
    assert load(tmp_path) == series
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_the_first_trial_without_a_score_is_next_also_after_one_that_was_taken_back():
    series = scored(made(), lambda trial: 0.5)
    assert series.next is None
    back = series.with_trial(replace(series.trial(3), state="begun"))
    assert back.next is not None and back.next.number == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document["trials"].pop(0), "must be numbered 1 to"),
        (lambda document: document["trials"][0].update(contender=2), "of no contender"),
        (lambda document: document["trials"][0].update(state="lost"), "unknown name 'lost'"),
        (lambda document: document["trials"][0].update(stage=1.5), "stage"),
        (lambda document: document.pop("seed"), "'seed' is missing"),
    ],
)
def test_a_damaged_file_is_refused_with_what_is_wrong(tmp_path, change, words):
    made().save(tmp_path)
    document = json.loads((tmp_path / FILE).read_text())
    change(document)
    (tmp_path / FILE).write_text(json.dumps(document))
    with pytest.raises(XlvlaError, match=re.escape(words)):
        load(tmp_path)


def test_a_folder_without_trials_is_told_how_to_draw_some(tmp_path):
    with pytest.raises(XlvlaError, match="xlvla trials new"):
        load(tmp_path)


def test_results_count_by_policy_and_pair_equal_scenes():
    better = scored(made(), lambda trial: 1.0 if trial.contender else 0.25)
    push, stack, every = rows(better)
    assert (push.name, stack.name, every.name) == ("PC xhand", "SC xhand", "all")
    assert [(rate.successes, rate.trials, rate.psr) for rate in every.rates] == [
        (0, 8, 0.25),
        (8, 8, 1.0),
    ]
    over_all = comparisons(better)[-1]
    assert over_all.difference.pairs == 8
    assert over_all.difference.only == (0, 8)
    assert over_all.difference.stage == 0.75
    assert over_all.difference.p == pytest.approx(2 / 2**8)


def test_a_trial_without_its_partner_is_in_no_pair():
    series = scored(made(), lambda trial: 0.5)
    alone = series.with_trial(replace(series.trial(1), state="waiting"))
    assert comparisons(alone)[0].difference.pairs == 3


def test_who_acted_is_said_only_once_all_trials_are_scored(tmp_path):
    series = scored(made(), lambda trial: 0.5)
    last = series.trials[-1]
    series.with_trial(replace(last, state="waiting")).save(tmp_path)
    shown = command_line.run("trials", "show", str(tmp_path))
    assert shown.returncode == 0
    assert "secret" not in shown.stdout + shown.stderr
    assert not (tmp_path / "report.html").exists()
    asked = command_line.run("trials", "show", str(tmp_path), "--unblind")
    assert "secret_0" in asked.stdout and "1 trials are not scored yet" in asked.stdout
    page = (tmp_path / "report.html").read_text()
    assert "secret_1" in page and "not scored yet" in page


def test_new_draws_trials_and_the_rigs_they_run_on_and_never_over_others(tmp_path, monkeypatch):
    from xlvla import rig_file

    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "wave.py").write_text(WAVE.read_text())
    (folder / "wave_too.py").write_text(WAVE.read_text() + "\nPERIOD_S = 2.0\n")
    monkeypatch.setenv("XLVLA_POLICIES", str(folder))
    trials = tmp_path / "trials"
    command = ("trials", "new", str(trials), "--policy", "wave", "--policy", "wave_too")
    done = command_line.run(*command, "--tasks", "SC", "--hands", "xhand+inspire", "--trials", "3")
    assert done.returncode == 0, done.stderr
    series = load(trials)
    assert len(series.trials) == 6
    rig = rig_file.load(trials / "rigs" / "xhand+inspire-stack_cans.yaml")
    assert rig.policy is None and rig.sim is not None and rig.sim.task == "stack_cans"
    assert (rig.hand("left").name, rig.hand("right").name) == ("xhand", "inspire")
    assert rig.recorder is not None and rig.recorder.folder == str(trials / "recordings")
    again = command_line.run(*command)
    assert again.returncode == 2 and "holds trials already" in again.stderr
    assert load(trials) == series


def test_one_policy_under_two_names_is_no_comparison(tmp_path, monkeypatch):
    from xlvla import rig_file
    from xlvla_cli.trials.contenders import contenders, refuse_changed

    path = tmp_path / "wave.py"
    path.write_text(WAVE.read_text())
    monkeypatch.setenv("XLVLA_POLICIES", str(tmp_path))
    rig = rig_file.load("bimanual")
    with pytest.raises(XlvlaError, match="are one policy"):
        contenders(rig, ["wave", "wave"])
    other = tmp_path / "rig.yaml"
    other.write_text("like: bimanual\nname: other\npolicy: {type: wave, replan_s: 0.4}\n")
    wave, slower = contenders(rig, ["wave", str(other)])
    assert slower.policy["replan_s"] == 0.4
    refuse_changed(wave)
    with pytest.raises(XlvlaError, match="has changed since") as refused:
        refuse_changed(replace(wave, fingerprint="another"))
    assert "wave" not in str(refused.value)


def test_a_score_is_corrected_by_stages_and_a_trial_is_taken_back(tmp_path):
    series = scored(made(), lambda trial: 0.5)
    series.save(tmp_path)
    done = command_line.run(
        "trials", "score", str(tmp_path), "2", "--stages", "4", "--notes", "stood"
    )
    assert done.returncode == 0 and "secret" not in done.stdout
    corrected = load(tmp_path).trial(2)
    assert (corrected.stage, corrected.success, corrected.notes) == (1.0, True, "stood")
    assert corrected.judge == "person"
    refused = command_line.run("trials", "score", str(tmp_path), "2", "--stages", "5")
    assert refused.returncode == 2 and "has 4 stages" in refused.stderr
    command_line.run("trials", "score", str(tmp_path), "2", "--again")
    back = load(tmp_path)
    assert back.next is not None and back.next.number == 2 and back.next.attempts == 1
