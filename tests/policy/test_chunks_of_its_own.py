"""A policy says how many frames its chunks have and how often they come: observation, network, node
and motion follow."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import synthetic
import torch

from xlvla import catalog, rig_file
from xlvla.policy import Observation
from xlvla.rig import Rig
from xlvla.types import PARTS, SIDES
from xlvla_drivers.motion.chunk import Trajectory
from xlvla_drivers.motion.rig_motion import RigMotion
from xlvla_policy.policies import xlvla as policies
from xlvla_policy.vla import checkpoint, tokenizer
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.config import ExpertConfig, VisionConfig, VlaConfig, from_document, preset
from xlvla_policy.vla.export import export
from xlvla_policy.vla.model import Vla
from xlvla_policy.vla.normalise import BlockStatistics, Statistics

BASE = replace(
    preset("pi0_base"),
    vision=VisionConfig(height=28, width=28, patch=14, dim=32, layers=1, heads=2, mlp=64, pad=True),
    language=ExpertConfig(32, 64),
    action=ExpertConfig(32, 64),
    layers=2,
    heads=2,
    head_dim=16,
    vocabulary=512,
    max_words=64,
    steps=2,
)
"""pi0_base, narrow: its frames, its rate, its past and its space of joints."""

DEVIATION_RAD = 0.01
"""Of the joints of an untrained policy around home."""


@pytest.fixture(scope="module")
def base_rig(rig) -> Rig:
    """Two Inspire hands, whose joints fit into pi0's frames, seen by the camera that pi0 calls
    `base`."""
    inspire = rig_file.with_choices(rig, hands=dict.fromkeys(SIDES, "inspire"))
    motion = replace(inspire.motion, horizon_s=10.0)
    return replace(inspire, cameras={"base": inspire.cameras["front"]}, motion=motion)


@pytest.fixture(scope="module", params=[pytest.param(BASE.rate_hz, marks=pytest.mark.long), 50.0])
def shape(request) -> VlaConfig:
    return replace(BASE, rate_hz=request.param)


@pytest.fixture(scope="module")
def base_weights(tmp_path_factory, base_rig, shape, codec) -> Path:
    torch.manual_seed(0)
    words = tokenizer.load(shape.max_words).hash
    card = ModelCard(shape, near_home(base_rig), codec.hash, words, {"untrained": True})
    path = tmp_path_factory.mktemp("base") / "base.safetensors"
    return checkpoint.save(path, Vla(shape).state_dict(), card)


@pytest.fixture(scope="module")
def base_policy(base_rig, base_weights):
    return policies.load(rig_file.with_choices(base_rig, checkpoint=str(base_weights)))


def near_home(rig: Rig) -> Statistics:
    blocks = dict[str, BlockStatistics]()
    for side in SIDES:
        arm = np.array(list(rig.home(side).values()), np.float32)
        hand = (
            np.array([rig.start(side)[name] for name in rig.joint_names(side, "hand")], np.float32)
            + 0.2
        )
        blocks[f"{side} arm xarm7"] = BlockStatistics(
            catalog.arm("xarm7").joints, arm, np.full_like(arm, DEVIATION_RAD)
        )
        joints = catalog.hand("inspire").joint_names(side)
        blocks[f"{side} hand inspire"] = BlockStatistics(
            joints, hand, np.full_like(hand, DEVIATION_RAD)
        )
    return Statistics(blocks)


def observation(rig: Rig, frames: int) -> Observation:
    executed = {
        side: {part: np.tile(pose(rig, side)[part], (frames, 1)) for part in PARTS}
        for side in SIDES
    }
    image = synthetic.scene({side: np.array([0.5, 0.5]) for side in SIDES})
    return Observation(0, {"base": image}, "Push the two tomato cans together.", executed)


def pose(rig: Rig, side) -> dict:
    """Where the robot stands [J] rad by part."""
    start = rig.start(side)
    return {part: np.array([start[name] for name in rig.joint_names(side, part)]) for part in PARTS}


def test_fifty_actions_of_pi0_base_go_from_weights_to_motion(base_policy, base_rig, shape):
    assert (base_policy.frames, base_policy.rate_hz) == (50, shape.rate_hz)
    chunk = base_policy.predict(observation(base_rig, 50))
    assert chunk.rate_hz == shape.rate_hz and chunk.positions["left"]["arm"].shape == (50, 7)

    motion = RigMotion(base_rig)
    measured = {side: np.concatenate(list(pose(base_rig, side).values())) for side in SIDES}
    frames = {
        side: np.concatenate([chunk.positions[side][part] for part in PARTS], axis=1)
        for side in SIDES
    }
    for side, player in motion.players.items():
        player.offer(frames[side], player.joints, 0.0, chunk.rate_hz, 0.0, measured=measured[side])
    period_s = 1 / base_rig.motion.rate_hz
    commands = np.array(
        [
            motion.step(tick * period_s, period_s, measured)["left"]
            for tick in range(round(4.0 / period_s))
        ]
    )

    moves = np.abs(np.diff(commands, axis=0)).max(axis=1) > 1e-5
    rests_s = period_s * (1 + np.flatnonzero(moves)[-1])
    ends_s = (
        1 / shape.rate_hz + Trajectory(frames["left"], shape.rate_hz, base_rig.motion.taper_s).end_s
    )
    assert rests_s == pytest.approx(ends_s, abs=base_rig.motion.taper_s)
    np.testing.assert_allclose(commands[-1], frames["left"][-1], atol=1e-6)


def test_a_policys_network_carried_away_has_the_same_chunks(
    base_policy, base_rig, base_weights, codec, tmp_path, shape
):
    export(base_weights, codec, tmp_path)
    away = policies.load(rig_file.with_choices(base_rig, checkpoint=str(tmp_path)))
    assert (away.frames, away.rate_hz) == (50, shape.rate_hz)
    seen = observation(base_rig, 50)
    ours, its = (each.predict(seen).positions["right"]["hand"] for each in (base_policy, away))
    np.testing.assert_allclose(its, ours, atol=1e-4)


def test_weights_from_before_policies_had_a_rate_have_the_papers():
    document = json.loads(json.dumps(BASE.document()))
    del document["rate_hz"]
    assert from_document(document).rate_hz == 20


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"frames": "fifty"}, "config.frames: expected a whole number"),
        ({"framse": 50}, "unknown key 'framse'.*did you mean 'frames'"),
        ({"sides": ["left", "middle"]}, "config.sides"),
        ({"vision": {"crop": [0, 0, 1]}}, "config.vision.crop: expected 4 numbers"),
    ],
)
def test_a_configuration_that_is_none_is_refused_by_its_field(changes, fault):
    document = json.loads(json.dumps(BASE.document()))
    with pytest.raises(ValueError, match=fault):
        from_document({**document, **changes})


def test_a_configuration_comes_back_from_json_as_it_was():
    for name in ("pi0", "pi0_base", "tiny", "small"):
        shape = preset(name)
        assert from_document(json.loads(json.dumps(shape.document()))) == shape
