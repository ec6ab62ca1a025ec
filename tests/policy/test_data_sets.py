"""Several data sets, weighted, of different hands; what goes together and what does not; both
spaces of frames.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla.types import SIDES
from xlvla_data import store
from xlvla_policy.policies import xlvla as policies
from xlvla_policy.training import dataset, preparation, run, sources
from xlvla_policy.training.batches import Batches
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import checkpoint, config, tokenizer
from xlvla_policy.vla.frames import Body, Frames, raw_dim

TINY = config.preset("tiny")
INSPIRE = {"left": "inspire", "right": "inspire"}


@pytest.fixture(scope="module")
def mixed(tmp_path_factory, rig, codec):
    """A folder with a data set of two xhands and one of two inspires."""
    folder = tmp_path_factory.mktemp("mixed")
    synthetic.write(folder, rig, codec, 3)
    synthetic.write(
        folder, rig_file.with_choices(rig, hands=INSPIRE), codec, 2, codec_hash="another"
    )
    return folder


def choice(*data, **changes) -> Choice:
    return replace(
        Choice(tuple(map(str, data)), preset="tiny", threads=1, stride=4, held_out=0.0), **changes
    )


def written(folder, rig, codec, **changes):
    """A data set of one episode whose description is changed."""
    one = synthetic.make(rig, codec, 0, 20, codec.hash)
    store.Store(folder).add(replace(one, info=replace(one.info, **changes)))
    return folder


def test_data_sets_are_named_with_weights_one_by_one_or_by_their_folder(mixed):
    assert [(each.name, each.weight) for each in sources.find([str(mixed)])] == [
        ("inspire-inspire", 1),
        ("xhand-xhand", 1),
    ]
    named = sources.find([f"{mixed}/xhand-xhand", f"{mixed}/inspire-inspire=0.3"])
    assert [(each.name, each.weight) for each in named] == [
        ("xhand-xhand", 1),
        ("inspire-inspire", 0.3),
    ]
    with pytest.raises(XlvlaError, match="named twice"):
        sources.find([str(mixed), f"{mixed}/xhand-xhand"])
    for weight in ("none", "0", "-1", "nan", "inf"):
        with pytest.raises(XlvlaError, match=f"'{weight}' is no weight"):
            sources.find([f"{mixed}={weight}"])
    with pytest.raises(XlvlaError, match="no episodes"):
        sources.find([str(mixed / "nothing")])


def test_a_data_sets_weight_decides_how_often_it_is_drawn_and_what_numbers_are_normalised_with(
    mixed, codec
):
    even = preparation.prepare(choice(mixed), codec)
    uneven = preparation.prepare(
        choice(f"{mixed}/xhand-xhand=8", f"{mixed}/inspire-inspire"), codec
    )
    assert [row.share for row in even.report.sets] == [pytest.approx(0.4), pytest.approx(0.6)]
    assert {row.name: row.share for row in uneven.report.sets} == {
        "xhand-xhand": pytest.approx(24 / 26),
        "inspire-inspire": pytest.approx(2 / 26),
    }
    xhands = (
        next(each for each in even.recorded if each.source.name == "xhand-xhand")
        .moments["left latent"]
        .mean
    )
    off = [
        np.abs(each.statistics.blocks["left latent"].mean - xhands).max() for each in (even, uneven)
    ]
    assert off[1] < 0.5 * off[0]
    weights = dataset.load(uneven.recorded, TINY).weights
    assert sorted(set(weights)) == [1, 8] and (weights == 8).sum() == 3 * 40


def test_the_report_says_whose_latents_are_encoded_anew_and_which_camera_is_missing(mixed, codec):
    report = preparation.prepare(choice(mixed, cameras=("front", "wrist")), codec).report
    rows = {row.name: row for row in report.sets}
    assert (
        rows["xhand-xhand"].latents == "this codec"
        and "another stored" in rows["inspire-inspire"].latents
    )
    assert rows["xhand-xhand"].missing == ("wrist",) and rows["xhand-xhand"].cameras == ("front",)
    assert "xhand-xhand lacks camera wrist: it is masked there" in list(report.warnings)


def test_numbers_in_other_units_are_pointed_out(tmp_path, rig, codec, mixed):
    one = synthetic.make(rig, codec, 0, 40, codec.hash)
    degrees = {
        side: {**parts, "arm": np.degrees(parts["arm"])} for side, parts in one.action.items()
    }
    store.Store(tmp_path).add(replace(one, action=degrees, measured=degrees))
    report = preparation.prepare(choice(f"{mixed}/xhand-xhand=50", tmp_path), codec).report
    assert any(
        "left arm xarm7 lie beyond 4 scales: is it in other units" in line
        for line in report.warnings
    )


def test_what_cannot_be_mixed_is_refused_with_one_line(tmp_path, rig, codec, mixed):
    with pytest.raises(XlvlaError, match=r"has 30 frames/s, this policy 20: record or convert"):
        preparation.prepare(choice(written(tmp_path / "fps", rig, codec, rate_hz=30)), codec)
    with pytest.raises(
        XlvlaError, match=r"has cameras front; this policy looks through chest: choose --cameras"
    ):
        preparation.prepare(choice(mixed, cameras=("chest",)), codec)
    with pytest.raises(XlvlaError, match=r"joints of the left xhand: it lacks .*; unknown are"):
        sources.find(
            [
                str(
                    written(
                        tmp_path / "joints",
                        rig_file.with_choices(rig, hands=INSPIRE),
                        codec,
                        hands={"left": "xhand", "right": "inspire"},
                    )
                )
            ]
        )
    with pytest.raises(XlvlaError, match=r"unknown hand 'xhnad'.*did you mean 'xhand'"):
        sources.find(
            [str(written(tmp_path / "hand", rig, codec, hands={"left": "xhnad", "right": "xhand"}))]
        )
    with pytest.raises(XlvlaError, match=r"takes \d+ tokens, this policy reads at most 64"):
        preparation.prepare(
            choice(written(tmp_path / "words", rig, codec, instruction="push " * 200)), codec
        )


def of_one_side(one, side):
    """The same episode without its other side."""
    info = one.info
    facts = replace(
        info, hands={side: info.hands[side]}, joints={side: info.joints[side]}, task="alone"
    )
    return replace(
        one,
        info=facts,
        action={side: one.action[side]},
        measured={side: one.measured[side]},
        latent={side: one.latent[side]},
    )


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("space", ["latent", "raw"])
def test_episodes_of_one_side_train_a_policy_of_that_side(tmp_path, rig, codec, side, space):
    store.Store(tmp_path).add(of_one_side(synthetic.make(rig, codec, 0, 20, codec.hash), side))
    prepared = preparation.prepare(choice(tmp_path, space=space), codec)
    assert prepared.config.sides == (side,)
    (recorded,) = prepared.recorded
    assert set(recorded.robot.bodies) == {side}
    store.Store(tmp_path).add(synthetic.make(rig, codec, 1, 20, codec.hash))
    other = "left" if side == "right" else "right"
    with pytest.raises(XlvlaError, match=f"has no {other} side; this policy drives left and right"):
        preparation.prepare(choice(tmp_path, space=space), codec)


def test_pictures_of_other_proportions_are_refused_before_any_is_decoded(tmp_path, rig, codec):
    one = synthetic.make(rig, codec, 0, 20, codec.hash)
    store.Store(tmp_path).add(
        replace(one, pictures={"front": [np.zeros((96, 96, 3), np.uint8)] * 20})
    )
    with pytest.raises(
        XlvlaError,
        match=r"xhand-xhand: the image of camera 'front' is 96x96: this policy wants 1\.333 times",
    ):
        preparation.prepare(choice(tmp_path), codec)
    preparation.prepare(choice(tmp_path, preset="pi0"), codec)


def test_an_arm_nobody_knows_is_refused(tmp_path, rig, codec):
    one = synthetic.make(rig, codec, 0, 20, codec.hash)
    joints = {
        side: {**parts, "arm": [name.replace("joint", "axis") for name in parts["arm"]]}
        for side, parts in one.info.joints.items()
    }
    store.Store(tmp_path).add(replace(one, info=replace(one.info, joints=joints)))
    with pytest.raises(
        XlvlaError,
        match=r"no known arm \(fr3, g1, gen3, ur5e, xarm7\) has the left arm's joints left_arm_axis1",
    ):
        sources.find([str(tmp_path)])


@pytest.mark.parametrize("space", ["latent", "raw"])
def test_joints_become_frames_and_frames_joints_again(codec, space):
    bodies = {"left": Body("xarm7", "paxini"), "right": Body("g1", "inspire")}
    shape = replace(TINY, space=space, raw_dim=raw_dim(TINY, [bodies]))
    frames = Frames(shape, bodies, codec)
    rng = np.random.default_rng(0)
    ranges = {side: codec.limits(body.hand, side) for side, body in bodies.items()}
    positions = {
        side: {
            "arm": rng.normal(size=(5, 7)),
            "hand": rng.uniform(*ranges[side], (5, len(ranges[side][0]))),
        }
        for side in SIDES
    }
    rows = frames.encode(positions)
    assert rows.shape == (5, shape.frame_dim)
    back = frames.decode(rows)
    for side, body in bodies.items():
        np.testing.assert_allclose(back[side]["arm"], positions[side]["arm"], atol=1e-6)
        np.testing.assert_allclose(
            back[side]["hand"], positions[side]["hand"], atol=0.3 if space == "latent" else 1e-6
        )
        np.testing.assert_allclose(
            frames.latents(rows)[side],
            codec.encode(body.hand, side, positions[side]["hand"]),
            atol=1e-4,
        )


def test_padding_of_raw_frames_is_zero_whatever_it_is_normalised_with(mixed, codec):
    raw = preparation.prepare(choice(mixed, space="raw"), codec)
    assert raw.config.frame_dim == 2 * (7 + 12)
    inspire = next(each for each in raw.recorded if each.source.name == "inspire-inspire")
    normalised = raw.statistics.normaliser(inspire.robot).apply(inspire.commands[0])
    assert (
        not normalised[:, [*range(13, 19), *range(32, 38)]].any()
        and np.abs(normalised[1:, 7:13]).max() > 0.5
    )


def test_a_raw_policy_drives_the_hands_it_was_trained_on_and_refuses_others_by_name(
    mixed, codec, rig, tmp_path
):
    out = tmp_path / "raw.safetensors"
    run.train(
        choice(mixed, space="raw", cache=tmp_path),
        out,
        Recipe(steps=2, minutes=None, batch=4),
        codec=codec,
    )
    _, card = checkpoint.load(out)
    assert card.statistics.blocks["left hand inspire"].joints and card.config.space == "raw"
    for hands in (INSPIRE, {"left": "inspire", "right": "xhand"}):
        policies.load(rig_file.with_choices(rig, hands=hands, checkpoint=str(out)), codec=codec)
    with pytest.raises(
        XlvlaError,
        match=r"act on joints of left hand inspire, left hand xhand, not of left hand ability",
    ):
        policies.load(
            rig_file.with_choices(rig, hands={"left": "ability"}, checkpoint=str(out)), codec=codec
        )
    with pytest.raises(
        XlvlaError,
        match=r"left paxini on its arm needs 23 numbers of a frame, this policy has 19 for a side",
    ):
        policies.load(
            rig_file.with_choices(rig, hands={"left": "paxini"}, checkpoint=str(out)), codec=codec
        )


def test_data_sets_of_held_out_hands_and_tasks_are_left_out(tmp_path, rig, codec):
    for hands in (rig, rig_file.with_choices(rig, hands=INSPIRE)):
        written(tmp_path, hands, codec, task="push_cans")
    left = preparation.prepare(choice(tmp_path, holdout="inspire:PC,xhand:SC"), codec)
    assert [each.source.name for each in left.recorded] == ["push_cans-xhand-xhand"]
    with pytest.raises(XlvlaError, match="leaves none of the 2 data sets"):
        preparation.prepare(choice(tmp_path, holdout="inspire:PC,xhand:PC"), codec)
    written(tmp_path, rig, codec, task="")
    with pytest.raises(XlvlaError, match="does not say which task"):
        preparation.prepare(choice(tmp_path, holdout="inspire:PC"), codec)


def test_the_past_is_of_what_was_executed_and_the_action_of_what_was_wanted(tmp_path, rig, codec):
    one = synthetic.make(rig, codec, 0, 40, codec.hash)
    executed = {side: {**parts, "arm": parts["arm"] + 0.3} for side, parts in one.action.items()}
    told = replace(one.info, disturbed="left arm 0.0-2.0 s")
    store.Store(tmp_path).add(replace(one, info=told, executed=executed))
    recorded = dataset.read(sources.find([str(tmp_path)])[0], TINY, codec)
    batches = Batches(
        dataset.load([recorded], TINY),
        TINY,
        dataset.statistics([recorded]),
        tokenizer.load(TINY.max_words),
    )
    row = np.array([25])
    inputs, chunk = batches.take(row)
    past = recorded.robot.decode(batches.undo(inputs.past.numpy(), row)[0])["left"]["arm"]
    action = recorded.robot.decode(batches.undo(chunk.numpy(), row)[0])["left"]["arm"]
    # The command in force at observation 25 is that of frame 24.
    wanted = one.action["left"]["arm"]
    assert np.allclose(past[-1], wanted[24] + 0.3, atol=1e-5)
    assert np.allclose(action[:10], wanted[25:35], atol=1e-5)
