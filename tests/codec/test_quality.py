"""What the shipped weights are worth."""

import itertools
from functools import cache

import numpy as np
import pytest

from rows import SIDES, TAUGHT
from xlvla import catalog
from xlvla_policy.latent.metric import METRICS, RELEASED
from xlvla_policy.latent.metrics import Metrics, bench, evaluate, mirror_mm

HAND_SIDES = list(itertools.product(TAUGHT, SIDES))


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES)
def test_a_pose_comes_back_through_its_own_hand(codec, hand, side):
    lower, upper = codec.limits(hand, side)
    q = np.random.default_rng(3).uniform(lower, upper, (512, len(lower)))
    error = codec.decode(hand, side, codec.encode(hand, side, q)) - q
    assert np.sqrt(np.square(error).mean()) < 0.04
    assert np.abs(error).max() < 0.35


ASKED = {
    "recon_joint_rad": 0.006,
    "recon_tip_mm": 0.8,
    "pinch_dir_deg": 10.0,
    "pinch_dist_mm": 3.2,
    "random_dir_deg": 9.5,
    "random_dist_mm": 8.8,
    "continuity_tip_mm": 2.3,
    "interp_jerk_mm": 0.033,
    "own_jerk_x": 1.4,
    "moved_jerk_x": 1.2,
    "pinch_collision_pct": 21.0,
    "random_collision_pct": 27.0,
    "touch_apart_pct": 16.0,
    "touch_inside_pct": 2.0,
    "consistency_x": 0.08,
}
"""What the hands that shape the latent must reach among themselves; of collisions the paper's
recipe has 36 and 42 %.
"""
WIDER = {"random_dist_mm"}
"""Where the weights released with the paper are better: hands that agree on a latent cannot spread
one that only some of them can reach.
"""


@pytest.fixture(scope="module")
def measured_on(codec):
    """The metrics of all founders on a side, measured once."""

    @cache
    def measure(side):
        return evaluate(bench(codec.founders, side, poses=512, seed=31))["all"]

    return measure


@pytest.mark.parametrize("side", ["right", pytest.param("left", marks=pytest.mark.long)])
def test_every_metric_reaches_what_is_asked_of_it(measured_on, side):
    measured = measured_on(side).dict()
    worse = {
        metric: (measured[metric], asked)
        for metric, asked in ASKED.items()
        if measured[metric] > asked
    }
    assert not worse
    behind = {metric for metric, theirs in RELEASED.items() if measured[metric] >= theirs}
    assert behind <= WIDER


def test_a_left_pose_decoded_by_the_right_hand_is_its_mirror_image(codec):
    bound = {"ability": 3, "allegro": 8, "xhand": 3, "inspire": 8, "paxini": 8}
    for hand, error in mirror_mm(codec, poses=256).items():
        assert error < bound[hand], hand


def test_mirrored_hands_share_their_latents_to_the_bit(codec):
    for hand in ("ability", "xhand"):
        limits = catalog.hand(hand).limits("right")
        q = np.random.default_rng(4).uniform(limits.lower, limits.upper, (8, len(limits.lower)))
        np.testing.assert_array_equal(codec.encode(hand, "left", q), codec.encode(hand, "right", q))


def test_the_file_says_what_it_is_and_how_good(codec, measured_on):
    assert codec.card["recipe"]["name"] == "contact"
    assert set(codec.card["metrics"]) == {*codec.hands, "all"}
    assert measured_on("right").recon_tip_mm == pytest.approx(
        codec.card["metrics"]["all"]["recon_tip_mm"], rel=0.3
    )


def test_the_table_prints_every_metric_that_is_measured():
    assert tuple(metric.key for metric in METRICS) == tuple(Metrics.__dataclass_fields__)
    units = {"rad": "rad", "mm": "mm", "deg": "deg", "pct": "%", "x": "x"}
    assert all(metric.unit == units[metric.key.rpartition("_")[2]] for metric in METRICS)


def test_the_shipped_latent_is_version_2_and_stays_as_it_is(codec):
    assert codec.founders.hands == ("ability", "inspire", "paxini", "xhand")
    assert codec.hash == "0a1947f73902"


@pytest.mark.parametrize("hand", ["ability", "inspire", "paxini", "xhand"])
def test_no_direction_of_the_latent_outweighs_all_others(codec, hand):
    """One that is stretched makes latents look alike that differ in all others."""
    lower, upper = codec.limits(hand, "right")
    q = np.random.default_rng(0).uniform(lower, upper, (2048, len(lower)))
    z = codec.encode(hand, "right", q)
    first, second, *_ = np.linalg.svd(z - z.mean(axis=0), compute_uv=False)
    assert first < 3 * second
