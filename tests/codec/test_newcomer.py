"""Teaching one more hand: it learns, and nobody else moves."""

import json
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from rows import SIDES
from xlvla import catalog
from xlvla.codec import SHIPPED, Codec
from xlvla.errors import XlvlaError
from xlvla_policy.latent import new_hand
from xlvla_policy.latent.new_hand import NewHandTrainer, add
from xlvla_policy.latent.objective import Roles
from xlvla_policy.latent.recipe import ADDED, PAPER, TIPS
from xlvla_policy.latent.training import Trainer, checkpoint, train

FEW = {"batch": 32, "pool": 4096, "templates": 32, "clear": 0.0}
SMALL = replace(TIPS, **FEW)
PARTS = {"coarse": 0.5, "steps": 90, "left_steps": 20, "settle_steps": 10}
ADDING = replace(ADDED, **FEW, **PARTS)
SHAPED = replace(SMALL, encoder=(32, 24), decoder=(48,), settle_steps=2)
PAIR = ("ability", "inspire")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    train(Trainer(replace(SHAPED, steps=30, left_steps=5), PAIR), path)
    return path


def taught(base, hand, out, steps=30, seed=0):
    run = NewHandTrainer(base, hand, steps, seed, ADDING)
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
    run = NewHandTrainer(base, "xhand", 1, recipe=ADDING)
    codec = Codec.load(base)
    lower, upper = codec.limits("ability", "right")
    q = torch.from_numpy(np.random.default_rng(0).uniform(lower, upper, (32, len(lower)))).float()
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
    run = NewHandTrainer(base, "xhand", 120, recipe=ADDING)
    trainer = run.trainer
    poses = {"xhand": trainer.samplers["xhand"]()}
    lessons = [batches[0] for batches in trainer.lessons]
    of_all = Roles(run.new, trainer.bodies, exact=False)

    @torch.no_grad()
    def losses():
        return trainer.objective(poses, of_all, torch.Generator().manual_seed(0), lessons=lessons)

    before = losses()
    parts = [trainer.phase.part for _ in trainer.run()]
    after = losses()
    assert set(parts) == {"right", "settle"}
    assert after.reconstruction < 0.9 * before.reconstruction
    assert after.retargeting < 0.95 * before.retargeting


def test_a_seed_repeats_itself(base, tmp_path):
    for name in ("a", "b"):
        taught(base, "xhand", tmp_path / name, steps=3, seed=5)
    first = load_file(tmp_path / "a")
    second = load_file(tmp_path / "b")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_frozen_networks_keep_the_limits_they_were_trained_with():
    run = NewHandTrainer(SHIPPED, "allegro", 1, recipe=ADDING)
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


def test_what_frozen_hands_teach_is_what_their_encoders_make_of_poses(base):
    run = NewHandTrainer(base, "xhand", 1, recipe=ADDING)
    codec = Codec.load(base)
    for batches in run.trainer.lessons:
        assert {batch.body.name for batch in batches} <= set(PAIR)
        for batch in batches[:2]:
            z = codec.encode(batch.body.name, "right", batch.q.numpy())
            np.testing.assert_allclose(batch.mean, z, atol=1e-4)
            assert not torch.equal(batch.q, batches[2].q)


def test_frozen_decoders_share_the_poses_of_a_new_hand(base):
    trainer = NewHandTrainer(base, "xhand", 1, recipe=replace(ADDING, clear=40.0)).trainer
    body = trainer.learning[0]
    q = trainer.samplers["xhand"]()
    roles = Roles(trainer.learning, trainer.bodies, dealt=2)
    source = trainer.objective.source(body, q, roles, torch.Generator(), turn=3)
    shares = [source.every(2, 3), source.every(2, 4)]
    together = torch.cat([share.q for share in shares])
    assert torch.equal(together.sort(dim=0).values, q.sort(dim=0).values)
    contact = trainer.objective.contacts["xhand"]
    for share in shares:
        assert len(share.checked)
        assert torch.equal(share.free, contact.free(share.q[share.checked]))


def test_an_interrupted_addition_ends_exactly_like_an_uninterrupted_one(base, tmp_path):
    # The left hand is no mirror image: its steps come after the right one's.
    whole = tmp_path / "whole.safetensors"
    resumed = tmp_path / "resumed.safetensors"
    new = NewHandTrainer(base, "paxini", 28, 0, ADDING)
    add(deepcopy(new), whole)
    parts: set[str] = set()
    # While the right hand learns, coarsely and exactly, the left one, and decoders settle.
    for stop in (4, 20, 27, 33):
        interrupted = deepcopy(new).trainer
        if parts:
            interrupted.resume(checkpoint(resumed))
        list(interrupted.run(until=stop))
        parts.add(interrupted.phase.part)
        interrupted.save(checkpoint(resumed))
    assert parts == {"right", "left", "settle"}
    add(NewHandTrainer(base, "paxini", 28, 0, ADDING), resumed, resume=True)
    first = load_file(whole)
    second = load_file(resumed)
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not checkpoint(resumed).exists()


def test_an_addition_to_another_codec_is_not_resumed(base, one, tmp_path):
    run = NewHandTrainer(base, "paxini", 2, recipe=ADDING)
    run.trainer.save(tmp_path / "run.pt")
    other = tmp_path / "other.safetensors"
    train(Trainer(replace(SHAPED, steps=2, left_steps=2), PAIR, seed=1), other)
    with pytest.raises(XlvlaError, match="was trained with base"):
        NewHandTrainer(other, "paxini", 2, recipe=ADDING).trainer.resume(tmp_path / "run.pt")


@pytest.mark.parametrize("side", SIDES)
def test_poses_of_a_new_hand_are_finite_and_within_its_limits(one, side):
    codec = Codec.load(one)
    lower, upper = codec.limits("xhand", side)
    random = np.random.default_rng(0)
    q = random.uniform(lower, upper, (64, len(lower)))
    z = [codec.encode("xhand", side, q), 30 * random.standard_normal((64, codec.latent_dim))]
    for other in PAIR:
        theirs = random.uniform(*codec.limits(other, side), (64, len(codec.joints(other, side))))
        z.append(codec.encode(other, side, theirs))
        assert np.isfinite(codec.decode(other, side, z[0])).all()
    decoded = codec.decode("xhand", side, np.concatenate(z))
    assert np.isfinite(decoded).all()
    assert (decoded >= lower).all() and (decoded <= upper).all()


def test_a_weights_file_of_ones_own_takes_the_place_of_the_shipped_one(one, tmp_path, monkeypatch):
    monkeypatch.setenv("XLVLA_CODEC", str(one))
    assert Codec.load().hands == ("ability", "inspire", "xhand")
    with pytest.raises(XlvlaError, match="not 'paxini': teach it with `xlvla codec add paxini`"):
        Codec.load().part("paxini", "left")
    monkeypatch.setenv("XLVLA_CODEC", str(tmp_path / "gone.safetensors"))
    with pytest.raises(XlvlaError, match="XLVLA_CODEC names"):
        Codec.load()


def test_networks_of_the_papers_kind_are_joined_too(tmp_path):
    path = tmp_path / "paper.safetensors"
    train(Trainer(replace(PAPER, steps=2, **FEW), PAIR), path)
    taught(path, "xhand", tmp_path / "more.safetensors", steps=2)
    assert "xhand.encoder.0.gain" in load_file(tmp_path / "more.safetensors")
    assert Codec.load(tmp_path / "more.safetensors").card["activation"] == "relu"


def test_an_added_hand_can_be_taught_anew_but_no_founder(base, one, tmp_path):
    taught(one, "xhand", tmp_path / "again.safetensors", steps=3)
    assert (
        Codec.load(tmp_path / "again.safetensors").card["added"]["xhand"]["recipe"]["name"]
        == "newcomer"
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
