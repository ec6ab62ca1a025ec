"""Teaching the operator's hand the latent: every robot hand's networks are frozen, and two are
learnt, from a person's keypoints to the latent and from the latent to a person's joints.

The encoder learns from what all frozen decoders make of its latents: the lines from thumb tip to
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
from xlvla_policy.latent.human_losses import (
    TOUCH_M,
    HumanLosses,
    HumanLossWeights,
    RobotLosses,
    closed,
)
from xlvla_policy.latent.human_poses import LOWER, UPPER, lines, random_human_poses, tracked, unlike
from xlvla_policy.latent.losses import pinches, retargeting, roughness, shared
from xlvla_policy.latent.model import Coders, Mlp
from xlvla_policy.latent.new_hand import load, shaped
from xlvla_policy.latent.optimiser import Optimiser
from xlvla_policy.latent.recipe import TIPS, Recipe
from xlvla_policy.latent.sampling import uniform_poses
from xlvla_policy.latent.schedule import Phase, rate
from xlvla_policy.latent.weights import layers, save

STEPS = 2700
COARSE = 0.6
"""Share of the steps whose hidden layers multiply in half precision."""
PEAK = 3e-3
"""Highest learning rate."""
HANDS = 3
"""Robot hands that a step is about, others each time."""
PEOPLE = 192
"""Poses of people in a step."""
ROBOTS = 32
"""Poses of each of its robot hands."""
PATHS = 16
"""Lines between poses of people in a step."""
POOL = 24576
"""Poses of people that steps draw from."""
NOISE_M = 0.001
"""By so much a tracker's keypoints jitter."""
WIDTHS = (256, 256, 256)
"""Hidden widths of both networks."""
SPACING = 0.1
"""Between neighbouring points of a path, as a part of the line between two poses."""
SCATTER = 0.2
"""How far a closing robot hand's joints stray from closing together, as a part of the motion."""
MIDDLE_SIZED = Anatomy(
    torch.tensor(ADULT.roots, dtype=torch.float32),
    torch.tensor(ADULT.bones, dtype=torch.float32),
)


@dataclass(frozen=True)
class PeopleBatch:
    """Keypoints of people in the frame and size of the encoder's input.

    Args:
        seen: [PEOPLE, 21, 3] m as a tracker sees them.
        points: [PEOPLE, 21, 3] m the same as they are.
        paths: [4 P, 21, 3] m first points, then second ones, ... of P lines between poses.
    """

    seen: Tensor
    points: Tensor
    paths: Tensor


@dataclass(frozen=True)
class RobotBatch:
    """Poses [ROBOTS, J] rad of one robot hand, and their latents [ROBOTS, L]."""

    body: Embodiment
    q: Tensor
    latent: Tensor


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
        middle = (UPPER + LOWER) / 2
        reach = (UPPER - LOWER) / 2
        return middle + reach * torch.tanh(self.decoder(z))


class HumanRun:
    """A training run: what is learnt, from which hands, and how far it is; `seconds` of CPU time
    are counted.
    """

    def __init__(
        self,
        base: Path = SHIPPED,
        steps: int = STEPS,
        seed: int = 0,
        weights: HumanLossWeights | None = None,
    ):
        started = time.process_time()
        self.codec = Codec.load(base)
        self.weights = weights or HumanLossWeights()
        tensors = load_file(base)
        self.recipe = shaped(TIPS, self.codec, tensors, steps)
        self.bodies = embodiments([catalog.hand(name) for name in self.codec.hands])
        torch.manual_seed(seed)
        self.coders = Coders(self.bodies, self.recipe).requires_grad_(False)
        for body in self.bodies:
            entry = self.codec.card["hands"][body.hand.name][body.sides[0]]
            load(self.coders[body.name], tensors, entry, self.codec.latent_dim)
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

    @property
    def _coarse(self) -> bool:
        return self.step < self.phase.turn

    def run(self) -> Iterator[HumanLosses]:
        """Trains to the end, yielding each step's losses."""
        while self.step < self.steps:
            started = time.process_time()
            for part in (*self.coders.modules(), *self.person.modules()):
                if isinstance(part, Mlp):
                    part.coarse = self._coarse
            self.optimiser.set_rate(rate(TIPS, self.phase, self.step))
            losses = self.losses()
            self.optimiser.zero_grad()
            losses.total.backward()
            self.optimiser.step()
            self.step += 1
            self.seconds += time.process_time() - started
            yield losses

    def losses(self) -> HumanLosses:
        """The losses of a new batch."""
        weights = self.weights
        people = self._people_batch()
        order = torch.randperm(len(self.bodies), generator=self.generator).tolist()
        robots = self._robot_batches([self.bodies[number] for number in order[:HANDS]])
        robot_latents = torch.cat([robot.latent for robot in robots])

        angles = self.person.pose(robot_latents)
        posed = human.posed(angles, MIDDLE_SIZED, torch)
        z = self.person.encode(torch.cat([people.seen, people.paths]))
        back = self.person.encode(posed)

        wanted = closed(lines(people.points))
        by_robot: list[RobotLosses] = []
        for robot in robots:
            by_robot.append(
                self._robot_losses(
                    robot.body, wanted=wanted, z=z, robot_latents=robot_latents, back=back
                )
            )
        retargeted = torch.stack([each.retargeting for each in by_robot]).mean()
        rough = torch.stack([each.roughness for each in by_robot]).mean()
        home = torch.stack([each.home for each in by_robot]).mean()
        fingertips = torch.stack([each.fingertips for each in by_robot]).mean()

        person_lines = closed(lines(posed)).split(ROBOTS)
        copied: list[Tensor] = []
        for robot, shown in zip(robots, person_lines, strict=True):
            copied.append(self._copy_loss(robot, shown))
        cycle = (
            weights.cycle * (back - robot_latents).square().mean()
            + weights.fingertips * fingertips
            + torch.stack(copied).mean()
        )

        again_angles = self.person.pose(z[: len(people.seen)])
        again = human.posed(again_angles, MIDDLE_SIZED, torch)
        likeness = (
            weights.likeness * (again - people.points).square().sum(-1).mean()
            + weights.plausible * unlike(angles).mean()
        )
        return HumanLosses(retargeted, weights.smooth * rough, weights.home * home, cycle, likeness)

    def _robot_losses(
        self, body: Embodiment, *, wanted: Tensor, z: Tensor, robot_latents: Tensor, back: Tensor
    ) -> RobotLosses:
        """The losses of what one frozen hand decodes.

        Args:
            wanted: [PEOPLE, 4, 3] m lines it is to show.
            z: [PEOPLE + 4 P, L] latents of people, then of their paths.
            robot_latents, back: [HANDS ROBOTS, L] latents of robot poses, before and after they
                went through a person's hand.
        """
        coder = self.coders[body.name]
        people = len(wanted)
        q = coder.decode(torch.cat([z, back]))
        tips = body.tips(q)
        mask = shared(FINGERS, body.fingers).expand(people, -1)
        retargeted = retargeting(wanted, pinches(tips[:people], body.fingers), mask, self.recipe)
        with torch.no_grad():
            own, _ = coder.encode(q[:people])
            before = body.tips(coder.decode(robot_latents))
        fingertips = (tips[len(z) :] - before).square().sum(-1).mean()
        rough = roughness(tips[people : len(z)], 1)
        home = (z[:people] - own).square().mean()
        return RobotLosses(retargeted, rough, home, fingertips)

    def _copy_loss(self, robot: RobotBatch, shown: Tensor) -> Tensor:
        """What it costs that a person's hand shows other lines [ROBOTS, 4, 3] m than the robot's
        poses it stands for.
        """
        body = robot.body
        mask = shared(FINGERS, body.fingers).expand(len(robot.q), -1)
        return retargeting(pinches(body.tips(robot.q), body.fingers), shown, mask, self.recipe)

    def _people_batch(self) -> PeopleBatch:
        drawn = torch.randint(len(self.people), (PEOPLE,), generator=self.generator)
        points = self.points[drawn]
        # Half precision is rougher than any path, so paths only count in exact steps.
        paths = 0 if self._coarse else PATHS
        a, b = torch.randint(len(self.people), (2, paths), generator=self.generator)
        start = torch.rand(paths, 1, generator=self.generator) * (1 - 3 * SPACING)
        part = start + SPACING * torch.arange(4.0)[:, None, None]
        angles = torch.lerp(self.people.angles[a], self.people.angles[b], part).flatten(0, 1)
        # A line is followed by the person whose pose it begins with.
        person = self.people[a.repeat(4)]
        path = human.posed(angles, Anatomy(person.roots, person.bones), torch)
        return PeopleBatch(
            seen=tracked(points, NOISE_M, self.generator),
            points=tracked(points, 0.0, self.generator),
            paths=tracked(path, 0.0, self.generator),
        )

    @torch.no_grad()
    def _robot_batches(self, bodies: Sequence[Embodiment]) -> list[RobotBatch]:
        """Poses of robots, half random and half closing all joints together."""
        batches: list[RobotBatch] = []
        for body in bodies:
            random = uniform_poses(body, ROBOTS // 2, self.generator)
            q = torch.cat([random, self._closing(body)])
            latent, _ = self.coders[body.name].encode(q)
            batches.append(RobotBatch(body, q, latent))
        return batches

    def _closing(self, body: Embodiment) -> Tensor:
        """Poses [ROBOTS / 2, J] rad between the open hand and the fist."""
        count = ROBOTS // 2
        together = torch.rand(count, 1, generator=self.generator)
        stray = SCATTER * torch.randn(count, body.width, generator=self.generator)
        part = (together + stray).clamp(0, 1)
        return opened(body) + part * (bent(body) - opened(body))

    def write(self, out: Path) -> None:
        """The weights, bound to the codec they were learnt with."""
        tensors = {
            **layers("encoder", self.person.encoder),
            **layers("decoder", self.person.decoder),
        }
        half = {name: tensor.half() for name, tensor in tensors.items()}
        card = {
            "codec": self.codec.hash,
            "activation": self.recipe.activation,
            "hands": list(self.codec.hands),
            "steps": self.steps,
            "seed": self.seed,
            "minutes": round(self.seconds / 60, 2),
            "touch_m": TOUCH_M,
        }
        out.parent.mkdir(parents=True, exist_ok=True)
        save(half, card, out, FORMAT)


def train(
    run: HumanRun, out: Path, progress: Callable[[int, HumanLosses], None] | None = None
) -> None:
    """Trains to the end and writes the weights to `out`."""
    for losses in run.run():
        if progress:
            progress(run.step, losses)
    run.write(out)
