"""Published pi0 weights: our model computes what pi0 computes with them, and takes no others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from reference import P, Reference
from safetensors.torch import load_file, save_file

from xlvla.errors import XlvlaError
from xlvla_policy.vla import pretrained, published
from xlvla_policy.vla.config import ExpertConfig, VisionConfig, VlaConfig, preset
from xlvla_policy.vla.model import Inputs, Vla
from xlvla_policy.vla.vision import scaled

SMALL = VlaConfig(
    vision=VisionConfig(height=28, width=28, patch=7, dim=48, layers=2, heads=4, mlp=80),
    language=ExpertConfig(64, 96),
    action=ExpertConfig(32, 48),
    layers=3,
    heads=4,
    head_dim=16,
    vocabulary=50,
    max_words=6,
    cameras=("base", "left_wrist"),
    space="raw",
    raw_dim=10,
    frames=5,
    past_frames=1,
)
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def reference():
    with torch.no_grad():
        yield Reference(SMALL)


@pytest.fixture(scope="module")
def file(reference, tmp_path_factory):
    path = tmp_path_factory.mktemp("pi0") / "model.safetensors"
    save_file(reference.published(), path)
    return path


def imported(path, out, config=SMALL, **choices):
    model = Vla(config)
    done = pretrained.convert(path, out, config, precision="float32", **choices)
    pretrained.start(model, out)
    return model.eval(), done


@pytest.fixture(scope="module")
def model(file, tmp_path_factory):
    return imported(file, tmp_path_factory.mktemp("ours") / "pi0.safetensors")[0]


@pytest.fixture(scope="module")
def inputs():
    torch.manual_seed(3)
    images = torch.randint(0, 256, (2, 2, 28, 28, 3), dtype=torch.uint8)
    cameras = torch.tensor([[True, True], [True, False]])
    words = torch.randint(0, 50, (2, 6))
    word_mask = torch.tensor([[True] * 6, [True, True, True, False, False, False]])
    return Inputs(images, cameras, words, word_mask, torch.randn(2, 5, 10))


@torch.no_grad()
def prefix_of(reference, inputs):
    pictures = (
        reference.image_tokens(scaled(inputs.images.flatten(0, 1)))
        .unflatten(0, (2, 2))
        .flatten(1, 2)
    )
    tokens = torch.cat([pictures, reference.word_tokens(inputs.words)], 1)
    return tokens, torch.cat([inputs.cameras.repeat_interleave(16, 1), inputs.word_mask], 1)


@torch.no_grad()
def test_the_image_tower_computes_what_siglip_computes(reference, model, inputs):
    images = scaled(inputs.images[:, 0])
    torch.testing.assert_close(model.vision(images), reference.image_tokens(images), **CLOSE)


@torch.no_grad()
def test_the_language_model_computes_what_gemma_computes(reference, model, inputs):
    tokens, valid = prefix_of(reference, inputs)
    ours, mask = model.prefix(inputs)
    assert torch.equal(mask, valid)
    torch.testing.assert_close(ours, tokens, **CLOSE)
    (made,) = model.joint(
        [("language", ours)], mask[:, None, :].expand(-1, tokens.shape[1], -1), mask.cumsum(1) - 1
    )
    expected = reference.language_output(tokens, valid)
    torch.testing.assert_close(made[valid], expected[valid], **CLOSE)


@torch.no_grad()
def test_one_denoising_step_computes_what_pi0_computes(reference, model, inputs):
    noisy = torch.randn(2, 5, 10)
    t = torch.tensor([0.9, 0.2])
    expected = reference.velocity(*prefix_of(reference, inputs), inputs.past[:, -1], noisy, t)
    cached = model.denoise(model.observe(inputs), noisy, t[:, None].expand(-1, 5))
    torch.testing.assert_close(cached, expected, **CLOSE)
    assert expected.abs().mean() > 0.1


def test_both_published_layouts_and_either_name_of_tied_weights_give_the_same_model(
    reference, model, tmp_path
):
    weights = reference.published()
    embedding = f"{P}paligemma.model.language_model.embed_tokens.weight"
    head = f"{P}paligemma.lm_head.weight"
    twins = {
        "lerobot": {f"model.{name}": tensor for name, tensor in weights.items()},
        "head only": {name: tensor for name, tensor in weights.items() if name != embedding},
        "embedding only": {name: tensor for name, tensor in weights.items() if name != head},
    }
    for name, tensors in twins.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        other, _ = imported(tmp_path / f"{name}.safetensors", tmp_path / "ours.safetensors")
        assert all(
            torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
        ), name


def tower_without_model(weights):
    """As transformers from 5.6 on names the image tower."""
    return {name.replace("vision_tower.vision_model.", "vision_tower."): w for name, w in weights}


def of_transformers(weights):
    """As transformers' own PI0 names everything."""
    named = {}
    for name, w in weights:
        name = name.replace(f"{P}paligemma.model.", "model.vlm.")
        name = name.replace(f"{P}paligemma.lm_head.", "model.vlm.language_model.embed_tokens.")
        name = name.replace(f"{P}gemma_expert.model.", "model.dit.")
        name = name.replace(f"{P}gemma_expert.lm_head.", "model.dit.embed_tokens.")
        if name.startswith(("state_proj", "action_in_proj", "action_time_mlp")):
            name = f"embed_action_time.{name}"
        named[name] = w
    return named


def of_lerobot(weights):
    return {f"model.{name}": w for name, w in weights}


LAYOUTS = {
    "openpi": dict,
    "openpi, transformers 5.6": tower_without_model,
    "lerobot": of_lerobot,
    "lerobot, transformers 5.6": lambda weights: of_lerobot(tower_without_model(weights).items()),
    "transformers": of_transformers,
    "transformers 5.6": lambda weights: of_transformers(tower_without_model(weights).items()),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_writers_layout_gives_the_same_model(reference, model, tmp_path, layout):
    tensors = LAYOUTS[layout](reference.published().items())
    save_file(tensors, tmp_path / "model.safetensors")
    other, done = imported(tmp_path / "model.safetensors", tmp_path / "ours.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )
    assert not done.differing


@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_a_layout_lacks_is_named(reference, tmp_path, layout):
    tensors = LAYOUTS[layout](reference.published().items())
    lacking = next(name for name in tensors if name.endswith("layers.1.mlp.up_proj.weight"))
    del tensors[lacking]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(XlvlaError, match=r"lacks 1 of pi0's .*layers\.1\.mlp\.up_proj\.weight"):
        imported(tmp_path / "model.safetensors", tmp_path / "ours.safetensors")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_are_read_however_many_bits_they_are_stored_in(reference, tmp_path, dtype):
    stored = {name: w.to(dtype) for name, w in reference.published().items()}
    save_file(stored, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text('{"type": "pi0", "chunk_size": 50}')
    other, done = imported(tmp_path, tmp_path / "ours.safetensors")
    assert torch.equal(other.state_proj.weight, stored["state_proj.weight"].float())
    assert not done.differing


def test_numbers_that_a_precision_cannot_hold_are_refused(reference, tmp_path):
    weights = reference.published()
    weights["state_proj.weight"] = torch.full_like(weights["state_proj.weight"], 1e6)
    save_file(weights, tmp_path / "model.safetensors")
    out = tmp_path / "ours.safetensors"
    with pytest.raises(XlvlaError, match=r"state_proj\.weight holds NaN or infinity as float16"):
        pretrained.convert(tmp_path, out, SMALL, precision="float16")
    assert not out.exists()
    pretrained.convert(tmp_path, out, SMALL, precision="bfloat16")


def test_of_an_embedding_and_a_head_that_differ_the_embedding_is_taken_and_said(
    reference, model, tmp_path
):
    weights = reference.published()
    head = f"{P}paligemma.lm_head.weight"
    embedding = f"{P}paligemma.model.language_model.embed_tokens.weight"
    weights[head] = weights[head] + 1.0
    save_file(weights, tmp_path / "model.safetensors")
    other, done = imported(tmp_path / "model.safetensors", tmp_path / "ours.safetensors")
    assert done.differing == ((embedding, head),)
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )


def test_shards_with_an_index_are_one_checkpoint(reference, model, tmp_path):
    weights = sorted(reference.published().items())
    halves = {"a.safetensors": dict(weights[::2]), "b.safetensors": dict(weights[1::2])}
    for name, tensors in halves.items():
        save_file(tensors, tmp_path / name)
    index = {"weight_map": {key: name for name, tensors in halves.items() for key in tensors}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    other, done = imported(tmp_path, tmp_path / "ours.safetensors")
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True)
    )
    assert any("gemma_expert.lm_head" in name for name in done.unused)


def test_a_missing_shard_or_weight_is_named(reference, tmp_path):
    weights = reference.published()
    del weights[f"{P}gemma_expert.model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(
        XlvlaError, match=r"lacks 1 of pi0's .*gemma_expert.model.layers.1.mlp.up_proj.weight"
    ):
        imported(tmp_path, tmp_path / "ours.safetensors")
    assert not (tmp_path / "ours.safetensors").exists()


def test_an_unknown_weight_is_named(reference, tmp_path):
    save_file(
        {**reference.published(), "gripper_head.weight": torch.zeros(3)},
        tmp_path / "model.safetensors",
    )
    with pytest.raises(XlvlaError, match=r"unknown tensor 'gripper_head.weight'"):
        imported(tmp_path, tmp_path / "ours.safetensors")


def truncated(folder):
    (folder / "a.safetensors").write_bytes((folder / "a.safetensors").read_bytes()[:-100])


def without_a_shard(folder):
    (folder / "b.safetensors").unlink()


def of_another_kind(folder):
    torch.save({"weight": torch.zeros(3)}, folder / "a.safetensors")


def empty(folder):
    (folder / "a.safetensors").write_bytes(b"")


def with_a_foreign_index(folder):
    (folder / "model.safetensors.index.json").write_text('{"weights": []}')


def with_a_damaged_index(folder):
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {')


def without_anything(folder):
    for path in folder.iterdir():
        path.unlink()


def of_another_width(folder):
    resaved(folder, f"{P}gemma_expert.model.layers.1.mlp.up_proj.weight", torch.zeros(48, 31))


def of_another_depth(folder):
    resaved(folder, f"{P}gemma_expert.model.layers.3.mlp.up_proj.weight", torch.zeros(48, 32))


def of_pi05(folder):
    resaved(folder, "time_mlp_in.weight", torch.zeros(32, 32))


def quantised(folder):
    weight = torch.ones(48, 32, dtype=torch.int8)
    resaved(folder, f"{P}gemma_expert.model.layers.1.mlp.up_proj.weight", weight)


def diverged(folder):
    weight = torch.full((48, 32), float("nan"))
    resaved(folder, f"{P}gemma_expert.model.layers.1.mlp.up_proj.weight", weight)


def with_a_weight_in_both_shards(folder):
    name = f"{P}gemma_expert.model.layers.1.mlp.up_proj.weight"
    other = load_file(folder / "b.safetensors")
    save_file({**other, name: torch.ones(48, 32)}, folder / "b.safetensors")


def of_another_policy(folder):
    (folder / "config.json").write_text('{"type": "pi0_fast"}')


def of_another_model_of_transformers(folder):
    (folder / "config.json").write_text('{"model_type": "smolvla"}')


def resaved(folder, name, tensor):
    """The first shard with another tensor under a name."""
    save_file({**load_file(folder / "a.safetensors"), name: tensor}, folder / "a.safetensors")


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        (truncated, r"a\.safetensors is no complete safetensors file"),
        (without_a_shard, r"shard .*b\.safetensors, which the index names, is missing"),
        (of_another_kind, r"a\.safetensors is no complete safetensors file"),
        (empty, r"a\.safetensors is no complete safetensors file"),
        (with_a_foreign_index, "no index of safetensors shards"),
        (with_a_damaged_index, "no index of safetensors shards"),
        (without_anything, "no weights at .*: give a .safetensors file, or a folder"),
        (of_another_width, r"up_proj.weight is \[48, 31\], this model's is \[48, 32\]"),
        (of_another_depth, "no place for: .*layers.3.mlp.up_proj.weight .a model of another depth"),
        (of_pi05, r"pi0\.5 weights"),
        (quantised, r"layers\.1\.mlp\.up_proj\.weight is stored as I8: quantised weights"),
        (diverged, r"layers\.1\.mlp\.up_proj\.weight holds NaN or infinity as float32"),
        (with_a_weight_in_both_shards, r"up_proj.weight is in two shards: .*a\.s.*b\.s"),
        (of_another_policy, r"config\.json says that these are weights of 'pi0_fast', not of pi0"),
        (of_another_model_of_transformers, r"says that these are weights of 'smolvla'"),
    ],
)
def test_a_broken_twin_is_refused_in_one_line_and_leaves_nothing_behind(
    reference, tmp_path, spoil, complaint
):
    weights = sorted(reference.published().items())
    late = f"{P}gemma_expert.model.layers.1.mlp.up_proj.weight"
    halves = {"a.safetensors": dict(weights[::2]), "b.safetensors": dict(weights[1::2])}
    halves["b.safetensors"].pop(late, None)
    halves["a.safetensors"][late] = dict(weights)[late]
    (tmp_path / "in").mkdir()
    for name, tensors in halves.items():
        save_file(tensors, tmp_path / "in" / name)
    index = {"weight_map": {key: name for name, tensors in halves.items() for key in tensors}}
    (tmp_path / "in" / "model.safetensors.index.json").write_text(json.dumps(index))
    spoil(tmp_path / "in")
    with pytest.raises(XlvlaError, match=complaint) as refusal:
        imported(tmp_path / "in", tmp_path / "ours.safetensors")
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        (f"{P}gemma_expert.model.layers.0.input_layernorm.dense.weight", r"pi0\.5"),
        (f"{P}paligemma.language_model.model.layers.0.mlp.up_proj.weight", "first pi0 port"),
        ("bert.encoder.weight", "no pi0 weights"),
    ],
)
def test_weights_of_other_models_are_refused_by_name(name, complaint):
    with pytest.raises(XlvlaError, match=complaint):
        published.layout([name])


def test_projections_of_frames_are_renewed_or_cut_only_when_asked(reference, file, tmp_path):
    latent = replace(SMALL, space="latent", past_frames=None)
    with pytest.raises(XlvlaError, match=r"_proj.*--projections fresh"):
        imported(file, tmp_path / "a.safetensors", latent)
    _, done = imported(file, tmp_path / "b.safetensors", latent, projections="fresh")
    assert set(done.fresh) == {
        f"{name}.{kind}"
        for name in ("state_proj", "action_in_proj", "action_out_proj")
        for kind in ("weight", "bias")
    }
    narrow, done = imported(
        file, tmp_path / "c.safetensors", replace(SMALL, raw_dim=4), projections="slice"
    )
    weights = reference.heads.state_dict()
    assert set(done.cut) == {
        "state_proj.weight",
        "action_in_proj.weight",
        "action_out_proj.weight",
        "action_out_proj.bias",
    }
    assert torch.equal(narrow.action_in_proj.weight, weights["action_in_proj.weight"][:, :4])
    assert torch.equal(narrow.action_out_proj.bias, weights["action_out_proj.bias"][:4])


def test_imported_weights_start_only_the_model_they_were_imported_for(file, tmp_path):
    pretrained.convert(file, tmp_path / "a.safetensors", SMALL)
    with pytest.raises(XlvlaError, match="imported for another model"):
        pretrained.start(Vla(replace(SMALL, layers=4)), tmp_path / "a.safetensors")
    with pytest.raises(XlvlaError, match="holds no imported weights"):
        pretrained.start(Vla(SMALL), file)


def published_table():
    """Shapes by published name, from the layers' sizes as published."""
    vision = f"{P}paligemma.model.vision_tower.vision_model."
    language = f"{P}paligemma.model.language_model."
    expert = f"{P}gemma_expert.model."
    table = {
        f"{vision}embeddings.patch_embedding.weight": (1152, 3, 14, 14),
        f"{vision}embeddings.patch_embedding.bias": (1152,),
        f"{vision}embeddings.position_embedding.weight": (256, 1152),
        f"{P}paligemma.model.multi_modal_projector.linear.weight": (2048, 1152),
        f"{P}paligemma.model.multi_modal_projector.linear.bias": (2048,),
        f"{language}embed_tokens.weight": (257152, 2048),
        f"{P}paligemma.lm_head.weight": (257152, 2048),
        f"{P}gemma_expert.lm_head.weight": (257152, 1024),
    }
    table |= {f"{vision}post_layernorm.{kind}": (1152,) for kind in ("weight", "bias")}
    for i in range(27):
        layer = f"{vision}encoder.layers.{i}."
        table |= {
            f"{layer}layer_norm{n}.{kind}": (1152,) for n in (1, 2) for kind in ("weight", "bias")
        }
        for name in "qkv":
            table |= {
                f"{layer}self_attn.{name}_proj.weight": (1152, 1152),
                f"{layer}self_attn.{name}_proj.bias": (1152,),
            }
        table |= {
            f"{layer}self_attn.out_proj.weight": (1152, 1152),
            f"{layer}self_attn.out_proj.bias": (1152,),
        }
        table |= {f"{layer}mlp.fc1.weight": (4304, 1152), f"{layer}mlp.fc1.bias": (4304,)}
        table |= {f"{layer}mlp.fc2.weight": (1152, 4304), f"{layer}mlp.fc2.bias": (1152,)}
    for prefix, dim, mlp in ((language, 2048, 16384), (expert, 1024, 4096)):
        table[f"{prefix}norm.weight"] = (dim,)
        for i in range(18):
            layer = f"{prefix}layers.{i}."
            table |= {
                f"{layer}self_attn.q_proj.weight": (2048, dim),
                f"{layer}self_attn.o_proj.weight": (dim, 2048),
            }
            table |= {f"{layer}self_attn.{name}_proj.weight": (256, dim) for name in "kv"}
            table |= {f"{layer}mlp.{name}_proj.weight": (mlp, dim) for name in ("gate", "up")}
            table |= {f"{layer}mlp.down_proj.weight": (dim, mlp)}
            table |= {
                f"{layer}{name}_layernorm.weight": (dim,) for name in ("input", "post_attention")
            }
    heads = {
        "state_proj": (1024, 32),
        "action_in_proj": (1024, 32),
        "action_time_mlp_in": (1024, 2048),
        "action_time_mlp_out": (1024, 1024),
    }
    for name, shape in {**heads, "action_out_proj": (32, 1024)}.items():
        table |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    return table


def test_at_full_size_our_weights_are_the_published_ones_in_name_and_shape():
    table = published_table()
    assert len(table) == 778
    layout = published.layout(table)
    assert {name: table[key] for name, key in layout.keys.items()} == pretrained.weight_shapes(
        preset("pi0_base")
    )
    assert len(layout.unused) == 2
    assert pretrained.size_bytes(preset("pi0_base"), "float32") == 4 * 3_238_048_528


def test_the_papers_policy_differs_from_pi0_only_where_frames_are_read_and_written():
    ours, theirs = (pretrained.weight_shapes(preset(name)) for name in ("pi0", "pi0_base"))
    differing = {name for name in ours if ours[name] != theirs[name]}
    assert ours.keys() == theirs.keys()
    assert differing == {
        "state_proj.weight",
        "action_in_proj.weight",
        "action_out_proj.weight",
        "action_out_proj.bias",
    }
