import json
import pickle
import sys
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

pytest.importorskip("mujoco")

from xlvla import holdout, paper, rig_file
from xlvla.errors import XlvlaError
from xlvla_cli import eval as command
from xlvla_cli.app import app
from xlvla_cli.eval.engines import consecutive, local
from xlvla_cli.eval.outcome_file import FILE, OutcomeFile
from xlvla_cli.eval.play import play
from xlvla_cli.eval.table import rate, table, wilson
from xlvla_cli.eval.trial import Outcome

SEED = 1_000_000


def cell(hand="xhand", task="push_cans", seeds=range(SEED, SEED + 2), policy="expert", **choices):
    rig = command.for_task(command.for_hands(rig_file.load("bimanual"), (hand, hand)), task)
    return [
        replace(trial, **choices)
        for trial in command.trials_of(rig, policy, seeds, ros=False, delay_s=0.15, threads=1)
    ]


def test_the_expert_is_evaluated_on_a_rig_that_has_no_policy():
    without = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    rig = command.for_task(command.with_policy(without, "expert"), "stack_cans")
    assert (rig.policy, rig.sim.task) == (None, "stack_cans")
    (trial,) = command.trials_of(rig, "expert", [SEED], ros=False, delay_s=0.15, threads=1)
    assert play(trial).outcome.success


def test_a_policy_is_evaluated_on_a_rig_that_has_none():
    without = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
    rig = command.for_task(command.with_policy(without, "xlvla"), "push_cans")
    assert rig.policy.type == "xlvla"
    assert rig.policy.instruction == "Push the two tomato cans together."


@pytest.mark.parametrize("word", ["PC", "pc", "push_cans", "push-cans", " Push_Cans "])
def test_a_task_may_be_named_as_in_the_paper_or_in_the_catalogue(word):
    assert paper.task(word) == "push_cans" and paper.code("push_cans") == "PC"


def test_a_task_nobody_knows_is_answered_with_the_nearest():
    with pytest.raises(XlvlaError, match="did you mean 'push_cans'"):
        paper.tasks("pc,push_can")


def test_the_papers_hands_are_in_the_catalogue():
    assert command.hand_pairs("paper") == [
        (name, name) for name in ("ability", "inspire", "paxini", "xhand")
    ]
    assert command.hand_pairs("xhand+inspire,xhand") == [("xhand", "inspire"), ("xhand", "xhand")]


def test_pairs_that_are_held_out_are_read_and_written():
    pairs = holdout.parse("xhand:SC, inspire:push_cans")
    assert holdout.parse(pairs.words()) == pairs and not holdout.parse("")
    assert not pairs.keeps(["ability", "xhand"], "stack_cans")
    assert pairs.keeps(["xhand"], "push_cans") and not pairs.keeps(["inspire"], "push_cans")


@pytest.mark.parametrize("words", ["xhand", "xhand:", "xhnad:PC", "xhand:stack"])
def test_a_pair_that_is_none_is_refused(words):
    with pytest.raises(XlvlaError):
        holdout.parse(words)


def test_weights_say_themselves_what_was_held_out_of_their_training(tmp_path):
    path = tmp_path / "weights.safetensors"
    save_file({"x": np.zeros(1)}, path, {"card": json.dumps({"data": {"holdout": "xhand:SC"}})})
    assert (
        command.recorded_holdout(command.with_policy(rig_file.load("bimanual"), str(path)))
        == "xhand:SC"
    )
    assert command.recorded_holdout(rig_file.load("bimanual")) == ""


def test_wilsons_interval_is_the_published_one():
    assert wilson(8 / 10, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert wilson(1, 10) == pytest.approx((0.7225, 1), abs=1e-4)


def test_partial_success_counts_the_stages_of_failures():
    found = rate([Outcome(True, 1.0, 5.0, "success"), Outcome(False, 0.5, 15.0, "time is over")])
    assert (found.successes, found.sr, found.psr) == (1, 0.5, 0.75)
    assert found.psr_interval[0] < 0.75 < found.psr_interval[1]


def test_the_table_marks_what_was_held_out():
    played = [
        (trial, Outcome(True, 1.0, 5.0, ""))
        for hand in ("xhand", "inspire")
        for trial in cell(hand)
    ]
    played += [(trial, Outcome(False, 0.25, 5.0, "")) for trial in cell("xhand", "push_sugar")]
    found = table(played, holdout.parse("inspire:PC"))
    text = "\n".join(found.markdown())
    assert (
        "| PC | 100% [34, 100] | 100% [34, 100]† |" in text and "| PuS | 0% [0, 66] | - |" in text
    )
    held = found.over(held_out=True)
    others = found.over(held_out=False)
    assert held and others and (held.trials, others.trials, others.psr) == (2, 4, 0.625)


def test_a_trial_and_its_result_can_be_sent_elsewhere():
    trial = cell()[0]
    assert pickle.loads(pickle.dumps(trial)) == trial


def test_the_key_of_a_trial_names_whatever_may_change_its_outcome():
    keys = [trial.key for trial in cell()] + [
        cell("inspire")[0].key,
        cell(task="push_sugar")[0].key,
        cell(policy="xlvla")[0].key,
    ]
    rig = cell()[0].rig
    for ros, delay in ((False, 0.3), (True, 0.15)):
        keys.append(
            command.trials_of(rig, "xlvla", [SEED], ros=ros, delay_s=delay, threads=1)[0].key
        )
    assert len(set(keys)) == len(keys)
    assert cell()[0].key == cell(film="all")[0].key


def test_a_folder_remembers_outcomes_but_for_a_line_that_was_cut_off(tmp_path):
    first, second = cell()
    ledger = OutcomeFile(tmp_path)
    ledger.enter(first, Outcome(True, 1.0, 5.0, "success"))
    ledger.enter(second, Outcome(False, 0.5, 15.0, "time is over"))
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:-9])
    again = OutcomeFile(tmp_path)
    assert set(again.outcomes) == {first.key}
    again.enter(second, Outcome(False, 0.5, 15.0, "time is over"))
    assert (tmp_path / FILE).read_bytes() == content and OutcomeFile(
        tmp_path
    ).outcomes == again.outcomes


def test_trials_of_the_graph_are_played_in_runs_of_consecutive_seeds():
    trials = cell(seeds=[5, 6, 8]) + cell("inspire", seeds=[9])
    assert [[trial.seed for trial in run] for run in consecutive(trials)] == [[5, 6], [8], [9]]


@pytest.fixture(scope="module")
def alone():
    """By seed, what became of the trials that were played one after the other in this process."""
    return {trial.seed: result for trial, result in local(cell(), 1)}


def test_the_same_seed_has_the_same_outcome_whatever_was_played_before(alone):
    first, second = cell()
    assert play(second) == alone[second.seed] and play(first) == alone[first.seed]
    assert alone[first.seed].outcome.time_s != alone[second.seed].outcome.time_s


def test_processes_find_what_this_process_finds(alone):
    assert {trial.seed: result for trial, result in local(cell(), 2)} == alone


def test_a_film_changes_nothing_about_a_trial(alone, monkeypatch):
    # A small film is drawn in a fraction of the time.
    monkeypatch.setattr(sys.modules[play.__module__], "FILM_SIZE", (160, 120))
    trial = cell(seeds=[SEED])[0]
    filmed = play(replace(trial, film="all"))
    assert filmed.film and filmed.film[4:8] == b"ftyp"
    assert filmed.outcome == alone[SEED].outcome


def test_an_evaluation_that_was_interrupted_goes_on(tmp_path):
    arguments = [
        "eval",
        "--policy",
        "expert",
        "--tasks",
        "pc",
        "--hands",
        "xhand",
        "--out",
        str(tmp_path),
        "--trials",
    ]
    half = CliRunner().invoke(app_with_eval(), [*arguments, "1"])
    assert half.exit_code == 0, half.output
    whole = CliRunner().invoke(app_with_eval(), [*arguments, "2"])
    assert whole.exit_code == 0 and "1 of 2 trials are in" in whole.output
    assert len((tmp_path / FILE).read_text().splitlines()) == 2
    assert not list(tmp_path.rglob("*.mp4")), "only failures are filmed"
    found = json.loads((tmp_path / "results.json").read_text())
    assert found["all"]["trials"] == 2 and len(found["trials"]) == 2
    assert (tmp_path / "heatmap.png").stat().st_size > 5000 and "| PC |" in (
        tmp_path / "table.md"
    ).read_text()


def test_a_film_that_is_wanted_later_is_made_by_playing_again(tmp_path):
    trial = cell(seeds=[SEED])[0]
    ledger = OutcomeFile(tmp_path)
    ledger.enter(trial, Outcome(False, 0.5, 15.0, "time is over"))
    assert command.finished(trial, ledger, tmp_path)
    filmed = replace(trial, film="failures")
    assert not command.finished(filmed, ledger, tmp_path)
    (tmp_path / "videos").mkdir()
    (tmp_path / "videos" / f"{filmed.actor}-{filmed.name}.mp4").write_bytes(b"film")
    assert command.finished(filmed, ledger, tmp_path)


def test_who_stops_an_evaluation_is_told_how_to_go_on(tmp_path):
    with pytest.raises(XlvlaError, match="the same command goes on"), command.resumable(tmp_path):
        raise KeyboardInterrupt


def app_with_eval():
    if not any(known.name == "eval" for known in app.registered_commands):
        command.register(app)
    return app
