"""Trains encoder and decoder of one more hand for an existing latent, while the networks of other
hands stay identical to the bit.

The new hand's encoder learns from what the others' frozen decoders make of its latents, its decoder
from the latents of their frozen encoders; the losses are those of joint training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla_policy.latent.embodiment import Embodiment, embodiments
from xlvla_policy.latent.model import Coder, Mlp
from xlvla_policy.latent.objective import Losses
from xlvla_policy.latent.recipe import ADDED, Recipe
from xlvla_policy.latent.schedule import Plan, phases
from xlvla_policy.latent.soundness import require_sound
from xlvla_policy.latent.training import Trainer, finish
from xlvla_policy.latent.weights import coder_tensors, hand_entry, save

OWN = 0.4
"""How much the new hand's own reconstruction weighs beside joint training's. In few steps the
encoder cannot get both precise, and what other hands make of its latents matters more.
"""
SPREAD = -9.5
"""Log-variance of the latents of frozen encoders, which a weights file does not keep: sampled ones
scatter about that much.
"""


@dataclass(frozen=True)
class Base:
    """The codec that a hand is added to, with its tensors but those of an earlier addition of the
    same hand.
    """

    codec: Codec
    tensors: Mapping[str, Tensor]


class NewHandTrainer:
    """A training run in which one hand learns and all others of a weights file are frozen."""

    def __init__(
        self,
        base: Path,
        hand: str,
        steps: int | None = None,
        seed: int = 0,
        recipe: Recipe = ADDED,
    ):
        """`recipe` gives the losses and rates, the file the networks' shape; `steps` are shared out
        among the phases as the recipe's are, None are the recipe's.

        Raises:
            XlvlaError: the hand is unknown or unsound, shaped the latent itself, or no hand of the
                file has two of its fingers.
        """
        self.hand = hand
        self.base = _base(base, hand)
        others = tuple(name for name in self.base.codec.hands if name != hand)
        hands = (*others, hand)
        frozen: list[Embodiment] = []
        self.new: list[Embodiment] = []
        for body in embodiments([catalog.hand(name) for name in hands]):
            if body.hand.name == hand:
                self.new.append(body)
            elif _teaches(body, hand):
                frozen.append(body)
        if not frozen:
            raise XlvlaError(
                f"no hand of {base} has two fingers that '{hand}' has too, so none can teach it: "
                "name the fingers of its tips as theirs are named"
            )
        shape = shaped(recipe, self.base.codec, self.base.tensors, steps)
        left = [body for body in self.new if body.second]
        right = [body for body in self.new if not body.second]
        plan = Plan(
            hands,
            [*frozen, *self.new],
            phases(shape, twins=bool(left)),
            {
                "right": right,
                "left": left,
                "settle": self.new,
            },
            # Frozen decoders together weigh as much as the new hand's own.
            frozen_weight=1 / len(frozen),
            frozen=frozen,
            base=self.base.codec.hash,
        )
        self.trainer = Trainer(shape, seed=seed, plan=plan)
        for body in frozen:
            entry = self.base.codec.card["hands"][body.hand.name][body.sides[0]]
            load(self.trainer.coders[body.name], self.base.tensors, entry, shape.latent)

    def write(self, out: Path) -> None:
        """The base's weights, untouched, with the new hand's beside them."""
        trainer = self.trainer
        tensors = dict(self.base.tensors)
        for body in self.new:
            coder = trainer.coders[body.name]
            tensors.update(coder_tensors(body.name, coder, trainer.recipe.latent))
        save(tensors, self._card(), out)

    def _card(self) -> dict[str, Any]:
        trainer = self.trainer
        entry: dict[str, Any] = {}
        for body in self.new:
            for side in body.sides:
                entry[side] = hand_entry(body, side)
        card = dict(self.base.codec.card)
        hands = {**card["hands"], self.hand: entry}
        card["hands"] = dict(sorted(hands.items()))
        about = {
            "recipe": asdict(trainer.recipe),
            "seed": trainer.seed,
            "minutes": round(trainer.seconds / 60, 2),
        }
        card["added"] = {**card.get("added", {}), self.hand: about}
        # Policies keep working: the latent is still the base's.
        card["latent"] = self.base.codec.hash
        return card


def add(
    run: NewHandTrainer,
    out: Path,
    progress: Callable[[int, Losses], None] | None = None,
    *,
    resume: bool = False,
) -> None:
    """Trains to the end and writes all weights to `out`; with `resume` goes on from its checkpoint
    if there is one.
    """
    finish(run.trainer, out, lambda: run.write(out), resume, progress)


def _teaches(body: Embodiment, hand: str) -> bool:
    """Right hands shaped the latent; one without a finger to compare has nothing to teach."""
    common = set(body.fingers) & set(catalog.hand(hand).tips)
    return not body.second and len(common) > 1


def _base(path: Path, hand: str) -> Base:
    require_sound(catalog.hand(hand))
    codec = Codec.load(path)
    if hand in codec.hands and hand not in codec.card.get("added", {}):
        raise XlvlaError(
            f"'{hand}' shaped the latent of {path}; only hands that came later can be taught anew: "
            "`xlvla codec train`"
        )
    earlier = codec.card["hands"].get(hand, {}).values()
    prefixes = tuple(f"{entry['network']}." for entry in earlier)
    tensors: dict[str, Tensor] = {}
    for name, tensor in load_file(path).items():
        if not name.startswith(prefixes):
            tensors[name] = tensor
    return Base(codec, tensors)


def shaped(
    recipe: Recipe, codec: Codec, tensors: Mapping[str, Tensor], steps: int | None
) -> Recipe:
    """The recipe with the networks' shape of the base, and that many steps of a right hand."""
    planned = recipe.steps + recipe.settle_steps
    steps = steps or planned
    settle_steps = steps * recipe.settle_steps // planned
    first = next(iter(codec.card["hands"].values()))
    network = first["right"]["network"]
    return replace(
        recipe.settled,
        name="newcomer",
        encoder=_widths(tensors, f"{network}.encoder"),
        decoder=_widths(tensors, f"{network}.decoder"),
        latent=codec.latent_dim,
        activation=codec.card["activation"],
        normalised=f"{network}.encoder.0.gain" in tensors,
        reconstruction=OWN * recipe.reconstruction,
        steps=steps - settle_steps,
        left_steps=math.ceil(steps * recipe.left_steps / planned),
        settle_steps=settle_steps,
    )


def _widths(tensors: Mapping[str, Tensor], prefix: str) -> tuple[int, ...]:
    """Hidden widths of a network in a weights file."""
    layers = 0
    while f"{prefix}.{layers}.weight" in tensors:
        layers += 1
    return tuple(tensors[f"{prefix}.{index}.weight"].shape[1] for index in range(layers - 1))


@torch.no_grad()
def load(
    coder: Coder, tensors: Mapping[str, Tensor], entry: Mapping[str, Any], latent: int
) -> None:
    """A frozen coder's parameters and limits from a weights file; `entry` is the card's of its
    side.
    """
    name = entry["network"]
    coder.trained_between(entry["lower"], entry["upper"])
    _load_network(coder.encoder, tensors, f"{name}.encoder", latent)
    _load_network(coder.decoder, tensors, f"{name}.decoder", coder.middle.shape[0])
    spread = coder.encoder[-1]
    assert isinstance(spread, nn.Linear)
    spread.weight[latent:] = 0
    spread.bias[latent:] = SPREAD


def _load_network(network: Mlp, tensors: Mapping[str, Tensor], prefix: str, outputs: int) -> None:
    """`outputs` are those of the last layer that the file has: an encoder's mean, not its
    variance.
    """
    last = network[-1]
    index = -1
    for layer in network:
        if isinstance(layer, nn.Linear):
            index += 1
            rows = outputs if layer is last else layer.out_features
            layer.weight[:rows] = tensors[f"{prefix}.{index}.weight"].T.float()
            layer.bias[:rows] = tensors[f"{prefix}.{index}.bias"].float()
        elif isinstance(layer, nn.LayerNorm):
            layer.weight[:] = tensors[f"{prefix}.{index}.gain"].float()
            layer.bias[:] = tensors[f"{prefix}.{index}.shift"].float()
