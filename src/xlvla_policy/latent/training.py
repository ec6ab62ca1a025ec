"""Training the codec: all embodiments in one run, resumable to the bit, written atomically."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Generator, Tensor

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla_policy.latent.embodiment import Embodiment, embodiments
from xlvla_policy.latent.losses import divergence, pinches, retargeting, roughness, shared
from xlvla_policy.latent.model import Coders, Mlp
from xlvla_policy.latent.optimiser import Optimiser
from xlvla_policy.latent.recipe import Recipe
from xlvla_policy.latent.sampling import Sampler
from xlvla_policy.latent.weights import write

WARM_UP = 0.15
SPACING = 0.1
"""Between neighbouring points of a path, as a part of the line between two latents."""
CHECKPOINT_EVERY = 250


@dataclass(frozen=True)
class Losses:
    """Unweighted losses of one step; `total` is weighted."""

    total: Tensor
    reconstruction: Tensor
    retargeting: Tensor
    twin: Tensor
    kl: Tensor


@dataclass(frozen=True)
class Source:
    """One embodiment's part of a batch: poses [B, J] rad, their fingertips, pinches and sampled latents, and paths.

    Args:
        path: [4 N, L] four points each, one after the other, on N straight lines between two latents.
    """

    body: Embodiment
    q: Tensor
    tips: Tensor
    pinches: Tensor
    latent: Tensor
    path: Tensor

    def every(self, stride: int, turn: int) -> Source:
        """Every so-manieth pose, others each turn."""
        if stride == 1:
            return self
        q, tips, lines, latent = (part[turn % stride :: stride] for part in (self.q, self.tips, self.pinches, self.latent))
        return Source(self.body, q, tips, lines, latent, self.path)


class Trainer:
    """A training run: model, optimiser, samplers and how far it is.

    The right hands shape the latent first. Left hands that are no mirror images then start as copies of their twins and
    learn to live in that latent, everything else frozen.
    """

    def __init__(self, recipe: Recipe, hands: Sequence[str] = (), seed: int = 0):
        """`hands` empty trains every hand of the catalogue."""
        self.recipe = recipe
        self.seed = seed
        self.hands = tuple(hands or catalog.hands())
        if len(self.hands) < 2:
            raise XlvlaError(f"a shared latent needs at least two hands, '{', '.join(self.hands)}' is one: add --hands")
        self.bodies = embodiments([catalog.hand(name) for name in self.hands])
        rights = {body.hand.name: body for body in self.bodies if not body.second}
        self.twins = {body.name: rights[body.hand.name] for body in self.bodies if body.second}
        self.steps = recipe.steps + (recipe.left_steps if self.twins else 0)
        torch.manual_seed(seed)
        self.coders = Coders(self.bodies, recipe)
        self.generator = Generator().manual_seed(seed)
        self.samplers = {body.name: Sampler(body, recipe, self.generator) for body in self.bodies}
        self.step = 0
        self.seconds = 0.0
        self._learn(self.learning)

    @property
    def learning(self) -> list[Embodiment]:
        """Whose networks the present step changes."""
        lefts = self.step >= self.recipe.steps
        return [body for body in self.bodies if body.second == lefts]

    def run(self, until: int | None = None) -> Iterator[Losses]:
        """Trains up to a step (None: the end), yielding each step's losses."""
        while self.step < (self.steps if until is None else until):
            started = time.perf_counter()
            losses = self._train_step()
            self.seconds += time.perf_counter() - started
            yield losses
        if self.step >= self.recipe.steps == self.steps:
            self._copy_twins()

    def losses(self, poses: Mapping[str, Tensor]) -> Losses:
        """Losses of a batch of poses [B, J] rad by embodiment."""
        present = [body for body in self.bodies if body.name in poses]
        posteriors = [self.coders[body.name].encode(poses[body.name]) for body in present]
        batch = {body.name: self._source(body, poses[body.name], *posterior) for body, posterior in zip(present, posteriors, strict=True)}
        each = [self._target(target, [batch[source.name] for source in self._sources(target, present)]) for target in present]
        reconstruction, retargeted, twin, rough = (torch.stack(part).sum() / len(self.learning) for part in zip(*each, strict=True))
        kl = torch.stack([divergence(*posterior) for posterior in posteriors]).mean()
        r = self.recipe
        total = r.reconstruction * reconstruction + retargeted + r.twin * twin + r.smooth * rough + r.kl * kl
        return Losses(total, reconstruction, retargeted, twin, kl)

    def _source(self, body: Embodiment, q: Tensor, mean: Tensor, log_variance: Tensor) -> Source:
        noise = torch.randn(mean.shape, generator=self.generator) if self.recipe.sampled else torch.zeros_like(mean)
        tips = body.tips(q)
        latent = mean + torch.exp(0.5 * log_variance) * noise
        return Source(body, q, tips, pinches(tips, body.fingers), latent, self._path(mean))

    def _path(self, mean: Tensor) -> Tensor:
        """Four points each on lines between latents of uniform poses, which come first; none while rounding is rougher than they."""
        uniform = round(len(mean) * self.recipe.mixture[0] / sum(self.recipe.mixture))
        count = 0 if self._coarse else min(self.recipe.paths, uniform // 2)
        start = torch.rand(count, 1, generator=self.generator) * (1 - 3 * SPACING)
        part = start + SPACING * torch.arange(4.0)[:, None, None]
        ends = mean[torch.randperm(uniform, generator=self.generator)[: 2 * count]]
        return ((1 - part) * ends[:count] + part * ends[count:]).flatten(0, 1)

    def _sources(self, target: Embodiment, present: list[Embodiment]) -> list[Embodiment]:
        """Whose latents a decoder is shown: everybody's, or where it is frozen only those of encoders that learn."""
        return present if target in self.learning else self.learning

    def _target(self, target: Embodiment, sources: list[Source]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Reconstruction, retargeting and twin loss, and roughness, of one decoder."""
        sources = [source if source.body is target else source.every(self.recipe.stride, self.step) for source in sources]
        paths = [source.path for source in sources if source.body is not target]
        q = self.coders[target.name].decode(torch.cat([*(source.latent for source in sources), *paths]))
        tips = target.tips(q)
        known = sum(len(source.q) for source in sources)
        rough = roughness(tips[known:], len(paths))
        q, tips = q[:known], tips[:known]
        mask = torch.cat([self._mask(source.body, target, len(source.q)) for source in sources])
        retargeted = retargeting(torch.cat([source.pinches for source in sources]), pinches(tips, target.fingers), mask, self.recipe)
        sizes = [len(source.q) for source in sources]
        arrived = list(zip(sources, q.split(sizes), tips.split(sizes), strict=True))
        own = [(decoded - source.q).square().mean() for source, decoded, _ in arrived if source.body is target]
        twin = [(there - source.tips).square().sum(-1).mean() for source, _, there in arrived if self._are_twins(source.body, target)]
        return sum(own, torch.zeros(())), retargeted, sum(twin, torch.zeros(())), rough

    def _are_twins(self, a: Embodiment, b: Embodiment) -> bool:
        return a.hand is b.hand and a is not b

    @staticmethod
    def _mask(source: Embodiment, target: Embodiment, count: int) -> Tensor:
        mask = shared(source.fingers, target.fingers) * (source is not target)
        return mask.expand(count, -1)

    def _train_step(self) -> Losses:
        if self.step == self.recipe.steps:
            self._copy_twins()
            self._learn(self.learning)
        self.optimiser.set_rate(rate(self.recipe, self.step))
        self._set_precision()
        shown = self.bodies if self.step >= self.recipe.steps else self.learning
        losses = self.losses({body.name: self.samplers[body.name]() for body in shown})
        self.optimiser.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_([p for p in self.coders.parameters() if p.requires_grad], 10.0)
        self.optimiser.step()
        self.step += 1
        return losses

    @property
    def _coarse(self) -> bool:
        return self.step < self.recipe.coarse * self.recipe.steps

    def _set_precision(self) -> None:
        """Coarse first: rounding only matters for the last, small errors."""
        for network in self.coders.modules():
            if isinstance(network, Mlp):
                network.coarse = self._coarse

    def _copy_twins(self) -> None:
        for left, right in self.twins.items():
            self.coders[left].load_state_dict(self.coders[right.name].state_dict())

    def _learn(self, bodies: Sequence[Embodiment]) -> None:
        """Frees the networks of these embodiments, with an optimiser of their own, and freezes all others."""
        self.coders.requires_grad_(False)
        for body in bodies:
            self.coders[body.name].requires_grad_(True)
        free = [p for p in self.coders.parameters() if p.requires_grad]
        self.optimiser = Optimiser(free, self.recipe.rate, self.recipe.orthogonal)

    def save(self, path: Path) -> None:
        """Writes all that `resume` needs."""
        state = {
            "recipe": asdict(self.recipe),
            "hands": self.hands,
            "seed": self.seed,
            "step": self.step,
            "seconds": self.seconds,
            "coders": self.coders.state_dict(),
            "optimiser": self.optimiser.state_dict(),
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
        self.step, self.seconds = state["step"], state["seconds"]
        # At the very turn the state is still that of the right hands' optimiser.
        self._learn([body for body in self.bodies if body.second == (self.step > self.recipe.steps)])
        self.coders.load_state_dict(state["coders"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])


def rate(recipe: Recipe, step: int) -> float:
    """The learning rate of a step; one cycle warms up linearly and anneals along a cosine, for right and left hands each."""
    lefts = step >= recipe.steps
    peak = recipe.left_rate if lefts else recipe.rate
    if not recipe.one_cycle:
        return peak
    done = (step - recipe.steps) / recipe.left_steps if lefts else step / recipe.steps
    if done < WARM_UP:
        return peak * (0.04 + 0.96 * done / WARM_UP)
    return peak * (1e-4 + 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))))


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
