"""Training a part of a model, and with less memory or precision."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from xlvla.errors import XlvlaError
from xlvla_policy.training import adaptation
from xlvla_policy.training.loop import Trainer
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import checkpoint, config
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.model import Vla

TINY = config.preset("tiny")
QUICK = Recipe(steps=3, minutes=None, batch=4, warm_up=1)


def trained(batches, rows, recipe: Recipe) -> tuple[dict, Trainer, list[float]]:
    """Weights before, and the trainer after the recipe's steps with their losses."""
    torch.manual_seed(0)
    model = Vla(TINY)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    trainer = Trainer(model, batches, rows, recipe)
    return before, trainer, [trainer.advance().loss for _ in range(3)]


def changed(before: dict, trainer: Trainer) -> set[str]:
    """Weights of the plain model that are not what they were."""
    return {
        entry.name
        for entry in trainer.weights(torch.float32)
        if not torch.equal(entry.fetch(), before[entry.name])
    }


def test_frozen_parts_keep_their_weights_and_the_rest_learns(batches, rows):
    before, trainer, _ = trained(batches, rows, replace(QUICK, frozen=("vision", "language")))
    moved = changed(before, trainer)
    assert not any(
        name.startswith(("vision.", "language.", "joint.experts.language.")) for name in moved
    )
    assert (
        "action_out_proj.weight" in moved
        and "joint.experts.action.layers.0.mlp.up_proj.weight" in moved
    )


def test_an_adapted_part_changes_by_thin_products_only(batches, rows):
    recipe = replace(
        QUICK,
        frozen=("vision",),
        lora={"language": 2, "action": 3},
        lora_on=("attention",),
        lora_alpha=6.0,
    )
    before, trainer, _ = trained(batches, rows, recipe)
    moved = {name for name in changed(before, trainer) if name.startswith("joint.")}
    assert moved and all(
        name.rpartition(".")[0].endswith(("q_proj", "k_proj", "v_proj", "o_proj")) for name in moved
    )
    after = {entry.name: entry.fetch() for entry in trainer.weights(torch.float32)}
    ranks = {"language": 2, "action": 3}
    for name in moved:
        singular = torch.linalg.svdvals(after[name] - before[name])
        rank = ranks[name.split(".")[2]]
        assert singular[rank:].max() < 1e-5 * singular[0]


def test_merged_adaptations_think_as_the_adapted_model_does(batches, rows, tmp_path, codec):
    _, trainer, _ = trained(
        batches, rows, replace(QUICK, lora={"vision": 2, "language": 2, "action": 2}, average=0.0)
    )
    card = ModelCard(TINY, batches.statistics, codec.hash, batches.tokenizer.hash, {})
    path = checkpoint.write(tmp_path / "merged.safetensors", trainer.weights(torch.float32), card)
    plain, _ = checkpoint.load(path)
    inputs, chunk = batches.take(rows[:2])
    noise = torch.randn(chunk.shape, generator=torch.Generator().manual_seed(0))
    adapted = trainer.model.eval()
    torch.testing.assert_close(
        plain.sample(inputs, noise), adapted.sample(inputs, noise), rtol=1e-4, atol=1e-4
    )


def test_parts_and_projections_nobody_knows_are_refused(batches, rows):
    for wrong, complaint in (
        ({"frozen": ("vison",)}, "unknown part of the model 'vison'.*did you mean 'vision'"),
        ({"lora": {"langauge": 4}}, "unknown part of the model 'langauge'"),
        (
            {"lora": {"language": 4}, "lora_on": ("atention",)},
            "unknown kind of projection 'atention'",
        ),
        (
            {"lora": {"language": 4}, "frozen": ("language",)},
            "language cannot be both frozen and adapted",
        ),
        ({"lora": {"language": 0}}, "rank of --lora language must be at least 1"),
    ):
        with pytest.raises(XlvlaError, match=complaint):
            Trainer(Vla(TINY), batches, rows, replace(QUICK, **wrong))


def test_recomputing_layers_changes_no_gradient(batches, rows):
    _, plain, losses = trained(batches, rows, QUICK)
    _, recomputed, again = trained(batches, rows, replace(QUICK, recompute=True))
    assert losses == again
    assert all(
        torch.equal(a, b)
        for a, b in zip(plain.average.values(), recomputed.average.values(), strict=True)
    )


def test_half_precision_products_learn_nearly_the_same(batches, rows):
    _, _, exact = trained(batches, rows, QUICK)
    _, half, losses = trained(batches, rows, replace(QUICK, bf16=True))
    np.testing.assert_allclose(losses, exact, rtol=0.03)
    assert all(value.dtype == torch.float32 for value in half.average.values())


def test_an_action_prefix_must_leave_something_to_decide(batches, rows):
    _, trainer, losses = trained(batches, rows, replace(QUICK, committed=1.0, longest=56))
    assert np.isfinite(losses).all()
    with pytest.raises(XlvlaError, match="must be from 8 to 63 frames"):
        Trainer(Vla(TINY), batches, rows, replace(QUICK, committed=0.5, longest=64))
    assert adaptation.scales(trainer.model) == {}


@pytest.mark.long
def test_compiled_layers_learn_the_same(batches, rows):
    _, _, plain = trained(batches, rows, QUICK)
    _, compiled, losses = trained(batches, rows, replace(QUICK, compile=True, recompute=True))
    np.testing.assert_allclose(losses, plain, rtol=1e-4)
    assert {entry.name for entry in compiled.weights(torch.float32)} == {
        name for name, _ in Vla(TINY).named_parameters()
    }
