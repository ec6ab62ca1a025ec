"""What a training step minimises: each decoder on the poses of its own hand and of all others
(paper, section 3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Generator, Tensor

from xlvla_policy.latent.contact import SelfContact
from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.losses import divergence, pinches, retargeting, roughness, shared
from xlvla_policy.latent.model import Coders
from xlvla_policy.latent.pads import PadPose, Pads
from xlvla_policy.latent.recipe import Recipe
from xlvla_policy.latent.touch_losses import inconsistency, touch_loss, whitening

SPACING = 0.1
"""Between neighbouring points of a path, as a part of the line between two poses."""
NEAR = 3.0
"""Pads whose gap is further than this, in terms of the recipe's reach, weigh next to nothing."""


@dataclass(frozen=True)
class Losses:
    """Unweighted losses of one step; `total` is weighted."""

    total: Tensor
    reconstruction: Tensor
    retargeting: Tensor
    twin: Tensor
    kl: Tensor
    touch: Tensor
    inconsistency: Tensor


@dataclass(frozen=True)
class EmbodimentBatch:
    """One embodiment's part of a batch: poses, what its encoder makes of them, and paths.

    Args:
        q: [B, J] rad.
        tips: [B, F, 3] m.
        pinches: [B, 4, 3] m.
        pads: what they do in these poses; None where touch is no part of the recipe.
        mean, log_variance: [B, L] of the posterior.
        latent: [B, L] sampled from it.
        whitening: [L, L] of the latents of uniform poses, where hands are to agree on latents.
        checked: [K] indices of the poses that are checked for self-contact ...
        free: ... and whether each is free of it.
        thinned: whether these are every n-th pose already.
        path: [8 N, L] first points, then second ones, ... of N straight lines between two latents;
            then latents of N lines of poses.
    """

    body: Embodiment
    q: Tensor
    tips: Tensor
    pinches: Tensor
    pads: PadPose | None
    mean: Tensor
    log_variance: Tensor
    latent: Tensor
    whitening: Tensor
    checked: Tensor
    free: Tensor
    path: Tensor
    thinned: bool = False

    def every(self, stride: int, turn: int) -> EmbodimentBatch:
        """Every n-th pose, others each turn."""
        if self.thinned or stride == 1:
            return self
        first = turn % stride
        kept = slice(first, None, stride)
        checked_and_kept = self.checked % stride == first
        return replace(
            self,
            q=self.q[kept],
            tips=self.tips[kept],
            pinches=self.pinches[kept],
            pads=self.pads[kept] if self.pads else None,
            mean=self.mean[kept],
            log_variance=self.log_variance[kept],
            latent=self.latent[kept],
            checked=self.checked[checked_and_kept] // stride,
            free=self.free[checked_and_kept],
            thinned=True,
        )


@dataclass(frozen=True)
class Decoded:
    """The poses [B, J] rad that a decoder makes of one source's latents, and their fingertips
    [B, F, 3] m.
    """

    source: EmbodimentBatch
    q: Tensor
    tips: Tensor


@dataclass(frozen=True)
class DecoderLosses:
    """Losses of one decoder; `form` is the weighted cost of rough paths and of self-contact,
    `touch` is weighted, too.
    """

    reconstruction: Tensor
    retargeting: Tensor
    twin: Tensor
    form: Tensor
    touch: Tensor
    inconsistency: Tensor

    def weighted(self, weight: float) -> DecoderLosses:
        return DecoderLosses(
            weight * self.reconstruction,
            weight * self.retargeting,
            weight * self.twin,
            weight * self.form,
            weight * self.touch,
            weight * self.inconsistency,
        )


@dataclass(frozen=True)
class Roles:
    """Whose networks learn, whose decoders count, and what each of the frozen ones weighs beside
    those that learn; paths and self-contact only count where `exact`.

    Poses of those that learn are `dealt` out among so many frozen decoders, so that each is shown
    others; 0 shows all of them the same. A decoder is shown every n-th of its `own` hand's.
    """

    learning: Sequence[Embodiment]
    decoding: Sequence[Embodiment]
    frozen: float = 1.0
    exact: bool = True
    dealt: int = 0
    own: int = 1


@dataclass(frozen=True)
class Objective:
    """The losses of a batch of poses [B, J] rad by embodiment; the poses that other hands are shown
    differ from one `turn` to the next.
    """

    bodies: Sequence[Embodiment]
    coders: Coders
    recipe: Recipe
    contacts: Mapping[str, SelfContact]
    pads: Mapping[str, Pads]

    def __call__(
        self,
        poses: Mapping[str, Tensor],
        roles: Roles,
        generator: Generator,
        turn: int = 0,
        lessons: Sequence[EmbodimentBatch] = (),
    ) -> Losses:
        """`lessons` are batches of frozen embodiments that have been encoded before."""
        sources: list[EmbodimentBatch] = []
        for body in self.bodies:
            if body.name in poses:
                sources.append(self.source(body, poses[body.name], roles, generator, turn))
        sources += lessons
        decoders: list[DecoderLosses] = []
        for source in sources:
            if source.body in roles.decoding:
                decoders.append(self._decoder(source.body, sources, roles, turn))
        count = len(roles.learning)
        reconstruction = _sum([decoder.reconstruction for decoder in decoders]) / count
        retargeted = _sum([decoder.retargeting for decoder in decoders]) / count
        twin = _sum([decoder.twin for decoder in decoders]) / count
        form = _sum([decoder.form for decoder in decoders]) / count
        touch = _sum([decoder.touch for decoder in decoders]) / count
        inconsistent = _sum([decoder.inconsistency for decoder in decoders]) / count
        divergences = [divergence(source.mean, source.log_variance) for source in sources]
        kl = torch.stack(divergences).mean()
        recipe = self.recipe
        total = (
            recipe.reconstruction * reconstruction
            + retargeted
            + recipe.twin * twin
            + form
            + touch
            + recipe.consistent * inconsistent
            + recipe.kl * kl
        )
        return Losses(total, reconstruction, retargeted, twin, kl, touch, inconsistent)

    def source(
        self, body: Embodiment, q: Tensor, roles: Roles, generator: Generator, turn: int
    ) -> EmbodimentBatch:
        """Poses [B, J] rad of an embodiment, encoded."""
        thinned = body not in roles.learning
        if thinned:
            # Only decoders that learn from their own poses are shown all of them.
            stride = self.recipe.stride
            q = q[turn % stride :: stride]
        mean, log_variance = self.coders[body.name].encode(q)
        if self.recipe.sampled:
            noise = torch.randn(mean.shape, generator=generator)
        else:
            noise = torch.zeros_like(mean)
        tips = body.tips(q)
        latent = mean + torch.exp(0.5 * log_variance) * noise
        path = mean[:0]
        if roles.exact and self.recipe.paths:
            path = self._path(body, q, mean, generator)
        checked = torch.arange(0)
        if roles.exact and self.contacts:
            checked = self._checked(len(q), thinned, roles, turn)
        free = q[:0, 0]
        if len(checked):
            free = self.contacts[body.name].free(q[checked])
        pads = self.pads[body.name](q) if self.pads else None
        whitened = mean[:0]
        if self.recipe.consistent:
            whitened = whitening(mean[: self._uniform(q)])
        return EmbodimentBatch(
            body,
            q,
            tips,
            pinches(tips, body.fingers),
            pads,
            mean,
            log_variance,
            latent,
            whitened,
            checked,
            free,
            path,
            thinned,
        )

    def _uniform(self, q: Tensor) -> int:
        """How many of the poses of a batch are uniform; they come first."""
        return round(len(q) * self.recipe.mixture[0] / sum(self.recipe.mixture))

    def _checked(self, poses: int, thinned: bool, roles: Roles, turn: int) -> Tensor:
        """Indices [K] of poses that are checked for self-contact, others each turn: checking all is
        too slow. Of what every other decoder is shown, as many are checked.
        """
        if thinned:
            shown = torch.arange(poses)[:, None]
        elif roles.dealt:
            # A row holds one pose of each decoder's.
            shown = torch.arange(poses - poses % roles.dealt).unflatten(0, (-1, roles.dealt))
        else:
            shown = torch.arange(turn % self.recipe.stride, poses, self.recipe.stride)[:, None]
        stride = max(1, len(shown) // self.recipe.looks)
        return shown[turn % stride :: stride].flatten()

    def _path(self, body: Embodiment, q: Tensor, mean: Tensor, generator: Generator) -> Tensor:
        """Latents of four points each on lines between uniform poses, which come first: half of
        them lines of poses, half of latents.
        """
        uniform = self._uniform(q)
        count = min(self.recipe.paths, uniform // 2) // 2
        ends = torch.randperm(uniform, generator=generator)[: 4 * count].unflatten(0, (4, -1))
        from_pose, to_pose, from_latent, to_latent = ends
        start = torch.rand(2, count, 1, generator=generator) * (1 - 3 * SPACING)
        part = start[:, None] + SPACING * torch.arange(4.0)[:, None, None]
        moved = torch.lerp(q[from_pose], q[to_pose], part[0]).flatten(0, 1)
        blended = torch.lerp(mean[from_latent], mean[to_latent], part[1]).flatten(0, 1)
        encoded, _ = self.coders[body.name].encode(moved)
        return torch.cat([blended, encoded])

    def _decoder(
        self, target: Embodiment, sources: Sequence[EmbodimentBatch], roles: Roles, turn: int
    ) -> DecoderLosses:
        """The losses of one decoder on the latents it is shown."""
        shown = self._shown(target, sources, roles, turn)
        paths: list[Tensor] = []
        if roles.exact:
            paths = [source.path for source in shown if source.body is not target]
        lengths = [len(source.q) for source in shown]
        poses = sum(lengths)
        latents = [source.latent for source in shown]
        # Poses and points of paths go through the decoder together, poses first.
        q = self.coders[target.name].decode(torch.cat([*latents, *paths]))
        tips = target.tips(q)
        form = self.recipe.smooth * _roughness(tips[poses:], paths)
        q = q[:poses]
        tips = tips[:poses]
        masks = [_mask(source.body, target, len(source.q)) for source in shown]
        retargeted = retargeting(
            torch.cat([source.pinches for source in shown]),
            pinches(tips, target.fingers),
            torch.cat(masks),
            self.recipe,
        )
        decoded: list[Decoded] = []
        parts = zip(shown, q.split(lengths), tips.split(lengths), strict=True)
        for source, source_q, source_tips in parts:
            decoded.append(Decoded(source, source_q, source_tips))
        reconstruction = torch.zeros(())
        twin = torch.zeros(())
        for each in decoded:
            if each.source.body is target:
                reconstruction = reconstruction + (each.q - each.source.q).square().mean()
            elif each.source.body.hand is target.hand:
                twin = twin + (each.tips - each.source.tips).square().sum(-1).mean()
        others = [each for each in decoded if each.source.body is not target]
        touch = torch.zeros(())
        if self.pads:
            touch = self._touch(target, others)
        inconsistent = torch.zeros(())
        if self.recipe.consistent:
            inconsistent = self._inconsistency(target, others)
        if self.contacts and roles.exact:
            form = form + self.recipe.clear * self.collision(target, decoded)
        losses = DecoderLosses(reconstruction, retargeted, twin, form, touch, inconsistent)
        if target in roles.learning:
            return losses
        return losses.weighted(roles.frozen)

    def _touch(self, target: Embodiment, others: Sequence[Decoded]) -> Tensor:
        """What it costs that pads do not touch as the sources' do; only poses in which a source's
        are near touching are looked at.
        """
        q: list[Tensor] = []
        sources: list[PadPose] = []
        masks: list[Tensor] = []
        for each in others:
            pads = each.source.pads
            assert pads is not None
            near = (pads.gap.abs() < NEAR / self.recipe.touch_reach).any(dim=1)
            q.append(each.q[near])
            sources.append(pads[near])
            masks.append(_mask(each.source.body, target, int(near.sum())))
        source = PadPose(
            torch.cat([pads.gap for pads in sources]), torch.cat([pads.facing for pads in sources])
        )
        mask = torch.cat(masks)
        if not mask.any():
            return torch.zeros(())
        near_share = len(mask) / sum(len(each.q) for each in others)
        found = self.pads[target.name](torch.cat(q))
        return near_share * touch_loss(source, found, mask, self.recipe)

    def _inconsistency(self, target: Embodiment, others: Sequence[Decoded]) -> Tensor:
        """How far the decoder's poses are from where they came from, once they are encoded."""
        again, _ = self.coders[target.name].encode(torch.cat([each.q for each in others]))
        parts = again.split([len(each.q) for each in others])
        off: list[Tensor] = []
        for each, part in zip(others, parts, strict=True):
            off.append(inconsistency(part, each.source.latent, each.source.whitening))
        return torch.cat(off).mean()

    def _shown(
        self, target: Embodiment, sources: Sequence[EmbodimentBatch], roles: Roles, turn: int
    ) -> list[EmbodimentBatch]:
        """What a decoder is shown of its own poses, and of each other hand's.

        A frozen decoder is shown only what encoders that learn make: the rest cannot change.
        """
        stride = self.recipe.stride
        frozen = target not in roles.learning
        if frozen and roles.dealt:
            stride = roles.dealt
            turn = turn + self._place(target, roles)
        shown: list[EmbodimentBatch] = []
        for source in sources:
            if frozen and source.body not in roles.learning:
                continue
            if source.body is target:
                shown.append(source.every(roles.own, turn))
            else:
                shown.append(source.every(stride, turn))
        return shown

    def _place(self, target: Embodiment, roles: Roles) -> int:
        """The how manieth of the frozen embodiments one is."""
        frozen = [body for body in self.bodies if body not in roles.learning]
        return frozen.index(target)

    def collision(self, target: Embodiment, decoded: Sequence[Decoded]) -> Tensor:
        """Mean depth [m], summed over pairs of links, to which decoded poses reach into themselves
        though the source's do not.

        What a source does to itself no other hand can copy without doing so too.
        """
        others = [each for each in decoded if each.source.body is not target]
        checked = torch.cat([each.q[each.source.checked] for each in others])
        free = torch.cat([each.source.free for each in others])
        return (free * self.contacts[target.name].penetration(checked)).mean()


def objective(bodies: Sequence[Embodiment], coders: Coders, recipe: Recipe) -> Objective:
    contacts: dict[str, SelfContact] = {}
    if recipe.clear:
        for body in bodies:
            contacts[body.name] = SelfContact(body.hand, body.sides[0])
    pads: dict[str, Pads] = {}
    if recipe.touch:
        for body in bodies:
            pads[body.name] = Pads(body.hand, body.sides[0])
    return Objective(bodies, coders, recipe, contacts, pads)


def _roughness(tips: Tensor, paths: Sequence[Tensor]) -> Tensor:
    """Mean third difference [m] of fingertips along the paths of all sources, which may have
    different numbers of lines; half of each source's are lines of poses, half of latents.
    """
    lengths = [len(path) for path in paths]
    total = torch.zeros(())
    for part in tips.split(lengths) if lengths else ():
        total = total + len(part) * roughness(part, 2)
    return total / max(1, sum(lengths))


def _sum(losses: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(losses)).sum()


def _mask(source: Embodiment, target: Embodiment, count: int) -> Tensor:
    """[count, 4] 1 for every pinch that is retargeted; a hand's own poses are reconstructed."""
    mask = shared(source.fingers, target.fingers) * (source is not target)
    return mask.expand(count, -1)
