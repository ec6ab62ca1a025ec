"""The network: who sees whom, caching, and what an optimiser can make of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from xlvla.errors import XlvlaError
from xlvla_policy.training.batches import WeightedSampler
from xlvla_policy.training.loop import Trainer
from xlvla_policy.training.recipe import Augmentation, Recipe
from xlvla_policy.vla import config, flow, images
from xlvla_policy.vla.joint import attend, joint_mask
from xlvla_policy.vla.model import Inputs, Vla
from xlvla_policy.vla.vision import PatchEmbedding


def some(batches, count: int = 3):
    inputs, chunk = batches.take(np.arange(0, 40 * count, 40))
    noise = torch.randn(chunk.shape, generator=torch.Generator().manual_seed(5))
    return inputs, chunk, noise


def tokens(model: Vla, frames: torch.Tensor) -> torch.Tensor:
    return frames.unflatten(1, (model.config.action_tokens, -1)).flatten(2)


def test_a_token_sees_its_own_block_and_every_earlier_one():
    mask = joint_mask([2, 1, 2], torch.tensor([[True, True, True, True, False]]))[0].int().tolist()
    assert mask == [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 0],
    ]


def test_the_prefix_never_sees_the_past_nor_the_past_the_actions(model, batches):
    inputs, _, _ = some(batches)
    cache = model.observe(inputs)
    other = model.observe(replace(inputs, past=inputs.past + 1))
    prefix = cache.valid.shape[1] - model.config.past_tokens
    for (k, v), (k2, v2) in zip(cache.layers, other.layers, strict=True):
        assert torch.equal(k[:, :, :prefix], k2[:, :, :prefix]) and torch.equal(
            v[:, :, :prefix], v2[:, :, :prefix]
        )
    assert not torch.allclose(
        cache.layers[-1][1][:, :, prefix:], other.layers[-1][1][:, :, prefix:]
    )


def test_actions_see_the_image_the_sentence_the_past_and_each_other(model, batches):
    inputs, _, noise = some(batches)
    t = torch.full((3, model.config.action_tokens), 0.5)
    noisy = tokens(model, noise)

    def first_token(inputs: Inputs, noisy: torch.Tensor) -> torch.Tensor:
        return model.denoise(model.observe(inputs), noisy, t)[:, 0]

    reference = first_token(inputs, noisy)
    later = noisy.clone()
    later[:, -1] += 1
    changed = (
        first_token(replace(inputs, images=255 - inputs.images), noisy),
        first_token(replace(inputs, words=inputs.words.flip(1)), noisy),
        first_token(replace(inputs, past=inputs.past + 1), noisy),
        first_token(inputs, later),
    )
    assert all(not torch.allclose(reference, other) for other in changed)


@pytest.mark.parametrize("kv_heads", [1, 2])
def test_the_cached_way_equals_one_pass_over_the_whole_sequence(batches, kv_heads):
    torch.manual_seed(0)
    model = Vla(replace(config.preset("tiny"), kv_heads=kv_heads))
    inputs, _, noise = some(batches)
    inputs.word_mask[1, 4:] = False
    t = torch.rand(3, model.config.action_tokens, generator=torch.Generator().manual_seed(2))
    cached = model.denoise(model.observe(inputs), tokens(model, noise), t)
    torch.testing.assert_close(
        cached, model.denoise_uncached(inputs, tokens(model, noise), t), rtol=1e-4, atol=1e-5
    )


def test_padding_and_a_missing_camera_change_nothing(model, batches):
    inputs, _, noise = some(batches)
    padded = replace(
        inputs,
        words=torch.nn.functional.pad(inputs.words, (0, 7), value=3),
        word_mask=torch.nn.functional.pad(inputs.word_mask, (0, 7), value=False),
    )
    torch.testing.assert_close(
        model.sample(inputs, noise), model.sample(padded, noise), rtol=1e-4, atol=1e-5
    )
    blind = replace(inputs, cameras=torch.zeros_like(inputs.cameras))
    torch.testing.assert_close(
        model.sample(blind, noise), model.sample(replace(blind, images=255 - inputs.images), noise)
    )


def test_grouped_attention_equals_attention_with_copied_keys():
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(2, heads, length, 8, generator=generator)
        for heads, length in ((4, 3), (2, 5), (2, 5))
    )
    mask = torch.rand(2, 3, 5, generator=generator) > 0.3
    mask[..., 0] = True
    copied = [x.repeat_interleave(2, 1) for x in (k, v)]
    expected = torch.nn.functional.scaled_dot_product_attention(q, *copied, attn_mask=mask[:, None])
    torch.testing.assert_close(attend(q, k, v, mask), expected.transpose(1, 2).flatten(2))


def test_following_the_true_velocity_leads_from_noise_to_the_data():
    data, noise = torch.randn(2, 2, 4, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(flow.euler(lambda x, t: noise - data, noise, 10), data)


def test_times_follow_the_beta_distribution_towards_noise():
    times = flow.draw_time((100_000,), torch.Generator().manual_seed(0))
    assert times.min() >= 0.001 and times.max() <= 1
    assert abs(times.mean().item() - 1.5 / 2.5) < 0.01


@pytest.mark.parametrize("prediction", ["data", pytest.param("velocity", marks=pytest.mark.long)])
def test_the_flow_loss_falls_on_a_handful_of_observations(batches, prediction):
    torch.manual_seed(0)
    model = Vla(replace(config.preset("tiny"), prediction=prediction))
    trainer = Trainer(
        model,
        batches,
        np.arange(0, 240, 40),
        Recipe(steps=60, minutes=None, batch=6, rate=3e-3, warm_up=5, bf16=False),
    )
    losses = [trainer.advance().loss for _ in range(60)]
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:5])


def test_draws_that_share_an_observation_cost_no_accuracy(model, batches):
    inputs, chunk, noise = some(batches)
    more = torch.cat([noise, -noise])[[0, 3, 1, 4, 2, 5]]
    times = torch.linspace(0.1, 0.9, 6)
    shared = model.loss(inputs, chunk, more, times)
    apart = [model.loss(inputs, chunk, more[k::2], times[k::2]) for k in (0, 1)]
    torch.testing.assert_close(shared, torch.stack(apart).mean())


def test_augmenting_the_history_leaves_the_target_alone(batches, rows):
    spoil = Augmentation(hold=1.0, offset=0.1, noise=0.0, brightness=0.0, contrast=0.0)
    drawn = batches.draw(
        WeightedSampler(rows[30:31], np.ones(len(rows))), Recipe(augmentation=spoil), 0, range(4)
    )
    spoilt = drawn.inputs
    chunk = drawn.chunk
    clean, wanted = batches.take(np.repeat(rows[30:31], 4))
    assert torch.equal(chunk, wanted) and torch.equal(spoilt.images, clean.images)
    assert (spoilt.past == spoilt.past[:, :1]).all() and not torch.allclose(
        spoilt.past[:, -1], clean.past[:, -1]
    )


@pytest.mark.parametrize(("channels", "side"), [(3, 14), (8, 8), (16, 4), (24, 8), (48, 8)])
def test_patches_in_bfloat16_are_near_those_of_float32(channels, side):
    """Of some of these a convolution in bfloat16 is quite another one on a processor with AMX."""
    torch.manual_seed(0)
    patches = PatchEmbedding(channels, 32, kernel_size=side, stride=side)
    images = torch.randn(2, channels, 3 * side, 4 * side)
    exact = patches(images)
    with torch.autocast("cpu", torch.bfloat16):
        autocast = patches(images)
    half = patches.to(torch.bfloat16)(images.to(torch.bfloat16))
    for found in (autocast, half):
        assert found.dtype == torch.bfloat16 and found.shape == exact.shape
        assert (found - exact).norm() < 0.02 * exact.norm()


def test_an_image_of_other_proportions_is_filled_up_with_black_where_asked():
    picture = np.full((240, 320, 3), 200, np.uint8)
    square = images.fit(picture, config.preset("pi0").vision, "front")
    assert square.shape == (224, 224, 3)
    assert (square[28:196] == 200).all() and not square[:28].any() and not square[196:].any()
    high = images.fit(picture.transpose(1, 0, 2), config.preset("pi0").vision, "front")
    assert (high[:, 28:196] == 200).all() and not high[:, :28].any()


def test_sizes_that_do_not_divide_are_refused():
    with pytest.raises(XlvlaError, match="does not divide into tokens"):
        config.VisionConfig(height=100), config.VlaConfig(vision=config.VisionConfig(height=100))
    with pytest.raises(XlvlaError, match="64 frames"):
        config.VlaConfig(frames_per_token=5)
    with pytest.raises(XlvlaError, match="did you mean 'small'"):
        config.preset("smal")
