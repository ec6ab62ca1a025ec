import numpy as np
import pytest
from typer.testing import CliRunner

from xlvla.cli import sim as command
from xlvla.errors import XlvlaError
from xlvla_data import store


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("episodes")
    job = command._jobs("bimanual", "push_cans", "xhand,inspire", 1, 0.0, 3)[0]
    command.Ledger(folder).enter(job.seed, command.collect_one(job))
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


def test_which_hands_an_episode_has_depends_on_its_number_alone():
    few, many = (command._jobs("bimanual", "push_cans", "xhand,inspire", count, 0.3, 10) for count in (5, 20))
    assert [(job.seed, job.rig) for job in few] == [(job.seed, job.rig) for job in many[:5]]
    pairs = {tuple(job.rig.hand(side).name for side in ("left", "right")) for job in many}
    assert {("xhand", "xhand"), ("inspire", "inspire")} < pairs and len(pairs) > 2


def test_evaluation_seeds_are_never_collected(tmp_path):
    with pytest.raises(XlvlaError, match="kept for evaluation"):
        command.collect(tmp_path, "push_cans", "xhand", 10, 0.0, "bimanual", 1, 999_995)


def test_collecting_again_skips_what_is_there_and_what_failed(folder):
    command.Ledger(folder).enter(4, None)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
    arguments = ["--out", str(folder), "--episodes", "2", "--seed", "3", "--mixed", "0", "--workers", "1"]
    result = CliRunner().invoke(command.sim, ["collect", *arguments])
    assert result.exit_code == 0, result.output
    assert "1 of 2 episodes" in result.output and "1 failed and were dropped" in result.output
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
