"""Reading demonstrations, training and resuming."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import fields, replace

import numpy as np
import pytest
import synthetic
import torch

from xlvla.errors import XlvlaError
from xlvla_data import store
from xlvla_policy.training import dataset, run, sources, state, validation
from xlvla_policy.training.batches import WeightedSampler, draw_noise
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.loop import Progress, Trainer
from xlvla_policy.training.recipe import Recipe, changed
from xlvla_policy.training.tensorboard_writer import TensorBoardWriter
from xlvla_policy.vla import checkpoint, config
from xlvla_policy.vla.model import Vla

TINY = config.preset("tiny")
QUICK = Recipe(steps=6, minutes=None, batch=4, warm_up=2)


def trainer(batches, rows, recipe: Recipe = QUICK) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Vla(TINY), batches, rows, recipe)


def choice(stored, **changes) -> Choice:
    return replace(Choice((str(stored[0].data.root),), preset="tiny", threads=1), **changes)


def test_a_chunk_starts_with_the_action_of_its_observation_and_its_past_ends_with_the_one_before(
    data, stored
):
    one = stored[1].read()
    window = data.windows(np.flatnonzero(data.source == 1)[[0, 7]], TINY.frames)
    np.testing.assert_allclose(
        window[0, : TINY.frames, :7],
        np.tile(one.measured["left"]["arm"][0], (TINY.frames, 1)),
        atol=1e-6,
    )
    np.testing.assert_allclose(
        window[1, TINY.frames - 1 : TINY.frames + 1, :7], one.action["left"]["arm"][6:8], atol=1e-6
    )
    np.testing.assert_allclose(window[1, TINY.frames, 7:39], one.latent["left"][7], atol=1e-5)
    assert (window[1, -10:] == window[1, -1]).all()


def test_latents_are_this_codecs_whatever_is_stored(tmp_path, rig, codec, data):
    synthetic.write(tmp_path, rig, codec, 2, codec_hash="another")
    read = [dataset.read(source, TINY, codec) for source in sources.find([str(tmp_path)])]
    np.testing.assert_allclose(read[0].commands[1], data.recorded[0].commands[1], atol=1e-5)


def test_decoded_frames_are_kept_for_the_next_run(tmp_path, recorded, data):
    every = np.arange(len(data))
    for _ in range(2):
        read = dataset.load(recorded, TINY, cache=tmp_path)
        np.testing.assert_array_equal(read.images[every], data.images[every])
    assert len(list(tmp_path.iterdir())) == 1


def test_a_cache_that_cannot_be_written_is_told_with_its_size(tmp_path, recorded):
    (tmp_path / "file").touch()
    with pytest.raises(
        XlvlaError, match=r"GB of decoded pictures cannot be kept in .*: .*; choose another --cache"
    ):
        dataset.load(recorded, TINY, cache=tmp_path / "file")


def test_an_episode_with_a_bad_number_is_never_stored(tmp_path, rig, codec):
    one = synthetic.make(rig, codec, 0, 20, codec.hash)
    one.action["left"]["arm"][3, 2] = np.nan
    with pytest.raises(XlvlaError, match="'action' holds a number that is not finite"):
        store.Store(tmp_path).add(one)
    with pytest.raises(XlvlaError, match="no episodes"):
        store.find(tmp_path)


def test_a_sample_is_the_same_in_whatever_part_of_a_batch_it_is_drawn():
    whole = draw_noise(TINY, QUICK, 3, range(4))
    part = draw_noise(TINY, QUICK, 3, range(2, 4))
    for field in fields(whole):
        assert torch.equal(getattr(whole, field.name)[2:], getattr(part, field.name))
    assert not torch.equal(whole.noise[0], whole.noise[1])
    assert not torch.equal(draw_noise(TINY, QUICK, 4, range(1)).noise[0], whole.noise[0])


def test_rows_are_drawn_in_proportion_to_their_weights():
    sampler = WeightedSampler(np.array([0, 2, 3]), np.array([1.0, 9.0, 1.0, 2.0]))
    found = sampler.rows_at(np.linspace(0, 1, 4000, endpoint=False))
    assert dict(zip(*np.unique(found, return_counts=True), strict=True)) == {
        0: 1000,
        2: 1000,
        3: 2000,
    }


def test_training_resumes_to_the_bit(tmp_path, batches, rows):
    whole = trainer(batches, rows)
    for _ in range(6):
        whole.advance()
    first = trainer(batches, rows)
    first.ahead = True  # as where a device computes; it must draw the same
    for _ in range(3):
        first.advance()
    state.save(first, tmp_path / "state")
    second = trainer(batches, rows, replace(QUICK, seed=9))
    second.ahead = True
    state.resume(second, tmp_path / "state")
    for _ in range(3):
        second.advance()
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            whole.model.state_dict().values(), second.model.state_dict().values(), strict=True
        )
    )
    assert all(
        torch.equal(a, b)
        for a, b in zip(whole.average.values(), second.average.values(), strict=True)
    )


def test_a_resumed_run_keeps_the_recipe_that_it_began_with(tmp_path, batches, rows):
    began = replace(QUICK, rate=1e-5, augmentation=replace(QUICK.augmentation, noise=0.03))
    one = trainer(batches, rows, began)
    one.advance()
    out = tmp_path / "policy.safetensors"
    state.save(one, tmp_path / "policy.state")
    resumed = Choice(("data",), preset="tiny", resume=True)
    assert run.base_recipe(resumed, out) == began
    longer = changed(run.base_recipe(resumed, out), {"steps": 50})
    state.resume(trainer(batches, rows, longer), tmp_path / "policy.state")
    other = changed(run.base_recipe(resumed, out), {"batch": 7})
    with pytest.raises(XlvlaError, match="was trained with batch 4, not 7"):
        state.resume(trainer(batches, rows, other), tmp_path / "policy.state")


def test_an_interrupted_run_is_not_overwritten_unless_told_so(tmp_path, batches, rows, stored):
    one = trainer(batches, rows)
    one.advance()
    out = tmp_path / "policy.safetensors"
    state.save(one, tmp_path / "policy.state")
    with pytest.raises(XlvlaError, match=r"interrupted at step 1: go on with --resume, or .*fresh"):
        run.train(choice(stored), out, QUICK)
    for _ in range(5):
        one.advance()
    state.save(one, tmp_path / "policy.state")
    assert state.unfinished_step(tmp_path / "policy.state") is None


def test_a_state_of_another_run_or_none_at_all_is_refused(tmp_path, batches, rows, weights):
    with pytest.raises(XlvlaError, match="nothing to resume"):
        state.resume(trainer(batches, rows), tmp_path / "none")
    with pytest.raises(XlvlaError, match="no state of a training run"):
        state.resume(trainer(batches, rows), weights)
    one = trainer(batches, rows)
    state.save(one, tmp_path / "state")
    with pytest.raises(XlvlaError, match="trained other parts"):
        state.resume(trainer(batches, rows, replace(QUICK, frozen=("vision",))), tmp_path / "state")
    block = batches.statistics.blocks["left latent"]
    moved = replace(
        batches.statistics,
        blocks={**batches.statistics.blocks, "left latent": replace(block, mean=block.mean + 1)},
    )
    with pytest.raises(XlvlaError, match="trained on other data"):
        state.resume(trainer(replace(batches, statistics=moved), rows), tmp_path / "state")
    (tmp_path / "cut").write_bytes((tmp_path / "state").read_bytes()[:-100])
    with pytest.raises(XlvlaError, match="cannot be resumed"):
        state.resume(trainer(batches, rows), tmp_path / "cut")


def test_the_rate_warms_up_and_then_falls_with_the_time_or_steps_used():
    recipe = Recipe(steps=100, minutes=1, warm_up=10)
    assert recipe.learning_rate(0, 0) < recipe.learning_rate(9, 0) <= recipe.rate
    assert recipe.learning_rate(50, 0) == pytest.approx((recipe.rate + recipe.final_rate) / 2)
    assert recipe.learning_rate(50, 60) == pytest.approx(recipe.final_rate)
    assert recipe.progress(5, 61) == 1


def test_a_run_writes_weights_that_load_and_validates_on_episodes_kept_back(
    stored, tmp_path, codec
):
    out = tmp_path / "policy.safetensors"
    errors = run.train(choice(stored, cache=tmp_path), out, QUICK, codec=codec)
    assert errors is not None and 0 < errors.start_wrist_m < 2
    _, card = checkpoint.load(out, codec=codec.hash)
    assert (
        card.data["episodes"] == 6
        and card.data["hands"] == {"xhand": 6}
        and card.data["steps"] == 6
    )
    text = out.with_suffix(".md").read_text()
    assert (
        codec.hash in text
        and "Push the two tomato cans together." in text
        and "left arm xarm7" in text
    )


def test_numbers_that_are_not_finite_stop_training_before_a_weight_is_touched(batches, rows):
    one = trainer(batches, rows)
    before = {name: value.detach().clone() for name, value in one.learned.items()}
    block = batches.statistics.blocks["left latent"]
    tiny = replace(
        batches.statistics,
        blocks={
            **batches.statistics.blocks,
            "left latent": replace(block, scale=block.scale * 1e-38),
        },
    )
    with pytest.raises(
        XlvlaError, match="the loss is not finite at step 0: lower the learning rate"
    ):
        trainer(replace(batches, statistics=tiny), rows).advance()
    one.loss(one.draw()).backward()
    next(iter(one.learned.values())).grad[0] = torch.inf
    with pytest.raises(XlvlaError, match="the gradient is not finite at step 0"):
        one.update()
    assert all(torch.equal(before[name], value) for name, value in one.learned.items())


def test_a_full_disk_or_a_spoilt_cache_is_one_line(batches, rows, recorded, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        XlvlaError, match=r"state cannot be written: .*; what was there before is whole"
    ):
        state.save(trainer(batches, rows), tmp_path / "file" / "state")
    dataset.load(recorded, TINY, cache=tmp_path)
    kept = next(tmp_path.glob("frames-*.npy"))
    kept.write_bytes(kept.read_bytes()[:-1000])
    with pytest.raises(XlvlaError, match="is no longer whole: delete it"):
        dataset.load(recorded, TINY, cache=tmp_path)


def test_held_out_rows_are_whole_episodes(data):
    rows, back = validation.held_out(data, 0.3)
    assert len(rows) + len(back) == len(data)
    assert not set(data.source[rows]) & set(data.source[back]) and len(back)
    assert not len(validation.held_out(data, 0.0)[1])


def test_curves_of_a_run_are_written_for_tensorboard(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    board = TensorBoardWriter(tmp_path)
    for step in range(1, 31):
        board.step(Progress(step, 0.1 * step, step / 30, 1 / step, 1e-3, 0.5, 0.1), 8)
    board.validation(
        30, validation.Errors(0.2, (0.1, 0.2), (0.01, 0.02), (0.03, 0.04), 0.05, (0.8, 3.2))
    )
    board.close()
    read = events.EventAccumulator(str(tmp_path)).Reload()
    losses = read.Scalars("training/loss")
    assert [point.step for point in losses] == [10, 20, 30] and losses[0].value == pytest.approx(
        0.1
    )
    assert read.Scalars("training/samples per second")[0].value == pytest.approx(80)
    assert read.Scalars("validation/wrist m far")[0].value == pytest.approx(0.02)


def test_a_run_that_is_killed_leaves_a_state_to_go_on_from(stored, tmp_path, codec):
    out = tmp_path / "killed.safetensors"
    script = (
        "import sys; from pathlib import Path; from xlvla_policy.training import run\n"
        "from xlvla_policy.training.choice import Choice; from xlvla_policy.training.recipe "
        "import Recipe\n"
        "data, cache, out = sys.argv[1:]\n"
        "choice = Choice((data,), preset='tiny', threads=1, cache=Path(cache), save_s=0.0, "
        "held_out=0.0)\n"
        "run.train(choice, Path(out), Recipe(minutes=5, batch=4))"
    )
    arguments = [str(stored[0].data.root), str(tmp_path), str(out)]
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while not out.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    checkpoint.load(out, codec=codec.hash)
    done = run.train(
        choice(stored, cache=tmp_path, resume=True, held_out=0.0),
        out,
        Recipe(minutes=0.02, batch=4),
        codec=codec,
    )
    assert done is None and checkpoint.load(out)[1].data["steps"] > 0
