"""Teaching one more hand: it learns, and nobody else moves."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from xlvla import catalog
from xlvla.codec import SHIPPED, Codec
from xlvla.errors import XlvlaError
from xlvla_policy.latent import new_hand
from xlvla_policy.latent.new_hand import NewHandTrainer, add
from xlvla_policy.latent.recipe import DEFAULT, PAPER
from xlvla_policy.latent.training import Trainer, train

FEW = {"batch": 32, "pool": 4096, "templates": 32, "clear": 0.0}
SMALL = replace(DEFAULT, **FEW)
PAIR = ("ability", "inspire")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    train(
        Trainer(replace(SMALL, encoder=(32, 24), decoder=(48,), steps=30, left_steps=5), PAIR), path
    )
    return path


def taught(base, hand, out, steps=30, seed=0):
    run = NewHandTrainer(base, hand, steps, seed, SMALL)
    add(run, out)
    return run


@pytest.fixture(scope="module")
def one(base, tmp_path_factory):
    """The base and one more hand."""
    path = tmp_path_factory.mktemp("one") / "one.safetensors"
    taught(base, "xhand", path, steps=2, seed=3)
    return path


@pytest.mark.parametrize("hand", ["xhand", "paxini"])
def test_the_others_stay_as_they_are_to_the_bit(base, hand, tmp_path):
    taught(base, hand, tmp_path / "more.safetensors", steps=3)
    before = load_file(base)
    after = load_file(tmp_path / "more.safetensors")
    assert all(
        after[name].dtype == tensor.dtype and np.array_equal(after[name], tensor)
        for name, tensor in before.items()
    )
    old = Codec.load(base)
    new = Codec.load(tmp_path / "more.safetensors")
    assert new.hands == tuple(sorted((*PAIR, hand)))
    for side in ("left", "right"):
        q = np.mean(old.limits("inspire", side), axis=0)
        np.testing.assert_array_equal(
            old.encode("inspire", side, q), new.encode("inspire", side, q)
        )
        assert new.joints(hand, side) == catalog.hand(hand).joint_names(side)


def test_the_latent_keeps_its_name_so_that_policies_still_know_it(base, one, tmp_path):
    taught(one, "paxini", tmp_path / "two.safetensors", steps=2)
    assert (
        Codec.load(base).hash
        == Codec.load(one).hash
        == Codec.load(tmp_path / "two.safetensors").hash
    )
    assert set(Codec.load(tmp_path / "two.safetensors").card["added"]) == {"xhand", "paxini"}


def test_frozen_networks_are_those_of_the_file(base):
    run = NewHandTrainer(base, "xhand", 1, recipe=SMALL)
    codec = Codec.load(base)
    q = run.trainer.samplers["ability"]()
    mean, spread = run.trainer.coders["ability"].encode(q)
    np.testing.assert_allclose(
        mean.detach(), codec.encode("ability", "right", q.numpy()), atol=1e-4
    )
    np.testing.assert_allclose(
        run.trainer.coders["ability"].decode(mean).detach(),
        codec.decode("ability", "right", mean.detach().numpy()),
        atol=1e-5,
    )
    assert (spread == new_hand.SPREAD).all()


def test_the_newcomer_learns_both_ways(base):
    torch.manual_seed(0)
    run = NewHandTrainer(base, "xhand", 150, recipe=SMALL)
    losses = list(run.trainer.run())
    for part, left in (
        ([step.reconstruction.item() for step in losses], 0.7),
        ([step.retargeting.item() for step in losses], 0.95),
    ):
        assert sum(part[-20:]) < left * sum(part[:20])


def test_a_seed_repeats_itself(base, tmp_path):
    for name in ("a", "b"):
        taught(base, "xhand", tmp_path / name, steps=3, seed=5)
    first = load_file(tmp_path / "a")
    second = load_file(tmp_path / "b")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_frozen_networks_keep_the_limits_they_were_trained_with():
    run = NewHandTrainer(SHIPPED, "allegro", 1, recipe=SMALL)
    codec = Codec.load()
    lower, upper = codec.limits("ability", "right")
    q = np.random.default_rng(0).uniform(lower, upper, (16, len(lower))).astype(np.float32)
    mean, _ = run.trainer.coders["ability"].encode(torch.from_numpy(q))
    np.testing.assert_allclose(mean.detach(), codec.encode("ability", "right", q), atol=1e-3)
    z = 30 * torch.randn(64, codec.latent_dim)
    np.testing.assert_allclose(
        run.trainer.coders["ability"].decode(z).detach(),
        codec.decode("ability", "right", z.numpy()),
        atol=1e-3,
    )


def test_networks_of_the_papers_kind_are_joined_too(tmp_path):
    path = tmp_path / "paper.safetensors"
    train(Trainer(replace(PAPER, steps=2, **FEW), PAIR), path)
    taught(path, "xhand", tmp_path / "more.safetensors", steps=2)
    assert "xhand.encoder.0.gain" in load_file(tmp_path / "more.safetensors")
    assert Codec.load(tmp_path / "more.safetensors").card["activation"] == "relu"


def test_an_added_hand_can_be_taught_anew_but_no_founder(base, one, tmp_path):
    taught(one, "xhand", tmp_path / "again.safetensors", steps=3)
    assert (
        Codec.load(tmp_path / "again.safetensors").card["added"]["xhand"]["recipe"]["left_steps"]
        == 3
    )
    with pytest.raises(XlvlaError, match="'inspire' shaped the latent of"):
        NewHandTrainer(base, "inspire")


def test_those_who_shaped_the_latent_can_be_told_from_those_who_came_later(base, one):
    codec = Codec.load(one)
    assert (codec.founders.hands, codec.founders.hash) == (PAIR, codec.hash)
    assert Codec.load(base).founders.hands == PAIR


def test_an_unknown_hand_is_told_what_is_meant(base):
    with pytest.raises(XlvlaError, match=r"unknown hand 'xhnad'.*did you mean 'xhand'\?"):
        NewHandTrainer(base, "xhnad")


def test_the_model_card_tells_how_the_new_hand_was_trained(one):
    about = Codec.load(one).card["added"]["xhand"]
    assert about["seed"] == 3 and about["recipe"]["batch"] == FEW["batch"]
    json.dumps(about)
