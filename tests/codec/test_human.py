import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from xlvla import human
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.human_codec import SHIPPED, HumanCodec
from xlvla.types import SIDES

OPEN = np.zeros(20)
FIST = np.array([1.2, 0.8, 0.5, 0.6, *[0.0, 1.3, 1.6, 0.9] * 4])


@pytest.fixture(scope="module")
def people(codec) -> HumanCodec:
    return HumanCodec.load(codec)


def hands(count: int, seed: int = 0) -> np.ndarray:
    """Random joints [N, 20] rad, not far from the middle."""
    part = np.random.default_rng(seed).uniform(0.1, 0.9, (count, 20))
    return human.LOWER + part * (human.UPPER - human.LOWER)


def turned(points: np.ndarray, seed: int = 0) -> np.ndarray:
    """The same hands in other frames."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    return points @ (turn * np.sign(np.linalg.det(turn))).T + rng.uniform(-1, 1, 3)


def tips(points: np.ndarray) -> np.ndarray:
    return points[..., list(human.TIPS.values()), :]


def test_a_hand_is_the_same_in_whatever_frame_it_is_tracked():
    for side in SIDES:
        points = human.keypoints(side, hands(20))
        assert np.allclose(
            human.aligned(side, turned(points)), human.aligned(side, points), atol=1e-12
        )


def test_the_hand_frame_is_the_flange_frame_of_robot_hands():
    right, left = (human.aligned(side, turned(human.keypoints(side, FIST))) for side in SIDES[::-1])
    assert right[9, 2] > 0.08 and np.allclose(right[9, :2], 0), "+z to the middle knuckle"
    assert right[8, 0] > 0.02 and left[8, 0] > 0.02, "fingers close towards +x, out of the palm"
    assert right[5, 1] > 0.02 and left[5, 1] < -0.02, (
        "the thumb's side is +y of a right hand, -y of a left one"
    )
    assert np.allclose(left, right * human.MIRROR)


def test_bones_keep_their_lengths_in_every_pose():
    points = human.keypoints("right", hands(50))
    for finger in range(5):
        chain = points[:, 1 + 4 * finger : 5 + 4 * finger]
        assert np.allclose(
            np.linalg.norm(np.diff(chain, axis=1), axis=-1), human.ADULT.bones[finger]
        )


def test_hands_of_all_sizes_are_compared_at_one():
    points = human.keypoints("right", hands(5))
    assert np.allclose(
        human.normalised("right", 0.7 * points), human.normalised("right", 1.2 * points)
    )
    assert np.allclose(
        human.palm_m(human.normalised("left", 0.7 * points * human.MIRROR)), human.PALM_M
    )


@pytest.mark.parametrize(
    ("spoilt", "line"),
    [
        (lambda points: points * np.nan, "not finite"),
        (lambda points: points * 0, "from wrist to knuckles"),
        (lambda points: points * 1000, "from wrist to knuckles"),
        (lambda points: np.concatenate([points[:20], points[20:] + 2.0]), "longer than"),
        (lambda points: points * [0, 0, 1], "on one line"),
        (lambda points: points[:20], "21 points"),
    ],
)
def test_what_is_no_hand_is_refused_in_one_line(people, spoilt, line):
    with pytest.raises(XlvlaError, match=line) as refused:
        people.encode("right", spoilt(human.keypoints("right", FIST)))
    assert "\n" not in str(refused.value)


def test_left_and_right_hands_that_mirror_each_other_mean_the_same(people):
    right, left = (human.keypoints(side, hands(20)) for side in ("right", "left"))
    assert np.allclose(
        people.encode("right", turned(right)), people.encode("left", turned(left, 1)), atol=1e-4
    )


def test_a_latent_as_a_persons_hand_leads_back_to_the_same_robot_pose(codec, people):
    """What a scripted operator relies on."""
    for hand in codec.hands:
        for side in SIDES:
            lower, upper = codec.limits(hand, side)
            opened = np.clip(0, lower, upper)
            bent = np.where(-lower > upper, lower, upper)
            z = codec.encode(
                hand, side, opened + np.linspace(0.2, 0.7, 12)[:, None] * (bent - opened)
            )
            there = codec.decode(hand, side, people.encode(side, turned(people.decode(side, z))))
            straight = codec.decode(hand, side, z)
            assert np.abs(there - straight).mean() < 0.12, (hand, side)


def test_an_open_hand_opens_every_robot_hand_and_a_fist_closes_it(codec, people):
    for hand in codec.hands:
        for side in SIDES:
            opened, fist = (
                codec.decode(hand, side, people.encode(side, human.keypoints(side, pose)))
                for pose in (OPEN, FIST)
            )
            lower, upper = codec.limits(hand, side)
            assert np.abs(fist - opened).max() > 0.4 * (upper - lower).max(), (hand, side)


def test_the_same_hand_a_little_later_is_almost_the_same_latent(people):
    here, there = (
        people.encode("right", human.keypoints("right", hands(100) + moved))
        for moved in (0.0, 0.01)
    )
    moved = np.linalg.norm(here - there, axis=-1)
    assert np.quantile(moved, 0.99) < 1.0


def test_the_operators_hand_of_another_codec_is_refused(codec, tmp_path):
    other = Codec({}, codec.latent_dim, codec.card, "0123456789ab")
    with pytest.raises(
        XlvlaError,
        match=f"speaks the latent of codec {codec.hash}, the codec in use is 0123456789ab",
    ):
        HumanCodec.load(other)


def test_a_file_that_is_missing_or_something_else_is_refused(codec, tmp_path):
    with pytest.raises(XlvlaError, match="run `xlvla codec human`"):
        HumanCodec.load(codec, tmp_path / "none.safetensors")
    save_file(
        load_file(SHIPPED),
        tmp_path / "bare.safetensors",
        metadata={"format": "something", "card": json.dumps({})},
    )
    with pytest.raises(XlvlaError, match="its format is 'something'"):
        HumanCodec.load(codec, tmp_path / "bare.safetensors")
    torn = tmp_path / "torn.safetensors"
    shutil.copy(SHIPPED, torn)
    torn.write_bytes(torn.read_bytes()[:1000])
    with pytest.raises(XlvlaError, match="not a safetensors file"):
        HumanCodec.load(codec, torn)
