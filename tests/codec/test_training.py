"""Training: it learns, resumes to the bit, and knows the paper's recipe."""

import math
from copy import deepcopy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla_policy.latent.losses import pinches, retargeting, shared
from xlvla_policy.latent.recipe import PAPER, TIPS, preset
from xlvla_policy.latent.training import Trainer, checkpoint, train

TINY = replace(
    TIPS,
    patience=8,
    clear=0.0,
    encoder=(16,),
    decoder=(16,),
    batch=16,
    steps=4,
    left_steps=3,
    settle_steps=2,
    pool=2048,
    templates=32,
)
PAIR = ("ability", "inspire")
ABILITY = catalog.hand("ability")


@pytest.fixture(scope="module")
def new_trainer():
    """Trainers of the pair that have not begun; what they draw at first is drawn once."""
    made = Trainer(TINY, PAIR)
    return lambda: deepcopy(made)


def test_a_resumed_run_ends_exactly_like_an_uninterrupted_one(new_trainer, tmp_path):
    whole = tmp_path / "whole.safetensors"
    resumed = tmp_path / "resumed.safetensors"
    train(new_trainer(), whole)
    for stop in (
        2,
        4,
        6,
        7,
        8,
        # Among the right hands' steps, where they end, among the left hands', and where decoders
        # settle
    ):
        interrupted = new_trainer()
        if stop > 2:
            interrupted.resume(checkpoint(resumed))
        list(interrupted.run(until=stop))
        interrupted.save(checkpoint(resumed))
    train(Trainer(TINY, PAIR), resumed, resume=True)
    ours = load_file(whole)
    theirs = load_file(resumed)
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert not checkpoint(resumed).exists()


def test_both_parts_of_a_phase_that_gain_nothing_end_early_with_their_best_weights():
    trainer = Trainer(
        replace(TINY, steps=400, settle_steps=0, rate=0.0, patience=16), ("ability", "xhand")
    )
    assert len(list(trainer.run())) == 2 * (
        2 + 16
    )  # a first look after two steps, and sixteen in which nothing got better
    assert trainer.step == 400
    assert all(
        torch.equal(value, trainer.best.weights[name])
        for name, value in trainer.coders.state_dict().items()
    )


def test_a_run_that_gains_is_not_stopped_and_poses_held_out_are_never_trained_on():
    trainer = Trainer(
        replace(
            TINY, encoder=(64,), decoder=(64,), batch=64, steps=40, settle_steps=0, patience=16
        ),
        ("ability", "xhand"),
    )
    held_out = trainer.held_out["xhand"].clone()
    assert len(list(trainer.run())) == 40
    assert torch.equal(trainer.held_out["xhand"], held_out)
    assert not torch.isin(trainer.samplers["xhand"].pinches, held_out).all(dim=1).any()


def test_a_run_that_diverges_goes_back_to_sound_weights_and_on_more_slowly(new_trainer):
    trainer = new_trainer()
    list(trainer.run(until=2))
    with torch.no_grad():
        trainer.coders["inspire"].decoder[0].weight.fill_(math.nan)
    losses = list(trainer.run())
    assert trainer.step == trainer.steps and trainer.slowed == 1
    assert all(math.isfinite(step.total.item()) for step in losses)
    assert all(value.isfinite().all() for value in trainer.coders.state_dict().values())


def test_a_run_that_diverges_at_every_rate_says_in_one_line_what_was_tried():
    trainer = Trainer(replace(TINY, patience=0, distance=math.inf), PAIR)
    with pytest.raises(XlvlaError) as caught:
        list(trainer.run())
    line = str(caught.value)
    assert "\n" not in line
    assert line.startswith("training of ability, inspire diverged at step 0")
    assert "tried were the learning rates 0.004, 0.002, 0.001, 0.0005" in line


def test_training_samples_and_decodes_within_the_limits_of_the_device(new_trainer, tmp_path):
    trainer = new_trainer()
    lower, upper = (torch.tensor(limit).float() for limit in ABILITY.command_range("right"))
    q = torch.cat([trainer.samplers["ability"]() for _ in range(8)])
    decoded = trainer.coders["ability"].decode(1e3 * torch.randn(64, TINY.latent))
    for poses in (q, decoded):
        assert (poses >= lower).all() and (poses <= upper).all()
    train(trainer, tmp_path / "codec.safetensors")
    entry = Codec.load(tmp_path / "codec.safetensors").card["hands"]["ability"]["right"]
    assert max(entry["upper"]) == 1.74


def test_resuming_another_run_is_refused(new_trainer, tmp_path):
    trainer = new_trainer()
    trainer.save(tmp_path / "run.pt")
    with pytest.raises(XlvlaError, match="was trained with seed 0, asked is 1"):
        Trainer(TINY, PAIR, seed=1).resume(tmp_path / "run.pt")


def test_left_hands_learn_without_moving_the_right(new_trainer):
    trainer = new_trainer()
    list(trainer.run(until=4))
    before = {name: value.clone() for name, value in trainer.coders["inspire"].state_dict().items()}
    list(trainer.run(until=7))
    assert all(
        torch.equal(value, before[name])
        for name, value in trainer.coders["inspire"].state_dict().items()
    )
    left = trainer.coders["inspire_left"].state_dict()
    assert any(not torch.equal(value, before[name]) for name, value in left.items())


def test_decoders_settle_while_latents_stay_what_they_are(new_trainer):
    trainer = new_trainer()
    list(trainer.run(until=7))
    before = {name: value.clone() for name, value in trainer.coders.state_dict().items()}
    list(trainer.run())
    after = trainer.coders.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(value, after[name])}
    assert changed == {name for name in before if ".decoder." in name}


def test_one_hand_is_too_few():
    with pytest.raises(XlvlaError, match="at least two hands"):
        Trainer(TINY, ("xhand",))


def test_the_loss_falls():
    trainer = Trainer(replace(TINY, encoder=(64,), decoder=(64,), batch=64, steps=60), PAIR)
    totals = [losses.total.item() for losses in trainer.run(until=60)]
    assert sum(totals[-5:]) < 0.8 * sum(totals[:5])


def test_the_papers_recipe_trains_and_loads(tmp_path):
    out = tmp_path / "paper.safetensors"
    trainer = Trainer(replace(PAPER, batch=16, steps=2, pool=2048, templates=32), PAIR)
    train(trainer, out)
    codec = Codec.load(out)
    assert codec.hands == PAIR
    q = trainer.samplers["ability"]()
    coder = trainer.coders["ability"]
    z = coder.encode(q)[0]
    assert torch.allclose(
        torch.from_numpy(codec.encode("ability", "left", q.numpy())), z, atol=5e-3
    )
    assert torch.allclose(
        torch.from_numpy(codec.decode("ability", "right", z.detach().numpy())),
        coder.decode(z),
        atol=5e-3,
    )


def test_an_unknown_preset_is_told_what_is_meant():
    with pytest.raises(XlvlaError, match=r"unknown codec preset 'papper'.*did you mean 'paper'\?"):
        preset("papper")


def test_equal_pinches_cost_nothing_and_missing_fingers_do_not_count():
    four = ("thumb", "index", "middle", "ring")
    five = ("thumb", "index", "middle", "ring", "little")
    tips = torch.rand(8, 5, 3)
    ours = pinches(tips, five)
    theirs = pinches(tips[:, :4], four)
    mask = shared(five, four).expand(8, -1)
    assert mask.sum() == 24
    assert retargeting(ours, theirs, mask, PAPER).item() == pytest.approx(0, abs=1e-3)
    assert retargeting(ours, 2 * theirs, mask, PAPER).item() > 1


def test_the_papers_retargeting_loss_is_computed_as_written():
    source = torch.tensor([[[0.03, 0.0, 0.0]]])
    target = torch.tensor([[[0.0, 0.05, 0.0]]])
    d = 0.03
    weight = torch.exp(torch.tensor(-12 * 0.03)).item()
    expected = weight * (2000 * (d - 0.05) ** 2 + 5 * (1 - 0))
    assert retargeting(source, target, torch.ones(1, 1), PAPER).item() == pytest.approx(
        expected, rel=2e-3
    )
