"""The codec everybody uses: shapes, limits and what bad input gets."""

import itertools
import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from rows import SIDES, TAUGHT
from xlvla import catalog, paper
from xlvla.checksum import CHECKSUM
from xlvla.codec import SHIPPED, Codec
from xlvla.errors import XlvlaError

HAND_SIDES = list(itertools.product(TAUGHT, SIDES))


def uniform(hand: str, side: str, *shape: int) -> np.ndarray:
    limits = catalog.hand(hand).limits(side)
    return np.random.default_rng(0).uniform(limits.lower, limits.upper, (*shape, len(limits.lower)))


def rewritten(tmp_path, change, **metadata):
    """The shipped weights with their card changed."""
    with safe_open(SHIPPED, "numpy") as file:
        about = dict(file.metadata())
    # It would not be that of the changed card.
    about.pop(CHECKSUM, None)
    card = json.loads(about["card"])
    change(card)
    path = tmp_path / "changed.safetensors"
    save_file(load_file(SHIPPED), path, metadata={**about, "card": json.dumps(card), **metadata})
    return path


def test_the_shipped_weights_are_of_hands_of_the_catalogue(codec):
    assert set(codec.founders.hands) == set(paper.HANDS)
    assert set(paper.HANDS) < set(codec.hands) <= set(catalog.hands())
    assert codec.latent_dim == 32
    assert SHIPPED.stat().st_size < 4e6


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES)
def test_joints_are_the_commanded_joints_of_the_catalogue(codec, hand, side):
    assert codec.joints(hand, side) == catalog.hand(hand).joint_names(side)


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES)
def test_leading_shapes_are_kept_and_numbers_are_float32(codec, hand, side):
    for shape in [(), (3,), (2, 0), (2, 64)]:
        z = codec.encode(hand, side, uniform(hand, side, *shape))
        assert z.shape == (*shape, 32)
        assert z.dtype == np.float32
        q = codec.decode(hand, side, z)
        assert q.shape == (*shape, len(codec.joints(hand, side)))
        assert q.dtype == np.float32


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES)
def test_wild_latents_decode_within_the_limits_of_urdf_and_device(codec, hand, side):
    lower, upper = catalog.hand(hand).command_range(side)
    for size in (1, 30, 1e6, 1e30, 1e37):
        q = codec.decode(hand, side, size * np.random.default_rng(1).standard_normal((256, 32)))
        assert np.isfinite(q).all()
        assert (q >= lower.astype(np.float32)).all()
        assert (q <= upper.astype(np.float32)).all()


@pytest.mark.parametrize(("hand", "side"), HAND_SIDES)
def test_a_batch_means_the_same_as_its_rows(codec, hand, side):
    q = uniform(hand, side, 16)
    z = codec.encode(hand, side, q)
    np.testing.assert_allclose(
        z, [codec.encode(hand, side, row) for row in q], atol=2e-4, rtol=1e-4
    )


def test_angles_beyond_the_limits_count_as_at_them(codec):
    limits = catalog.hand("xhand").limits("right")
    np.testing.assert_array_equal(
        codec.encode("xhand", "right", limits.upper + 0.3),
        codec.encode("xhand", "right", limits.upper),
    )


def test_unknown_names_are_told_what_is_meant(codec):
    with pytest.raises(
        XlvlaError, match=r"unknown hand of the codec 'xhnad'.*did you mean 'xhand'\?"
    ):
        codec.encode("xhnad", "right", np.zeros(12))
    with pytest.raises(XlvlaError, match=r"unknown side 'rigth'.*did you mean 'right'\?"):
        codec.joints("xhand", "rigth")


def test_wrong_widths_and_numbers_that_are_not_finite_are_refused(codec):
    with pytest.raises(
        XlvlaError, match=r"joint angles of right xhand must have 12 numbers .* \(4, 6\)"
    ):
        codec.encode("xhand", "right", np.zeros((4, 6)))
    with pytest.raises(XlvlaError, match="latents must have 32 numbers"):
        codec.decode("xhand", "right", np.zeros(()))
    for bad in (np.nan, np.inf, 1e300):
        with pytest.raises(XlvlaError, match="not finite"):
            codec.decode("xhand", "right", np.full(32, bad))


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(XlvlaError, match=r"no codec weights at .*xlvla codec train"):
        Codec.load(tmp_path / "none.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_text("these are no weights")
    with pytest.raises(XlvlaError, match="not a safetensors file"):
        Codec.load(text)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"x": np.zeros(3)}, foreign)
    with pytest.raises(
        XlvlaError, match="is not a codec of this version: its format is 'not given'"
    ):
        Codec.load(foreign)


def test_a_truncated_file_is_refused(tmp_path):
    path = tmp_path / "half.safetensors"
    path.write_bytes(SHIPPED.read_bytes()[:100_000])
    with pytest.raises(XlvlaError, match="not a safetensors file"):
        Codec.load(path)


def test_a_flipped_bit_in_the_numbers_of_an_added_hand_is_noticed(codec, tmp_path):
    from safetensors.torch import load_file

    from xlvla_policy.latent import weights

    path = tmp_path / "mine.safetensors"
    weights.save(load_file(SHIPPED), {**codec.card, "latent": codec.hash}, path)
    assert Codec.load(path).hash == codec.hash
    content = bytearray(path.read_bytes())
    content[-100] ^= 1
    path.write_bytes(content)
    with pytest.raises(XlvlaError, match="was changed after it was written"):
        Codec.load(path)


def test_weights_that_lack_a_network_are_refused(tmp_path):
    def rename(card):
        card["hands"]["xhand"]["right"]["network"] = "gone"

    with pytest.raises(XlvlaError, match=r"have no network 'gone\.encoder'"):
        Codec.load(rewritten(tmp_path, rename))


def test_weights_for_other_joints_are_refused(tmp_path):
    def rename(card):
        card["hands"]["inspire"]["left"]["joints"][2] = "index_joint"

    with pytest.raises(
        XlvlaError, match=r"do not fit the left inspire: they were trained for joints .*index_joint"
    ):
        Codec.load(rewritten(tmp_path, rename))


def test_weights_for_other_limits_are_refused(tmp_path):
    def widen(card):
        card["hands"]["paxini"]["right"]["upper"][1] = 2.0

    with pytest.raises(
        XlvlaError,
        match=r"'right_index_joint_1' in \[0\.0000, 2\.0000\] rad; the URDF says \[0\.0000, "
        r"1\.5700\]",
    ):
        Codec.load(rewritten(tmp_path, widen))


@pytest.mark.parametrize("side", SIDES)
def test_poses_are_encoded_in_the_range_the_weights_were_trained_in(codec, side, tmp_path):
    """The shipped Ability was trained within its device's limits, which are narrower than its
    URDF's.
    """
    lower, upper = catalog.hand("ability").command_range(side)
    urdf = catalog.hand("ability").limits(side)
    q = np.random.default_rng(5).uniform(lower, upper, (64, len(lower)))
    again = codec.decode("ability", side, codec.encode("ability", side, q))
    assert np.abs(again - q).max() < 0.1
    assert np.array_equal(
        codec.encode("ability", side, urdf.upper), codec.encode("ability", side, upper)
    )

    def widen(card):
        card["hands"]["ability"][side]["lower"] = urdf.lower.tolist()
        card["hands"]["ability"][side]["upper"] = urdf.upper.tolist()

    widened = Codec.load(rewritten(tmp_path, widen))
    beyond = widened.encode("ability", side, urdf.upper)
    assert not np.array_equal(beyond, widened.encode("ability", side, upper))


def test_a_hand_whose_entry_is_not_loaded_leaves_all_others_served(codec, tmp_path):
    def rename(card):
        card["hands"]["mine"] = card["hands"].pop("xhand")

    loaded = Codec.load(rewritten(tmp_path, rename))
    assert loaded.missing == ("mine",)
    assert set(loaded.hands) == set(codec.hands) - {"xhand"}
    q = uniform("inspire", "left", 4)
    np.testing.assert_array_equal(
        loaded.encode("inspire", "left", q), codec.encode("inspire", "left", q)
    )
    line = (
        r"has the hand mine, but no catalogue entry .*: set XLVLA_HANDS to the folder with mine\.py"
    )
    with pytest.raises(XlvlaError, match=line):
        loaded.encode("mine", "right", np.zeros(12))


def test_a_file_of_hands_that_are_not_loaded_at_all_says_how_to_load_them(tmp_path):
    def keep_one(card):
        card["hands"] = {"mine": card["hands"]["xhand"], "yours": card["hands"]["xhand"]}

    with pytest.raises(XlvlaError, match=r"serves no hand: .*with mine\.py and yours\.py"):
        Codec.load(rewritten(tmp_path, keep_one))


def test_the_hash_follows_the_weights(codec, tmp_path):
    same = tmp_path / "same.safetensors"
    same.write_bytes(SHIPPED.read_bytes())
    assert Codec.load(same).hash == codec.hash
    assert (
        Codec.load(rewritten(tmp_path, lambda card: card.update(seed=99, latent=None))).hash
        != codec.hash
    )
