"""What becomes of poses that another hand takes over, of a codec and of its limit."""

import pytest
import torch

from xlvla import catalog
from xlvla.codec import Codec
from xlvla_policy.latent.embodiment import embodiment
from xlvla_policy.latent.metric import LIMITED
from xlvla_policy.latent.metrics import bench, evaluate_pairs, limits
from xlvla_policy.latent.pads import Pads
from xlvla_policy.latent.transfer import optimum, pose_set, transferred

PAIR = ("inspire", "xhand")


@pytest.fixture(scope="module")
def sets():
    made = {}
    for hand in PAIR:
        entry = catalog.hand(hand)
        made[hand] = pose_set(
            embodiment(entry, "right"),
            Pads(entry, "right"),
            16,
            torch.Generator().manual_seed(0),
            torch.Generator().manual_seed(1),
        )
    return made


@pytest.fixture(scope="module")
def measured(codec):
    """A bench of the shipped latent with two hands."""
    parts = {}
    for hand in PAIR:
        for side in ("right", "left"):
            parts[hand, side] = codec.part(hand, side)
    return bench(Codec(parts, codec.latent_dim, codec.card, codec.hash), "left", poses=16)


def stays(source, target, q, finger=None, *, touch=False):
    return q


def test_a_hand_that_keeps_its_poses_loses_nothing(sets):
    for poses in sets.values():
        errors = transferred(poses, poses, stays)
        assert errors == pytest.approx(dict.fromkeys(errors, 0), abs=1e-3)


def test_a_hand_that_stays_open_loses_touches_and_closing(sets):
    def opens(source, target, q, finger=None, *, touch=False):
        return target.closing[:1].expand(len(q), -1)

    errors = transferred(sets["inspire"], sets["xhand"], opens)
    assert errors["left_open_pct"] == pytest.approx(100, abs=0.1)
    assert errors["touch_apart_pct"] == 100 and errors["touch_inside_pct"] == 0


def test_the_optimiser_finds_touching_pads_where_the_other_hand_has_them(sets):
    own = transferred(sets["xhand"], sets["xhand"], optimum)
    assert own["touch_apart_pct"] + own["touch_inside_pct"] < 15
    assert own["pinch_dist_mm"] < 1 and own["left_open_pct"] < 25


def cost(values, kind: str) -> float:
    """Angle and distance [deg], a millimetre being as bad as two degrees."""
    return values[f"{kind}_dir_deg"] + 2 * values[f"{kind}_dist_mm"]


def test_limits_are_nearer_than_what_the_codec_does(measured):
    ours = evaluate_pairs(measured)
    best = limits(measured, poses=16)
    assert best.keys() == ours.keys()
    for pair, values in best.items():
        assert values.keys() == {metric.key for metric in LIMITED}
        for kind in ("pinch", "random"):
            assert cost(values, kind) < cost(ours[pair], kind)
        assert 0 < values["consistency_x"] <= ours[pair]["consistency_x"]


def test_poses_that_touch_do_not_change_which_others_are_drawn(sets):
    first = sets["xhand"]
    draws = torch.Generator().manual_seed(0)
    again = pose_set(first.body, first.pads, 16, draws, torch.Generator().manual_seed(9))
    assert torch.equal(again.random, first.random)
    assert torch.equal(again.pinched[0], first.pinched[0])
    assert not torch.equal(again.touched[0], first.touched[0])
