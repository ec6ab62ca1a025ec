"""Ways to decide while the chunk before is executed: what they promise, on a model that was never
trained.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import synthetic
import torch

from xlvla import rig_file
from xlvla.errors import RigError, XlvlaError
from xlvla.policy import Chunk, Observation
from xlvla.types import PARTS, SIDES, Part, Side
from xlvla_policy.overlap import Overlap, overlap
from xlvla_policy.policies import xlvla as policies
from xlvla_policy.training.loop import Trainer
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import checkpoint, chunking, config, flow
from xlvla_policy.vla.engine import Eager, Engine
from xlvla_policy.vla.engine_captured import Captured
from xlvla_policy.vla.model import Vla

SECOND = 1_000_000_000
Moves = dict[Side, dict[Part, np.ndarray]]
CPU = torch.device("cpu")


def noise_of(model: Vla, seed: int = 3) -> torch.Tensor:
    return torch.randn(
        1,
        model.config.frames,
        model.config.frame_dim,
        generator=torch.Generator().manual_seed(seed),
    )


def before(model: Vla, prefix_frames: int, known: int = 48) -> Overlap:
    frames = noise_of(model, 8).numpy()
    return Overlap(frames, frames[0], np.array([known]), np.array([16.0]), prefix_frames)


@pytest.fixture
def inputs(batches):
    return batches.take(np.array([40]))[0]


@pytest.mark.parametrize("prediction", ["data", "velocity"])
def test_a_prefix_is_told_in_whole_tokens_and_shapes_what_follows(batches, inputs, prediction):
    torch.manual_seed(0)
    model = Vla(replace(config.preset("tiny"), prediction=prediction))
    earlier_chunks = before(model, prefix_frames=9)
    noise = noise_of(model)
    engine = Eager(model, CPU)
    chunk = chunking.prefix(engine, inputs, noise, earlier_chunks, 24)[0].numpy()
    np.testing.assert_array_equal(chunk[:16], earlier_chunks.frames[0, :16])
    assert not np.isclose(chunk[16:], earlier_chunks.frames[0, 16:]).all(1).any()
    other = replace(earlier_chunks, ahead=earlier_chunks.ahead + 1)
    assert not np.allclose(
        chunking.prefix(engine, inputs, noise, other, 24)[0, 16:].numpy(), chunk[16:]
    )


def test_a_prefix_is_no_longer_than_what_was_learned_and_none_is_plain(model, inputs):
    noise = noise_of(model)
    engine = Eager(model, CPU)
    short = chunking.prefix(engine, inputs, noise, before(model, prefix_frames=30), 8)[0].numpy()
    assert (
        np.array_equal(short[:8], before(model, 30).frames[0, :8])
        and not np.isclose(short[8:16], before(model, 30).frames[0, 8:16]).any()
    )
    none = chunking.prefix(engine, inputs, noise, before(model, prefix_frames=0), 24)
    torch.testing.assert_close(none, engine.sample(inputs, noise), rtol=1e-3, atol=1e-4)


def test_a_prefix_is_the_same_whatever_runs_the_network(model, inputs):
    earlier_chunks = before(model, prefix_frames=9)
    noise = noise_of(model)
    reference = chunking.prefix(Eager(model, CPU), inputs, noise, earlier_chunks, 24)
    captured = Captured(copy.deepcopy(model), CPU, torch.float32)
    torch.testing.assert_close(
        chunking.prefix(captured, inputs, noise, earlier_chunks, 24),
        reference,
        rtol=1e-3,
        atol=1e-4,
    )


class Gaussian(Engine):
    """An engine that knows the best answer: data of this mean and deviation, every number for
    itself.
    """

    def __init__(self, prediction, mean: float = 0.5, deviation: float = 0.4):
        super().__init__(replace(config.preset("tiny"), prediction=prediction, steps=20), CPU)
        self.mean = mean
        self.deviation = deviation

    def observe(self, inputs):
        return None

    def denoise(self, cache, noisy, t):
        t = t[..., None]
        variance = self.deviation**2
        clean = self.mean + (1 - t) * variance / ((1 - t) ** 2 * variance + t**2) * (
            noisy - (1 - t) * self.mean
        )
        return clean if self.config.prediction == "data" else (noisy - clean) / t


@pytest.mark.parametrize("prediction", ["data", "velocity"])
def test_guidance_leads_to_the_chunk_before_where_it_is_executed_and_lets_go_of_it(
    prediction, inputs
):
    engine = Gaussian(prediction)
    shape = (1, engine.config.frames, engine.config.frame_dim)
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    earlier_chunks = Overlap(
        np.full(shape, 1.0), np.full(shape[1:], 1.0), np.array([40]), np.array([24.0]), 8
    )
    with torch.inference_mode():
        guided = chunking.guided(engine, inputs, noise, earlier_chunks)[0]
    free = chunking.guided(
        engine, inputs, noise, replace(earlier_chunks, known=np.array([0]), prefix_frames=0)
    )[0]
    off, free_off = ((chunk - 1.0).abs().mean(1) for chunk in (guided, free))
    assert off[:8].mean() < 0.35 * free_off[:8].mean()
    assert off[:8].mean() < off[8:24].mean() < off[24:40].mean()
    torch.testing.assert_close(guided[40:], free[40:])


def test_guidance_reaches_through_the_network_to_tokens_it_does_not_pull(model, inputs):
    noise = noise_of(model)
    earlier_chunks = before(model, prefix_frames=8, known=8)
    engine = Eager(model, CPU)
    guided = chunking.guided(engine, inputs, noise, earlier_chunks)[0]
    plain = engine.sample(inputs, noise)[0]
    want = torch.from_numpy(earlier_chunks.frames[0])
    assert (guided - want)[:8].square().mean() < (plain - want)[:8].square().mean()
    assert not torch.equal(guided[8:], plain[8:])


def test_the_pull_is_whole_while_the_chunk_is_executed_and_fades_to_its_end():
    weights = chunking.pull(4, 20, 64)
    assert (
        (weights[:4] == 1).all()
        and (np.diff(weights[3:20]) < 0).all()
        and (weights[20:] == 0).all()
        and weights[4] < 1
    )
    assert [chunking.strength(t) for t in (1.0, 0.9, 0.5)] == [chunking.PULL, chunking.PULL, 2.0]


def test_an_ensemble_is_the_mean_of_all_that_speak_of_an_instant_the_oldest_counting_most():
    frames = np.zeros((64, 1))
    earlier = np.stack([np.full((64, 1), 1.0), np.full((64, 1), 2.0)])
    earlier_chunks = Overlap(earlier, earlier[-1], np.array([32, 48]), np.array([32.0, 16.0]), 0)
    mean = chunking.mean(frames, earlier_chunks)[:, 0]
    a = np.exp(0.32)
    b = np.exp(0.16)
    np.testing.assert_allclose(mean[[0, 40, 60]], [(a + 2 * b) / (a + b + 1), 2 * b / (b + 1), 0.0])


def ramp(stamp_ns: int, rate: float = 0.02) -> Chunk:
    """A chunk whose numbers are the time since its stamp, its arms moving a little per frame."""
    rows = np.arange(1, 65.0)[:, None]
    arms: Moves = {
        side: {"arm": np.tile(rate * rows, (1, 7)), "hand": np.zeros((64, 12))} for side in SIDES
    }
    return Chunk(stamp_ns, 20.0, arms, {}, np.tile(rows / 20, (1, 3)))


def at(
    stamp_ns: int, arm: float, *previous: Chunk, delay_s: float = 0.0, rate: float = 0.02
) -> Observation:
    """Arms commanded to one angle, which they reached at so much per frame."""
    arms = arm + np.arange(-63, 1)[:, None] * np.full(7, rate)
    executed: Moves = {side: {"arm": arms, "hand": np.zeros((64, 12))} for side in SIDES}
    return Observation(stamp_ns, {}, "", executed, previous, delay_s)


def test_the_chunk_before_is_read_at_the_instants_of_the_next():
    earlier_chunks = overlap(
        at(SECOND * 81 // 100, 0.32, ramp(0), delay_s=0.23), np.full(3, 0.81), 64
    )
    assert earlier_chunks is not None
    np.testing.assert_allclose(earlier_chunks.frames[0, :47, 0], 0.81 + np.arange(1, 48) / 20)
    assert (earlier_chunks.known.tolist(), earlier_chunks.prefix_frames) == (
        [47],
        4,
    ) and earlier_chunks.age == pytest.approx(16.2)
    np.testing.assert_allclose(earlier_chunks.frames[0, 47:, 0], 3.2)
    np.testing.assert_allclose(earlier_chunks.ahead, earlier_chunks.frames[0])


def test_a_robot_that_is_behind_the_chunk_before_is_led_to_it_from_where_it_is():
    earlier_chunks = overlap(at(SECOND, 0.3, ramp(0), delay_s=0.6), np.array([0.9, 1.0, 1.0]), 64)
    assert earlier_chunks is not None
    behind = earlier_chunks.ahead - earlier_chunks.frames[0]
    assert (np.diff(behind[:, 0]) >= -1e-9).all() and -0.1 < behind[0, 0] < -0.08
    np.testing.assert_allclose(behind[12:], 0, atol=1e-9)
    np.testing.assert_allclose(behind[:, 1:], 0, atol=1e-9)


def test_a_chunk_that_the_robot_does_not_follow_or_that_has_run_out_binds_nobody():
    here = np.zeros(3)
    assert overlap(at(SECOND, 1.4, ramp(0)), here, 64) is None
    assert overlap(at(4 * SECOND, 1.28, ramp(0)), here, 64) is None
    assert overlap(at(SECOND, 0.4, replace(ramp(0), decided=None)), here, 64) is None
    assert (
        overlap(at(SECOND, 0.2, ramp(0), rate=0.0), here, 64) is None
    )  # disengaged: it stands while the chunk moves
    assert (
        overlap(at(SECOND, 0.05, ramp(0, 0.001), rate=0.0), here, 64) is not None
    )  # so does the chunk
    both = overlap(at(SECOND, 0.2, ramp(0), ramp(SECOND // 2)), here, 64)
    assert both is not None and both.known.tolist() == [44, 54]


@pytest.fixture(scope="module")
def learned(weights, tmp_path_factory):
    """The same weights with a card that says they learned to continue."""
    model, card = checkpoint.load(weights)
    return checkpoint.save(
        tmp_path_factory.mktemp("learned") / "tiny.safetensors",
        model.state_dict(),
        replace(card, committed=16),
    )


def chosen(rig, weights, mode: str):
    picked = rig_file.with_choices(rig, checkpoint=str(weights))
    return replace(picked, policy=replace(picked.policy, chunking=mode))


@pytest.mark.parametrize("mode", ["plain", "prefix", "guided", "ensemble"])
def test_every_way_is_a_function_of_the_observation_and_all_but_plain_heed_what_was_decided_before(
    rig, learned, mode
):
    policy = policies.load(chosen(rig, learned, mode))
    executed: Moves = {
        side: {part: np.tile(0.1, (64, len(rig.joint_names(side, part)))) for part in PARTS}
        for side in SIDES
    }
    image = synthetic.scene({side: np.array([0.5, 0.5]) for side in SIDES})
    first = policy.predict(
        Observation(SECOND, {"front": image}, "Push the two tomato cans together.", executed)
    )
    followed = np.maximum(np.arange(-64, 0) + 8, 0)
    now: Moves = {
        side: {part: rows[followed] for part, rows in parts.items()}
        for side, parts in first.positions.items()
    }
    later = Observation(
        SECOND * 7 // 5, {"front": image}, "Push the two tomato cans together.", now, (first,), 0.2
    )
    second = policy.predict(later)
    again = policy.predict(later)
    alone = policy.predict(replace(later, previous=()))
    np.testing.assert_array_equal(second.positions["left"]["arm"], again.positions["left"]["arm"])
    # The past is read in the latents that were sent, whatever the way.
    assert first.decided is not None
    otherwise = replace(first, decided=first.decided + 0.1)
    third = policy.predict(replace(later, previous=(otherwise,)))
    assert np.array_equal(second.positions["left"]["arm"], third.positions["left"]["arm"]) == (
        mode == "plain"
    )
    gap, plain_gap = (
        np.abs(chunk.positions["left"]["arm"][:4] - first.positions["left"]["arm"][8:12]).mean()
        for chunk in (second, alone)
    )
    assert gap < plain_gap or mode in (
        "plain",
        "guided",
    )  # what never learned has no gradient to be guided by


def test_weights_that_never_learned_to_continue_are_refused_a_prefix_with_one_line(rig, weights):
    with pytest.raises(XlvlaError, match="not trained with action prefixes") as refusal:
        policies.load(chosen(rig, weights, "prefix"))
    assert "\n" not in str(refusal.value)


def test_a_misspelt_way_is_refused_with_the_one_that_was_meant():
    import dataclasses

    document = dataclasses.asdict(rig_file.load("bimanual"))
    document["policy"]["chunking"] = "guidde"
    with pytest.raises(RigError, match=r"policy\.chunking: .*did you mean 'guided'"):
        rig_file.from_document(document, "test")


def test_prefix_frames_are_clean_and_not_predicted(model, batches):
    inputs, chunk = batches.take(np.array([0, 40, 80]))
    noise = torch.randn(chunk.shape, generator=torch.Generator().manual_seed(5))
    times = flow.per_token(
        torch.tensor([0.3, 0.6, 0.9]), model.config.action_tokens, torch.tensor([0, 1, 3])
    )
    assert times.count_nonzero(1).tolist() == [8, 7, 5]
    other = noise.clone()
    other[2, :24] += 1.0
    reference = model.loss(inputs, chunk, noise, times)
    torch.testing.assert_close(model.loss(inputs, chunk, other, times), reference)
    other[2, 24:] += 1.0
    assert not torch.isclose(model.loss(inputs, chunk, other, times), reference)
    plain = torch.full((3,), 0.5)
    torch.testing.assert_close(
        model.loss(inputs, chunk, noise, plain),
        model.loss(inputs, chunk, noise, plain[:, None].expand(-1, 8)),
    )


@pytest.mark.long  # what training on prefixes changes in the loss is tested above
def test_what_learns_from_prefixes_continues_them(model, batches):
    """Two ways to go on that nothing seen can tell apart: only the beginning does."""
    inputs = batches.take(np.array([40, 40]))[0]
    chunk = (
        torch.ones(2, model.config.frames, model.config.frame_dim)
        * torch.tensor([1.0, -1.0])[:, None, None]
    )
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        noise = torch.randn(16, *chunk.shape[1:], generator=generator)
        tokens = torch.randint(0, 4, (16,), generator=generator)
        times = flow.per_token(flow.draw_time((16,), generator), model.config.action_tokens, tokens)
        optimizer.zero_grad()
        model.loss(inputs, chunk, noise, times).backward()
        optimizer.step()
    engine = Eager(model, CPU)
    one = batches.take(np.array([40]))[0]
    for way in chunk.numpy():
        earlier_chunks = Overlap(way[None], way, np.array([64]), np.array([1.0]), 16)
        made = chunking.prefix(engine, one, noise_of(model), earlier_chunks, 24)[0].numpy()
        assert np.abs(made[16:] - way[16:]).mean() < 0.3


def test_prefixes_that_cannot_be_given_are_refused(model, batches):
    with pytest.raises(XlvlaError, match="longest action prefix must be from 8 to 63 frames, is 4"):
        Trainer(model, batches, np.arange(4), Recipe(steps=1, committed=0.5, longest=4))
