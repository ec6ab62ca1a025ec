"""Which networks learn when, and how fast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla_policy.latent.embodiment import Embodiment, embodiments
from xlvla_policy.latent.recipe import Recipe

WARM_UP = 0.15
"""Share of a phase in which the learning rate rises."""
WARM_UP_FROM = 0.04
ANNEAL_TO = 1e-4
"""Learning rates at a phase's start and end, as shares of its peak."""

Part = Literal["right", "left", "settle"]


@dataclass(frozen=True)
class Phase:
    """Steps with a cycle of the learning rate of their own, in which one part of the networks
    learns; coarse up to `turn`, then exact.
    """

    part: Part
    start: int
    turn: int
    end: int
    peak: float

    def done(self, step: int) -> float:
        return (step - self.start) / (self.end - self.start)

    def next(self, step: int) -> int:
        """Where the coarse or exact steps end that this one belongs to."""
        return self.turn if step < self.turn else self.end


@dataclass(frozen=True)
class Plan:
    """Which embodiments a run has, and whose networks learn when.

    Args:
        hands: their names.
        bodies: all embodiments, those that stay frozen too.
        phases: in order, without gaps.
        learning: by part, the embodiments whose networks it changes.
        frozen_weight: what the losses of each frozen decoder count beside one that learns.
        frozen: embodiments that never learn: what their encoders make of poses is computed once,
            and each of their decoders is shown other poses of the hands that learn.
        base: hash of the weights that those have; '' where all learn.
    """

    hands: tuple[str, ...]
    bodies: Sequence[Embodiment]
    phases: tuple[Phase, ...]
    learning: Mapping[Part, Sequence[Embodiment]]
    frozen_weight: float = 1.0
    frozen: Sequence[Embodiment] = ()
    base: str = ""


def joint_plan(recipe: Recipe, hands: Sequence[str]) -> Plan:
    """Hands that shape a latent together; none named are all of the catalogue.

    Raises:
        XlvlaError: there is but one hand, or one is unknown.
    """
    names = tuple(hands or catalog.hands())
    if len(names) < 2:
        raise XlvlaError(
            f"a shared latent needs at least two hands, '{', '.join(names)}' is one: add --hands"
        )
    bodies = embodiments([catalog.hand(name) for name in names])
    left = [body for body in bodies if body.second]
    right = [body for body in bodies if not body.second]
    learning: dict[Part, list[Embodiment]] = {"right": right, "left": left, "settle": bodies}
    return Plan(names, bodies, phases(recipe, twins=bool(left)), learning)


def phases(recipe: Recipe, twins: bool) -> tuple[Phase, ...]:
    """All phases that have steps, a coarse share of each; left hands without networks of their own
    need none.
    """
    left_steps = recipe.left_steps if twins else 0
    parts: tuple[tuple[Part, int, float, float], ...] = (
        ("right", recipe.steps, recipe.rate, recipe.coarse),
        ("left", left_steps, recipe.left_rate, recipe.coarse),
        ("settle", recipe.settle_steps, recipe.settle_rate, 0.0),
    )
    result: list[Phase] = []
    start = 0
    for part, steps, peak, coarse in parts:
        if steps:
            turn = start + math.ceil(coarse * steps)
            result.append(Phase(part, start, turn, start + steps, peak))
        start += steps
    return tuple(result)


def rate(recipe: Recipe, at: Phase, step: int) -> float:
    """The learning rate of a step; one cycle per phase warms up linearly and anneals along a
    cosine.
    """
    if not recipe.one_cycle:
        return at.peak
    done = at.done(step)
    if done < WARM_UP:
        return at.peak * (WARM_UP_FROM + (1 - WARM_UP_FROM) * done / WARM_UP)
    annealed = (done - WARM_UP) / (1 - WARM_UP)
    return at.peak * (ANNEAL_TO + 0.5 * (1 + math.cos(math.pi * annealed)))
