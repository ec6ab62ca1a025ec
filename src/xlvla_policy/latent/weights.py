"""Trained coders as the weights file that `xlvla.codec` reads."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from safetensors.torch import save as serialized
from torch import Tensor, nn

from xlvla import checksum
from xlvla.checksum import CHECKSUM, NO_HASH
from xlvla.codec import FORMAT
from xlvla.files import replacing
from xlvla.types import Side
from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.model import Coder, Coders, Mlp
from xlvla_policy.latent.recipe import Recipe


def write(
    bodies: Sequence[Embodiment],
    coders: Coders,
    recipe: Recipe,
    seed: int,
    seconds: float,
    out: Path,
) -> None:
    """Writes the trained coders of all bodies; `seconds` of processor time are what training
    took.
    """
    tensors: dict[str, Tensor] = {}
    for body in bodies:
        tensors.update(coder_tensors(body.name, coders[body.name], recipe.latent))
    card = {
        "latent_dim": recipe.latent,
        "activation": recipe.activation,
        "hands": _hand_entries(bodies),
        "recipe": asdict(recipe),
        "seed": seed,
        "minutes": round(seconds / 60, 2),
    }
    save(tensors, card, out)


def coder_tensors(name: str, coder: Coder, latent: int) -> dict[str, Tensor]:
    """One embodiment's tensors by name; of the encoder only the mean's [latent], not the variance.

    In half precision: its rounding is a hundredth of the codec's own error, and the file half as
    large.
    """
    tensors = {
        **layers(f"{name}.encoder", coder.encoder, latent),
        **layers(f"{name}.decoder", coder.decoder),
    }
    return {key: tensor.half() for key, tensor in tensors.items()}


def annotate(path: Path, **facts: object) -> None:
    """Adds facts, such as metrics, to the card of a weights file."""
    content = path.read_bytes()
    # safetensors: eight bytes with the header's length, then the header as JSON.
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    card = json.loads(header["__metadata__"]["card"])
    save(load_file(path), {**card, **facts}, path)


def save(
    tensors: dict[str, Tensor], card: Mapping[str, Any], out: Path, form: str = FORMAT
) -> None:
    """Writes a checksummed weights file at once or not at all."""
    metadata = {"format": form, "card": json.dumps(card), CHECKSUM: NO_HASH}
    with replacing(out) as fresh:
        fresh.write_bytes(checksum.seal(serialized(tensors, metadata)))


def _hand_entries(bodies: Sequence[Embodiment]) -> dict[str, dict[str, Any]]:
    """The card's entries of every hand, by name and side."""
    hands: dict[str, dict[str, Any]] = {body.hand.name: {} for body in bodies}
    for body in bodies:
        for side in body.sides:
            hands[body.hand.name][side] = hand_entry(body, side)
    return hands


def hand_entry(body: Embodiment, side: Side) -> dict[str, Any]:
    """The card's entry of one side of a hand."""
    lower, upper = body.hand.command_range(side)
    return {
        "network": body.name,
        "joints": body.hand.joint_names(side),
        "lower": lower.tolist(),
        "upper": upper.tolist(),
    }


def layers(prefix: str, network: Mlp, outputs: int | None = None) -> dict[str, Tensor]:
    """Weights [in, out] of a network's layers; `outputs` keeps only the first numbers of the last:
    an encoder's mean.
    """
    tensors: dict[str, Tensor] = {}
    index = -1
    for layer in network:
        if isinstance(layer, nn.Linear):
            index += 1
            tensors[f"{prefix}.{index}.weight"] = layer.weight.detach().T
            tensors[f"{prefix}.{index}.bias"] = layer.bias.detach()
        elif isinstance(layer, nn.LayerNorm):
            tensors[f"{prefix}.{index}.gain"] = layer.weight.detach()
            tensors[f"{prefix}.{index}.shift"] = layer.bias.detach()
    for name in (f"{prefix}.{index}.weight", f"{prefix}.{index}.bias"):
        tensors[name] = tensors[name][..., :outputs]
    return {name: tensor.clone().contiguous() for name, tensor in tensors.items()}
