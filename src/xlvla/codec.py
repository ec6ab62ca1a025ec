"""The latent all hands share: encoders and decoders between joint angles and a 32-d latent (paper,
section 3).

This is the run-time half, plain numpy over shipped weights; `xlvla_policy.latent` trains them. A
pose of one hand, encoded and decoded by another, keeps the lines between thumb tip and fingertips.
Left and right share the meaning: mirrored poses have the same latent.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from xlvla import catalog, checksum
from xlvla.checksum import CHECKSUM
from xlvla.errors import XlvlaError, unknown
from xlvla.files import reading_card
from xlvla.text import plain
from xlvla.types import SIDES, Side

Array = NDArray[np.float32]
ModelCard = Mapping[str, Any]

FORMAT = "xlvla-codec-1"
EPSILON = 1e-5
"""Added to the variance in layer normalisation."""
WILD = 1e4
"""Latents beyond this, hundreds of times the size of any pose's, are held to it so that no sum
overflows.
"""
SHIPPED = Path(__file__).parent / "weights" / "codec.safetensors"
VARIABLE = "XLVLA_CODEC"
"""Names the weights file that programs load in place of the one shipped with xlvla."""


def in_use() -> Path:
    """The weights file that XLVLA_CODEC names, such as one with a hand of your own; without it the
    one shipped with xlvla.

    Raises:
        XlvlaError: it names no file.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        return SHIPPED
    if not Path(named).is_file():
        raise XlvlaError(f"{VARIABLE} names {named}, which is no file: unset it, or name one")
    return Path(named)


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)


def _silu(x: Array) -> Array:
    with np.errstate(over="ignore"):
        return x / (np.float32(1) + np.exp(-x))


ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {"relu": _relu, "silu": _silu}


@dataclass(frozen=True)
class Layer:
    """x W + b, then layer normalisation where `gain` [out] and `shift` [out] are given."""

    weight: Array
    bias: Array
    gain: Array | None = None
    shift: Array | None = None

    def __call__(self, x: Array) -> Array:
        x = x @ self.weight
        x += self.bias
        if self.gain is None:
            return x
        x = x - x.mean(-1, keepdims=True)
        variance = np.square(x).mean(-1, keepdims=True)
        return x / np.sqrt(variance + EPSILON) * self.gain + self.shift


@dataclass(frozen=True)
class Network:
    """Layers with an activation between them."""

    layers: tuple[Layer, ...]
    activation: Callable[[Array], Array]

    def __call__(self, x: Array) -> Array:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


@dataclass(frozen=True)
class HandCodec:
    """Encoder and decoder of one hand of one side.

    Args:
        lower, upper: [J] rad, the joint limits that decoded poses keep.
        trained: [J] and [J] rad, the limits that the networks were trained with, where the device's
            are narrower; None where they are the same.
    """

    joints: tuple[str, ...]
    lower: Array
    upper: Array
    encoder: Network
    decoder: Network
    trained: tuple[Array, Array] | None = None

    @property
    def encoded(self) -> tuple[Array, Array]:
        """Lower and upper [J] rad of the poses that the encoder tells apart."""
        return self.trained or (self.lower, self.upper)

    @cached_property
    def middle(self) -> Array:
        lower, upper = self.encoded
        return np.float32(0.5) * (lower + upper)

    @cached_property
    def half(self) -> Array:
        lower, upper = self.encoded
        return np.float32(0.5) * (upper - lower)

    @property
    def latent_dim(self) -> int:
        return self.encoder.layers[-1].weight.shape[1]

    def encode(self, q: Array) -> Array:
        return self.encoder((np.clip(q, *self.encoded) - self.middle) / self.half)

    def decode(self, z: Array) -> Array:
        z = np.clip(z, -WILD, WILD)
        return np.clip(self.middle + self.half * np.tanh(self.decoder(z)), self.lower, self.upper)


class Codec:
    """Encoders and decoders of every hand, ready to use.

    Args:
        parts: by hand and side.
        card: what the weights file says about itself: recipe, metrics, ...
        hash: short hexadecimal SHA-256 of the weights file, or where a hand was added to a codec,
            of that codec: what names the latent. Latents of two codecs do not mix, so a program
            that stores latents or a policy trained on them stores this too.
        missing: hands of the weights file that no loaded catalogue entry describes; they are not
            served.
    """

    def __init__(
        self,
        parts: Mapping[tuple[str, Side], HandCodec],
        latent_dim: int,
        card: ModelCard,
        hash: str,
        missing: tuple[str, ...] = (),
    ):
        self._parts = dict(parts)
        self.missing = missing
        self.latent_dim = latent_dim
        self.card = card
        self.hash = hash
        self.hands = tuple(dict.fromkeys(hand for hand, _ in self._parts))

    @property
    def founders(self) -> Codec:
        """The same latent with only the hands that shaped it, without those added to it later."""
        added = self.card.get("added", {})
        parts = {key: part for key, part in self._parts.items() if key[0] not in added}
        return Codec(parts, self.latent_dim, self.card, self.hash, self.missing)

    @classmethod
    def load(cls, path: Path | str | None = None) -> Codec:
        """The codec in a weights file; None is the one in use (`in_use`). A hand of the file that
        the catalogue does not have is left out (`missing`).

        Raises:
            XlvlaError: the file is missing, is no codec, or was trained for other joints than the
                catalogue's.
        """
        path = in_use() if path is None else Path(path)
        with reading_card(path):
            codec = cls._read(path)
            for (hand, side), part in codec._parts.items():
                latent = part.encode(part.middle[None])
                if latent.shape != (1, codec.latent_dim) or not np.isfinite(latent).all():
                    raise ValueError(f"the weights of the {side} {hand} make no latent")
                codec.decode(hand, side, latent)
        return codec

    @classmethod
    def _read(cls, path: Path) -> Codec:
        content, card = read_checksummed(path, FORMAT, "codec", "xlvla codec train")
        tensors = {name: tensor.astype(np.float32) for name, tensor in load(content).items()}
        parts: dict[tuple[str, Side], HandCodec] = {}
        missing = tuple(hand for hand in card["hands"] if hand not in catalog.hands())
        for hand, sides in card["hands"].items():
            if hand in missing:
                continue
            for side, entry in sides.items():
                _agree(path, hand, side, entry)
                limits = catalog.hand(hand).command_range(side)
                parts[hand, side] = _part(tensors, entry, card["activation"], limits)
        if not parts:
            raise XlvlaError(f"{path} serves no hand: {missing_line(missing)}")
        # A codec that a hand was added to keeps the name of the latent it was added to.
        latent = card.get("latent") or hashlib.sha256(content).hexdigest()[:12]
        return cls(parts, card["latent_dim"], card, latent, missing)

    def joints(self, hand: str, side: Side) -> tuple[str, ...]:
        """Names of the joints of `q`, in order: the hand's commanded joints."""
        return self.part(hand, side).joints

    def limits(self, hand: str, side: Side) -> tuple[Array, Array]:
        """Lower and upper [J] rad of what `decode` gives."""
        part = self.part(hand, side)
        return part.lower.copy(), part.upper.copy()

    def encode(self, hand: str, side: Side, q: ArrayLike) -> Array:
        """Joint angles [..., J] rad to latents [..., L] (the posterior's mean). Angles beyond the
        limits count as at them.
        """
        part = self.part(hand, side)
        return rows(part.encode, q, len(part.joints), f"joint angles of {side} {hand}")

    def decode(self, hand: str, side: Side, z: ArrayLike) -> Array:
        """Latents [..., L] to joint angles [..., J] rad, always within the joint limits."""
        part = self.part(hand, side)
        return rows(part.decode, z, self.latent_dim, "latents")

    def unknown_line(self, hand: str) -> str:
        """What to do with a hand of the catalogue that the codec does not know."""
        return (
            f"the codec knows {', '.join(self.hands)}, not '{hand}': teach it with `xlvla codec "
            f"add {hand}`, and name the file it writes by {VARIABLE}"
        )

    def part(self, hand: str, side: Side) -> HandCodec:
        """Encoder and decoder of one hand of one side, for those who carry them elsewhere."""
        part = self._parts.get((hand, side))
        if part is not None:
            return part
        self.require(hand)
        raise unknown("side", side, SIDES)

    def require(self, hand: str) -> None:
        """Raises XlvlaError where the codec does not know a hand, or the hand has no entry here."""
        if hand in self.missing:
            raise XlvlaError(missing_line((hand,)))
        if hand not in self.hands and hand in catalog.hands():
            raise XlvlaError(self.unknown_line(hand))
        if hand not in self.hands:
            raise unknown("hand of the codec", hand, self.hands)


def missing_line(hands: Sequence[str]) -> str:
    """What is wrong with hands that a codec has and the catalogue does not, and what to do."""
    files = " and ".join(f"{hand}.py" for hand in hands)
    return (
        f"the codec has the hand {', '.join(hands)}, but no catalogue entry is loaded for it: set "
        f"XLVLA_HANDS to the folder with {files}"
    )


def rows(function: Callable[[Array], Array], values: ArrayLike, width: int, what: str) -> Array:
    """Applies a function of [N, width] to [..., width]."""
    # A number too large for float32 becomes infinite, and is refused below.
    with np.errstate(over="ignore"):
        values = np.asarray(values, dtype=np.float32)
    if values.ndim == 0 or values.shape[-1] != width:
        raise XlvlaError(
            f"{what} must have {width} numbers in the last axis, the shape given is {values.shape}"
        )
    if not np.isfinite(values).all():
        raise XlvlaError(f"{what} hold a number that is not finite")
    result = function(values.reshape(-1, width))
    return result.reshape(*values.shape[:-1], result.shape[-1])


def read_checksummed(path: Path, form: str, kind: str, command: str) -> tuple[bytes, ModelCard]:
    """Content and card of a weights file; `command` is what makes one. Files of older versions have
    no checksum.
    """
    if not path.is_file():
        raise XlvlaError(
            f"no {kind} weights at {path}: run `{command}`, or name a weights file that exists"
        )
    content = path.read_bytes()
    try:
        load(content)
        length = int.from_bytes(content[:8], "little")
        about = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    # The others: types of numbers that numpy does not have.
    except (SafetensorError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise XlvlaError(f"{path} is not a safetensors file: {plain(error, 200)}") from None
    if about.get("format") != form:
        raise XlvlaError(
            f"{path} is not a {kind} of this version: its format is "
            f"'{about.get('format', 'not given')}', '{form}' is needed"
        )
    if CHECKSUM in about and not checksum.intact(content, about[CHECKSUM]):
        raise XlvlaError(
            f"{path} was changed after it was written: its weights and its card do not belong "
            "together"
        )
    with reading_card(path):
        return content, json.loads(about["card"])


def _part(
    tensors: Mapping[str, Array],
    entry: ModelCard,
    activation: str,
    limits: tuple[np.ndarray, np.ndarray],
) -> HandCodec:
    """`limits` are those of the device; the networks may have been trained with the wider ones of
    the URDF.
    """
    trained_lower, trained_upper = (
        np.array(entry[key], dtype=np.float32) for key in ("lower", "upper")
    )
    # The rounding of a file's own limits stays what it was.
    lower = np.maximum(trained_lower, limits[0].astype(np.float32))
    upper = np.minimum(trained_upper, limits[1].astype(np.float32))
    encoder, decoder = (
        network(tensors, f"{entry['network']}.{half}", ACTIVATIONS[activation])
        for half in ("encoder", "decoder")
    )
    trained = (trained_lower, trained_upper)
    return HandCodec(tuple(entry["joints"]), lower, upper, encoder, decoder, trained)


def network(
    tensors: Mapping[str, Array], prefix: str, activation: Callable[[Array], Array]
) -> Network:
    """The network whose layers are `{prefix}.0`, `{prefix}.1`, ..."""
    layers: list[Layer] = []
    while f"{prefix}.{len(layers)}.weight" in tensors:
        here = f"{prefix}.{len(layers)}"
        layers.append(
            Layer(
                tensors[f"{here}.weight"],
                tensors[f"{here}.bias"],
                tensors.get(f"{here}.gain"),
                tensors.get(f"{here}.shift"),
            )
        )
    if not layers:
        raise XlvlaError(
            f"the weights have no network '{prefix}' that their card names: the file is damaged"
        )
    return Network(tuple(layers), activation)


def _agree(path: Path, hand: str, side: Side, entry: ModelCard) -> None:
    """Refuses weights trained for other joints or limits than the catalogue's hand has now; limits
    are the device's or the URDF's.
    """
    known = catalog.hand(hand)
    names = known.joint_names(side)
    limits = known.limits(side)
    device_lower, device_upper = known.command_range(side)
    trained_lower = np.array(entry["lower"])
    trained_upper = np.array(entry["upper"])
    where = f"codec weights {path} do not fit the {side} {hand}"
    if tuple(entry["joints"]) != names:
        raise XlvlaError(
            f"{where}: they were trained for joints {', '.join(entry['joints'])}; the catalogue "
            f"has {', '.join(names)}"
        )
    for index, name in enumerate(names):
        trained = (trained_lower[index], trained_upper[index])
        described = (limits.lower[index], limits.upper[index])
        device = (device_lower[index], device_upper[index])
        if np.allclose(trained, described, atol=1e-5) or np.allclose(trained, device, atol=1e-5):
            continue
        ranges = f"{_range(trained)}; the URDF says {_range(described)}"
        if device != described:
            ranges += f", the device {_range(device)}"
        raise XlvlaError(
            f"{where}: they were trained for joint '{name}' in {ranges}: train again with "
            "`xlvla codec train`"
        )


def _range(limits: tuple[float, float]) -> str:
    lower, upper = limits
    return f"[{lower:.4f}, {upper:.4f}] rad"
