"""The checkpoints of the paper's released code (DexLatent) as weights of ours, so that what was
trained there runs here.

Such a file is a torch archive whose `autoencoders` hold, per embodiment `xarm7_<hand>_<side>`,

    hand_encoder_backbone.{0, 1, 3, 4, ...}   linear, layer normalisation, ReLU, ... over the
                                              hidden widths
    hand_mean_head, hand_logvar_head          the posterior
    hand_decoder.{0, 1, 3, 4, ..., n}         the same the other way, then a linear layer and tanh

with joints in the order of its URDF, normalised to [-1, 1] by their limits: the order and limits of
our catalogue. Its left hands use the right hand's networks, and so do ours after conversion. The
arm never enters these networks.
"""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xlvla import catalog
from xlvla.errors import XlvlaError, unknown_line
from xlvla.types import SIDES, Side
from xlvla_policy.latent.weights import save

EMBODIMENT = re.compile(r"xarm7_(?P<hand>\w+)_(?P<side>left|right)")
PER_HIDDEN_LAYER = 3
"""Modules of theirs per hidden layer: linear, normalisation, activation."""

Tensors = Mapping[str, Tensor]


def convert(path: Path, out: Path) -> tuple[str, ...]:
    """Writes a released checkpoint as a weights file of ours; returns the hands it holds.

    Raises:
        XlvlaError: the file is none, or holds something else than such networks for hands of the
            catalogue.
    """
    states = _by_hand(path, _autoencoders(path))
    tensors: dict[str, Tensor] = {}
    for hand, state in states.items():
        tensors.update(_hand(f"{path}, {hand}", hand, state))
    widths = {hand: len(tensors[f"{hand}.decoder.0.weight"]) for hand in states}
    if len(set(widths.values())) > 1:
        by_hand = ", ".join(f"{hand} {width}" for hand, width in widths.items())
        raise XlvlaError(f"{path} holds hands with different latents: {by_hand}")
    latent = next(iter(widths.values()))
    out.parent.mkdir(parents=True, exist_ok=True)
    save(tensors, _card(path, states, latent), out)
    return tuple(states)


def _autoencoders(path: Path) -> Tensors:
    """The state of all embodiments; reads weights only, nothing in the file is run."""
    if not path.is_file():
        raise XlvlaError(
            f"no file at {path}: name a checkpoint of the released code, such as "
            "checkpoint_epoch_1000.pt"
        )
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError):
        # Torch's own texts advise to run what is in the file.
        raise XlvlaError(
            f"{path} is not a torch checkpoint of plain weights, and nothing else is read"
        ) from None
    state = payload.get("autoencoders") if isinstance(payload, dict) else None
    if not isinstance(state, dict):
        raise XlvlaError(
            f"{path} has no 'autoencoders', so the released code did not write it; it holds "
            f"{_content(payload)}"
        )
    for name, value in state.items():
        if not isinstance(value, Tensor) or not torch.isfinite(value).all():
            raise XlvlaError(f"{path}: '{name}' is not a tensor of finite numbers")
    return state


def _content(payload: object) -> str:
    """The keys of a file's content, or its type."""
    if not isinstance(payload, dict):
        return type(payload).__name__
    return ", ".join(str(key) for key in payload) or "nothing"


def _by_hand(path: Path, state: Tensors) -> dict[str, Tensors]:
    """The state of every hand's right networks, which serve both of its sides in the released
    code.
    """
    states: dict[tuple[str, str], dict[str, Tensor]] = {}
    hands: list[str] = []
    for name, tensor in state.items():
        embodiment, _, rest = name.partition(".")
        match = EMBODIMENT.fullmatch(embodiment)
        if match is None:
            raise XlvlaError(f"{path}: '{name}' belongs to no embodiment named xarm7_<hand>_<side>")
        hand = match["hand"]
        if hand not in hands:
            hands.append(hand)
        networks = states.setdefault((hand, match["side"]), {})
        networks[rest] = tensor
    for hand in hands:
        if hand not in catalog.hands():
            raise XlvlaError(f"{path}: {unknown_line('hand', hand, catalog.hands())}")
        if (hand, "right") not in states:
            raise XlvlaError(
                f"{path} holds no right {hand}: the released code trains right hands and uses "
                "their networks on the left"
            )
    if not hands:
        raise XlvlaError(f"{path} holds no hand")
    return {hand: states[hand, "right"] for hand in sorted(hands)}


def _hand(where: str, hand: str, state: Tensors) -> dict[str, Tensor]:
    """The tensors of one hand under our names."""
    rest = dict(state)
    backbone = _layers(where, "hand_encoder_backbone", rest)
    mean = _linear(where, "hand_mean_head", rest)
    _linear(where, "hand_logvar_head", rest)
    decoder = _layers(where, "hand_decoder", rest)
    if rest:
        raise XlvlaError(f"{where}: unknown tensor '{next(iter(rest))}'")
    encoder = [*backbone, mean]
    joints = len(catalog.hand(hand).joints)
    _fit(f"{where}, encoder", encoder, joints, len(mean["bias"]))
    _fit(f"{where}, decoder", decoder, len(mean["bias"]), joints)
    tensors: dict[str, Tensor] = {}
    for half, layers in (("encoder", encoder), ("decoder", decoder)):
        for index, layer in enumerate(layers):
            for key, tensor in layer.items():
                tensors[f"{hand}.{half}.{index}.{key}"] = tensor.float().contiguous()
    return tensors


def _layers(where: str, prefix: str, rest: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """Takes the layers of one of their sequences: hidden ones, each with its normalisation, and in
    a decoder one more.
    """
    layers: list[dict[str, Tensor]] = []
    while f"{prefix}.{PER_HIDDEN_LAYER * len(layers)}.weight" in rest:
        first = PER_HIDDEN_LAYER * len(layers)
        layer = _linear(where, f"{prefix}.{first}", rest)
        norm = f"{prefix}.{first + 1}"
        if f"{norm}.weight" in rest:
            layer["gain"] = _take(where, f"{norm}.weight", rest)
            layer["shift"] = _take(where, f"{norm}.bias", rest)
        layers.append(layer)
    if not layers:
        raise XlvlaError(f"{where}: '{prefix}.0.weight' is missing")
    return layers


def _linear(where: str, prefix: str, rest: dict[str, Tensor]) -> dict[str, Tensor]:
    weight = _take(where, f"{prefix}.weight", rest)
    bias = _take(where, f"{prefix}.bias", rest)
    if weight.ndim != 2:
        raise XlvlaError(
            f"{where}: '{prefix}.weight' has the shape {tuple(weight.shape)}, a matrix is needed"
        )
    return {"weight": weight.T, "bias": bias}


def _take(where: str, name: str, rest: dict[str, Tensor]) -> Tensor:
    if name not in rest:
        raise XlvlaError(f"{where}: '{name}' is missing")
    return rest.pop(name)


def _fit(where: str, layers: list[dict[str, Tensor]], inputs: int, outputs: int) -> None:
    """Refuses layers that do not lead from `inputs` to `outputs` numbers, or whose hidden ones, and
    only they, are not normalised.
    """
    width = inputs
    for number, layer in enumerate(layers):
        takes, gives = layer["weight"].shape
        if takes != width:
            raise XlvlaError(f"{where}: layer {number} takes {takes} numbers where {width} arrive")
        width = gives
        for key, tensor in layer.items():
            if key != "weight" and tensor.shape != (width,):
                raise XlvlaError(
                    f"{where}: layer {number} gives {width} numbers, but its bias or normalisation "
                    "has others"
                )
        last = layer is layers[-1]
        normalised = "gain" in layer
        if last and normalised:
            raise XlvlaError(f"{where}: layer {number} has layer normalisation")
        if not last and not normalised:
            raise XlvlaError(f"{where}: layer {number} lacks layer normalisation")
    if width != outputs:
        raise XlvlaError(f"{where}: it gives {width} numbers where {outputs} are needed")


def _card(path: Path, hands: Iterable[str], latent: int) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for hand in hands:
        entries[hand] = {side: _entry(hand, side) for side in SIDES}
    return {
        "latent_dim": latent,
        "activation": "relu",
        "hands": entries,
        "recipe": {"name": "released"},
        "source": path.name,
    }


def _entry(hand: str, side: Side) -> dict[str, Any]:
    entry = catalog.hand(hand)
    limits = entry.limits(side)
    return {
        "network": hand,
        "joints": entry.joint_names(side),
        "lower": limits.lower.tolist(),
        "upper": limits.upper.tolist(),
    }
