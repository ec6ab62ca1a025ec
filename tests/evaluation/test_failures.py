"""Kinds of failures, the page that shows them, and two policies compared on the same seeds."""

import json
import re

import mujoco
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla_cli import eval as command
from xlvla_cli.eval import failures_page
from xlvla_cli.eval.comparison import Pair, difference, mcnemar
from xlvla_cli.eval.failure import KINDS, kind_of, words
from xlvla_cli.eval.trial import Outcome, video_path
from xlvla_sim.task import TaskStatus
from xlvla_sim.witness import Facts, Witness
from xlvla_sim.world import World

SEED = 1_000_000
LIFTING = ("lift the can", "bring it over the salt", "set it down", "leave it standing")

app = typer.Typer()
app.callback()(lambda: None)
command.register(app)


def facts(touched=(), lifted=(), dropped=(), still_s=0.0) -> Facts:
    return Facts(*(dict.fromkeys(things, 1.0) for things in (touched, lifted, dropped)), still_s)


@pytest.mark.parametrize(
    ("wanted", "stage", "text", "found"),
    [
        ("touched nothing", 0, "time is over", facts()),
        ("missed grasp", 0, "time is over", facts(["can"])),
        ("wrong object", 0, "time is over", facts(["can", "salt"], ["salt"])),
        ("out of time", 0.25, "time is over", facts(["can"], ["can"])),
        ("froze", 0.25, "time is over", facts(["can"], ["can"], still_s=6.0)),
        ("dropped", 0.25, "time is over", facts(["can"], ["can"], ["can"])),
        ("dropped", 0.25, "the can fell over", facts(["can"], ["can"], ["can"])),
        ("knocked over", 0.25, "the can fell over", facts(["can"])),
        ("knocked over", 0, "the can fell off the table", facts(["can"])),
        ("spilt", 0.5, "the mustard was spilt", facts(["mustard"], ["mustard"])),
        ("plan over", 0.5, "next: set it down", facts(["can"], ["can"])),
    ],
)
def test_a_failure_is_of_the_kind_that_its_facts_tell(wanted, stage, text, found):
    status = TaskStatus(False, stage, True, text)
    assert kind_of(status, LIFTING, found) == wanted and wanted in KINDS


def test_a_success_is_of_no_kind():
    assert kind_of(TaskStatus(True, 1.0, True, "success"), LIFTING, facts(["can"])) == ""


def test_a_witness_sees_what_is_touched_lifted_and_dropped_and_when_arms_stand_still():
    rig = rig_file.with_choices(
        rig_file.load("bimanual"), hands={"left": "inspire", "right": "inspire"}
    )
    world = World(rig, render=False)
    witness = Witness(world)

    def pass_time(duration_s):
        for _ in range(round(duration_s / 0.05)):
            world.step(0.05)
            witness.look()

    pass_time(0.2)
    assert not witness.facts.touched
    # The can in the middle of a hand, high above the table.
    bodies = (world.model.body(index).name for index in range(world.model.nbody))
    hand = next(name for name in bodies if name.startswith("left_hand"))
    world.state.place("can_left", world.state.position(hand) + np.array([0.0, 0.0, 0.02]))
    mujoco.mj_forward(world.model, world.data)
    witness.look()
    assert set(witness.facts.lifted) == {"can_left"} == set(witness.facts.touched)
    assert not witness.facts.dropped
    world.state.place("can_left", np.array([0.45, 0.0, 0.4]))
    pass_time(0.4)
    assert set(witness.facts.dropped) == {"can_left"}
    assert witness.facts.still_s > 0.3
    names = rig.joint_names("right", "arm")
    wanted = world.joint_state("right", "arm")[0] + 0.1
    world.command("right", "arm", dict(zip(names, wanted, strict=True)))
    pass_time(0.2)
    assert witness.facts.still_s < 0.1
    assert re.search(
        r"can_left touched at 0\.\d s, can_left lifted at 0\.\d s, can_left dropped",
        words(witness.facts),
    )


def trials(task="push_cans", seeds=range(SEED, SEED + 4)):
    rig = command.for_task(command.for_hands(rig_file.load("bimanual"), ("xhand", "xhand")), task)
    return command.trials_of(rig, "expert", seeds, ros=False, delay_s=0.15, threads=1)


def failed(stage, kind, text="time is over"):
    return Outcome(False, stage, 15.0, text, kind, "can_left touched at 2.0 s")


def test_the_page_has_a_film_of_every_failure_by_kind_and_by_how_far_it_came(tmp_path):
    played = trials()
    outcomes = [
        failed(0.5, "froze"),
        Outcome(True, 1.0, 5.0, "success"),
        failed(0.25, "froze", "a <b>"),
        failed(0.75, ""),
    ]
    film = video_path(played[0], tmp_path)
    film.parent.mkdir()
    film.write_bytes(b"film")
    failures_page.write(list(zip(played, outcomes, strict=True)), "Policy", tmp_path)
    page = (tmp_path / failures_page.FILE).read_text()
    shown = re.findall(r"came to (\d+)% of the stages in", page)
    assert shown == ["25", "50", "75"], "the most frequent kind first, and in it the least far"
    assert page.count("<video") == 1 and f'src="videos/{film.name}#t=' in page
    assert "no film" in page and "a &lt;b&gt;" in page and '<h2 id="not-told">not told: 1' in page
    assert "can_left touched at 2.0 s" in page and KINDS["froze"] in page


def test_mcnemars_probability_is_the_exact_one():
    assert mcnemar(0, 5) == mcnemar(5, 0) == pytest.approx(0.0625)
    assert mcnemar(1, 9) == pytest.approx(22 / 1024)
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1.0


def test_a_difference_is_of_pairs():
    pairs = [Pair("push_cans", (False, True), (0.5, 1.0))] * 6
    pairs += [Pair("push_cans", (True, True), (1.0, 1.0))] * 4
    found = difference(pairs)
    assert (found.pairs, found.rates, found.only) == (10, (0.4, 1.0), (0, 6))
    assert found.p == pytest.approx(2 / 64) and found.stage == pytest.approx(0.3)
    low, high = found.interval
    assert 0.1 <= low < 0.3 < high <= 0.5 and difference(pairs) == found


def results(folder, policy, successes, seeds=range(SEED, SEED + 6), world="w"):
    folder.mkdir()
    rows = [
        {"task": "push_cans", "hands": "xhand", "seed": seed, "success": won, "stage": float(won)}
        for seed, won in zip(seeds, successes, strict=True)
    ]
    document = {"policy": policy, "world": world, "trials": rows}
    (folder / "results.json").write_text(json.dumps(document))
    return str(folder)


def run(*options):
    done = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["eval", *options])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    return " ".join(done.output.split())


def test_two_policies_are_compared_on_the_seeds_that_both_have_played(tmp_path):
    first = results(tmp_path / "a", "old.safetensors", [0, 0, 0, 0, 0, 1])
    second = results(tmp_path / "b", "new.safetensors", [1] * 6, range(SEED + 1, SEED + 7), "v")
    shown = run("--compare", first, second)
    assert "old.safetensors" in shown and "new.safetensors" in shown
    row = re.search(r"PC │ (\d+) │ (\d+)% │ (\d+)% │ (\d+) │ (\d+) │ ([\d.]+)", shown)
    assert row and row.groups() == ("5", "20", "100", "0", "4", "0.125")
    assert "worlds of other code" in shown
    assert "other code" not in run("--compare", first, first)


def test_what_cannot_be_compared_is_refused_in_one_line(tmp_path):
    first = results(tmp_path / "a", "a", [1] * 6)
    elsewhere = results(tmp_path / "b", "b", [1] * 6, range(6))
    with pytest.raises(XlvlaError, match="no trial of the same task, hands and seed"):
        run("--compare", first, elsewhere)
    with pytest.raises(XlvlaError, match=r"nothing has no results\.json"):
        run("--compare", first, str(tmp_path / "nothing"))
    with pytest.raises(XlvlaError, match="plays nothing: leave out --trials"):
        run("--compare", first, first, "--trials", "3")
    (tmp_path / "a" / "results.json").write_text('{"trials": [{}]}')
    with pytest.raises(XlvlaError, match=r"results\.json"):
        run("--compare", first, elsewhere)
