"""Checkpoints in the layout of the released code: what they compute there, they compute here."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla_policy.latent.metrics import bench, evaluate
from xlvla_policy.latent.released import convert

HIDDEN = (12, 20, 10)
LATENT = 8


def backbone(inputs):
    layers = []
    for width in HIDDEN:
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU()]
        inputs = width
    return layers


class Theirs(nn.Module):
    """An autoencoder of the released layout."""

    def __init__(self, joints):
        super().__init__()
        self.hand_encoder_backbone = nn.Sequential(*backbone(joints))
        self.hand_mean_head = nn.Linear(HIDDEN[-1], LATENT)
        self.hand_logvar_head = nn.Linear(HIDDEN[-1], LATENT)
        self.hand_decoder = nn.Sequential(
            *backbone(LATENT), nn.Linear(HIDDEN[-1], joints), nn.Tanh()
        )
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.7)


@pytest.fixture
def theirs():
    torch.manual_seed(0)
    return nn.ModuleDict(
        {
            f"xarm7_{hand}_right": Theirs(len(catalog.hand(hand).joints))
            for hand in ("xhand", "inspire")
        }
    )


def saved(tmp_path, state, **more):
    path = tmp_path / "checkpoint_epoch_1000.pt"
    config = {"device": "cpu", "hand_hidden_dims": HIDDEN, "pinch_pairs": [(0, 1), (0, 2)]}
    torch.save(
        {
            "epoch": 1000,
            "hand_names": ["xarm7_xhand_right"],
            "config": config,
            "autoencoders": state,
            **more,
        },
        path,
    )
    return path


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("hand", ["xhand", "inspire"])
def test_a_converted_hand_gives_the_numbers_of_the_original(theirs, hand, side, tmp_path):
    assert convert(saved(tmp_path, theirs.state_dict()), tmp_path / "ours.safetensors") == (
        "inspire",
        "xhand",
    )
    codec = Codec.load(tmp_path / "ours.safetensors")
    original = theirs[f"xarm7_{hand}_right"]
    lower, upper = codec.limits(hand, side)
    q = np.random.default_rng(0).uniform(lower, upper, (16, len(lower))).astype(np.float32)
    normal = torch.from_numpy(2 * (q - lower) / (upper - lower) - 1)
    with torch.no_grad():
        mean = original.hand_mean_head(original.hand_encoder_backbone(normal))
        back = original.hand_decoder(mean).numpy()
    np.testing.assert_allclose(codec.encode(hand, side, q), mean, atol=1e-5)
    np.testing.assert_allclose(
        codec.decode(hand, side, mean.numpy()), (back + 1) / 2 * (upper - lower) + lower, atol=1e-5
    )


def trained(theirs):
    """A little training on same-hand reconstruction of poses normalised to [-1, 1]."""
    for network in theirs.values():
        joints = network.hand_encoder_backbone[0].in_features
        adam = torch.optim.Adam(network.parameters(), lr=3e-3)
        for _ in range(400):
            q = 2 * torch.rand(256, joints) - 1
            back = network.hand_decoder(network.hand_mean_head(network.hand_encoder_backbone(q)))
            adam.zero_grad()
            (back - q).square().mean().backward()
            adam.step()
    return theirs


def test_what_a_checkpoint_has_learned_is_measured_after_conversion(theirs, tmp_path):
    codecs = {}
    for name, networks in {"fresh": copy.deepcopy(theirs), "trained": trained(theirs)}.items():
        out = tmp_path / f"{name}.safetensors"
        convert(saved(tmp_path, networks.state_dict()), out)
        codecs[name] = Codec.load(out)
    # Both are measured on the same poses, which are costly to draw.
    poses = bench(codecs["fresh"], "right", poses=16)
    errors = {
        name: evaluate(replace(poses, codec=codec))["all"].recon_joint_rad
        for name, codec in codecs.items()
    }
    assert errors["trained"] < 0.5 * errors["fresh"], errors


def test_left_networks_beside_right_ones_are_ignored_as_there(theirs, tmp_path):
    state = theirs.state_dict()
    state |= {name.replace("right", "left"): tensor + 1 for name, tensor in state.items()}
    convert(saved(tmp_path, state), tmp_path / "ours.safetensors")
    codec = Codec.load(tmp_path / "ours.safetensors")
    q = np.zeros(12)
    np.testing.assert_array_equal(
        codec.encode("xhand", "left", q), codec.encode("xhand", "right", q)
    )
    assert codec.card["recipe"]["name"] == "released"


WIDE = torch.ones(12, 7)
CHANGES = {
    "unknown hand 'xhnad'.*did you mean 'xhand'": lambda s: {
        name.replace("xhand", "xhnad"): t for name, t in s.items()
    },
    "belongs to no embodiment named xarm7_": lambda s: {"encoder.weight": torch.ones(1)},
    "holds no right inspire": lambda s: {
        name.replace("inspire_right", "inspire_left"): t for name, t in s.items()
    },
    "inspire: 'hand_mean_head.bias' is missing": lambda s: {
        n: t for n, t in s.items() if n != "xarm7_inspire_right.hand_mean_head.bias"
    },
    "'hand_decoder.0.weight' is missing": lambda s: {
        n: t for n, t in s.items() if "hand_decoder" not in n
    },
    "unknown tensor 'arm_head.weight'": lambda s: (
        s | {"xarm7_xhand_right.arm_head.weight": torch.ones(1)}
    ),
    "encoder: layer 0 takes 7 numbers where 6 arrive": lambda s: (
        s | {"xarm7_inspire_right.hand_encoder_backbone.0.weight": WIDE}
    ),
    "layer 0 gives 12 numbers, but its bias": lambda s: (
        s | {"xarm7_inspire_right.hand_encoder_backbone.0.bias": torch.ones(3)}
    ),
    "layer 1 lacks layer normalisation": lambda s: {
        n: t for n, t in s.items() if "inspire_right.hand_decoder.4" not in n
    },
    "is not a tensor of finite numbers": lambda s: (
        s | {"xarm7_inspire_right.hand_mean_head.bias": torch.full((8,), torch.nan)}
    ),
    "holds no hand": lambda s: {},
}


@pytest.mark.parametrize("said", CHANGES)
def test_what_does_not_fit_is_named_in_one_line(theirs, said, tmp_path):
    with pytest.raises(XlvlaError, match=said) as caught:
        convert(saved(tmp_path, CHANGES[said](theirs.state_dict())), tmp_path / "ours.safetensors")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "ours.safetensors").exists()


def test_hands_with_different_latents_are_refused(theirs, tmp_path):
    state = theirs.state_dict()
    head = {
        f"xarm7_inspire_right.{name}.{key}"
        for name in ("hand_mean_head", "hand_logvar_head")
        for key in ("weight", "bias")
    }
    state |= {name: state[name][:5] for name in head}
    first = "xarm7_inspire_right.hand_decoder.0.weight"
    with pytest.raises(XlvlaError, match="different latents: inspire 5, xhand 8"):
        convert(
            saved(tmp_path, state | {first: state[first][:, :5]}), tmp_path / "ours.safetensors"
        )


def test_files_of_other_kinds_are_refused(tmp_path):
    with pytest.raises(XlvlaError, match="no file at"):
        convert(tmp_path / "none.pt", tmp_path / "ours.safetensors")
    text = tmp_path / "text.pt"
    text.write_text("no weights")
    with pytest.raises(XlvlaError, match="is not a torch checkpoint of plain weights"):
        convert(text, tmp_path / "ours.safetensors")
    torch.save({"model": {}}, tmp_path / "model.pt")
    with pytest.raises(XlvlaError, match=r"has no 'autoencoders'.*it holds model"):
        convert(tmp_path / "model.pt", tmp_path / "ours.safetensors")


class Trap:
    """What a malicious archive would hold: something to run on loading."""

    def __reduce__(self):
        return print, ("run",)


def test_nothing_in_a_file_is_run(tmp_path, capsys):
    torch.save({"autoencoders": Trap()}, tmp_path / "trap.pt")
    with pytest.raises(XlvlaError, match="is not a torch checkpoint of plain weights"):
        convert(tmp_path / "trap.pt", tmp_path / "ours.safetensors")
    assert "run" not in capsys.readouterr().out
