"""A supervised latent after LAD (Latent Action Diffusion, arXiv 2506.14608): hands learn from poses
paired by retargeting.

Random poses and pinches of every hand are retargeted to all others. Encoders first learn to give
the poses of a pair the same latent and those of different pairs different ones; then decoders learn
to give back every pose of a pair from the latent of every other, while the encoders follow slowly.
Networks as in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import permutations
from pathlib import Path

import torch
from torch import Generator, Tensor
from torch.nn import Parameter
from torch.nn.functional import cross_entropy, normalize

from xlvla import catalog
from xlvla_policy.latent.baselines.per_pose import optimised
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.losses import pinches
from xlvla_policy.latent.model import Coder, Coders
from xlvla_policy.latent.recipe import PAPER, Recipe
from xlvla_policy.latent.sampling import TIGHT, tightest, uniform_poses
from xlvla_policy.latent.weights import coder_tensors, hand_entry, save

STEPS = 2000
HOT = 0.5
COLD = 0.07
"""Temperature of the contrast, annealed from one to the other."""
CALM = 0.1
"""Learning rate of the encoders beside that of the decoders."""

Progress = Callable[[int], None]


@dataclass(frozen=True)
class Pairs:
    """Row by row the same pose on every hand [P, J] rad."""

    bodies: Sequence[Embodiment]
    poses: dict[str, Tensor]

    def batch(self, size: int, generator: Generator) -> list[Tensor]:
        rows = torch.randint(len(next(iter(self.poses.values()))), (size,), generator=generator)
        return [self.poses[body.name][rows] for body in self.bodies]


def pair(hands: Sequence[str], each: int = 2048, seed: int = 0) -> Pairs:
    """`each` poses of every right hand, half of them pinches, and their nearest on every other
    hand.

    Retargeting starts from one place, the middle of the range, so that neighbouring poses find
    neighbours.
    """
    generator = Generator().manual_seed(seed)
    bodies = [embodiment(catalog.hand(hand), "right") for hand in hands]
    rows: dict[str, list[Tensor]] = {body.name: [] for body in bodies}
    for source in bodies:
        tight, _ = tightest(source, TIGHT * (each // 2), generator)
        q = torch.cat([uniform_poses(source, each - len(tight), generator), tight])
        distance = pinches(source.tips(q), source.fingers).norm(dim=-1)
        weight = torch.exp(-PAPER.reach * distance)
        for target in bodies:
            if target is source:
                rows[target.name].append(q)
            else:
                rows[target.name].append(optimised(source, target, q, weight, starts=1))
    return Pairs(bodies, {name: torch.cat(parts) for name, parts in rows.items()})


def train(
    pairs: Pairs,
    out: Path,
    steps: int = STEPS,
    recipe: Recipe = PAPER,
    progress: Progress | None = None,
    seed: int = 0,
) -> None:
    """Writes the weights of a codec of right hands to `out`; half of the steps go to either
    stage.
    """
    torch.manual_seed(seed)
    coders = Coders(pairs.bodies, recipe)
    generator = Generator().manual_seed(seed)
    networks = [coders[body.name] for body in pairs.bodies]
    encoders: list[Parameter] = []
    decoders: list[Parameter] = []
    for network in networks:
        encoders += network.encoder.parameters()
        decoders += network.decoder.parameters()
    contrasting = torch.optim.AdamW(encoders, lr=recipe.rate)
    decoding = torch.optim.AdamW(
        [{"params": encoders, "lr": CALM * recipe.rate}, {"params": decoders, "lr": recipe.rate}]
    )
    for step in range(steps):
        poses = pairs.batch(recipe.batch // 2, generator)
        latents = [network.encode(q)[0] for network, q in zip(networks, poses, strict=True)]
        if step < steps // 2:
            done = 2 * step / steps
            loss = contrast(latents, HOT * (COLD / HOT) ** done)
            optimiser = contrasting
        else:
            loss = _regression(networks, poses, latents)
            optimiser = decoding
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if progress:
            progress(step + 1)
    _write(coders, pairs.bodies, replace(recipe, name="supervised", steps=steps), out)


def contrast(latents: Sequence[Tensor], temperature: float) -> Tensor:
    """InfoNCE: among a batch of poses of one hand [B, L], each latent finds its own pair on every
    other hand.
    """
    rows = [normalize(latent, dim=-1) for latent in latents]
    own = torch.arange(len(rows[0]))
    losses = [cross_entropy(a @ b.T / temperature, own) for a, b in permutations(rows, 2)]
    return torch.stack(losses).mean()


def _regression(
    networks: Sequence[Coder], poses: Sequence[Tensor], latents: Sequence[Tensor]
) -> Tensor:
    """Mean squared error of every hand's pose from every hand's latent, in parts of the joints'
    ranges.
    """
    shown = torch.cat(list(latents))
    losses: list[Tensor] = []
    for network, q in zip(networks, poses, strict=True):
        wanted = q.repeat(len(latents), 1)
        error = (network.decode(shown) - wanted) / network.reach
        losses.append(error.square().mean())
    return torch.stack(losses).mean()


def _write(coders: Coders, bodies: Sequence[Embodiment], recipe: Recipe, out: Path) -> None:
    tensors: dict[str, Tensor] = {}
    for body in bodies:
        tensors.update(coder_tensors(body.name, coders[body.name], recipe.latent))
    hands = {body.hand.name: {"right": hand_entry(body, "right")} for body in bodies}
    card = {
        "latent_dim": recipe.latent,
        "activation": recipe.activation,
        "hands": hands,
        "recipe": asdict(recipe),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    save(tensors, card, out)
