"""Training the codec: all embodiments in one run, resumable to the bit, written atomically."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla_policy.latent.embodiment import Embodiment, embodiments
from xlvla_policy.latent.losses import divergence, pinches, retargeting, shared
from xlvla_policy.latent.model import Coders
from xlvla_policy.latent.recipe import Recipe
from xlvla_policy.latent.sampling import Sampler
from xlvla_policy.latent.weights import write

WARM_UP = 0.15
CHECKPOINT_EVERY = 250


@dataclass(frozen=True)
class Losses:
    """Unweighted losses of one step; `total` is weighted."""

    total: Tensor
    reconstruction: Tensor
    retargeting: Tensor
    twin: Tensor
    kl: Tensor


class Trainer:
    """A training run: model, optimiser, samplers and how far it is."""

    def __init__(self, recipe: Recipe, hands: Sequence[str] = (), seed: int = 0):
        """`hands` empty trains every hand of the catalogue."""
        self.recipe = recipe
        self.seed = seed
        self.hands = tuple(hands or catalog.hands())
        self.bodies = embodiments([catalog.hand(name) for name in self.hands])
        if len(self.hands) < 2:
            raise XlvlaError(f"a shared latent needs at least two hands, '{', '.join(self.hands)}' is one: add --hands")
        torch.manual_seed(seed)
        self.coders = Coders(self.bodies, recipe)
        self.adam = torch.optim.AdamW(self.coders.parameters(), lr=recipe.rate, fused=True)
        self.generator = Generator().manual_seed(seed)
        self.samplers = {body.name: Sampler(body, recipe, self.generator) for body in self.bodies}
        self.step = 0
        self.seconds = 0.0

    def run(self, until: int | None = None) -> Iterator[Losses]:
        """Trains up to a step (None: the recipe's end), yielding each step's losses."""
        while self.step < (self.recipe.steps if until is None else until):
            started = time.perf_counter()
            losses = self._train_step()
            self.seconds += time.perf_counter() - started
            yield losses

    def losses(self, poses: dict[str, Tensor]) -> Losses:
        """Losses of a batch of poses [B, J] rad by embodiment."""
        means, log_variances = zip(*(self.coders[body.name].encode(poses[body.name]) for body in self.bodies), strict=True)
        mean, log_variance = torch.cat(means), torch.cat(log_variances)
        latent = mean + torch.exp(0.5 * log_variance) * self._noise(mean) if self.recipe.sampled else mean
        source_tips = {body.name: body.tips(poses[body.name]) for body in self.bodies}
        source = torch.cat([pinches(source_tips[body.name], body.fingers) for body in self.bodies])
        each = [self._target(target, latent, poses, source, source_tips) for target in self.bodies]
        reconstruction, retargeted, twin = (torch.stack(part).mean() for part in zip(*each, strict=True))
        kl = divergence(mean, log_variance)
        r = self.recipe
        total = r.reconstruction * reconstruction + retargeted + r.twin * twin + r.kl * kl
        return Losses(total, reconstruction, retargeted, twin, kl)

    def _target(
        self, target: Embodiment, latent: Tensor, poses: dict[str, Tensor], source: Tensor, source_tips: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Reconstruction, retargeting and twin loss of one decoder over the latents of all [S B, L]."""
        q = self.coders[target.name].decode(latent)
        tips = target.tips(q)
        mask = torch.cat([self._mask(body, target, len(poses[body.name])) for body in self.bodies])
        retargeted = retargeting(source, pinches(tips, target.fingers), mask, self.recipe)
        decoded = dict(zip(poses, q.split([len(p) for p in poses.values()]), strict=True))
        reconstruction = (decoded[target.name] - poses[target.name]).square().mean()
        arrived = dict(zip(poses, tips.split([len(p) for p in poses.values()]), strict=True))
        twins = [body.name for body in self.bodies if body.hand is target.hand and body is not target]
        twin = [(arrived[name] - source_tips[name]).square().sum(-1).mean() for name in twins]
        return reconstruction, retargeted, torch.stack(twin).mean() if twin else latent.new_zeros(())

    @staticmethod
    def _mask(source: Embodiment, target: Embodiment, count: int) -> Tensor:
        mask = shared(source.fingers, target.fingers) * (source is not target)
        return mask.expand(count, -1)

    def _noise(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator)

    def _train_step(self) -> Losses:
        for group in self.adam.param_groups:
            group["lr"] = rate(self.recipe, self.step)
        losses = self.losses({name: sample() for name, sample in self.samplers.items()})
        self.adam.zero_grad(set_to_none=True)
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(self.coders.parameters(), 10.0)
        self.adam.step()
        self.step += 1
        return losses

    def save(self, path: Path) -> None:
        """Writes all that `resume` needs."""
        state = {
            "recipe": asdict(self.recipe),
            "hands": self.hands,
            "seed": self.seed,
            "step": self.step,
            "seconds": self.seconds,
            "coders": self.coders.state_dict(),
            "adam": self.adam.state_dict(),
            "generator": self.generator.get_state(),
        }
        part = path.with_name(path.name + ".part")
        torch.save(state, part)
        os.replace(part, path)

    def resume(self, path: Path) -> None:
        """Goes on where a run with the same recipe, hands and seed stopped."""
        state = torch.load(path, weights_only=True)
        asked = {"recipe": asdict(self.recipe), "hands": self.hands, "seed": self.seed}
        for key, value in asked.items():
            if state[key] != value:
                raise XlvlaError(f"{path} was trained with {key} {state[key]}, asked is {value}: resume with the same, or start anew")
        self.coders.load_state_dict(state["coders"])
        self.adam.load_state_dict(state["adam"])
        self.generator.set_state(state["generator"])
        self.step, self.seconds = state["step"], state["seconds"]


def rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step; one cycle warms up linearly and anneals along a cosine."""
    if not recipe.one_cycle:
        return recipe.rate
    done = step / recipe.steps
    if done < WARM_UP:
        return recipe.rate * (0.04 + 0.96 * done / WARM_UP)
    return recipe.rate * (1e-4 + 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))))


def checkpoint(out: Path) -> Path:
    """Where a run towards these weights keeps its checkpoint."""
    return out.with_name(out.name + ".training.pt")


def train(trainer: Trainer, out: Path, resume: bool = False, progress: Callable[[int, Losses], None] | None = None) -> None:
    """Trains to the recipe's end and writes the weights to `out`; with `resume` goes on from its checkpoint if there is one."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if resume and checkpoint(out).is_file():
        trainer.resume(checkpoint(out))
    for losses in trainer.run():
        if trainer.step % CHECKPOINT_EVERY == 0:
            trainer.save(checkpoint(out))
        if progress:
            progress(trainer.step, losses)
    write(trainer, out)
    checkpoint(out).unlink(missing_ok=True)
