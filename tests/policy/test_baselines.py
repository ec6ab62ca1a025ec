"""Policies to compare the latent with: one hand's data alone, and its joints retargeted to the
others at run time.
"""

from dataclasses import replace

import numpy as np
import pytest
import synthetic

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.policy import Observation
from xlvla.types import SIDES
from xlvla_policy.latent.baselines import dex
from xlvla_policy.latent.recipe import preset
from xlvla_policy.policies import xlvla
from xlvla_policy.training import preparation, run
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import checkpoint

needs_dex = pytest.mark.skipif(bool(dex.missing()), reason=dex.missing())


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, rig, codec):
    """Data sets of two xhands, of two inspires, and of one of each."""
    folder = tmp_path_factory.mktemp("mixed")
    synthetic.write(folder, rig, codec, 2)
    for hands in ({"left": "inspire", "right": "inspire"}, {"left": "inspire", "right": "xhand"}):
        synthetic.write(folder, rig_file.with_choices(rig, hands=hands), codec, 2)
    return folder


def choice(*data, **changes) -> Choice:
    return replace(
        Choice(tuple(map(str, data)), preset="tiny", threads=1, stride=4, held_out=0.0), **changes
    )


@pytest.mark.parametrize("space", ["latent", "raw"])
def test_a_policy_of_one_hand_sees_the_data_sets_of_that_hand_alone(mixed, codec, space):
    prepared = preparation.prepare(choice(mixed, only="inspire", space=space), codec)
    assert [each.source.name for each in prepared.recorded] == ["inspire-inspire"]


def test_a_hand_that_no_data_set_shows_alone_is_refused(mixed, codec):
    with pytest.raises(
        XlvlaError, match="no data set shows ability alone; they show inspire, xhand"
    ):
        preparation.prepare(choice(mixed, only="ability"), codec)
    with pytest.raises(XlvlaError, match="did you mean 'inspire'"):
        preparation.prepare(choice(mixed, only="inspre"), codec)


def test_which_hand_others_are_retargeted_from_has_to_be_named(mixed, codec):
    with pytest.raises(XlvlaError, match="as in --only xhand"):
        preparation.prepare(choice(mixed, space="retargeted"), codec)


@pytest.fixture(scope="module")
def retargeted(mixed, codec, tmp_path_factory):
    """Weights of a policy that was trained for two steps on xhands, to be retargeted."""
    out = tmp_path_factory.mktemp("retargeted") / "p.safetensors"
    run.train(
        choice(mixed, only="xhand", space="retargeted"),
        out,
        Recipe(steps=2, minutes=None, batch=2),
        codec=codec,
    )
    return out


def test_the_weights_say_whose_joints_they_act_on(retargeted, codec):
    _, card = checkpoint.load(retargeted, codec=codec.hash)
    assert (card.config.space, card.config.source_hand) == ("retargeted", "xhand")
    assert card.data["only"] == "xhand" and "left hand xhand" in card.statistics.blocks


def policy_of(weights, rig, codec, hand):
    worn = rig_file.with_choices(rig, hands={"left": hand, "right": hand}, checkpoint=str(weights))
    return worn, xlvla.load(worn, codec=codec)


@needs_dex
@pytest.mark.parametrize("hand", ["xhand", "inspire"])
def test_a_policy_of_one_hands_joints_drives_another_hand_within_its_limits(
    retargeted, rig, codec, hand
):
    worn, policy = policy_of(retargeted, rig, codec, hand)
    executed = {
        side: {part: np.zeros((64, len(worn.joint_names(side, part)))) for part in ("arm", "hand")}
        for side in SIDES
    }
    picture = {"front": np.zeros((480, 640, 3), np.uint8)}
    chunk = policy.predict(Observation(0, picture, "Push.", executed))
    for side in SIDES:
        lower, upper = worn.limits(side, "hand")
        rows = chunk.positions[side]["hand"]
        assert rows.shape == (64, len(lower))
        assert (rows >= lower).all() and (rows <= upper).all()


@needs_dex
def test_a_left_hand_is_retargeted_as_its_mirror_image_is(codec):
    from xlvla_policy.vla.retargeted_hand import RetargetedHand

    fingers = {}
    for side in SIDES:
        lower, upper = codec.limits("xhand", side)
        path = lower + np.linspace(0, 0.6, 8)[:, None] * (upper - lower)
        fingers[side] = RetargetedHand(codec, "inspire", side, "xhand").decode(path)
    assert np.abs(fingers["left"] - fingers["right"]).max() < 0.3


@needs_dex
@pytest.mark.parametrize("side", SIDES)
def test_a_hand_that_closes_closes_the_hand_it_is_retargeted_to(codec, side):
    from xlvla_policy.vla.retargeted_hand import RetargetedHand

    coder = RetargetedHand(codec, "inspire", side, "xhand")
    lower, upper = codec.limits("xhand", side)
    path = lower + np.linspace(0, 0.6, 8)[:, None] * (upper - lower)
    fingers = coder.decode(path)
    low, high = codec.limits("inspire", side)
    closed = ((fingers - low) / (high - low)).mean(1)
    assert closed[-1] > closed[0] + 0.2
    # There and back it is nearly the same: the lines of the fingertips are kept.
    assert np.abs(coder.decode(coder.encode(fingers)) - fingers).mean() < 0.15


def test_the_codec_without_cross_hand_terms_keeps_no_term_between_hands():
    apart, tips = preset("apart"), preset("tips")
    for recipe in (apart, apart.settled):
        assert not any((recipe.distance, recipe.direction, recipe.smooth, recipe.clear))
    same = replace(
        tips,
        name="apart",
        distance=0.0,
        direction=0.0,
        smooth=0.0,
        paths=0,
        settle_smooth=0.0,
        settle_distance=0.0,
        clear=0.0,
    )
    assert apart == same
