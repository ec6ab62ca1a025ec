"""Whether the sentence matters: paraphrases, two tasks on one table, a wrong sentence."""

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

pytest.importorskip("mujoco")

from xlvla import catalog, holdout, paper, rig_file
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.rig_faults import rig_faults
from xlvla_cli import eval as command
from xlvla_cli.eval import sentences
from xlvla_cli.eval.failure import KINDS, OTHER, kind_of
from xlvla_cli.eval.outcome_file import FILE
from xlvla_cli.eval.sentences import BESIDE, PARAPHRASED, TRAINED, WRONG, Asked
from xlvla_cli.eval.trial import Outcome
from xlvla_sim.demonstration import demonstrate
from xlvla_sim.expert import Expert
from xlvla_sim.shared_table import ROOM_M, apart
from xlvla_sim.witness import Witness
from xlvla_sim.world import World, load_task

SEED = 1_000_000
SHARED = [task for task in catalog.tasks() if load_task(task).beside]

app = typer.Typer()
app.callback()(lambda: None)
command.register(app)


def rig_of(task, hand="xhand"):
    return command.for_task(command.for_hands(rig_file.load("bimanual"), (hand, hand)), task)


def trials(rig, seeds):
    return command.trials_of(rig, "xlvla", seeds, ros=False, delay_s=0.15, threads=1)


def questions(task, seeds=range(SEED, SEED + 5)):
    return sentences.questions(rig_of(task), task, seeds, trials)


def test_every_task_has_five_paraphrases_and_no_two_tasks_share_words():
    said = []
    for task in catalog.tasks():
        found = load_task(task)
        assert len(found.paraphrases) == 5, task
        said += [found.sentence, *found.paraphrases]
    assert len(set(said)) == len(said)


def test_paraphrases_are_short_enough_for_a_policy_and_no_shipped_one_was_trained_on_them():
    pytest.importorskip("torch")
    from xlvla_policy.vla import config, rig_fit, tokenizer

    words = tokenizer.load(config.preset("small").max_words, tokenizer.SHIPPED)
    for task in catalog.tasks():
        for sentence in load_task(task).paraphrases:
            _, mask = words.encode(sentence)
            assert 3 < mask.sum() < len(mask), sentence
    for weights in (rig_fit.SHIPPED, rig_fit.shipped("ten_tasks")):
        sentences.refuse_trained(catalog.tasks(), rig_fit.instructions(weights))


def test_weights_that_were_trained_on_a_paraphrase_are_refused():
    learned = load_task("push_cans").paraphrases[2]
    with pytest.raises(XlvlaError, match="a paraphrase of PC"):
        sentences.refuse_trained(["stack_cans", "push_cans"], ["Wait.", learned])
    sentences.refuse_trained(["stack_cans"], [learned])


def test_a_task_is_asked_in_four_ways_and_every_trial_has_a_key_of_its_own():
    asked = questions("pour_sauce")
    assert len({each.trial.key for each in asked}) == len(asked) == 20
    found = load_task("pour_sauce")
    said = {}
    for each in asked:
        said.setdefault(each.question, []).append(each.sentence)
    assert said[TRAINED] == said[BESIDE] == [found.sentence] * 5
    assert sorted(said[PARAPHRASED]) == sorted(found.paraphrases)
    others = {load_task(task).sentence for task in catalog.tasks() if task != "pour_sauce"}
    assert len(set(said[WRONG])) == 5 and set(said[WRONG]) <= others
    tasks = {each.question: each.trial.task for each in asked}
    assert tasks.pop(BESIDE) == f"pour_sauce+{found.beside}" and set(tasks.values()) == {
        "pour_sauce"
    }


def test_trials_with_the_trained_sentence_are_those_of_a_plain_evaluation():
    plain = {trial.key for trial in trials(rig_of("pour_sauce"), [SEED])}
    asked = questions("pour_sauce", [SEED])
    assert {each.trial.key for each in asked if each.question == TRAINED} == plain


@pytest.mark.parametrize("word", ["PS+HB", "ps+hand_over_bottle"])
def test_two_tasks_on_a_table_are_named_with_a_plus(word):
    name = "pour_sauce+hand_over_bottle"
    assert paper.tasks(word) == (name,) and paper.code(name) == "PS+HB"
    assert not holdout.parse("xhand:PS").keeps(["xhand"], name)
    assert holdout.parse("xhand:HB").keeps(["xhand"], name)
    rig = rig_file.load("bimanual")
    assert not rig_faults(replace(rig, sim=replace(rig.sim, task=name)))
    (fault,) = rig_faults(replace(rig, sim=replace(rig.sim, task="pour_sauce+hand_over_botle")))
    assert "did you mean 'hand_over_bottle'" in fault


def test_tasks_that_call_two_things_alike_do_not_go_on_one_table():
    with pytest.raises(XlvlaError, match="both have a cheese_can"):
        World(rig_of("stack_cans+sort_cans"), render=False)


def test_the_shortest_way_apart_is_along_one_axis():
    def square(x, y):
        corner = np.array([x, y])
        return corner, corner + np.array([0.2, 0.4])

    assert apart(square(0, 0), square(0.15, 0.1)) == pytest.approx([-0.05 - ROOM_M, 0])
    assert apart(square(0.15, 0.1), square(0, 0)) == pytest.approx([0.05 + ROOM_M, 0])
    assert not apart(square(0, 0), square(0, 0.5)).any()


@pytest.mark.parametrize("task", SHARED)
def test_things_of_two_tasks_stand_apart_on_the_table_and_as_the_seed_has_it(task):
    name = f"{task}+{load_task(task).beside}"
    world = World(rig_of(name), render=False)
    places = []
    for seed in (3, 4, 3):
        world.reset(seed)
        feet = [
            [np.array(world.state.footprint(thing)) for thing in things]
            for things in world.task.things
        ]
        extents = [(np.concatenate(some).min(0), np.concatenate(some).max(0)) for some in feet]
        assert apart(*extents) == pytest.approx([0, 0], abs=1e-9)
        near, far = world.state.table
        assert all((low > near[:2]).all() and (high < far[:2]).all() for low, high in extents)
        assert world.data.contact.dist[: world.data.ncon].min(initial=0) > -0.002
        places.append(np.concatenate([corner for some in feet for foot in some for corner in foot]))
    assert np.array_equal(places[0], places[2]) and not np.array_equal(places[0], places[1])


def _shown(task):
    world = World(rig_of(task), render=False)
    return world, Expert(world.rig, Codec.load())


@pytest.mark.long
@pytest.mark.parametrize("task", SHARED)
def test_the_expert_does_what_is_asked_with_the_other_tasks_things_on_the_table(task):
    world, expert = _shown(f"{task}+{load_task(task).beside}")
    assert any(demonstrate(world, expert, seed).good for seed in (SEED, SEED + 1, SEED + 2))


def test_who_does_the_other_task_of_the_table_has_not_done_what_was_asked():
    world, expert = _shown("hand_over_bottle+pour_sauce")
    world.task.plan = world.task.other.plan
    played = demonstrate(world, expert, SEED)
    assert not played.status.success and played.status.done
    stages = [stage.text for stage in world.task.stages]
    kind = kind_of(played.status, stages, Witness(world).facts)
    assert kind == OTHER and kind in KINDS
    # What was done in the last episode is not done in the next.
    world.reset(SEED + 1)
    assert not world.status().done


def _answers(task, question, count, of, kind=""):
    """`count` successes of so many trials."""
    rig = rig_of(task)
    for number, trial in enumerate(trials(rig, range(SEED, SEED + of))):
        done = number < count
        yield Asked(question, trial), Outcome(done, float(done), 5.0, "", "" if done else kind)


def test_the_tables_count_what_was_done_and_what_was_done_instead():
    played = [
        *_answers("pour_sauce", TRAINED, 8, 10),
        *_answers("pour_sauce", PARAPHRASED, 7, 10),
        *_answers("pour_sauce+hand_over_bottle", BESIDE, 4, 10, OTHER),
        *_answers("pour_sauce", WRONG, 1, 10),
        *_answers("push_cans", TRAINED, 10, 10),
        *_answers("push_cans", PARAPHRASED, 10, 10),
    ]
    other_words, two_tasks, wrong = sentences.tables(played)
    assert other_words.rows[0] == ("PS", "80% [49, 94]", "70% [40, 89]", "-10 points")
    assert other_words.rows[-1][0] == "all" and other_words.rows[-1][-1] == "-5 points"
    assert two_tasks.rows == (("PS+HB", "40% [17, 69]", "60% [31, 83]"),)
    assert wrong.rows[0] == ("PS", "80% [49, 94]", "10% [2, 40]")


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--policy", "expert"], "asks a policy"),
        (["--ros"], "asks a policy"),
        (["--videos", "all"], "asks a policy"),
        (["--tasks", "PS+HB"], "single --tasks"),
    ],
)
def test_what_does_not_go_with_sentences_is_said(more, reason, tmp_path):
    found = CliRunner().invoke(app, ["eval", "--sentences", "--out", str(tmp_path), *more])
    assert isinstance(found.exception, XlvlaError) and reason in str(found.exception)


STILL = """
import numpy as np
from xlvla.policy import Chunk

class Still:
    frames, rate_hz = 10, 20.0

    def predict(self, observation):
        last = {side: {part: np.repeat(rows[-1:], 10, axis=0) for part, rows in parts.items()}
                for side, parts in observation.executed.items()}
        return Chunk(observation.stamp_ns, self.rate_hz, last, {})

def load(rig, *, threads=1):
    return Still()
"""


@pytest.mark.long
def test_one_command_prints_the_tables_and_goes_on_where_it_was_stopped(tmp_path, monkeypatch):
    (tmp_path / "still.py").write_text(STILL)
    monkeypatch.setenv("XLVLA_POLICIES", str(tmp_path))
    out = tmp_path / "out"
    arguments = ["eval", "--sentences", "--policy", "still", "--tasks", "pc", "--hands", "xhand"]
    arguments += ["--trials", "1", "--out", str(out)]
    first = CliRunner().invoke(app, arguments)
    assert first.exit_code == 0, first.output
    kept = (out / FILE).read_text()
    document = json.loads((out / "sentences.json").read_text())
    asked = {entry["question"] for entry in document["trials"]}
    assert asked == {TRAINED, PARAPHRASED, BESIDE, WRONG}
    assert document["rates"][WRONG]["successes"] == 0
    assert "| PC | 0% [0, 79] |" in (out / "sentences.md").read_text()
    again = CliRunner().invoke(app, arguments)
    assert "4 of 4 trials are in" in again.output and (out / FILE).read_text() == kept
