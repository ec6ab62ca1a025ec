"""Ways to run a network: all give what the model gives, and what cannot go together is refused in
one line.
"""

from __future__ import annotations

import json
import re
import shutil
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from typer.testing import CliRunner

from xarm_statistics import of_xarms
from xlvla import rig_file
from xlvla.errors import RigError, XlvlaError
from xlvla_cli.policy import app
from xlvla_policy.overlap import Overlap
from xlvla_policy.policies import xlvla as policies
from xlvla_policy.training.train_tokenizer import train as train_words
from xlvla_policy.vla import checkpoint, chunking, config, flow, tokenizer
from xlvla_policy.vla.checkpoint import ModelCard
from xlvla_policy.vla.engine import Eager, Engine, blank
from xlvla_policy.vla.engine_captured import Captured
from xlvla_policy.vla.engine_choice import Choice, load, make
from xlvla_policy.vla.engine_float8 import Float8Linear
from xlvla_policy.vla.engine_onnx import Onnx, providers
from xlvla_policy.vla.export import export
from xlvla_policy.vla.model import Vla

CPU = torch.device("cpu")
ENGINES = ("torch", "captured", "onnx")
# What pi0 has and the small presets have not: no stem, no key points, one key head for several
# queries, velocities, two cameras.
LIKE_PI0 = config.VlaConfig(
    vision=config.VisionConfig(height=28, width=28, patch=7, dim=48, layers=2, heads=4, mlp=80),
    language=config.ExpertConfig(64, 96),
    action=config.ExpertConfig(32, 48),
    layers=3,
    heads=4,
    head_dim=16,
    vocabulary=512,
    max_words=12,
    cameras=("front", "wrist"),
    frames=16,
    past_frames_per_token=8,
)
TINY = config.preset("tiny")
# Cut out of its picture as the small preset is, which shares all else with the tiny one but size.
CROPPED = replace(TINY, vision=replace(TINY.vision, crop=config.preset("small").vision.crop))
SHAPES = {"tiny": CROPPED, "small": config.preset("small"), "like pi0": LIKE_PI0}


@pytest.fixture(
    scope="module", params=["tiny", pytest.param("small", marks=pytest.mark.long), "like pi0"]
)
def model(request) -> Vla:
    torch.manual_seed(0)
    model = Vla(SHAPES[request.param]).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        if "norm" in name:  # these begin at zero, and would hide where their scales go
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model


@pytest.fixture(scope="module")
def folder(model, codec, tmp_path_factory):
    """The model as ONNX."""
    place = tmp_path_factory.mktemp("onnx")
    numbers = model.config.frame_dim
    statistics = of_xarms(model.config, np.zeros(numbers, np.float32), np.ones(numbers, np.float32))
    card = ModelCard(model.config, statistics, codec.hash, tokenizer.load(1).hash, {})
    weights = checkpoint.save(
        place / "policy.safetensors", model.state_dict(), card, dtype=torch.float32
    )
    export(weights, codec, place / "out")
    return place / "out"


@pytest.fixture(scope="module")
def engines(model, folder) -> dict[str, Engine]:
    return {
        "torch": Eager(model, CPU),
        "captured": Captured(model, CPU, torch.float32),
        "onnx": Onnx(folder, model.config),
    }


def observation(model: Vla, seed: int, words: int = 7):
    shape = blank(model.config)
    generator = torch.Generator().manual_seed(seed)
    count = len(model.config.cameras)
    inputs = replace(
        shape,
        images=torch.randint(0, 256, shape.images.shape, generator=generator, dtype=torch.uint8),
        cameras=torch.tensor([[True, *[False] * (count - 1)]]),
        words=torch.randint(0, 512, (1, words), generator=generator),
        word_mask=torch.ones(1, words, dtype=torch.bool),
        past=torch.randn(1, model.config.frames, model.config.frame_dim, generator=generator),
    )
    return inputs, torch.randn(1, model.config.frames, model.config.frame_dim, generator=generator)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_samples_what_the_model_samples(model, engines, name):
    for seed in (1, 2):  # the second shows what the first left behind
        inputs, noise = observation(model, seed, words=5 + seed)
        torch.testing.assert_close(
            engines[name].sample(inputs, noise), model.sample(inputs, noise), rtol=1e-4, atol=1e-4
        )


PAGE = Path(__file__).parents[2] / "docs" / "howto" / "engine.md"


@pytest.mark.skipif(not PAGE.is_file(), reason="not in a checkout")
def test_the_function_in_the_docs_plays_an_exported_folder(model, engines, folder):
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    inputs, noise = observation(model, 4)
    sentence = "Push the_cans together."
    ids, mask = tokenizer.load(model.config.max_words).encode(sentence)
    inputs = replace(
        inputs, words=torch.from_numpy(ids)[None], word_mask=torch.from_numpy(mask)[None]
    )
    past = inputs.past[:, -model.config.history_frames :].numpy()
    images = inputs.images.numpy()
    chunk = names["decide"](
        folder, images, inputs.cameras.numpy(), sentence, past, noise[0].numpy()
    )
    expected = engines["onnx"].sample(inputs, noise)[0].numpy()
    np.testing.assert_allclose(chunk, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_denoises_tokens_that_have_times_of_their_own(model, engines, name):
    inputs, noise = observation(model, 3)
    times = torch.linspace(0, 1, model.config.action_tokens)[None]
    noisy = noise.unflatten(1, (model.config.action_tokens, -1)).flatten(2)
    found = engines[name].denoise(engines[name].observe(inputs), noisy, times)
    torch.testing.assert_close(
        found, model.denoise(model.observe(inputs), noisy, times), rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("name", ENGINES[1:])
def test_a_chunk_that_continues_another_is_the_same_whatever_runs_it(model, engines, name):
    inputs, noise = observation(model, 5)
    known = np.array([model.config.frames - 2])
    age = np.array([2.0])
    before = Overlap(
        noise.numpy() / 2,
        noise[0].numpy() / 2,
        known,
        age,
        prefix_frames=model.config.frames_per_token,
    )
    ways = [
        chunking.prefix(engine, inputs, noise, before, model.config.frames)
        for engine in (engines[name], engines["torch"])
    ]
    torch.testing.assert_close(ways[0], ways[1], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(ways[0], engines[name].sample(inputs, noise))


def test_the_euler_times_are_those_of_the_flow(model, engines):
    times = []
    flow.euler(lambda x, t: times.append(t) or x, torch.zeros(1), model.config.steps)
    torch.testing.assert_close(engines["captured"].times[:, 0, 0], torch.tensor(times))


def test_nobody_denoises_on_an_observation_that_was_overwritten(model, engines):
    inputs, noise = observation(model, 1)
    old = engines["captured"].observe(inputs)
    engines["captured"].observe(inputs)
    with pytest.raises(AssertionError, match="later observation"):
        engines["captured"].denoise(
            old, engines["captured"].tokens(noise), engines["captured"].times[0]
        )


def test_an_observation_of_another_shape_is_refused(model, engines):
    inputs, noise = observation(model, 1)
    with pytest.raises(XlvlaError, match="made for inputs of"):
        engines["onnx"].sample(replace(inputs, images=inputs.images[:, :, :-1]), noise)


def test_the_compiler_takes_each_half_of_a_captured_network_whole():
    torch.manual_seed(0)
    model = Vla(SHAPES["tiny"])
    inputs, noise = observation(model, 4)
    engine = Captured(model, CPU, torch.float32, compiled=True, backend="eager")
    torch.testing.assert_close(
        engine.sample(inputs, noise), model.sample(inputs, noise), rtol=1e-4, atol=1e-4
    )


def test_half_precision_stays_near(model):
    inputs, noise = observation(model, 1)
    exact = model.sample(inputs, noise)
    for engine in (
        Captured(model, CPU, torch.bfloat16),
        Eager(deepcopy(model), CPU, torch.bfloat16),
    ):
        half = engine.sample(inputs, noise)
        assert half.dtype == torch.float32
        assert (half - exact).norm() < 0.1 * exact.norm()


def test_weights_in_float8_give_nearly_the_same_product():
    torch.manual_seed(0)
    linear = torch.nn.Linear(64, 48, bias=False)
    x = torch.randn(2, 5, 64).to(torch.bfloat16)
    exact = linear(x.float())
    try:
        found = Float8Linear(linear.to(torch.bfloat16))(x).float()
    except RuntimeError as error:
        if "scaled_mm" not in str(error):
            raise
        pytest.skip("this torch multiplies float8 so on GPUs alone")
    assert (found - exact).norm() < 0.05 * exact.norm()
    assert Float8Linear(linear).weight.element_size() == 1


def test_only_guided_chunks_need_gradients_and_get_them_from_torch(weights):
    engine, _ = load(weights, Choice(gradient=True))
    assert engine.differentiable
    with pytest.raises(XlvlaError, match="engine 'captured' gives no gradients"):
        load(weights, Choice(engine="captured", gradient=True))


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"engine": "captred"}, r"unknown engine 'captred'.*did you mean 'captured'"),
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"precision": "fp8"}, "unknown precision 'fp8'"),
        ({"engine": "onnx"}, r"runs an exported folder.*xlvla policy export"),
        (
            {"engine": "captured", "device": "cpu", "precision": "float8"},
            r"float8' needs .* NVIDIA",
        ),
    ],
)
def test_choices_that_cannot_be_are_refused_in_one_line(weights, choice, complaint):
    with pytest.raises(XlvlaError, match=complaint):
        load(weights, Choice(**choice))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_refused(weights):
    with pytest.raises(XlvlaError, match="no CUDA device here"):
        load(weights, Choice(device="cuda"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_what_a_gpu_replays_is_what_the_model_samples(model, precision):
    inputs, noise = observation(model, 1)
    engine = make(Vla(model.config), Choice(engine="captured", device="cuda", precision=precision))
    assert engine.device.type == "cuda"
    engine = Captured(
        model, engine.device, {"float32": torch.float32, "bfloat16": torch.bfloat16}[precision]
    )
    found = engine.sample(inputs, noise).cpu()
    exact = model.sample(inputs, noise)
    assert (found - exact).norm() < (1e-3 if precision == "float32" else 0.1) * exact.norm()


def test_the_quickest_provider_there_is_comes_first_and_the_processor_last():
    every = ["CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"]
    assert providers("auto", every) == [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ]
    assert providers("cpu", every) == ["CPUExecutionProvider"]
    with pytest.raises(XlvlaError, match="nothing for cuda"):
        providers("cuda", ["CPUExecutionProvider"])


def test_an_exported_folder_says_what_it_is_and_refuses_what_it_is_not(folder, codec, tmp_path):
    about = json.loads((folder / "policy.json").read_text())
    props = onnxruntime.InferenceSession(folder / "step.onnx").get_modelmeta().custom_metadata_map
    assert props["codec"] == about["codec"] == about["card"]["codec"] == codec.hash
    assert "statistics" in about["card"] and len(about["weights"]) == 64
    assert (folder / "codec" / "codec.json").is_file() and (folder / "words.model").is_file()
    with pytest.raises(XlvlaError, match="trained with codec"):
        load(folder, Choice(), codec="another")
    with pytest.raises(XlvlaError, match=r"runs weights, .* exported folder"):
        load(folder, Choice(engine="captured"))
    with pytest.raises(XlvlaError, match="no gradients"):
        load(folder, Choice(gradient=True))
    with pytest.raises(XlvlaError, match="none of engine 'onnx'"):
        load(folder, Choice(precision="float8"))


def test_a_damaged_folder_is_refused(folder, tmp_path):
    with pytest.raises(XlvlaError, match="no exported policy"):
        load(tmp_path, Choice())
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "step.onnx").write_bytes((folder / "step.onnx").read_bytes()[:-1000])
    with pytest.raises(XlvlaError, match=r"step\.onnx was changed after it was written"):
        load(broken, Choice())
    (broken / "step.onnx").unlink()
    with pytest.raises(XlvlaError, match=r"step\.onnx is missing"):
        load(broken, Choice())
    shutil.copyfile(folder / "step.onnx", broken / "step.onnx")
    about = json.loads((folder / "policy.json").read_text())
    about["card"]["committed"] = 8
    (broken / "policy.json").write_text(json.dumps(about))
    with pytest.raises(XlvlaError, match=r"policy\.json was changed after it was written"):
        load(broken, Choice())
    del about["sha256"]
    (broken / "policy.json").write_text(json.dumps(about))
    with pytest.raises(XlvlaError, match="do not belong together"):
        load(broken, Choice())


@pytest.mark.parametrize(
    ("choice", "complaint"),
    [
        ({"engine": "onxx"}, "policy.engine.*did you mean 'onnx'"),
        ({"precison": "float8"}, "did you mean 'precision'"),
    ],
)
def test_a_rig_with_a_misspelt_choice_is_refused_before_anything_starts(choice, complaint):
    document = {
        "sides": {"left": {"arm": {"type": "xarm7"}, "hand": {"type": "xhand"}}},
        "policy": choice,
    }
    with pytest.raises(RigError, match=complaint):
        rig_file.from_document({"name": "mine", **document}, "mine.yaml")


def test_a_tokenizer_of_ones_own_travels_in_the_exported_folder(rig, weights, codec, tmp_path):
    own, card = checkpoint.load(weights)
    words = train_words(tmp_path / "words.model", vocabulary=400)
    path = tmp_path / "policy.safetensors"
    checkpoint.save(path, own.state_dict(), replace(card, words=tokenizer.load(1, words).hash))
    with pytest.raises(XlvlaError, match="trained with tokenizer"):
        export(path, codec, tmp_path / "out")
    shutil.copyfile(words, tokenizer.beside(path))
    export(path, codec, tmp_path / "out")
    path.unlink()
    assert (
        policies.load(
            rig_file.with_choices(rig, checkpoint=str(tmp_path / "out")), codec=codec
        ).words.vocabulary
        == 400
    )


def test_the_command_exports_what_a_rig_runs_on(weights, tmp_path):
    done = CliRunner().invoke(
        app, ["export", "--weights", str(weights), "--out", str(tmp_path / "out"), "--words", "8"]
    )
    assert done.exit_code == 0 and " MB" in done.output
    engine, card = load(tmp_path / "out", Choice())
    assert isinstance(engine, Onnx) and card.config.max_words == 8


def test_a_rig_whose_checkpoint_is_an_exported_folder_is_driven_without_the_weights(
    rig, weights, codec, tmp_path
):
    export(weights, codec, tmp_path / "out", words=24)
    exported = policies.load(
        rig_file.with_choices(rig, checkpoint=str(tmp_path / "out")), threads=1
    )
    original = policies.load(rig_file.with_choices(rig, checkpoint=str(weights)), threads=1)
    assert isinstance(exported.engine, Onnx) and exported.config.max_words == 24
    inputs, noise = observation(Vla(original.config), 1)
    torch.testing.assert_close(
        exported.engine.sample(inputs, noise),
        original.engine.sample(inputs, noise),
        rtol=1e-4,
        atol=1e-4,
    )
