"""Teaching the operator's hand the latent: every robot hand's networks are frozen, and two are
learnt, from a person's keypoints to the latent and from the latent to a person's joints.

The encoder is told what all frozen decoders make of its latents: the lines from thumb tip to
fingertips are to be the person's, with the losses of joint training (paper, section 3), and
touching fingers are to close. The decoder is shown the latents of robot poses; what it makes of
them must lead back to where they came from.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Generator, Tensor, nn

from xlvla import catalog, human
from xlvla.codec import SHIPPED, Codec
from xlvla.human import ADULT, Anatomy
from xlvla.human_codec import FORMAT, features
from xlvla.types import FINGERS
from xlvla_policy.latent.embodiment import Embodiment, embodiments
from xlvla_policy.latent.gestures import bent, opened
from xlvla_policy.latent.human_poses import LOWER, UPPER, lines, random_human_poses, tracked, unlike
from xlvla_policy.latent.losses import pinches, retargeting, roughness, shared
from xlvla_policy.latent.model import Coders, Mlp
from xlvla_policy.latent.new_hand import load, shaped
from xlvla_policy.latent.optimiser import Optimiser
from xlvla_policy.latent.recipe import DEFAULT, Recipe
from xlvla_policy.latent.sampling import uniform_poses
from xlvla_policy.latent.schedule import Phase, rate
from xlvla_policy.latent.weights import layers, save

STEPS = 2700
COARSE = 0.6
PEAK = 3e-3
"""Steps, the share of them whose hidden layers multiply in half precision, and the highest learning
rate.
"""
HANDS = 3
PEOPLE = 192
ROBOTS = 32
PATHS = 16
"""Robot hands that a step is about, others each time; poses of people and of each of those hands,
and lines between poses.
"""
POOL = 24576
NOISE_M = 0.001
WIDTHS = (256, 256, 256)
SPACING = 0.1
TOUCH_M = 0.010
CLOSES_M = 0.03
"""Fingertips that touch are as far apart as this for a tracker, whose points lie inside fingers;
wider ones hardly change.
"""
SHORTEST_M = 1e-4
"""No line of a finger that is there has no length at all."""
SMOOTH = 200.0
HOME = 1.5
CYCLE = 20.0
RETURN = 3000.0
LIKENESS = 1000.0
PLAUSIBLE = 0.5
"""Weights: robots move as smoothly as people [1/m]; latents stay where robots' are; a robot's
latent comes back, and so do its fingertips [1/m^2]; a person's keypoints come back [1/m^2]; hands
that stand for robots' poses look like a person's.
"""

MIDDLE_SIZED = Anatomy(
    *(torch.tensor(part, dtype=torch.float32) for part in (ADULT.roots, ADULT.bones))
)


@dataclass(frozen=True)
class HumanLosses:
    """Weighted losses of a step."""

    retargeting: Tensor
    smooth: Tensor
    home: Tensor
    cycle: Tensor
    likeness: Tensor

    @property
    def total(self) -> Tensor:
        return self.retargeting + self.smooth + self.home + self.cycle + self.likeness


class HumanCoder(nn.Module):
    """What is learnt: encoder and decoder of the operator's hand."""

    def __init__(self, latent: int, recipe: Recipe):
        super().__init__()
        width = features(torch.zeros(1, human.POINTS, 3), torch).shape[1]
        self.encoder = Mlp((width, *WIDTHS, latent), recipe)
        self.decoder = Mlp((latent, *WIDTHS, len(human.JOINTS)), recipe)

    def encode(self, points: Tensor) -> Tensor:
        """Keypoints [B, 21, 3] m of right hands of middle size to latents [B, L]."""
        return self.encoder(features(points, torch))

    def pose(self, z: Tensor) -> Tensor:
        """Latents [B, L] to joints [B, 20] rad."""
        return (UPPER + LOWER) / 2 + (UPPER - LOWER) / 2 * torch.tanh(self.decoder(z))


class HumanRun:
    """A training run: what is learnt, whom it is told, and how far it is; `seconds` of CPU time are
    counted.
    """

    def __init__(self, base: Path = SHIPPED, steps: int = STEPS, seed: int = 0):
        started = time.process_time()
        self.codec = Codec.load(base)
        tensors = load_file(base)
        self.recipe = shaped(DEFAULT, self.codec, tensors, steps)
        self.bodies = embodiments([catalog.hand(name) for name in self.codec.hands])
        torch.manual_seed(seed)
        self.coders = Coders(self.bodies, self.recipe).requires_grad_(False)
        for body in self.bodies:
            load(self.coders[body.name], tensors, body.name, self.codec.latent_dim)
        self.person = HumanCoder(self.codec.latent_dim, self.recipe)
        self.optimiser = Optimiser(self.person.parameters(), PEAK, orthogonal=True)
        self.generator = Generator().manual_seed(seed)
        self.people = random_human_poses(POOL, self.generator)
        self.points = self.people.points()
        self.seed = seed
        self.steps = steps
        self.step = 0
        self.phase = Phase("right", 0, round(COARSE * steps), steps, PEAK)
        self.seconds = time.process_time() - started

    def run(self) -> Iterator[HumanLosses]:
        """Trains to the end, yielding each step's losses."""
        while self.step < self.steps:
            started = time.process_time()
            for part in (*self.coders.modules(), *self.person.modules()):
                if isinstance(part, Mlp):
                    part.coarse = self.step < self.phase.turn
            self.optimiser.set_rate(rate(DEFAULT, self.phase, self.step))
            losses = self.losses()
            self.optimiser.zero_grad()
            losses.total.backward()
            self.optimiser.step()
            self.step += 1
            self.seconds += time.process_time() - started
            yield losses

    def losses(self) -> HumanLosses:
        """The losses of a new batch."""
        seen, points, path = self._batch()
        bodies = [
            self.bodies[k]
            for k in torch.randperm(len(self.bodies), generator=self.generator)[:HANDS].tolist()
        ]
        robots, q = self._robots(bodies)
        angles = self.person.pose(robots)
        shown = human.posed(angles, MIDDLE_SIZED, torch)
        z = self.person.encode(torch.cat([seen, path]))
        back = self.person.encode(shown)
        wanted = closed(lines(points))
        offered = closed(lines(shown)).split(ROBOTS)
        costs = [self._costs(body, z, back, robots, wanted) for body in bodies]
        retargeted, smooth, home, returned = (
            torch.stack(part).mean() for part in zip(*costs, strict=True)
        )
        copied = [
            self._copied(body, *pair)
            for body, pair in zip(bodies, zip(q, offered, strict=True), strict=True)
        ]
        cycle = (
            CYCLE * (back - robots).square().mean() + RETURN * returned + torch.stack(copied).mean()
        )
        again = human.posed(self.person.pose(z[: len(seen)]), MIDDLE_SIZED, torch)
        likeness = (
            LIKENESS * (again - points).square().sum(-1).mean() + PLAUSIBLE * unlike(angles).mean()
        )
        return HumanLosses(retargeted, SMOOTH * smooth, HOME * home, cycle, likeness)

    def _costs(
        self, body: Embodiment, z: Tensor, back: Tensor, robots: Tensor, wanted: Tensor
    ) -> tuple[Tensor, ...]:
        """What one frozen hand makes of people's latents: its lines, its roughness, how far from
        its own latents they are, and of robots' latents that went through a person's hand: how far
        its fingertips are from where they were.
        """
        coder = self.coders[body.name]
        people = len(wanted)
        q = coder.decode(torch.cat([z, back]))
        tips = body.tips(q)
        mask = shared(FINGERS, body.fingers).expand(people, -1)
        retargeted = retargeting(wanted, pinches(tips[:people], body.fingers), mask, self.recipe)
        with torch.no_grad():
            own = coder.encode(q[:people])[0]
            before = body.tips(coder.decode(robots))
        returned = (tips[len(z) :] - before).square().sum(-1).mean()
        return (
            retargeted,
            roughness(tips[people : len(z)], 1),
            (z[:people] - own).square().mean(),
            returned,
        )

    def _copied(self, body: Embodiment, q: Tensor, offered: Tensor) -> Tensor:
        """What it costs that a person's hand shows other lines than the robot's pose it stands
        for.
        """
        mask = shared(FINGERS, body.fingers).expand(len(q), -1)
        return retargeting(pinches(body.tips(q), body.fingers), offered, mask, self.recipe)

    def _batch(self) -> tuple[Tensor, Tensor, Tensor]:
        """Keypoints as trackers see them and as they are [PEOPLE, 21, 3], and those along lines
        between poses [4 PATHS, 21, 3].
        """
        chosen = torch.randint(len(self.people), (PEOPLE,), generator=self.generator)
        points = self.points[chosen]
        paths = (
            0 if self.step < self.phase.turn else PATHS
        )  # half precision is rougher than any path
        a, b = torch.randint(len(self.people), (2, paths), generator=self.generator)
        start = torch.rand(paths, 1, generator=self.generator) * (1 - 3 * SPACING)
        part = start + SPACING * torch.arange(4.0)[:, None, None]
        angles = torch.lerp(self.people.angles[a], self.people.angles[b], part).flatten(0, 1)
        one = self.people[a.repeat(4)]
        path = human.posed(angles, Anatomy(one.roots, one.bones), torch)
        seen, still, moving = (
            tracked(each, noise, self.generator)
            for each, noise in ((points, NOISE_M), (points, 0.0), (path, 0.0))
        )
        return seen, still, moving

    @torch.no_grad()
    def _robots(self, bodies: Sequence[Embodiment]) -> tuple[Tensor, list[Tensor]]:
        """Latents [hands ROBOTS, L] of robot poses, half random and half closing all joints
        together, and the poses [ROBOTS, J] by hand.
        """
        poses = [
            torch.cat([uniform_poses(body, ROBOTS // 2, self.generator), self._closing(body)])
            for body in bodies
        ]
        return torch.cat(
            [self.coders[body.name].encode(q)[0] for body, q in zip(bodies, poses, strict=True)]
        ), poses

    def _closing(self, body: Embodiment) -> Tensor:
        part = torch.rand(ROBOTS // 2, 1, generator=self.generator) + 0.2 * torch.randn(
            ROBOTS // 2, body.width, generator=self.generator
        )
        return opened(body) + part.clamp(0, 1) * (bent(body) - opened(body))

    def write(self, out: Path) -> None:
        """The weights, bound to the codec they were learnt with."""
        tensors = layers("encoder", self.person.encoder) | layers("decoder", self.person.decoder)
        about = {
            "steps": self.steps,
            "seed": self.seed,
            "minutes": round(self.seconds / 60, 2),
            "touch_m": TOUCH_M,
        }
        card = {
            "codec": self.codec.hash,
            "activation": self.recipe.activation,
            "hands": list(self.codec.hands),
            **about,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        save({name: tensor.half() for name, tensor in tensors.items()}, card, out, FORMAT)


def train(
    run: HumanRun, out: Path, progress: Callable[[int, HumanLosses], None] | None = None
) -> None:
    """Trains to the end and writes the weights to `out`."""
    for losses in run.run():
        if progress:
            progress(run.step, losses)
    run.write(out)


def closed(wide: Tensor) -> Tensor:
    """Lines [N, 4, 3] m that a robot is to show for a person's: those of touching fingers have
    hardly any length.
    """
    length = torch.sqrt(wide.square().sum(-1, keepdim=True) + 1e-10)
    return wide * (
        (length - TOUCH_M * torch.exp(-((length / CLOSES_M) ** 2))).clamp(min=SHORTEST_M) / length
    )
