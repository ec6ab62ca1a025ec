from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from xlvla.errors import XlvlaError
from xlvla.holdout import parse
from xlvla_cli.sim import collect as command
from xlvla_cli.sim.estimate import Estimate, estimate, refuse_full, spoken
from xlvla_data import store
from xlvla_data.episode import Episode

NOTHING = parse("")

app = typer.Typer()
app.callback()(lambda: None)
command.register(app)


def jobs(*hands, tasks=("push_cans",), episodes=5, mixed=0.3, seed=3, holdout=NOTHING):
    return command.jobs("bimanual", tasks, hands, episodes, mixed, seed, holdout)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episodes")
    job = jobs("xhand", episodes=1, mixed=0.0)[0]
    command.CollectionState(folder).enter(job.key, command.collect_one(job))
    return folder


@pytest.fixture(scope="module")
def read(folder):
    return store.find(folder)[0].read()


def test_a_collected_episode_holds_what_a_policy_needs(read, codec):
    assert read.info.success and read.info.seed == 3 and read.info.codec == codec.hash
    assert read.info.instruction == "Push the two tomato cans together."
    assert len(list(read.pictures["front"])) == read.frames and 80 < read.frames < 200
    for side in ("left", "right"):
        assert read.action[side]["arm"].shape == (read.frames, 7)
        assert read.measured[side]["hand"].shape == read.action[side]["hand"].shape
        assert read.latent[side].shape == (read.frames, 32)


def test_a_measured_arm_follows_the_action_of_the_frame_before(read):
    lag = np.abs(read.measured["left"]["arm"][1:] - read.action["left"]["arm"][:-1])
    assert lag.max() < 0.1
    assert np.abs(read.measured["left"]["arm"][0] - read.action["left"]["arm"][0]).max() < 0.01


def test_latents_decode_to_the_commanded_hand(read, codec):
    decoded = codec.decode(read.info.hands["left"], "left", read.latent["left"])
    assert np.abs(decoded - read.action["left"]["hand"]).mean() < 0.05


def test_an_episode_lies_in_the_data_set_of_its_task_and_hands(folder):
    stored = store.find(folder)[0]
    assert stored.key == jobs("xhand", episodes=1, mixed=0.0)[0].key == "push_cans-xhand-xhand/3"
    assert stored.data.root.name == "push_cans-xhand-xhand"


def test_which_hands_an_episode_has_depends_on_its_number_alone():
    few, many = (
        {job.seed: job.rig for job in jobs("xhand", "inspire", episodes=count, seed=10)}
        for count in (3, 10)
    )
    assert len(few) == 6 and few == {seed: many[seed] for seed in few}
    pairs = {tuple(rig.hand(side).name for side in ("left", "right")) for rig in many.values()}
    assert {("xhand", "xhand"), ("inspire", "inspire")} < pairs and len(pairs) > 2


def test_every_task_and_hand_has_its_episodes_and_a_key_of_its_own():
    made = jobs("xhand", "inspire", tasks=("push_cans", "push_sugar"), episodes=2, mixed=0.0)
    assert len({job.key for job in made}) == len(made) == 8
    assert [job.task for job in made] == ["push_cans"] * 4 + ["push_sugar"] * 4


def test_pairs_that_are_held_out_are_not_collected_not_even_on_one_side():
    both, kept = (
        jobs("xhand", "inspire", tasks=("push_cans", "push_sugar"), holdout=parse(pairs))
        for pairs in ("", "inspire:PuS")
    )
    assert any(
        "inspire" in job.hands.values()
        and "xhand" in job.hands.values()
        and job.task == "push_sugar"
        for job in both
    )
    assert kept == [
        job for job in both if job.task == "push_cans" or set(job.hands.values()) == {"xhand"}
    ]


def test_a_rig_of_one_arm_is_collected_with_one_hand_and_what_needs_two_is_dropped():
    one_arm = Path(__file__).parents[2] / "examples" / "one_arm.yaml"
    made = command.jobs(str(one_arm), ("stack_cans",), ("inspire",), 3, 0.2, 0, NOTHING)
    assert [job.hands for job in made] == [{"right": "inspire"}] * 3
    assert made[0].key == "stack_cans-inspire/0"
    kept = command.collect_one(made[0])
    assert isinstance(kept, Episode) and kept.info.success and set(kept.action) == {"right"}
    # The can stands on the left in this episode.
    reason = command.collect_one(made[2])
    assert isinstance(reason, str) and "needs a left arm in this episode" in reason


def test_evaluation_seeds_are_never_collected():
    with pytest.raises(XlvlaError, match="kept for evaluation"):
        jobs("xhand", episodes=10, seed=999_995)


def test_a_worker_keeps_only_its_last_worlds(monkeypatch):
    monkeypatch.setattr(command, "WORLDS", 1)
    first, second = (jobs(hand, episodes=1, mixed=0.0)[0] for hand in ("xhand", "inspire"))
    world = command.world_of(first)
    assert command.world_of(first) is world
    assert command.world_of(second) is not world
    assert command.world_of(first) is not world


def collect(out, *options):
    """Exit code, what is printed, and what is raised."""
    arguments = ["collect", "--out", str(out), "--workers", "1", *options]
    done = CliRunner().invoke(app, arguments)
    return done.exit_code, done.output, done.exception


def test_collecting_again_skips_what_is_there_and_what_failed_and_says_why(folder):
    reason = "the left arm cannot bring its wrist to 0.31, -0.02: 45 mm are left"
    command.CollectionState(folder).enter("push_cans-xhand-xhand/4", reason)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    options = ["--task", "PC", "--hands", "xhand", "--episodes", "2", "--seed", "3"]
    code, output, _ = collect(folder, *options, "--mixed", "0")
    assert code == 0, output
    assert "1 of 2 episodes" in output and "1 failed and were dropped" in output
    assert f"1 dropped, such as push_cans-xhand-xhand/4: {reason}" in output
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def test_where_no_episode_is_left_every_kind_of_reason_is_said_once_and_the_command_fails(tmp_path):
    one_arm = str(Path(__file__).parents[2] / "examples" / "one_arm.yaml")
    state = command.CollectionState(tmp_path)
    for seed in (1, 2):
        state.enter(f"push_cans-inspire/{seed}", f"{seed}.5 mm are left")
    options = ["--rig", one_arm, "--task", "PC", "--hands", "inspire", "--episodes", "3"]
    code, output, error = collect(tmp_path, *options)
    assert code == 1 and isinstance(error, XlvlaError)
    assert "0 of 3 episodes" in output
    assert "2 dropped, such as push_cans-inspire/1: 1.5 mm are left" in output
    assert "1 dropped, such as push_cans-inspire/0: the task needs a left arm" in output
    assert "no demonstration succeeded" in str(error)
    assert str(tmp_path / "dropped_episodes.json") in str(error)


def test_episodes_that_an_older_version_dropped_stay_dropped(tmp_path):
    (tmp_path / "dropped_episodes.json").write_text('["push_cans-xhand-xhand/4"]')
    state = command.CollectionState(tmp_path)
    assert state.done == {"push_cans-xhand-xhand/4"}


def test_a_holdout_that_leaves_nothing_is_refused(tmp_path):
    options = ["--task", "PC", "--hands", "xhand", "--holdout", "xhand:PC"]
    _, _, error = collect(tmp_path, *options)
    assert "--holdout xhand:PC leaves no episode" in str(error)


def test_what_is_left_takes_the_longer_the_more_time_its_tasks_allow(tmp_path):
    tried = Estimate(seconds=6.0, size=2e6)
    left = estimate(tried, 15.0, [15.0] * 100 + [30.0] * 50, workers=2)
    assert (left.seconds, left.size) == (600.0, 400e6)
    line = left.line(150, 2, int(45e9))
    assert line == "150 episodes to go: about 10 min with 2 processes and 0.4 GB, 45 GB are free"
    assert [spoken(s) for s in (20, 3599, 7800)] == ["20 s", "1 h 0 min", "2 h 10 min"]
    assert refuse_full(tmp_path, left) > 0
    with pytest.raises(XlvlaError, match=r"GB free and the rest takes about 1000000\.0 GB"):
        refuse_full(tmp_path, Estimate(1.0, 1e15))


def test_the_first_episodes_tell_what_the_others_take(tmp_path, capsys):
    one_arm = str(Path(__file__).parents[2] / "examples" / "one_arm.yaml")
    # It needs two arms, so every episode fails at once.
    made = command.jobs(one_arm, ("push_cans",), ("inspire",), 8, 0.0, 0, NOTHING)
    state = command.CollectionState(tmp_path)
    assert command.try_first(made, state, tmp_path, workers=1) == made[command.TRIED :]
    assert len(state.dropped) == command.TRIED
    assert "what the others take is not known" in capsys.readouterr().out


@pytest.mark.long
def test_two_episodes_are_enough_to_tell_what_the_others_take(tmp_path, capsys):
    made = jobs("xhand", episodes=8, mixed=0.0)
    left = command.try_first(made, command.CollectionState(tmp_path), tmp_path, workers=1)
    assert left == made[2:] and len(store.find(tmp_path)) == 2
    assert "6 episodes to go: about " in capsys.readouterr().out
