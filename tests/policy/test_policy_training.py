"""Reading demonstrations, training, resuming, and weights that know what they belong to."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
import torch
from safetensors.torch import save_file

from xlvla.errors import XlvlaError
from xlvla_data import store
from xlvla_policy.training import dataset, run, validation
from xlvla_policy.training.loop import Recipe, Trainer
from xlvla_policy.vla import checkpoint, config
from xlvla_policy.vla.model import Vla

TINY = config.preset("tiny")
QUICK = Recipe(steps=6, minutes=None, batch=4, warm_up=2, bf16=False)


def trainer(batches, rows, recipe: Recipe = QUICK) -> Trainer:
    torch.manual_seed(0)
    return Trainer(Vla(TINY), batches, rows, recipe)


def test_a_chunk_starts_with_the_action_of_its_observation_and_its_past_ends_with_the_one_before(data, stored):
    one = stored[1].read()
    window = data.windows(np.flatnonzero(data.source == 1)[[0, 7]], TINY.frames)
    np.testing.assert_allclose(window[0, : TINY.frames, :7], np.tile(one.measured["left"]["arm"][0], (TINY.frames, 1)), atol=1e-6)
    np.testing.assert_allclose(window[1, TINY.frames - 1 : TINY.frames + 1, :7], one.action["left"]["arm"][6:8], atol=1e-6)
    np.testing.assert_allclose(window[1, TINY.frames, 7:39], one.latent["left"][7], atol=1e-6)
    assert (window[1, -10:] == window[1, -1]).all()


def test_latents_of_another_codec_are_computed_again(tmp_path, rig, codec, data):
    foreign = synthetic.write(tmp_path, rig, codec, 2, codec_hash="another")
    read = dataset.load(foreign, TINY, codec)
    np.testing.assert_allclose(read.commands, data.commands[: len(read.commands)], atol=1e-5)


def test_decoded_frames_are_kept_for_the_next_run(tmp_path, stored, codec, data):
    for _ in range(2):
        read = dataset.load(stored, TINY, codec, cache=tmp_path)
        np.testing.assert_array_equal(read.images, data.images)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_folder_without_episodes_is_refused(tmp_path):
    with pytest.raises(XlvlaError, match="no episodes"):
        store.find(tmp_path)


def test_an_episode_with_a_bad_number_is_never_stored(tmp_path, rig, codec):
    one = synthetic.make(rig, codec, 0, 20, codec.hash)
    one.action["left"]["arm"][3, 2] = np.nan
    with pytest.raises(XlvlaError, match="'action' holds a number that is not finite"):
        store.Store(tmp_path).add(one)
    with pytest.raises(XlvlaError, match="no episodes"):
        store.find(tmp_path)


def test_training_resumes_to_the_bit(tmp_path, batches, rows):
    whole = trainer(batches, rows)
    for _ in range(6):
        whole.advance()
    first = trainer(batches, rows)
    for _ in range(3):
        first.advance()
    first.save(tmp_path / "state")
    second = trainer(batches, rows, replace(QUICK, seed=9))
    second.resume(tmp_path / "state")
    for _ in range(3):
        second.advance()
    assert all(torch.equal(a, b) for a, b in zip(whole.model.state_dict().values(), second.model.state_dict().values(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole.average.values(), second.average.values(), strict=True))


def test_a_state_of_another_size_or_none_at_all_is_refused(tmp_path, batches, rows):
    with pytest.raises(XlvlaError, match="nothing to resume"):
        trainer(batches, rows).resume(tmp_path / "none")
    torch.save({"model": {}, "optimizer": {}}, tmp_path / "foreign")
    with pytest.raises(XlvlaError, match="cannot be resumed"):
        trainer(batches, rows).resume(tmp_path / "foreign")


def test_the_rate_warms_up_and_then_falls_with_the_time_or_steps_used():
    recipe = Recipe(steps=100, minutes=1, warm_up=10)
    assert recipe.learning_rate(0, 0) < recipe.learning_rate(9, 0) <= recipe.rate
    assert recipe.learning_rate(50, 0) == pytest.approx((recipe.rate + recipe.final_rate) / 2)
    assert recipe.learning_rate(50, 60) == pytest.approx(recipe.final_rate)
    assert recipe.progress(5, 61) == 1


def test_a_run_writes_weights_that_load_and_validates_on_episodes_kept_back(stored, tmp_path, codec):
    out = tmp_path / "policy.safetensors"
    errors = run.train(stored[0].data.root, out, run.Choice(preset="tiny", threads=1), QUICK, codec=codec)
    assert errors is not None and 0 < errors.start_wrist_m < 2
    _, card = checkpoint.load(out, codec=codec.hash)
    assert card.data["episodes"] == 6 and card.data["hands"] == {"xhand": 6} and card.data["steps"] == 6


def test_held_out_rows_are_whole_episodes(data):
    rows, back = validation.held_out(data, 0.3)
    assert len(rows) + len(back) == len(data)
    assert not set(data.source[rows]) & set(data.source[back]) and len(back)


def test_half_precision_storage_hardly_changes_a_chunk(tmp_path, batches, weights):
    model, card = checkpoint.load(weights)
    exact = checkpoint.save(tmp_path / "exact.safetensors", model.state_dict(), card, dtype=torch.float32)
    torch.manual_seed(1)
    original = Vla(TINY)
    inputs, chunk = batches.take(np.array([0, 50]))
    noise = torch.randn(chunk.shape, generator=torch.Generator().manual_seed(0))
    assert (model.sample(inputs, noise) - original.sample(inputs, noise)).abs().max() < 0.02
    torch.testing.assert_close(model.sample(inputs, noise), checkpoint.load(exact)[0].sample(inputs, noise))


def test_weights_of_another_codec_are_refused_with_both_names(weights, codec):
    with pytest.raises(XlvlaError, match=f"trained with codec {codec.hash}, the one in use is 123abc"):
        checkpoint.load(weights, codec="123abc")


def test_missing_foreign_and_cut_files_are_refused(tmp_path, weights):
    with pytest.raises(XlvlaError, match="no policy weights at"):
        checkpoint.load(tmp_path / "none.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:2000])
    with pytest.raises(XlvlaError, match="not a safetensors file"):
        checkpoint.load(tmp_path / "cut.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(XlvlaError, match="holds no policy"):
        checkpoint.load(tmp_path / "foreign.safetensors")


def test_weights_that_do_not_fit_their_configuration_are_refused(tmp_path, weights):
    model, card = checkpoint.load(weights)
    other = replace(card, config=replace(card.config, layers=3))
    path = checkpoint.save(tmp_path / "odd.safetensors", model.state_dict(), other)
    with pytest.raises(XlvlaError, match="does not hold the weights its configuration describes"):
        checkpoint.load(path)
