"""Training that begins with weights there are: a policy's, or pi0's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import synthetic
import torch
from reference import Reference
from safetensors.torch import save_file
from test_pretrained import SMALL

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla_policy.policies import xlvla as policies
from xlvla_policy.training import dataset, preparation, run, sources
from xlvla_policy.training.batches import Batches
from xlvla_policy.training.choice import Choice
from xlvla_policy.training.loop import Trainer
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.training.train_tokenizer import train as train_words
from xlvla_policy.vla import checkpoint, config, pretrained, tokenizer
from xlvla_policy.vla.model import Vla

TINY = config.preset("tiny")
LATENT = replace(
    SMALL,
    vision=replace(SMALL.vision, pad=True),
    space="latent",
    frames=64,
    past_frames=None,
    past_frames_per_token=8,
    cameras=("front",),
    vocabulary=512,
    max_words=64,
)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """Published weights for a small pi0, brought over to one of latents."""
    folder = tmp_path_factory.mktemp("pi0")
    with torch.no_grad():
        save_file(
            Reference(replace(SMALL, vocabulary=512)).published(), folder / "published.safetensors"
        )
    pretrained.convert(
        folder / "published.safetensors",
        folder / "pi0.safetensors",
        LATENT,
        projections="fresh",
        precision="float32",
    )
    return folder / "pi0.safetensors"


def choice(data, **changes) -> Choice:
    return replace(
        Choice((str(data),), preset="tiny", threads=1, stride=4, held_out=0.0), **changes
    )


def test_a_policy_that_learns_on_keeps_its_weights_and_what_it_normalises_with(
    tmp_path, rig, codec, weights
):
    synthetic.write(
        tmp_path,
        rig_file.with_choices(rig, hands={"left": "inspire", "right": "ability"}),
        codec,
        2,
    )
    anew, on = (preparation.prepare(choice(tmp_path, init=init), codec) for init in (None, weights))
    before, card = checkpoint.load(weights)
    for name, known in card.statistics.blocks.items():
        np.testing.assert_array_equal(on.statistics.blocks[name].mean, known.mean)
        assert not np.allclose(anew.statistics.blocks[name].mean, known.mean)
    model = preparation.made(on, weights, torch.device("cpu"), print)
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), before.state_dict().values(), strict=True)
    )


def test_a_policy_of_another_size_or_codec_cannot_be_begun_with(tmp_path, stored, codec, weights):
    larger = preparation.prepare(
        choice(stored[0].data.root, cameras=("front",), space="raw"), codec
    )
    with pytest.raises(
        XlvlaError,
        match="is of another size than this model; take the same --preset, --space and --cameras",
    ):
        preparation.made(larger, weights, torch.device("cpu"), print)
    model, card = checkpoint.load(weights)
    foreign = checkpoint.save(
        tmp_path / "foreign.safetensors", model.state_dict(), replace(card, codec="another")
    )
    with pytest.raises(XlvlaError, match="trained with codec another"):
        preparation.prepare(choice(stored[0].data.root, init=foreign), codec)
    (tmp_path / "text.safetensors").write_text("hello")
    with pytest.raises(XlvlaError, match="no complete safetensors file"):
        preparation.prepare(choice(stored[0].data.root, init=tmp_path / "text.safetensors"), codec)
    with pytest.raises(XlvlaError, match="no weights at"):
        preparation.prepare(choice(stored[0].data.root, init=tmp_path / "none.safetensors"), codec)


def test_imported_weights_learn_latents_with_new_projections(imported, stored, codec):
    recorded = [
        dataset.read(source, LATENT, codec) for source in sources.find([str(stored[0].data.root)])
    ]
    batches = Batches(
        dataset.load(recorded, LATENT, stride=8),
        LATENT,
        dataset.statistics(recorded),
        tokenizer.load(64),
    )
    model = Vla(LATENT)
    fresh = preparation.begin(model, imported, codec)
    assert {name.split(".")[0] for name in fresh} == {
        "state_proj",
        "action_in_proj",
        "action_out_proj",
    }
    recipe = Recipe(
        steps=30,
        minutes=None,
        batch=4,
        warm_up=5,
        frozen=("vision",),
        lora={"language": 4},
        recompute=True,
        average=0.9,
    )
    trainer = Trainer(model, batches, np.arange(len(batches.data)), recipe)
    losses = [trainer.advance().loss for _ in range(30)]
    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_a_tokenizer_of_ones_own_lies_beside_the_weights_and_is_asked_for_where_it_does_not(
    tmp_path, rig, stored, codec
):
    words = train_words(tmp_path / "words.model", vocabulary=400)
    out = tmp_path / "policy.safetensors"
    run.train(
        choice(stored[0].data.root, words=words, cache=tmp_path),
        out,
        Recipe(steps=1, minutes=None, batch=2),
        codec=codec,
    )
    driven = rig_file.with_choices(rig, checkpoint=str(out))
    assert policies.load(driven, codec=codec).words.vocabulary == 400
    tokenizer.beside(out).unlink()
    tokenizer.load.cache_clear()
    with pytest.raises(
        XlvlaError,
        match=r"trained with tokenizer .*: put its sentencepiece model at .*policy.words",
    ):
        policies.load(driven, codec=codec)


def test_a_tokenizer_with_more_words_than_the_model_is_refused(tmp_path, stored, codec):
    words = train_words(tmp_path / "words.model", vocabulary=600)
    with pytest.raises(XlvlaError, match="the tokenizer has 600 words, this model 512"):
        preparation.prepare(choice(stored[0].data.root, words=words), codec)
