import time

import numpy as np
import pytest

from xlvla import catalog, human
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics
from xlvla.types import SIDES
from xlvla_drivers.teleop.fingers import WRISTS, fingers

RELAXED = np.array([0.7, 0.7, 0.1, 0.1, *[0.0, 0.3, 0.4, 0.25] * 4])
PINCH = np.array([1.18, 0.67, 0.33, 0.15, 0.3, 0.63, 0.81, 0.51, *[0.0, 0.3, 0.4, 0.25] * 3])
"""Thumb and index finger touch."""


@pytest.fixture(scope="module")
def codec() -> Codec:
    return Codec.load()


def opening(hand: str, side, q: np.ndarray) -> float:
    """From thumb tip to index fingertip [m]."""
    entry = catalog.hand(hand)
    links = entry.tip_links(side)
    frames = Kinematics(entry.urdf_model(side), entry.joint_names(side)).fk(q, list(links.values()))
    return float(np.linalg.norm(frames[links["thumb"]][:3, 3] - frames[links["index"]][:3, 3]))


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("hand", sorted(Codec.load().hands))
def test_one_stream_drives_every_hand_within_its_range(codec, hand, side):
    follows = fingers("codec", catalog.hand(hand), side, codec)
    lower, upper = catalog.hand(hand).command_range(side)
    rng = np.random.default_rng(0)
    for _ in range(50):
        q = follows.joints(human.keypoints(side, rng.uniform(human.LOWER, human.UPPER)))
        assert q.shape == (len(follows.names),) and (q >= lower).all() and (q <= upper).all()
        assert follows.latent.shape == (codec.latent_dim,) and np.isfinite(follows.latent).all()
    assert follows.names == catalog.hand(hand).joint_names(side)


def closing(frames: int = 20) -> np.ndarray:
    """A relaxed hand that closes to a pinch, as keypoints [T, 21, 3] m of a right hand."""
    part = np.linspace(0, 1, frames)[:, None]
    return human.keypoints("right", RELAXED + part * (PINCH - RELAXED))


@pytest.mark.parametrize("way", ["codec", "dex"])
@pytest.mark.parametrize("hand", sorted(WRISTS))
def test_both_ways_close_a_pinch_that_was_open(codec, hand, way):
    if way == "dex":
        pytest.importorskip("dex_retargeting.retargeting_config")
    follows = fingers(way, catalog.hand(hand), "right", codec)
    path = [follows.joints(points) for points in closing()]
    assert opening(hand, "right", path[0]) > 0.04, "open"
    assert opening(hand, "right", path[-1]) < 0.02, "closed"
    assert np.allclose(codec.decode(hand, "right", follows.latent), path[-1], atol=0.15), (
        "the latent is that of the joints"
    )


@pytest.mark.parametrize("way", ["codec", "dex"])
def test_both_ways_refuse_what_is_no_hand_and_go_on_afterwards(codec, way):
    if way == "dex":
        pytest.importorskip("dex_retargeting.retargeting_config")
    follows = fingers(way, catalog.hand("inspire"), "left", codec)
    points = human.keypoints("left", RELAXED)
    before = follows.joints(points)
    for spoilt in (points * np.nan, points * 0, points[:4], points * 50):
        with pytest.raises(XlvlaError):
            follows.joints(spoilt)
    assert np.allclose(follows.joints(points), before, atol=0.05)


def test_a_hand_that_dex_retargeting_does_not_know_is_one_line_that_lists_those_it_knows(codec):
    with pytest.raises(
        XlvlaError, match="knows no hand 'xhand': it knows ability, allegro, inspire"
    ) as refused:
        fingers("dex", catalog.hand("xhand"), "left", codec)
    assert "\n" not in str(refused.value)


def test_left_and_right_hands_do_the_same_mirrored(codec):
    follow = {side: fingers("codec", catalog.hand("xhand"), side, codec) for side in SIDES}
    left, right = (follow[side].joints(human.keypoints(side, PINCH)) for side in SIDES)
    assert np.allclose(left, right, atol=1e-4), (
        "the left XHand is the mirror image of the right one"
    )


def test_a_frame_takes_far_less_than_a_tracker_needs_for_the_next(codec):
    follows = fingers("codec", catalog.hand("paxini"), "right", codec)
    path = closing(200)
    follows.joints(path[0])
    began = time.perf_counter()
    for points in path:
        follows.joints(points)
    assert (time.perf_counter() - began) / len(path) < 0.005
