"""The human hand as one more embodiment of the latent codec: keypoints of any operator to the
latent all hands share, and back.

This is the run-time half, plain numpy over shipped weights; `xlvla_policy.latent.human` trains them
against the frozen decoders of every robot hand. What a robot hand decodes keeps the lines from the
operator's thumb tip to the fingertips, at the size of a middle-sized hand; fingers that touch
close. Left and right share the meaning, as everywhere in the latent.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from safetensors.numpy import load

from xlvla import human
from xlvla.codec import (
    ACTIVATIONS,
    WILD,
    Array,
    Codec,
    ModelCard,
    Network,
    network,
    read_checksummed,
    rows,
)
from xlvla.errors import XlvlaError
from xlvla.files import reading_card
from xlvla.types import FINGERS, Side

FORMAT = "xlvla-human-1"
SHIPPED = Path(__file__).parent / "weights" / "human.safetensors"
COMMAND = "xlvla codec human"

TIPS = [human.TIPS[finger] for finger in FINGERS]
SIZE_M = 0.1
NEAR_M = 0.02
TIGHT_M = 0.01
"""Lengths by which keypoints, and wide and tight pinches, become numbers of about one."""


@dataclass(frozen=True)
class HumanCodec:
    """Encoder and decoder of an operator's hand; `card` is what the weights file says about
    itself.
    """

    encoder: Network
    decoder: Network
    card: ModelCard

    @classmethod
    def load(cls, codec: Codec, path: Path | str | None = None) -> HumanCodec:
        """The operator's hand in the latent of a codec; None is the one shipped with xlvla.

        Raises:
            XlvlaError: the file is missing or no such file, or speaks the latent of another codec.
        """
        path = SHIPPED if path is None else Path(path)
        with reading_card(path):
            return cls._read(codec, path)

    @classmethod
    def _read(cls, codec: Codec, path: Path) -> HumanCodec:
        content, card = read_checksummed(path, FORMAT, "human hand", COMMAND)
        if card["codec"] != codec.hash:
            raise XlvlaError(
                f"{path} speaks the latent of codec {card['codec']}, the codec in use is "
                f"{codec.hash}: run `{COMMAND}`"
            )
        tensors = {name: tensor.astype(np.float32) for name, tensor in load(content).items()}
        encoder, decoder = (
            network(tensors, half, ACTIVATIONS[card["activation"]])
            for half in ("encoder", "decoder")
        )
        return cls(encoder, decoder, card)

    @property
    def latent_dim(self) -> int:
        return self.decoder.layers[0].weight.shape[0]

    def encode(self, side: Side, keypoints: ArrayLike) -> Array:
        """Keypoints [..., 21, 3] m of any frame to latents [..., L].

        Raises:
            XlvlaError: the keypoints are no hand, see `xlvla.human.hand_axes`.
        """
        points = human.normalised(side, keypoints)
        flat = features(points.reshape(-1, human.POINTS, 3), np).astype(np.float32)
        return self.encoder(flat).reshape(*points.shape[:-2], self.latent_dim)

    def pose(self, z: ArrayLike) -> Array:
        """Joints [..., 20] rad of a human hand, in the order of `xlvla.human.JOINTS`, that latents
        [..., L] stand for.
        """
        return rows(self._pose, z, self.latent_dim, "latents")

    def _pose(self, z: Array) -> Array:
        turned = np.tanh(self.decoder(np.clip(z, -WILD, WILD)))
        return ((human.UPPER + human.LOWER) / 2 + (human.UPPER - human.LOWER) / 2 * turned).astype(
            np.float32
        )

    def decode(self, side: Side, z: ArrayLike) -> NDArray[np.floating[Any]]:
        """Keypoints [..., 21, 3] m in the hand frame of a middle-sized hand that latents [..., L]
        stand for.
        """
        return human.keypoints(side, self.pose(z))


def features(points: Any, xp: ModuleType) -> Any:
    """What the encoder is shown [B, 104] of a right hand of middle size [B, 21, 3] m; `xp` as in
    `xlvla.human.posed`.

    Every keypoint, and the lines from thumb tip to fingertips at a scale where a millimetre of a
    tight pinch counts.
    """
    tips = points[:, TIPS]
    lines = tips[:, 1:] - tips[:, :1]
    square = (lines * lines).sum(-1)[..., None]
    near, tight = (lines / xp.sqrt(square + length**2) for length in (NEAR_M, TIGHT_M))
    closed = [xp.exp(-xp.sqrt(square + 1e-8) / length) for length in (NEAR_M, TIGHT_M)]
    parts = (points[:, 1:] / SIZE_M, lines / SIZE_M, near, tight, *closed)
    return xp.concatenate([part.reshape(len(points), -1) for part in parts], -1)
