"""Damaged weights, exported folders and tokenizers end in a line that names them, or are read."""

from __future__ import annotations

import copy
import json
import random
import shutil

import pytest
import torch
from safetensors import safe_open

from mutations import SEEDS, mutated, outcomes, survived
from xlvla import codec as codecs
from xlvla import human_codec
from xlvla.checksum import CHECKSUM
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.human_codec import HumanCodec
from xlvla_policy.training import state
from xlvla_policy.training.loop import Trainer
from xlvla_policy.training.recipe import Recipe
from xlvla_policy.vla import checkpoint, pretrained, stream, tokenizer
from xlvla_policy.vla.config import preset
from xlvla_policy.vla.model import Vla

ODD = (None, -1, 0, 1e308, 10**40, "x", "", [], {}, [None], {"a": 1}, True, [[1, 2], [3]])


def with_odd_values(document: object, rng: random.Random) -> object:
    """A JSON document of which one to three values are replaced or taken away."""
    changed = json.loads(json.dumps(document))
    for _ in range(rng.randint(1, 3)):
        inner = changed
        while True:
            keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
            if not keys:
                break
            key = rng.choice(keys)
            deeper = inner[key]
            if isinstance(deeper, (dict, list)) and deeper and rng.random() < 0.8:
                inner = deeper
                continue
            if rng.random() < 0.2:
                del inner[key]
            else:
                inner[key] = copy.deepcopy(rng.choice(ODD))
            break
    return changed


def read_or_line(read, path) -> bool:
    """Whether it was read; where not, a line said so and named the file."""
    try:
        read()
    except XlvlaError as error:
        assert "\n" not in str(error)
        assert path.name in str(error) or path.parent.name in str(error), str(error)
        return False
    return True


@SEEDS
def test_damaged_policy_weights_are_one_line(weights, codec, tmp_path, seeds):
    path = tmp_path / "policy.safetensors"
    shutil.copyfile(weights, path)
    counts = survived(path, lambda: checkpoint.load(path, codec=codec.hash), seeds[::3])
    assert counts[True] == 0


@SEEDS
def test_a_damaged_header_of_policy_weights_is_one_line(weights, codec, tmp_path, seeds):
    path = tmp_path / "policy.safetensors"
    content = weights.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    for seed in seeds:
        path.write_bytes(mutated(content[:length], seed) + content[length:])
        read_or_line(lambda: checkpoint.load(path, codec=codec.hash), path)


@SEEDS
def test_a_card_of_another_shape_is_one_line_though_its_checksum_is_right(
    weights, codec, tmp_path, seeds
):
    path = tmp_path / "policy.safetensors"
    with safe_open(weights, "pt") as file:
        metadata = file.metadata()
        names = list(file.keys())
        tensors = {name: file.get_tensor(name) for name in names}
    entries = [
        stream.Entry(name, tuple(tensor.shape), tensor.dtype, tensor.clone)
        for name, tensor in tensors.items()
    ]
    card = json.loads(metadata["card"])
    refused = 0
    for seed in seeds:
        odd = with_odd_values(card, random.Random(seed))
        about = {"format": metadata["format"], "card": json.dumps(odd)}
        stream.write(path, entries, about, checksummed=True)
        refused += not read_or_line(lambda: checkpoint.load(path, codec=codec.hash), path)
    assert refused > len(seeds) / 2


@SEEDS
@pytest.mark.parametrize("kind", ["codec", "human"])
def test_damaged_codecs_are_one_line(kind, codec, tmp_path, seeds):
    shipped = codecs.SHIPPED if kind == "codec" else human_codec.SHIPPED
    path = tmp_path / f"{kind}.safetensors"
    content = shipped.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")

    def read() -> object:
        return Codec.load(path) if kind == "codec" else HumanCodec.load(codec, path)

    for seed in seeds:
        path.write_bytes(mutated(content[:length], seed) + content[length:])
        read_or_line(read, path)
    header = json.loads(content[8:length])
    # What its checksum would refuse is looked at, too.
    header["__metadata__"].pop(CHECKSUM, None)
    card = json.loads(header["__metadata__"]["card"])
    for seed in seeds:
        odd = with_odd_values(card, random.Random(seed))
        header["__metadata__"]["card"] = json.dumps(odd)
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        path.write_bytes(len(text).to_bytes(8, "little") + text + content[length:])
        read_or_line(read, path)


@SEEDS
def test_a_damaged_training_state_is_one_line(batches, rows, tmp_path, seeds):
    torch.manual_seed(0)
    recipe = Recipe(steps=6, minutes=None, batch=4, warm_up=2)
    one = Trainer(Vla(preset("tiny")), batches, rows, recipe)
    path = tmp_path / "policy.state"
    state.save(one, path)
    content = path.read_bytes()
    length = 8 + int.from_bytes(content[:8], "little")
    for seed in seeds:
        path.write_bytes(mutated(content[:length], seed) + content[length:])
        read_or_line(lambda: state.recipe_of(path), path)
        read_or_line(lambda: state.resume(one, path), path)


@SEEDS
def test_a_damaged_index_of_shards_is_one_line(tmp_path, seeds):
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}))
    survived(index, lambda: pretrained.PublishedWeights(tmp_path), seeds)


@SEEDS
def test_a_damaged_tokenizer_is_one_line(tmp_path, seeds):
    path = tmp_path / "words.model"
    shutil.copyfile(tokenizer.SHIPPED, path)

    def read() -> None:
        tokenizer.load.cache_clear()
        tokenizer.load(64, path).encode("Push the two cans together.")

    try:
        survived(path, read, seeds)
    finally:
        tokenizer.load.cache_clear()


@pytest.fixture(scope="module")
def exported(weights, codec, tmp_path_factory):
    pytest.importorskip("onnxruntime")
    from xlvla_policy.vla.export import export

    folder = tmp_path_factory.mktemp("exported")
    export(weights, codec, folder)
    return folder


@SEEDS
@pytest.mark.parametrize("name", ["policy.json", "observe.onnx", "step.onnx"])
def test_a_damaged_file_of_an_exported_folder_is_one_line(name, exported, codec, seeds):
    from xlvla_policy.vla import engine_onnx

    def read() -> None:
        engine_onnx.load(exported, device="cpu", half=False, threads=1, codec=codec.hash)

    path = exported / name
    whole = json.loads((exported / engine_onnx.CARD).read_bytes())
    del whole[CHECKSUM]
    for seed, line in outcomes(path, read, seeds):
        if line is None:
            # Of a card, blanks and the name of its hash may change
            assert name == engine_onnx.CARD, seed
            changed = json.loads(path.read_bytes())
            assert {key: changed.get(key) for key in whole} == whole, seed
        else:
            assert name in line or exported.name in line, (seed, line)
    read()


@SEEDS
def test_an_exported_card_of_another_shape_is_one_line(exported, codec, seeds):
    from xlvla_policy.vla import engine_onnx

    path = exported / engine_onnx.CARD
    text = path.read_text()
    document = json.loads(text)
    # What its hash would refuse is looked at, too.
    del document[CHECKSUM]
    try:
        for seed in seeds:
            odd = with_odd_values(document, random.Random(seed))
            path.write_text(json.dumps(odd))
            read_or_line(
                lambda: engine_onnx.load(
                    exported, device="cpu", half=False, threads=1, codec=codec.hash
                ),
                path,
            )
    finally:
        path.write_text(text)


def test_an_exported_card_of_which_anything_was_changed_is_refused(exported, codec):
    from xlvla_policy.vla import engine_onnx

    def read() -> None:
        engine_onnx.load(exported, device="cpu", half=False, threads=1, codec=codec.hash)

    path = exported / engine_onnx.CARD
    text = path.read_text()
    document = json.loads(text)
    try:
        path.write_text(json.dumps({**document, "opset": document["opset"] + 1}))
        with pytest.raises(XlvlaError, match="was changed after it was written"):
            read()
        del document[CHECKSUM]
        path.write_text(json.dumps(document))
        read()  # as older versions wrote it
    finally:
        path.write_text(text)
