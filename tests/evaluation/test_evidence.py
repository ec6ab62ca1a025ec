"""`xlvla evidence`: steps that are commands, their records, and the page."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import typer

pytest.importorskip("mujoco")

import xlvla_cli
from xlvla import holdout, rig_file, screen
from xlvla.errors import XlvlaError
from xlvla_cli import eval as evaluation
from xlvla_cli.commands import register_all
from xlvla_cli.eval.table import table
from xlvla_cli.eval.trial import Outcome
from xlvla_cli.evidence import page
from xlvla_cli.evidence.plan import FULL, QUICK, held_out, steps
from xlvla_cli.evidence.steps import Step, Steps, last_line

SEED = 1_000_000


@pytest.fixture(scope="module")
def commands():
    """The command line, as click knows it."""
    app = typer.Typer()
    app.callback()(lambda: None)
    register_all(xlvla_cli.__name__, xlvla_cli.__path__, app)
    return typer.main.get_command(app)


@pytest.mark.parametrize("plan", [QUICK, FULL], ids=["quick", "full"])
def test_every_step_is_a_command_that_one_can_type(commands, plan, tmp_path):
    names = set()
    for step in steps(plan, tmp_path, 2):
        assert set(step.needs) <= names, "steps come after what they need"
        names.add(step.name)
        command, words = commands, [*step.command, *step.how]
        while hasattr(command, "commands"):
            command = command.commands[words.pop(0)]
        command.make_context(step.name, words)
    assert {"collect", "train latent", "evaluate raw", "codec apart", "sentences"} <= names
    assert len(names) == len(steps(plan, tmp_path, 2))


def test_each_hand_misses_a_task_that_another_one_shows():
    pairs = holdout.parse(held_out(FULL)).pairs
    assert len({task for _, task in pairs}) == len(pairs) == 10
    assert len({hand for hand, _ in pairs}) == 4
    assert held_out(QUICK) == "xhand:PC,inspire:SC"


def test_one_hand_is_not_enough():
    with pytest.raises(XlvlaError, match="two or more --hands"):
        steps(replace(QUICK, hands="xhand"), Path("out"), 1)


def exporting(folder, *more, needs=(), name="export"):
    out = folder / name
    command = ("codec", "export", "--out", str(out), *more)
    return Step(name, "codec", command, out / "codec.json", 1, needs)


def test_what_a_command_has_made_is_not_made_again_and_what_needs_another_command_is(tmp_path):
    first = exporting(tmp_path)
    second = exporting(tmp_path, needs=("export",), name="after")
    pages = []
    all_steps = Steps([first, second], tmp_path / "steps")
    all_steps.run(screen.console(), lambda: pages.append(1))
    assert all(map(all_steps.finished, (first, second))) and len(pages) == 2
    assert "ONNX files" in all_steps.log(first).read_text()
    Steps([first, second], tmp_path / "steps").run(screen.console(), lambda: pages.append(1))
    assert len(pages) == 2

    with_workers = replace(first, how=("--workers", "3"))
    assert Steps([with_workers, second], tmp_path / "steps").finished(with_workers)
    other = Steps([replace(first, environment=(("A", "1"),)), second], tmp_path / "steps")
    assert not any(map(other.finished, other.steps)), "what follows is played again, too"
    (tmp_path / "after" / "codec.json").unlink()
    assert not all_steps.finished(second) and all_steps.finished(first)


def test_a_step_that_fails_says_why_and_is_tried_again(tmp_path):
    step = Step("judge", "evaluate", ("eval", "--policy", "nobody"), tmp_path / "x", 1)
    all_steps = Steps([step], tmp_path / "steps")
    with pytest.raises(XlvlaError, match=r"'judge' failed: .*nobody.*all of it: .*judge\.log"):
        all_steps.run(screen.console(), lambda: None)
    record = all_steps.record(step)
    assert record and not record.finished and not all_steps.finished(step)


def test_the_estimate_is_rough_at_first_and_then_as_this_machine_took(tmp_path):
    first = Step("a", "evaluate", ("list",), tmp_path / "a", 10)
    second = Step("b", "evaluate", ("list",), tmp_path / "b", 40)
    all_steps = Steps([first, second], tmp_path / "steps")
    rough = all_steps.minutes(second)
    assert rough == pytest.approx(4 * all_steps.minutes(first)) and rough > 0
    (tmp_path / "steps").mkdir()
    all_steps._enter(first, 120.0, finished=True)
    assert all_steps.minutes(first) == 2 and all_steps.minutes(second) == 8


def test_the_last_words_of_a_log_are_one_line(tmp_path):
    log = tmp_path / "log"
    assert last_line(log) == ""
    log.write_text("first\nwork  1%\rwork  2%\r\n\n")
    assert last_line(log) == "work  2%"


def played(hand, task, successes, of=2):
    rig = evaluation.for_task(evaluation.for_hands(rig_file.load("bimanual"), (hand, hand)), task)
    trials = evaluation.trials_of(
        rig, "expert", range(SEED, SEED + of), ros=False, delay_s=0.0, threads=1
    )
    for number, trial in enumerate(trials):
        done = number < successes
        yield trial, Outcome(done, 1.0 if done else 0.5, 5.0, "")


def written(folder, outcomes, pairs=""):
    folder.mkdir(parents=True)
    found = table(list(outcomes), holdout.parse(pairs))
    (folder / "results.json").write_text(json.dumps(found.plain()))


def cells(text, row):
    """The cells of the first row of a page's tables that begins so."""
    (found,) = re.findall(rf"<tr><td class=number>{re.escape(row)}</td>(.*?)</tr>", text)[:1]
    return re.findall(r"<td[^>]*>(.*?)</td>", found)


def test_the_page_shows_what_was_played_and_says_what_was_not(tmp_path):
    all_steps = Steps(steps(QUICK, tmp_path, 1), tmp_path / "steps")
    page.write(QUICK, all_steps, tmp_path)
    assert (tmp_path / page.FILE).read_text().count("Not played.") == 9

    hands = ("xhand", "inspire")
    latent = [one for hand in hands for one in played(hand, "push_cans", 2)]
    raw = [one for hand in hands for one in played(hand, "push_cans", 1)]
    written(tmp_path / "eval" / "latent", latent)
    written(tmp_path / "eval" / "raw", raw)
    written(tmp_path / "eval" / "held_out", raw, "xhand:PC,inspire:SC")
    (tmp_path / "steps").mkdir()
    all_steps.log(all_steps.steps[1]).write_text(
        "step 900, 3.0 min: flow loss 0.0310, wrist/tips off 44/30 mm at\n0.8 s, 3 mm from the start"
    )
    page.write(QUICK, all_steps, tmp_path)
    text = (tmp_path / page.FILE).read_text()
    assert cells(text, "PC") == ["100% [34, 100]"] * 2 + ["100% [51, 100]", "1.00"]
    shown = cells(text, "raw joints, padded to the longest hand")
    assert shown[2:] == ["50% [15, 85]", "0.75", "+50 points", "0.500"]
    assert cells(text, "never trained on (zero-shot)") == ["50% [9, 91]", "0.75"]
    assert cells(text, "the same cells, trained") == ["100% [34, 100]", "1.00"]
    assert text.count("<svg") == 2 and "minutes of training" in text
    assert "xlvla train policy --data" in text
