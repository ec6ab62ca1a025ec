"""Training the codec: all embodiments in one run, resumable to the bit, written atomically."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Generator, Tensor

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.files import replacing
from xlvla_policy.latent.embodiment import Embodiment, embodiments
from xlvla_policy.latent.model import Coders, Mlp
from xlvla_policy.latent.objective import Losses, Objective, Roles, objective
from xlvla_policy.latent.optimiser import Optimiser
from xlvla_policy.latent.recipe import Recipe
from xlvla_policy.latent.sampling import Sampler
from xlvla_policy.latent.schedule import Phase, phases, rate
from xlvla_policy.latent.stopping import CHECKS, Best
from xlvla_policy.latent.weights import write

CHECKPOINT_EVERY = 250
HELD_OUT = 4
"""Batches of poses that early stopping is decided on, from pools as many times smaller ..."""
APART = 1_000_003
"""... and with a seed so far from the training's."""


class Trainer:
    """A training run: model, optimiser, samplers and how far it is.

    The right hands shape the latent first. Left hands that are no mirror images then start as
    copies of their twins and learn to live in that latent, everything else frozen. Then latents are
    what they are, and all decoders settle. `seconds` of CPU time are counted, all threads together.
    """

    def __init__(self, recipe: Recipe, hands: Sequence[str] = (), seed: int = 0):
        """`hands` empty trains every hand of the catalogue."""
        started = time.process_time()
        self.recipe = recipe
        self.seed = seed
        self.hands = tuple(hands or catalog.hands())
        if len(self.hands) < 2:
            raise XlvlaError(
                f"a shared latent needs at least two hands, '{', '.join(self.hands)}' is one: add "
                "--hands"
            )
        self.bodies = self._bodies()
        rights = {body.hand.name: body for body in self.bodies if not body.second}
        self.twins = {
            body.name: rights[body.hand.name]
            for body in self.bodies
            if body.second and body.hand.name in rights
        }
        self.phases = self._phases()
        self.steps = self.phases[-1].end
        torch.manual_seed(seed)
        self.coders = Coders(self.bodies, recipe)
        self.objective = objective(self.bodies, self.coders, recipe)
        self.generator = Generator().manual_seed(seed)
        self.samplers = {body.name: Sampler(body, recipe, self.generator) for body in self.bodies}
        self.held_out = self._held_out()
        self.best = Best()
        self.step = 0
        self._learn()
        self.seconds = time.process_time() - started

    def _phases(self) -> tuple[Phase, ...]:
        return phases(self.recipe, bool(self.twins))

    def _bodies(self) -> list[Embodiment]:
        return embodiments([catalog.hand(name) for name in self.hands])

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
        samplers = {body.name: Sampler(body, few, generator) for body in self.bodies}
        return {
            name: torch.cat([sampler() for _ in range(HELD_OUT)])
            for name, sampler in samplers.items()
        }

    @property
    def phase(self) -> Phase:
        """The one the present step belongs to."""
        return next((phase for phase in self.phases if self.step < phase.end), self.phases[-1])

    @property
    def learning(self) -> list[Embodiment]:
        """Whose networks the present step changes."""
        part = self.phase.part
        return (
            self.bodies
            if part == "settle"
            else [body for body in self.bodies if body.second == (part == "left")]
        )

    @property
    def _shown(self) -> list[Embodiment]:
        """Whose poses a step is made of: right hands learn among themselves."""
        return self.learning if self.phase.part == "right" else self.bodies

    @property
    def _coarse(self) -> bool:
        return self.step < self.phase.turn

    @property
    def _frozen_weight(self) -> float:
        return 1.0

    def run(self, until: int | None = None) -> Iterator[Losses]:
        """Trains up to a step (None: the end), yielding each step's losses; a part of a phase that
        no longer gains ends early.
        """
        while self.step < (self.steps if until is None else until):
            started = time.process_time()
            losses = None if self._stale() else self._train_step()
            self.seconds += time.process_time() - started
            if losses:
                yield losses
        if self.step >= self.steps and self.phase.part == "right":
            self._copy_twins()

    def _stale(self) -> bool:
        """Every so often remembers the best weights; where they have been the best for too long,
        they end their part of the phase.
        """
        at = self.phase
        patience = self.recipe.patience
        if (
            not patience
            or self.step in (at.start, at.turn)
            or self.step % max(1, patience // CHECKS)
        ):
            return False
        cost = self._held_out_cost()
        end = at.next(self.step)
        if self.best.beaten(cost):
            self.best = Best(
                cost,
                self.step,
                {name: value.clone() for name, value in self.coders.state_dict().items()},
            )
        elif self.step - self.best.step >= patience:
            self.coders.load_state_dict(self.best.weights)
            self.step = end
        return self.step == end

    @torch.no_grad()
    def _held_out_cost(self) -> float:
        self._set_precision(self._coarse)
        poses = {body.name: self.held_out[body.name] for body in self._shown}
        return self._objective(poses, self._roles, Generator().manual_seed(self.seed)).total.item()

    @property
    def _objective(self) -> Objective:
        return (
            replace(self.objective, recipe=self.recipe.settled)
            if self.phase.part == "settle"
            else self.objective
        )

    @property
    def _roles(self) -> Roles:
        return Roles(self.learning, self._frozen_weight, exact=not self._coarse)

    def _train_step(self) -> Losses:
        if self.step == self.phase.start:
            self._begin()
        if self.step in (self.phase.start, self.phase.turn):
            self.best = Best()
        self.optimiser.set_rate(rate(self.recipe, self.phase, self.step))
        self._set_precision(self._coarse)
        poses = {body.name: self.samplers[body.name]() for body in self._shown}
        losses = self._objective(poses, self._roles, self.generator, self.step)
        self.optimiser.zero_grad()
        losses.total.backward()
        torch.nn.utils.clip_grad_norm_(
            [p for p in self.coders.parameters() if p.requires_grad], 10.0
        )
        self.optimiser.step()
        self.step += 1
        return losses

    def _set_precision(self, coarse: bool) -> None:
        """Coarse first: rounding only matters for the last, small errors."""
        for network in self.coders.modules():
            if isinstance(network, Mlp):
                network.coarse = coarse

    def _copy_twins(self) -> None:
        for left, right in self.twins.items():
            self.coders[left].load_state_dict(self.coders[right.name].state_dict())

    def _begin(self) -> None:
        """A phase begins: left hands as copies of right ones, and any with an optimiser of its
        own.
        """
        if self.step == self.recipe.steps:
            self._copy_twins()
        self._learn()

    def _learn(self) -> None:
        """Frees the networks that the present phase changes, and freezes all others."""
        self.coders.requires_grad_(False)
        for body in self.learning:
            coder = self.coders[body.name]
            (coder.decoder if self.phase.part == "settle" else coder).requires_grad_(True)
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
            "best": asdict(self.best),
            "optimiser": self.optimiser.state_dict(),
            "generator": self.generator.get_state(),
        }
        with replacing(path) as fresh:
            torch.save(state, fresh)

    def resume(self, path: Path) -> None:
        """Goes on where a run with the same recipe, hands and seed stopped."""
        state = torch.load(path, weights_only=True)
        asked = {"recipe": asdict(self.recipe), "hands": self.hands, "seed": self.seed}
        for key, value in asked.items():
            if state[key] != value:
                raise XlvlaError(
                    f"{path} was trained with {key} {state[key]}, asked is {value}: resume with "
                    "the same, or start anew"
                )
        # Where a phase ends the state is still that of its own optimiser.
        self.step = state["step"] - 1
        self._learn()
        self.step = state["step"]
        self.seconds = state["seconds"]
        self.best = Best(**state["best"])
        self.coders.load_state_dict(state["coders"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])


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
    out.parent.mkdir(parents=True, exist_ok=True)
    if resume and checkpoint(out).is_file():
        trainer.resume(checkpoint(out))
    for losses in trainer.run():
        if trainer.step % CHECKPOINT_EVERY == 0:
            trainer.save(checkpoint(out))
        if progress:
            progress(trainer.step, losses)
    write(trainer.bodies, trainer.coders, trainer.recipe, trainer.seed, trainer.seconds, out)
    checkpoint(out).unlink(missing_ok=True)
