"""Training the codec: all embodiments in one run, resumable to the bit, written atomically."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import Generator, Tensor

from xlvla.errors import XlvlaError
from xlvla.files import replacing
from xlvla_policy.latent.embodiment import Embodiment
from xlvla_policy.latent.model import Coders, Mlp
from xlvla_policy.latent.objective import (
    EmbodimentBatch,
    Losses,
    Objective,
    Roles,
    objective,
)
from xlvla_policy.latent.optimiser import Optimiser
from xlvla_policy.latent.recipe import Recipe
from xlvla_policy.latent.sampler import Sampler
from xlvla_policy.latent.schedule import Phase, Plan, joint_plan, rate
from xlvla_policy.latent.stopping import CHECKS, Best
from xlvla_policy.latent.weights import write

CHECKPOINT_EVERY = 250
"""Steps between two checkpoints."""
GRADIENT_NORM = 10.0
"""Longer gradients are clipped."""
HELD_OUT = 4
"""Batches of poses that early stopping is decided on, from pools this many times smaller ..."""
APART = 1_000_003
"""... and with a seed this far from the training's."""
LESSONS = 96
"""Batches of each embodiment that never learns, made once and shown in turn."""
SLOWER = 3
"""How often a run that diverges goes back to its last sound weights, and on at half the rate."""


class Trainer:
    """A training run: model, optimiser, samplers and how far it is.

    The right hands shape the latent first. Left hands that are no mirror images then start as
    copies of their twins and learn to live in that latent, everything else frozen. Then encoders
    are frozen, and all decoders settle. `seconds` of CPU time are counted, all threads together.
    `slowed`: how often the learning rate was halved because the loss was not finite.
    """

    def __init__(
        self, recipe: Recipe, hands: Sequence[str] = (), seed: int = 0, plan: Plan | None = None
    ):
        """`hands` shape a latent together, none named are all of the catalogue; a `plan` takes
        their place where other networks learn.

        Raises:
            XlvlaError: there is but one hand, or one is unknown.
        """
        started = time.process_time()
        self.recipe = recipe
        self.seed = seed
        self.plan = plan or joint_plan(recipe, hands)
        self.hands = self.plan.hands
        self.bodies = self.plan.bodies
        self.twins = _twins(self.bodies)
        self.steps = self.plan.phases[-1].end
        torch.manual_seed(seed)
        self.coders = Coders(self.bodies, recipe)
        self.objective = objective(self.bodies, self.coders, recipe)
        self.generator = Generator().manual_seed(seed)
        self.samplers: dict[str, Sampler] = {}
        for body in self.bodies:
            if body not in self.plan.frozen:
                self.samplers[body.name] = Sampler(body, recipe, self.generator)
        self.held_out = self._held_out()
        self.best = Best()
        self.step = 0
        self.slowed = 0
        self.optimiser = self._learn()
        self._sound = self._snapshot()
        self.seconds = time.process_time() - started

    def _held_out(self) -> dict[str, Tensor]:
        """Poses by embodiment that are never trained on."""
        if not self.recipe.patience:
            return {}
        generator = Generator().manual_seed(self.seed + APART)
        few = replace(
            self.recipe,
            pool=self.recipe.pool // HELD_OUT,
            templates=self.recipe.templates // HELD_OUT,
        )
        # All samplers draw their pools before any of them draws a batch.
        samplers: dict[str, Sampler] = {}
        for body in self.bodies:
            if body not in self.plan.frozen:
                samplers[body.name] = Sampler(body, few, generator)
        poses: dict[str, Tensor] = {}
        for name, sampler in samplers.items():
            poses[name] = torch.cat([sampler() for _ in range(HELD_OUT)])
        return poses

    @cached_property
    def lessons(self) -> Sequence[Sequence[EmbodimentBatch]]:
        """Batches of every embodiment that never learns, encoded."""
        self._set_precision(coarse=False)
        generator = Generator().manual_seed(self.seed)
        roles = replace(self._roles, exact=True)
        lessons: list[list[EmbodimentBatch]] = []
        for body in self.plan.frozen:
            sampler = Sampler(body, self.recipe, generator)
            batches: list[EmbodimentBatch] = []
            for turn in range(LESSONS):
                with torch.no_grad():
                    batch = self.objective.source(body, sampler(), roles, generator, turn)
                batches.append(batch)
            lessons.append(batches)
        return lessons

    @property
    def phase(self) -> Phase:
        """The one the present step belongs to."""
        for phase in self.plan.phases:
            if self.step < phase.end:
                return phase
        return self.plan.phases[-1]

    @property
    def learning(self) -> Sequence[Embodiment]:
        """Whose networks the present step changes."""
        return self.plan.learning[self.phase.part]

    @property
    def _shown(self) -> Sequence[Embodiment]:
        """Whose poses a step uses: only left hands learn from those of others that do not learn,
        beside the lessons.
        """
        if self.phase.part == "left":
            return [body for body in self.bodies if body not in self.plan.frozen]
        return self.learning

    @property
    def _coarse(self) -> bool:
        return self.step < self.phase.turn

    def run(self, until: int | None = None) -> Iterator[Losses]:
        """Trains up to a step (None: the end), yielding each step's losses; a part of a phase that
        no longer gains ends early.

        Raises:
            XlvlaError: the loss is not finite at any of the rates tried.
        """
        last = self.steps if until is None else until
        while self.step < last:
            started = time.process_time()
            losses = None
            if not self._end_early():
                losses = self._train_step()
            self.seconds += time.process_time() - started
            if losses:
                yield losses
        # Left hands without steps of their own keep their twins' weights.
        if self.step >= self.steps and self.phase.part == "right":
            self._copy_twins()

    def _end_early(self) -> bool:
        """Several times within the recipe's patience, remembers the best weights; where they have
        been the best for too long, they end their part of the phase.
        """
        patience = self.recipe.patience
        phase = self.phase
        if not patience or self.step in (phase.start, phase.turn):
            return False
        if self.step % max(1, patience // CHECKS):
            return False
        cost = self._held_out_cost()
        end = phase.next(self.step)
        if self.best.beaten(cost):
            _, weights = self._snapshot()
            self.best = Best(cost, self.step, weights)
        elif self.step - self.best.step >= patience:
            self.coders.load_state_dict(self.best.weights)
            self.step = end
        return self.step == end

    @torch.no_grad()
    def _held_out_cost(self) -> float:
        lessons = self._lessons_now
        self._set_precision(self._coarse)
        poses = {body.name: self.held_out[body.name] for body in self._shown}
        generator = Generator().manual_seed(self.seed)
        return self._objective(poses, self._roles, generator, lessons=lessons).total.item()

    @property
    def _objective(self) -> Objective:
        if self.phase.part == "settle":
            return replace(self.objective, recipe=self.recipe.settled)
        return self.objective

    @property
    def _roles(self) -> Roles:
        settling = self.phase.part == "settle"
        # What other decoders make of latents that stay as they are does not change.
        decoding = self.learning if settling else self.bodies
        return Roles(
            self.learning,
            decoding,
            frozen=self.plan.frozen_weight,
            exact=not self._coarse,
            dealt=len(self.plan.frozen),
            own=1 if settling else self.recipe.own,
        )

    @property
    def _lessons_now(self) -> list[EmbodimentBatch]:
        return [batches[self.step % len(batches)] for batches in self.lessons]

    def _train_step(self) -> Losses | None:
        """One step's losses; None where they were not finite, and the run has gone back."""
        phase = self.phase
        if self.step == phase.start:
            self._begin()
        if self.step in (phase.start, phase.turn):
            self.best = Best()
        share = self._share_of_rate(self.slowed)
        self.optimiser.set_rate(share * rate(self.recipe, phase, self.step))
        lessons = self._lessons_now
        self._set_precision(self._coarse)
        poses = {body.name: self.samplers[body.name]() for body in self._shown}
        losses = self._objective(poses, self._roles, self.generator, self.step, lessons)
        self.optimiser.zero_grad()
        losses.total.backward()
        learning = [p for p in self.coders.parameters() if p.requires_grad]
        norm = torch.nn.utils.clip_grad_norm_(learning, GRADIENT_NORM)
        if not torch.isfinite(losses.total + norm):
            self._go_back()
            return None
        if self.step % CHECKPOINT_EVERY == 0:
            self._sound = self._snapshot()
        self.optimiser.step()
        self.step += 1
        return losses

    @staticmethod
    def _share_of_rate(slowed: int) -> float:
        """The share of the recipe's learning rate that is left."""
        return 0.5**slowed

    def _snapshot(self) -> tuple[int, dict[str, Tensor]]:
        """The present step and a copy of all weights."""
        weights = {name: value.clone() for name, value in self.coders.state_dict().items()}
        return self.step, weights

    def _go_back(self) -> None:
        """To the last weights whose losses were finite, and on from there more slowly.

        Raises:
            XlvlaError: that has been tried often enough.
        """
        diverged = self.step
        self.step, weights = self._sound
        if self.slowed == SLOWER:
            names = ", ".join(sorted({body.hand.name for body in self.learning}))
            peak = self.phase.peak
            tried = [f"{self._share_of_rate(slowed) * peak:g}" for slowed in range(SLOWER + 1)]
            raise XlvlaError(
                f"training of {names} diverged at step {diverged}: its loss is not finite; tried "
                f"were the learning rates {', '.join(tried)}, the last from step {self.step} on: "
                "look whether lengths in the URDF are in metres and limits in radians, or take "
                "another --seed"
            )
        self.slowed += 1
        self.coders.load_state_dict(weights)
        self.optimiser = self._learn()

    def _set_precision(self, coarse: bool) -> None:
        """Coarse first: rounding only matters for the last, small errors."""
        for network in self.coders.modules():
            if isinstance(network, Mlp):
                network.coarse = coarse

    def _copy_twins(self) -> None:
        for left, right in self.twins.items():
            self.coders[left].load_state_dict(self.coders[right].state_dict())

    def _begin(self) -> None:
        """A phase begins: left hands as copies of right ones, and any with an optimiser of its
        own.
        """
        if any(phase.part == "right" and phase.end == self.step for phase in self.plan.phases):
            self._copy_twins()
        self.optimiser = self._learn()

    def _learn(self) -> Optimiser:
        """Frees the networks that the present phase changes, for a new optimiser, and freezes all
        others.
        """
        self.coders.requires_grad_(False)
        for body in self.learning:
            coder = self.coders[body.name]
            part = coder.decoder if self.phase.part == "settle" else coder
            part.requires_grad_(True)
        free = [p for p in self.coders.parameters() if p.requires_grad]
        return Optimiser(free, self.recipe.rate, self.recipe.orthogonal)

    def save(self, path: Path) -> None:
        """Writes all that `resume` needs."""
        state = {
            "recipe": asdict(self.recipe),
            "hands": self.hands,
            "seed": self.seed,
            "base": self.plan.base,
            "step": self.step,
            "seconds": self.seconds,
            "slowed": self.slowed,
            "coders": self.coders.state_dict(),
            "best": asdict(self.best),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
        }
        with replacing(path) as fresh:
            torch.save(state, fresh)

    def resume(self, path: Path) -> None:
        """Goes on where a run with the same recipe, hands and seed stopped."""
        state = torch.load(path, weights_only=True)
        asked = {
            "recipe": asdict(self.recipe),
            "hands": self.hands,
            "seed": self.seed,
            "base": self.plan.base,
        }
        for key, value in asked.items():
            saved = state.get(key, "")
            if saved != value:
                raise XlvlaError(
                    f"{path} was trained with {key} {saved}, asked is {value}: resume with the "
                    "same, or start anew"
                )
        # Where a phase ends the state is still that of its own optimiser.
        self.step = state["step"] - 1
        self.optimiser = self._learn()
        self.step = state["step"]
        self.seconds = state["seconds"]
        self.slowed = state["slowed"]
        self.best = Best(**state["best"])
        self.coders.load_state_dict(state["coders"])
        self._sound = self._snapshot()
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])


def _twins(bodies: Sequence[Embodiment]) -> dict[str, str]:
    """By name of a left embodiment with networks of its own: the right one of the same hand."""
    rights = {body.hand.name: body.name for body in bodies if not body.second}
    twins: dict[str, str] = {}
    for body in bodies:
        if body.second and body.hand.name in rights:
            twins[body.name] = rights[body.hand.name]
    return twins


def on_threads(count: int) -> None:
    """How many threads share a step; sums come out the same to the bit only for the same number."""
    torch.set_num_threads(count)


def checkpoint(out: Path) -> Path:
    """Where a run towards these weights keeps its checkpoint."""
    return out.with_name(out.name + ".training.pt")


def train(
    trainer: Trainer,
    out: Path,
    resume: bool = False,
    progress: Callable[[int, Losses], None] | None = None,
) -> None:
    """Trains to the recipe's end and writes the weights to `out`; with `resume` goes on from its
    checkpoint if there is one.
    """

    def write_weights() -> None:
        write(trainer.bodies, trainer.coders, trainer.recipe, trainer.seed, trainer.seconds, out)

    finish(trainer, out, write_weights, resume, progress)


def finish(
    trainer: Trainer,
    out: Path,
    write_weights: Callable[[], None],
    resume: bool,
    progress: Callable[[int, Losses], None] | None,
) -> None:
    """Trains to the end with checkpoints beside `out`, and writes the weights."""
    out.parent.mkdir(parents=True, exist_ok=True)
    if resume and checkpoint(out).is_file():
        trainer.resume(checkpoint(out))
    for losses in trainer.run():
        if trainer.step % CHECKPOINT_EVERY == 0:
            trainer.save(checkpoint(out))
        if progress:
            progress(trainer.step, losses)
    write_weights()
    checkpoint(out).unlink(missing_ok=True)
