"""What the codec is compared with works as well as it can, on the same poses."""

import sys

import numpy as np
import pytest
import torch

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla_policy.latent.baselines import supervised
from xlvla_policy.latent.baselines.dex import KINDS, DexRetargeting, missing
from xlvla_policy.latent.baselines.per_pose import only, optimised
from xlvla_policy.latent.embodiment import embodiment
from xlvla_policy.latent.losses import pinches
from xlvla_policy.latent.sampling import tightest, uniform_poses

comparison = pytest.importorskip("xlvla_policy.latent.comparison")
agreement = pytest.importorskip("xlvla_policy.latent.agreement")

HANDS = ("inspire", "xhand")
needs_dex = pytest.mark.skipif(bool(missing()), reason="dex-retargeting is not installed")


@pytest.fixture(scope="module")
def bodies():
    return {
        hand: embodiment(catalog.hand(hand), "right") for hand in ("inspire", "paxini", "xhand")
    }


@pytest.fixture(scope="module")
def scene():
    return comparison.scene(HANDS, 32)


def lines(body, q):
    return pinches(body.tips(torch.as_tensor(q, dtype=torch.float32)), body.fingers)


def test_the_per_pose_optimiser_finds_poses_that_exist(bodies):
    body = bodies["inspire"]
    q = uniform_poses(body, 32, torch.Generator().manual_seed(3))
    found = optimised(body, body, q, torch.ones(32, 4))
    apart = (lines(body, found) - lines(body, q)).norm(dim=-1)
    assert apart.median() < 0.001
    assert (found >= body.lower).all() and (found <= body.upper).all()


def test_the_per_pose_optimiser_is_nearer_on_the_pinching_finger_than_any_codec(codec, bodies):
    source = bodies["xhand"]
    target = bodies["paxini"]
    q, finger = tightest(source, 40 * 48, torch.Generator().manual_seed(4))
    q = q[finger < 3][:32]  # Paxini has no little finger
    finger = finger[finger < 3][:32]
    decoded = codec.decode("paxini", "right", codec.encode("xhand", "right", q.numpy()))
    best = optimised(source, target, q, only(finger))
    errors = [
        (lines(target, found) - lines(source, q))[torch.arange(len(q)), finger].norm(dim=-1).mean()
        for found in (best, decoded)
    ]
    assert errors[0] < errors[1]


@needs_dex
@pytest.mark.parametrize("kind", KINDS)
def test_dex_retargeting_gives_a_hand_back_its_own_fingertips(bodies, kind):
    body = bodies["inspire"]
    q = uniform_poses(body, 6, torch.Generator().manual_seed(5))
    run = DexRetargeting(body, body, kind)
    found = run.settle(run.references(body.tips(q).numpy()))
    assert (lines(body, found) - lines(body, q)).norm(dim=-1).median() < 0.005


@needs_dex
def test_dex_retargeting_follows_a_path_from_frame_to_frame(bodies, scene):
    source = bodies["xhand"]
    target = bodies["paxini"]
    run = DexRetargeting(source, target, "vector from thumb")
    found = run.follow(run.references(source.tips(scene.paths["xhand"]).numpy()))
    assert found.shape == (len(scene.paths["xhand"]), target.width)
    assert np.abs(np.diff(found, axis=0)).max() < np.ptp(found, axis=0).max()
    assert (found >= target.lower.numpy()).all() and (found <= target.upper.numpy()).all()


def test_without_dex_retargeting_one_line_says_so(bodies, monkeypatch):
    monkeypatch.setitem(sys.modules, "dex_retargeting.retargeting_config", None)
    assert missing().startswith("dex-retargeting cannot be used") and "\n" not in missing()
    with pytest.raises(XlvlaError, match="pip install dex-retargeting"):
        DexRetargeting(bodies["xhand"], bodies["inspire"], "dexpilot")


def test_paths_glide_between_random_poses_and_pinches(scene):
    for hand in HANDS:
        path = scene.paths[hand]
        corners = comparison.GLIDE
        torch.testing.assert_close(
            path[::corners],
            torch.stack([scene.random[hand][0], scene.pinched[hand][0][0], scene.random[hand][1]]),
        )
        steps = path.diff(dim=0).abs().amax(-1)
        assert steps.max() < 0.15 * (path.amax() - path.amin())


def test_all_ways_through_the_codec_are_as_near(codec, scene):
    rows = comparison.paces(codec, scene, kinds=())
    assert [row.way.split(",")[0] for row in rows] == ["codec"] * 3
    for row in rows[1:]:
        assert row.all.vector_mm == pytest.approx(rows[0].all.vector_mm, abs=0.01)
    assert rows[1].frame_s < rows[0].frame_s, "chunks cost less per frame"


def test_quality_counts_what_the_metrics_count(codec, scene):
    own = comparison.quality("codec", comparison.through(codec), scene)
    assert own.pinch.direction_deg < 25 and own.pinch.distance_mm < 10
    worse = comparison.quality(
        "middle",
        lambda source, target, q, _: ((target.lower + target.upper) / 2).expand(len(q), -1),
        scene,
    )
    assert (
        worse.pinch.direction_deg > own.pinch.direction_deg
        and worse.random.vector_mm > own.random.vector_mm
    )


def test_a_supervised_latent_learns_pairs(tmp_path):
    pairs = supervised.pair(HANDS, each=64)
    assert {len(q) for q in pairs.poses.values()} == {128}
    seen: list[int] = []
    supervised.train(pairs, tmp_path / "codec.safetensors", steps=120, progress=seen.append)
    trained = Codec.load(tmp_path / "codec.safetensors")
    moved = trained.decode(
        "xhand", "right", trained.encode("inspire", "right", pairs.poses["inspire"].numpy())
    )
    wanted = pairs.poses["xhand"].numpy()
    assert seen[-1] == 120
    assert np.abs(moved - wanted).mean() < 0.8 * np.abs(wanted - wanted.mean(0)).mean()


def test_contrast_is_least_where_pairs_share_their_latent():
    z = torch.randn(32, 8, generator=torch.Generator().manual_seed(0))
    assert supervised.contrast([z, z], 0.1) < supervised.contrast([z, z.roll(1, 0)], 0.1)


def test_every_way_to_run_the_codec_gives_torchs_numbers(codec):
    # Latents reach 50, where neighbouring numbers are 4e-6 apart.
    assert max(agreement.differences(codec, poses=128).values()) < 2e-5
