"""The yardsticks: what `xlvla bench codec` compares with does the same work."""

from dataclasses import replace

import pytest
import torch

from xlvla.errors import XlvlaError
from xlvla_policy.latent.loops import LoopTrainer, pinch_cost
from xlvla_policy.latent.losses import pinches
from xlvla_policy.latent.recipe import PAPER

speed = pytest.importorskip("xlvla_policy.latent.benchmark")

SMALL = replace(PAPER, batch=32, pool=2048, templates=32)
PAIR = ("inspire", "paxini")


@pytest.mark.parametrize("number", [0, 1])
def test_the_loops_put_fingertips_where_ours_do(number):
    limb = LoopTrainer(SMALL, PAIR).limbs[number]
    q = limb.lower + torch.rand(8, len(limb.lower)) * (limb.upper - limb.lower)
    far = limb.forward(q)
    near = limb.body.tips(q[:, 7:])
    distances = [(tips[:, 1:] - tips[:, :1]).norm(dim=-1) for tips in (far, near)]
    torch.testing.assert_close(*distances, atol=1e-5, rtol=0)


def test_the_loops_pinch_cost_is_the_papers():
    trainer = LoopTrainer(SMALL, PAIR)
    poses = [
        limb.body.lower + torch.rand(16, limb.body.width) * (limb.body.upper - limb.body.lower)
        for limb in trainer.limbs
    ]
    bodies = [limb.body for limb in trainer.limbs]
    ours, theirs = (
        pinches(body.tips(q), body.fingers)[:, :3] for body, q in zip(bodies, poses, strict=True)
    )
    long = ours.norm(dim=-1)
    wide = theirs.norm(dim=-1)
    cosine = torch.cosine_similarity(ours, theirs, dim=-1)
    expected = (torch.exp(-12 * long) * (2000 * (long - wide).square() + 5 * (1 - cosine))).mean()
    tips = [
        limb.forward(torch.cat([torch.zeros(16, 7), q], dim=1))
        for limb, q in zip(trainer.limbs, poses, strict=True)
    ]
    torch.testing.assert_close(pinch_cost(*tips, SMALL), expected, rtol=1e-3, atol=1e-3)


def test_the_loops_learn():
    torch.manual_seed(0)
    trainer = LoopTrainer(SMALL, PAIR)
    totals = [trainer.step() for _ in range(40)]
    assert sum(totals[-5:]) < 0.9 * sum(totals[:5])


def test_a_step_is_as_many_times_as_fast_as_it_takes_less_time():
    once, half, quarter = (speed.Timing(median, 2 * median) for median in (0.4, 0.2, 0.1))
    steps = speed.Steps(once, half, quarter, threads=1)
    assert steps.ratio == pytest.approx(2) and steps.coarse_ratio == pytest.approx(4)


def test_both_ways_are_timed_for_every_task(codec):
    ways = speed.run_times(codec, (("inspire", "left"), ("xhand", "right")), seconds=0.05)
    tasks = {"decode chunk", "decode frame", "encode chunk", "encode frame", "load"}
    assert [way.way for way in ways] == ["onnxruntime", "numpy"]
    assert all(set(way.tasks) == tasks for way in ways)


def test_a_hand_the_codec_does_not_know_is_named(codec):
    with pytest.raises(XlvlaError, match="unknown hand of the codec 'xhnad'"):
        speed.run_times(codec, (("inspire", "left"), ("xhnad", "right")))
