"""What the shipped weights are worth."""

import itertools

import numpy as np
import pytest

from xlvla import catalog
from xlvla_policy.latent.metrics import RELEASED, bench, evaluate, mirror_mm

HAND_SIDES = list(itertools.product(catalog.hands(), ("right", "left")))


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES)
def test_a_pose_comes_back_through_its_own_hand(codec, hand, side):
    limits = catalog.hand(hand).limits(side)
    q = np.random.default_rng(3).uniform(limits.lower, limits.upper, (512, len(limits.lower)))
    error = codec.decode(hand, side, codec.encode(hand, side, q)) - q
    assert np.sqrt(np.square(error).mean()) < 0.04
    assert np.abs(error).max() < 0.35


@pytest.mark.parametrize("side", ["right", "left"])
def test_every_metric_is_better_than_the_released_codes(codec, side):
    measured = evaluate(bench(codec.founders, side, poses=192, seed=5))["all"].dict()
    worse = {metric: (measured[metric], theirs) for metric, theirs in RELEASED.items() if measured[metric] >= theirs}
    assert not worse


def test_a_left_pose_decoded_by_the_right_hand_is_its_mirror_image(codec):
    bound = {"ability": 3, "allegro": 8, "xhand": 3, "inspire": 8, "paxini": 8}
    for hand, error in mirror_mm(codec, poses=256).items():
        assert error < bound[hand], hand


def test_mirrored_hands_share_their_latents_to_the_bit(codec):
    for hand in ("ability", "xhand"):
        limits = catalog.hand(hand).limits("right")
        q = np.random.default_rng(4).uniform(limits.lower, limits.upper, (8, len(limits.lower)))
        np.testing.assert_array_equal(codec.encode(hand, "left", q), codec.encode(hand, "right", q))


def test_the_file_says_what_it_is_and_how_good(codec):
    assert codec.card["recipe"]["name"] == "default"
    assert set(codec.card["metrics"]) == {*codec.hands, "all"}
    measured = evaluate(bench(codec.founders, "right", poses=64))["all"]
    assert measured.recon_tip_mm == pytest.approx(codec.card["metrics"]["all"]["recon_tip_mm"], rel=0.3)
