"""Weights that know what they belong to, and refuse all else with one line."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from xlvla.errors import XlvlaError
from xlvla.types import SIDES
from xlvla_policy.policies import xlvla as policies
from xlvla_policy.vla import checkpoint, config, normalise
from xlvla_policy.vla.frames import Body, Frames
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.normalise import BlockStatistics, Statistics

TINY = config.preset("tiny")


def test_half_precision_storage_hardly_changes_a_chunk(tmp_path, batches, weights):
    model, card = checkpoint.load(weights)
    exact = checkpoint.save(
        tmp_path / "exact.safetensors", model.state_dict(), card, dtype=torch.float32
    )
    torch.manual_seed(1)
    original = Vla(TINY)
    inputs, chunk = batches.take(np.array([0, 50]))
    noise = torch.randn(chunk.shape, generator=torch.Generator().manual_seed(0))
    assert (model.sample(inputs, noise) - original.sample(inputs, noise)).abs().max() < 0.02
    torch.testing.assert_close(
        model.sample(inputs, noise), checkpoint.load(exact)[0].sample(inputs, noise)
    )


def test_weights_of_another_codec_or_tokenizer_are_refused_with_both_names(weights, codec, batches):
    with pytest.raises(
        XlvlaError, match=f"trained with codec {codec.hash}, the one in use is 123abc"
    ):
        checkpoint.load(weights, codec="123abc")
    with pytest.raises(
        XlvlaError,
        match=f"trained with tokenizer {batches.tokenizer.hash}, the one in use is 123abc",
    ):
        checkpoint.load(weights, words="123abc")


def test_missing_foreign_and_cut_files_are_refused(tmp_path, weights):
    with pytest.raises(XlvlaError, match="no policy weights at"):
        checkpoint.load(tmp_path / "none.safetensors")
    for length in (0, 5, 2000, weights.stat().st_size - 1):
        (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:length])
        with pytest.raises(XlvlaError, match="not a safetensors file"):
            checkpoint.load(tmp_path / "cut.safetensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    with pytest.raises(XlvlaError, match="holds no policy"):
        checkpoint.load(tmp_path / "foreign.safetensors")


def test_a_changed_weight_or_statistic_is_found_out(tmp_path, weights):
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    (tmp_path / "weight.safetensors").write_bytes(content)
    text = weights.read_bytes()
    place = text.index(rb"\"mean\": [") + 12
    digit = next(i for i in range(place, place + 20) if chr(text[i]).isdigit())
    swapped = b"7" if text[digit : digit + 1] != b"7" else b"8"
    (tmp_path / "card.safetensors").write_bytes(text[:digit] + swapped + text[digit + 1 :])
    for name in ("weight", "card"):
        with pytest.raises(
            XlvlaError,
            match="changed after it was written: its weights and its card do not belong together",
        ):
            checkpoint.load(tmp_path / f"{name}.safetensors")


def test_statistics_of_other_frames_are_refused(tmp_path, weights):
    model, card = checkpoint.load(weights)
    blocks = dict(card.statistics.blocks)
    narrow = BlockStatistics((), blocks["left latent"].mean[:16], blocks["left latent"].scale[:16])
    for wrong, complaint in (
        ({**blocks, "left latent": narrow}, "left latent has 16 numbers, not 32"),
        (
            {name: known for name, known in blocks.items() if name.startswith("left")},
            "they are of left, not left and right",
        ),
    ):
        path = checkpoint.save(
            tmp_path / "odd.safetensors",
            model.state_dict(),
            replace(card, statistics=Statistics(wrong)),
        )
        with pytest.raises(
            XlvlaError, match=f"statistics do not belong to its configuration: {complaint}"
        ):
            checkpoint.load(path)
    endless = replace(blocks["left latent"], scale=np.full(32, np.inf, np.float32))
    path = checkpoint.save(
        tmp_path / "odd.safetensors",
        model.state_dict(),
        replace(card, statistics=Statistics({**blocks, "left latent": endless})),
    )
    with pytest.raises(XlvlaError, match=r"the card of .* is damaged"):
        checkpoint.load(path)


def test_weights_that_do_not_fit_their_configuration_are_refused(tmp_path, weights):
    model, card = checkpoint.load(weights)
    other = replace(card, config=replace(card.config, layers=3))
    path = checkpoint.save(tmp_path / "odd.safetensors", model.state_dict(), other)
    with pytest.raises(XlvlaError, match="does not hold the weights its configuration describes"):
        checkpoint.load(path)


def test_an_arm_that_was_never_trained_on_is_refused_by_name_and_a_hand_is_not(batches, codec):
    unseen = Frames(
        TINY, {"left": Body("xarm7", "paxini"), "right": Body("xarm7", "ability")}, codec
    )
    assert (
        batches.statistics.normaliser(unseen).mean
        == batches.statistics.normaliser(batches.data.recorded[0].robot).mean
    ).all()
    other = Frames(TINY, {"left": Body("g1", "xhand"), "right": Body("xarm7", "xhand")}, codec)
    with pytest.raises(
        XlvlaError, match="act on joints of left arm xarm7, not of left arm g1: train with it"
    ):
        batches.statistics.normaliser(other)


def test_the_shipped_weights_drive_the_arms_they_were_trained_on(codec):
    _, card = checkpoint.load(policies.SHIPPED, codec=codec.hash)
    assert {"left arm xarm7", "left latent", "right arm xarm7", "right latent"} == set(
        card.statistics.blocks
    )


def test_rarely_moving_numbers_are_not_blown_up_and_nothing_moving_at_all_is_refused(codec):
    frames = Frames(TINY, {side: Body("xarm7", "xhand") for side in SIDES}, codec)
    rows = np.random.default_rng(0).normal(size=(500, TINY.frame_dim)).astype(np.float32)
    rows[:, 3] *= 1e-4
    seen = [(block, normalise.moments(rows[:, block.columns])) for block in frames.blocks]
    fitted = normalise.fit(seen)
    assert fitted.blocks["left arm xarm7"].scale[3] == pytest.approx(0.15, rel=0.1)
    rows[:, [*range(7), *range(39, 46)]] = 0.5
    with pytest.raises(XlvlaError, match="no number of 'arm xarm7' ever moves"):
        normalise.fit(
            [(block, normalise.moments(rows[:, block.columns])) for block in frames.blocks]
        )


def test_moments_of_parts_pool_to_those_of_the_whole():
    rng = np.random.default_rng(0)
    parts = [rng.normal(shift, 1 + shift, (50 * (1 + shift), 3)) for shift in (0, 1, 2)]
    whole = np.concatenate([parts[0], parts[1], parts[1], parts[2]])
    weights = [1, 2, 1]
    pooled = normalise.pooled([normalise.moments(part) for part in parts], weights)
    np.testing.assert_allclose(pooled.mean, whole.mean(0))
    np.testing.assert_allclose(pooled.deviation, whole.std(0))
