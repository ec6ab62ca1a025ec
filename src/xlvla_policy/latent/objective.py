"""What a training step minimises: each decoder on the poses of its own hand and of all others
(paper, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.contact import TOLERANCE_M, SelfContact
from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.losses import divergence, pinches, retargeting, roughness, shared
from xlvla_policy.latent.model import Coders
from xlvla_policy.latent.recipe import Recipe

SPACING = 0.1
"""Between neighbouring points of a path, as a part of the line between two poses."""


@dataclass(frozen=True)
class Losses:
    """Unweighted losses of one step; `total` is weighted."""

    total: Tensor
    reconstruction: Tensor
    retargeting: Tensor
    twin: Tensor
    kl: Tensor


@dataclass(frozen=True)
class EmbodimentBatch:
    """One embodiment's part of a batch: poses [B, J] rad, their fingertips, pinches and sampled
    latents, and paths.

    Args:
        free: whether poses that are looked at are free of self-contact; empty where nobody looks.
        path: [8 N, L] first points, then second ones, ... of N straight lines between two latents;
            then latents of N lines of poses.
    """

    body: Embodiment
    q: Tensor
    tips: Tensor
    pinches: Tensor
    latent: Tensor
    free: Tensor
    path: Tensor

    def every(self, stride: int, turn: int) -> EmbodimentBatch:
        """Every n-th pose, others each turn."""
        q, tips, lines, latent = (
            part[turn % stride :: stride] for part in (self.q, self.tips, self.pinches, self.latent)
        )
        return EmbodimentBatch(self.body, q, tips, lines, latent, self.free, self.path)


@dataclass(frozen=True)
class Roles:
    """Whose networks learn, and what each of the frozen decoders weighs beside those; paths are
    only followed where `exact`.
    """

    learning: Sequence[Embodiment]
    frozen: float = 1.0
    exact: bool = True


@dataclass(frozen=True)
class Objective:
    """The losses of a batch of poses [B, J] rad by embodiment; every `turn` other ones are shown to
    other hands.
    """

    bodies: Sequence[Embodiment]
    coders: Coders
    recipe: Recipe
    contacts: Mapping[str, SelfContact]

    def __call__(
        self, poses: Mapping[str, Tensor], roles: Roles, generator: Generator, turn: int = 0
    ) -> Losses:
        present = [body for body in self.bodies if body.name in poses]
        posteriors = [self.coders[body.name].encode(poses[body.name]) for body in present]
        drawn = zip(present, posteriors, strict=True)
        sources = {
            body.name: self.source(body, poses[body.name], *posterior, roles, generator, turn)
            for body, posterior in drawn
        }
        each = [
            self._target(target, self._sources(target, sources, roles), roles, turn)
            for target in present
        ]
        reconstruction, retargeted, twin, form = (
            torch.stack(part).sum() / len(roles.learning) for part in zip(*each, strict=True)
        )
        kl = torch.stack([divergence(*posterior) for posterior in posteriors]).mean()
        r = self.recipe
        total = r.reconstruction * reconstruction + retargeted + r.twin * twin + form + r.kl * kl
        return Losses(total, reconstruction, retargeted, twin, kl)

    def source(
        self,
        body: Embodiment,
        q: Tensor,
        mean: Tensor,
        log_variance: Tensor,
        roles: Roles,
        generator: Generator,
        turn: int,
    ) -> EmbodimentBatch:
        noise = (
            torch.randn(mean.shape, generator=generator)
            if self.recipe.sampled
            else torch.zeros_like(mean)
        )
        tips = body.tips(q)
        latent = mean + torch.exp(0.5 * log_variance) * noise
        path = (
            self._path(body, q, mean, generator) if roles.exact and self.recipe.paths else mean[:0]
        )
        shown = q[turn % self.recipe.stride :: self.recipe.stride]
        free = (
            self.contacts[body.name].deepest(self._look(shown, turn)) < TOLERANCE_M
            if self.contacts and roles.exact
            else q[:0, 0]
        )
        return EmbodimentBatch(body, q, tips, pinches(tips, body.fingers), latent, free, path)

    def _look(self, q: Tensor, turn: int) -> Tensor:
        """Every turn some of the poses are looked at for collisions."""
        stride = max(1, len(q) // self.recipe.looks)
        return q[turn % stride :: stride]

    def _path(self, body: Embodiment, q: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        """Latents of four points each on lines between uniform poses, which come first: half of
        them lines of poses, half of latents.
        """
        uniform = round(len(q) * self.recipe.mixture[0] / sum(self.recipe.mixture))
        count = min(self.recipe.paths, uniform // 2) // 2
        ends = torch.randperm(uniform, generator=generator)[: 4 * count].unflatten(0, (4, -1))
        start = torch.rand(2, count, 1, generator=generator) * (1 - 3 * SPACING)
        part = start[:, None] + SPACING * torch.arange(4.0)[:, None, None]
        moved, blended = (
            torch.lerp(x[a], x[b], w).flatten(0, 1)
            for x, a, b, w in zip((q, mean), ends[::2], ends[1::2], part, strict=True)
        )
        return torch.cat([blended, self.coders[body.name].encode(moved)[0]])

    def _sources(
        self, target: Embodiment, sources: Mapping[str, EmbodimentBatch], roles: Roles
    ) -> list[EmbodimentBatch]:
        """Whose latents a decoder is shown: everybody's, or where it is frozen only those of
        encoders that learn.
        """
        shown = (
            sources.values()
            if target in roles.learning
            else (sources[body.name] for body in roles.learning)
        )
        return list(shown)

    def _target(
        self, target: Embodiment, sources: list[EmbodimentBatch], roles: Roles, turn: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Reconstruction, retargeting and twin loss of one decoder, and what its roughness and its
        collisions cost.
        """
        sources = [
            source if source.body is target else source.every(self.recipe.stride, turn)
            for source in sources
        ]
        paths = [source.path for source in sources if source.body is not target]
        q = self.coders[target.name].decode(
            torch.cat([*(source.latent for source in sources), *paths])
        )
        tips = target.tips(q)
        sizes = [len(source.q) for source in sources]
        form = self.recipe.smooth * roughness(tips[sum(sizes) :], 2 * len(paths))
        q = q[: sum(sizes)]
        tips = tips[: sum(sizes)]
        mask = torch.cat([_mask(source.body, target, len(source.q)) for source in sources])
        retargeted = retargeting(
            torch.cat([source.pinches for source in sources]),
            pinches(tips, target.fingers),
            mask,
            self.recipe,
        )
        arrived = list(zip(sources, q.split(sizes), tips.split(sizes), strict=True))
        own = [
            (decoded - source.q).square().mean()
            for source, decoded, _ in arrived
            if source.body is target
        ]
        twin = [
            (there - source.tips).square().sum(-1).mean()
            for source, _, there in arrived
            if _are_twins(source.body, target)
        ]
        if self.contacts and roles.exact:
            form = form + self.recipe.clear * self.collision(target, arrived, turn)
        parts = (sum(own, torch.zeros(())), retargeted, sum(twin, torch.zeros(())), form)
        return parts if target in roles.learning else tuple(roles.frozen * part for part in parts)  # pyright: ignore[reportReturnType]

    def collision(
        self,
        target: Embodiment,
        arrived: Sequence[tuple[EmbodimentBatch, Tensor, Tensor]],
        turn: int,
    ) -> Tensor:
        """Mean depth [m], summed over pairs of links, to which decoded poses reach into themselves
        though the source's do not.

        What a source does to itself no other hand can copy without doing so too.
        """
        others = [(source, q) for source, q, _ in arrived if source.body is not target]
        deep = (
            self.contacts[target.name](torch.cat([self._look(q, turn) for _, q in others]))
            .clamp(min=0)
            .sum(dim=1)
        )
        return (torch.cat([source.free for source, _ in others]) * deep).mean()


def objective(bodies: Sequence[Embodiment], coders: Coders, recipe: Recipe) -> Objective:
    contacts = (
        {body.name: SelfContact(body.hand, body.sides[0]) for body in bodies}
        if recipe.clear
        else {}
    )
    return Objective(bodies, coders, recipe, contacts)


def _are_twins(a: Embodiment, b: Embodiment) -> bool:
    return a.hand is b.hand and a is not b


def _mask(source: Embodiment, target: Embodiment, count: int) -> Tensor:
    mask = shared(source.fingers, target.fingers) * (source is not target)
    return mask.expand(count, -1)
