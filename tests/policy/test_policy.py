"""The policy on a rig: what it decides, for which hands, and which observations it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic

from xlvla import catalog, rig_file
from xlvla.errors import XlvlaError
from xlvla.policy import Observation
from xlvla.rig import Rig
from xlvla.types import PARTS, SIDES
from xlvla_policy.policies import xlvla as policies
from xlvla_policy.vla import tokenizer


@pytest.fixture(scope="module")
def armed(rig, weights) -> Rig:
    return rig_file.with_choices(rig, checkpoint=str(weights))


@pytest.fixture(scope="module")
def policy(armed):
    return policies.load(armed, threads=1)


def observation(rig: Rig, **changes) -> Observation:
    executed = {
        side: {part: np.tile(0.1, (64, len(rig.joint_names(side, part)))) for part in PARTS}
        for side in SIDES
    }
    image = synthetic.scene({side: np.array([0.5, 0.5]) for side in SIDES})
    return replace(
        Observation(7, {"front": image}, "Push the two tomato cans together.", executed), **changes
    )


def spoilt(rig: Rig, value) -> Observation:
    base = observation(rig)
    return replace(
        base, executed={**base.executed, "left": {**base.executed["left"], "hand": value}}
    )


def test_a_chunk_is_64_frames_within_the_limits_of_every_joint(policy, armed):
    chunk = policy.predict(observation(armed))
    assert (chunk.stamp_ns, chunk.rate_hz) == (7, 20)
    for side in SIDES:
        lower, upper = armed.hand(side).command_range(side)
        assert chunk.positions[side]["arm"].shape == (64, 7) and chunk.latents[side].shape == (
            64,
            32,
        )
        assert (chunk.positions[side]["hand"] >= lower - 1e-6).all() and (
            chunk.positions[side]["hand"] <= upper + 1e-6
        ).all()


@pytest.mark.parametrize("name", ["xlvla", "ten_tasks"])
def test_every_shipped_policy_speaks_the_latent_of_the_codec_it_was_trained_with(name):
    rig = rig_file.load("bimanual")
    shipped = catalog.policy(name)(rig, threads=1)
    chunk = shipped.predict(observation(rig))
    for side in SIDES:
        hand = rig.hand(side).name
        decoded = shipped.codec.decode(hand, side, chunk.latents[side])
        np.testing.assert_allclose(chunk.positions[side]["hand"], decoded, atol=1e-5)


def test_the_same_observation_gives_the_same_chunk(policy, armed):
    first = policy.predict(observation(armed))
    again = policies.load(armed, threads=1).predict(observation(armed))
    np.testing.assert_array_equal(first.positions["left"]["arm"], again.positions["left"]["arm"])


def test_another_hand_only_changes_encoder_and_decoder(policy, armed, codec):
    swapped = rig_file.with_choices(armed, hands={"left": "paxini", "right": "ability"})
    other = policies.load(swapped, threads=1)
    frames = policy.predict(observation(armed))
    for side, hand in (("left", "paxini"), ("right", "ability")):
        joints = other.positions(policy.normaliser.undo(frames.decided))[side]
        lower, upper = swapped.hand(side).command_range(side)
        np.testing.assert_allclose(
            joints["hand"], np.clip(codec.decode(hand, side, frames.latents[side]), lower, upper)
        )
        assert joints["hand"].shape != frames.positions[side]["hand"].shape
        np.testing.assert_array_equal(joints["arm"], frames.positions[side]["arm"])


def test_any_image_size_of_the_same_proportions_will_do(policy, armed):
    large = np.repeat(np.repeat(observation(armed).images["front"], 5, 0), 5, 1)
    assert np.isfinite(
        policy.predict(observation(armed, images={"front": large})).positions["left"]["arm"]
    ).all()


@pytest.mark.parametrize(
    ("images", "complaint"),
    [
        ({}, "no image of camera 'front': the observation has none"),
        ({"wrist": np.zeros((96, 128, 3), np.uint8)}, "the observation has wrist"),
        ({"front": np.zeros((96, 96, 3), np.uint8)}, "96x96"),
        ({"front": np.zeros((96, 128, 4), np.uint8)}, "must be RGB uint8"),
        ({"front": np.zeros((96, 128, 3), np.float32)}, "must be RGB uint8"),
    ],
)
def test_a_bad_image_is_refused(policy, armed, images, complaint):
    with pytest.raises(XlvlaError, match=complaint):
        policy.predict(observation(armed, images=images))


def test_bad_joints_are_refused(policy, armed):
    bad = np.zeros((64, 12))
    bad[3, 1] = np.nan
    with pytest.raises(
        XlvlaError, match=f"left hand are not finite: {armed.joint_names('left', 'hand')[1]}"
    ):
        policy.predict(spoilt(armed, bad))
    with pytest.raises(XlvlaError, match=r"left hand must be \[64, 12\], are \[10, 12\]"):
        policy.predict(spoilt(armed, np.zeros((10, 12))))
    with pytest.raises(XlvlaError, match="no executed joints of the right"):
        policy.predict(observation(armed, executed={"left": observation(armed).executed["left"]}))


def test_an_empty_or_endless_sentence_is_refused(policy, armed):
    with pytest.raises(XlvlaError, match="empty"):
        policy.predict(observation(armed, instruction="  "))
    with pytest.raises(XlvlaError, match="at most 64"):
        policy.predict(observation(armed, instruction="push " * 200))


def test_a_rig_that_the_weights_cannot_drive_is_refused(armed):
    with pytest.raises(
        XlvlaError, match="looks through front; the cameras of rig 'bimanual' are none"
    ):
        policies.load(replace(armed, cameras={}))
    with pytest.raises(XlvlaError, match="drives left and right"):
        policies.load(replace(armed, sides={"left": armed.sides["left"]}))


def test_any_sentence_survives_the_tokenizer():
    words = tokenizer.load(64)
    for sentence in (
        "Push the two tomato cans together.",
        "Schieb die Büchsen zusammen!",
        "推罐头",
    ):
        ids, mask = words.encode(sentence)
        assert (
            ids[0] == words.processor.bos_id()
            and not ids[~mask].any()
            and (ids < words.vocabulary).all()
        )
        assert words.processor.decode(ids[mask].tolist()).strip() == sentence


def test_a_file_that_is_no_tokenizer_is_refused(tmp_path):
    (tmp_path / "no.model").write_text("nothing of the kind")
    with pytest.raises(XlvlaError, match="not a sentencepiece model"):
        tokenizer.load(64, tmp_path / "no.model")
    with pytest.raises(XlvlaError, match="no sentencepiece model"):
        tokenizer.load(64, tmp_path / "none.model")
