"""Trains encoder and decoder of one more hand for an existing latent, while the networks of other
hands stay identical to the bit.

The newcomer's encoder is told what the others' frozen decoders make of its latents, its decoder is
shown the latents of their frozen encoders; the losses are those of joint training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.model import Coder, Mlp
from xlvla_policy.latent.objective import Losses
from xlvla_policy.latent.recipe import DEFAULT, Recipe
from xlvla_policy.latent.schedule import Phase, phases
from xlvla_policy.latent.soundness import require_sound
from xlvla_policy.latent.training import Trainer
from xlvla_policy.latent.weights import coder_tensors, hand_entry, save

STEPS = 4000
OWN = 2.0
"""How much more its own reconstruction weighs than in joint training, which has four times as many
steps.
"""
SPREAD = -9.5
"""Log-variance of the latents of frozen encoders, which a weights file does not keep: sampled ones
scatter about that much.
"""


class NewHandTrainer(Trainer):
    """A training run in which one hand learns and all others of a weights file are frozen."""

    def __init__(
        self, base: Path, hand: str, steps: int = STEPS, seed: int = 0, recipe: Recipe = DEFAULT
    ):
        self.codec, self.tensors = _base(base, hand)
        self.newcomer = hand
        others = tuple(name for name in self.codec.hands if name != hand)
        super().__init__(shaped(recipe, self.codec, self.tensors, steps), (*others, hand), seed)
        for body in self.bodies:
            if body.hand.name != hand:
                load(self.coders[body.name], self.tensors, body.name, self.codec.latent_dim)

    def _bodies(self) -> list[Embodiment]:
        return [
            body
            for body in super()._bodies()
            if body.hand.name == self.newcomer or self._teaches(body)
        ]

    def _phases(self) -> tuple[Phase, ...]:
        return phases(self.recipe, twins=True)

    @property
    def learning(self) -> list[Embodiment]:
        return [body for body in self.bodies if body.hand.name == self.newcomer]

    @property
    def _frozen_weight(self) -> float:
        """Frozen decoders together weigh as much as the newcomer's own."""
        return 1 / (len(self.bodies) - len(self.learning))

    def _teaches(self, body: Embodiment) -> bool:
        """Right hands shaped the latent; one without a finger to compare says nothing."""
        return not body.second and len({*body.fingers} & {*catalog.hand(self.newcomer).tips}) > 1

    def write(self, out: Path) -> None:
        """The base's weights, untouched, with the newcomer's beside them."""
        tensors = dict(self.tensors)
        for body in self.learning:
            tensors |= coder_tensors(body.name, self.coders[body.name], self.recipe.latent)
        save(tensors, self._card(), out)

    def _card(self) -> dict[str, Any]:
        card = dict(self.codec.card)
        entry = {side: hand_entry(body, side) for body in self.learning for side in body.sides}
        hands = {**card["hands"], self.newcomer: entry}
        about = {
            "recipe": asdict(self.recipe),
            "seed": self.seed,
            "minutes": round(self.seconds / 60, 2),
        }
        added = {**card.get("added", {}), self.newcomer: about}
        return {
            **card,
            "hands": dict(sorted(hands.items())),
            "added": added,
            "latent": self.codec.hash,
        }


def add(
    run: NewHandTrainer, out: Path, progress: Callable[[int, Losses], None] | None = None
) -> None:
    """Trains to the end and writes all weights to `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for losses in run.run():
        if progress:
            progress(run.step, losses)
    run.write(out)


def _base(path: Path, hand: str) -> tuple[Codec, dict[str, Tensor]]:
    """The codec that is extended, with its tensors but those of an earlier addition of the same
    hand.
    """
    require_sound(catalog.hand(hand))
    codec = Codec.load(path)
    if hand in codec.hands and hand not in codec.card.get("added", {}):
        raise XlvlaError(
            f"'{hand}' shaped the latent of {path}; only hands that came later can be taught anew: "
            "`xlvla codec train`"
        )
    tensors = load_file(path)
    old = {f"{entry['network']}." for entry in codec.card["hands"].get(hand, {}).values()}
    return codec, {
        name: tensor for name, tensor in tensors.items() if not name.startswith(tuple(old))
    }


def shaped(recipe: Recipe, codec: Codec, tensors: Mapping[str, Tensor], steps: int) -> Recipe:
    """The recipe with the networks' shape of the base; all steps are those of a left hand, which
    joins a latent that exists.
    """
    network = next(iter(codec.card["hands"].values()))["right"]["network"]
    encoder, decoder = (_widths(tensors, f"{network}.{half}") for half in ("encoder", "decoder"))
    normalised = f"{network}.encoder.0.gain" in tensors
    shape = replace(
        recipe.settled,
        encoder=encoder,
        decoder=decoder,
        latent=codec.latent_dim,
        activation=codec.card["activation"],
    )
    own = OWN * recipe.reconstruction
    return replace(
        shape,
        name="newcomer",
        reconstruction=own,
        normalised=normalised,
        steps=0,
        left_steps=steps,
        settle_steps=0,
        left_rate=recipe.rate,
    )


def _widths(tensors: Mapping[str, Tensor], prefix: str) -> tuple[int, ...]:
    """Hidden widths of a network in a weights file."""
    count = sum(name.startswith(f"{prefix}.") and name.endswith(".weight") for name in tensors)
    return tuple(tensors[f"{prefix}.{index}.weight"].shape[1] for index in range(count - 1))


@torch.no_grad()
def load(coder: Coder, tensors: Mapping[str, Tensor], name: str, latent: int) -> None:
    """A frozen coder's parameters from a weights file."""
    _load_network(coder.encoder, tensors, f"{name}.encoder", latent)
    _load_network(coder.decoder, tensors, f"{name}.decoder", coder.middle.shape[0])
    spread = coder.encoder[-1]
    assert isinstance(spread, nn.Linear)
    spread.weight[latent:] = 0
    spread.bias[latent:] = SPREAD


def _load_network(network: Mlp, tensors: Mapping[str, Tensor], prefix: str, outputs: int) -> None:
    index = -1
    for layer in network:
        if isinstance(layer, nn.Linear):
            index += 1
            layer.weight[: outputs if layer is network[-1] else None] = tensors[
                f"{prefix}.{index}.weight"
            ].T.float()
            layer.bias[: outputs if layer is network[-1] else None] = tensors[
                f"{prefix}.{index}.bias"
            ].float()
        elif isinstance(layer, nn.LayerNorm):
            layer.weight[:], layer.bias[:] = (
                tensors[f"{prefix}.{index}.gain"].float(),
                tensors[f"{prefix}.{index}.shift"].float(),
            )
