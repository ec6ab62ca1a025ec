"""Smooth trajectories come out smooth, and the measure of it tells smooth from rough."""

import numpy as np
import pytest
import torch

from xlvla import catalog
from xlvla.smooth import smoothed
from xlvla_policy.latent.embodiment import embodiment
from xlvla_policy.latent.metrics import Bench, jerk_ratio
from xlvla_policy.latent.pads import Pads
from xlvla_policy.latent.smoothness import LEG_S, POSES, RATES_HZ, jerk_per_metre, motions
from xlvla_policy.latent.transfer import PoseSet


@pytest.fixture(scope="module")
def body():
    return embodiment(catalog.hand("xhand"), "right")


@pytest.fixture(scope="module")
def measured(codec):
    """A bench without poses: motions are all that is measured here."""
    sets = {}
    for hand in codec.hands:
        entry = catalog.hand(hand)
        made = embodiment(entry, "right")
        none = torch.zeros(0, made.width)
        fingers = torch.zeros(0, dtype=torch.int64)
        pads = Pads(entry, "right")
        sets[hand] = PoseSet(made, pads, none, (none, fingers), (none, fingers), none)
    return Bench(codec, "right", sets, {}, {})


def test_motions_rest_in_every_pose_and_stay_within_the_limits(body):
    q = motions(body, 100, torch.Generator().manual_seed(0), 5)
    leg = round(LEG_S * 100)
    assert q.shape == ((POSES - 1) * leg + 1, 5, body.width)
    assert (q >= body.lower - 1e-6).all() and (q <= body.upper + 1e-6).all()
    speed = q.diff(dim=0).abs().amax(dim=(1, 2))
    assert speed[::leg].max() < 0.01 * speed.max()


def test_the_same_motion_sampled_twice_as_densely_has_an_eighth_of_the_third_difference(body):
    rough, fine = (
        jerk_per_metre(body, motions(body, rate, torch.Generator().manual_seed(0)))
        for rate in (50, 100)
    )
    assert rough / fine == pytest.approx(4, rel=0.1)  # a step is half as long


def test_noise_of_a_thousandth_radian_is_seen(body):
    q = motions(body, 100, torch.Generator().manual_seed(0))
    noisy = q + 1e-3 * torch.randn(q.shape, generator=torch.Generator().manual_seed(1))
    assert jerk_per_metre(body, noisy) > 20 * jerk_per_metre(body, q)


@pytest.mark.parametrize("rate", RATES_HZ)
def test_a_hand_decodes_its_own_smooth_motions_as_smoothly(codec, measured, rate):
    ratios = {hand: jerk_ratio(measured, hand, hand, rate) for hand in codec.founders.hands}
    assert max(ratios.values()) < 1.4, ratios
    assert min(ratios.values()) > 0.9


def test_other_hands_keep_much_of_the_smoothness(measured):
    assert (
        np.mean([jerk_ratio(measured, "paxini", hand) for hand in ("ability", "inspire", "xhand")])
        < 2.5
    )


def test_smoothing_keeps_lines_and_ends_and_takes_noise():
    line = np.linspace(0, 3, 90)[:, None] * np.array([1.0, -2.0])
    assert smoothed(line, 100) == pytest.approx(line)
    noisy = line + np.random.default_rng(0).normal(0, 0.01, line.shape)
    after = smoothed(noisy, 100)
    assert np.diff(after, 3, axis=0).std() < 0.02 * np.diff(noisy, 3, axis=0).std()
    assert after[[0, -1]] == pytest.approx(noisy[[0, -1]])
    assert smoothed(line[:1], 20) == pytest.approx(line[:1])
