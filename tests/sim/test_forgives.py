"""`xlvla bench forgives`: hands that miss their places by a known error."""

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla_cli import eval as evaluation
from xlvla_cli.bench import forgives as command
from xlvla_cli.eval.outcome_file import OutcomeFile
from xlvla_cli.eval.trial import Outcome
from xlvla_sim.miss import Miss
from xlvla_sim.task import WayPoint

SEED = 1_000_000

app = typer.Typer()
app.callback()(lambda: None)
command.register(app)


def at(x, z=0.1):
    return WayPoint(np.array([x, 0.0, z, 0.1, 0.2, 0.3]), 1.0)


def errors(miss, *points):
    led = miss.off({"left": points})["left"]
    return [after.wrist - before.wrist for before, after in zip(points, led, strict=True)]


def test_hands_miss_by_the_size_level_with_the_table_and_anew_wherever_they_are_sent():
    miss = Miss(0.02, np.random.default_rng(0))
    first, last = errors(miss, at(0.3), at(0.5))
    assert np.linalg.norm(first[:2]) == pytest.approx(0.02) and not first[2:].any()
    assert np.array_equal(first, last)
    (stays,) = errors(miss, at(0.5))
    assert np.array_equal(stays, first), "a hand that only closes stays where it is"
    (elsewhere,) = errors(miss, at(0.5, z=0.2))
    assert np.linalg.norm(elsewhere[:2]) == pytest.approx(0.02)
    assert not np.allclose(elsewhere, first)


def test_errors_that_are_none_are_refused():
    assert command.sizes("0,5,10,5") == [0.0, 5.0, 10.0]
    for text in ("", "five", "-1", "nan", "1e9"):
        with pytest.raises(XlvlaError, match="--errors"):
            command.sizes(text)


def planned(*sizes_mm):
    base = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    rig = evaluation.for_task(evaluation.for_hands(base, ("inspire", "inspire")), "stack_cans")
    return command.trials_of(rig, sizes_mm, range(SEED, SEED + 2))


def test_every_error_has_the_same_seeds_and_without_one_a_trial_is_the_experts_own():
    trials = planned(0.0, 10.0, 20.0)
    assert [trial.miss_m for trial in trials] == [0.0, 0.0, 0.01, 0.01, 0.02, 0.02]
    assert [trial.seed for trial in trials] == [SEED, SEED + 1] * 3
    assert len({trial.key for trial in trials}) == 6
    own = evaluation.trials_of(trials[0].rig, "expert", [SEED], ros=False, delay_s=0.0, threads=1)
    assert own[0].key == trials[0].key


def test_what_is_finished_is_not_played_again_and_is_shown_over_millimetres(tmp_path):
    finished = OutcomeFile(tmp_path)
    for trial in planned(0.0, 35.0):
        success = trial.miss_m == 0 or trial.seed == SEED
        finished.enter(trial, Outcome(success, float(success), 5.0, ""))
    options = ["--task", "SC", "--hands", "inspire", "--errors", "0,35", "--trials", "2"]
    done = CliRunner(env={"COLUMNS": "200"}).invoke(
        app, ["forgives", *options, "--out", str(tmp_path)]
    )
    assert done.exit_code == 0, done.output
    assert "2/2" in done.output and "1/2" in done.output and "35 mm" in done.output
    rows = json.loads((tmp_path / "forgives.json").read_text())
    assert [(row["error_mm"], row["sr"]) for row in rows] == [(0.0, 1.0), (35.0, 0.5)]
    assert (tmp_path / "forgives.png").stat().st_size > 5000
