"""Which networks learn when, and how fast."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from xlvla_policy.latent.recipe import Recipe

WARM_UP = 0.15
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


def phases(recipe: Recipe, twins: bool) -> tuple[Phase, ...]:
    """All phases that have steps; left hands without networks of their own need none."""
    lengths: tuple[tuple[Part, int, float, float], ...] = (
        ("right", recipe.steps, recipe.rate, recipe.coarse),
        ("left", recipe.left_steps if twins else 0, recipe.left_rate, recipe.coarse),
        ("settle", recipe.settle_steps, recipe.settle_rate, 0.0),
    )
    found = []
    start = 0
    for part, steps, peak, coarse in lengths:
        if steps:
            found.append(Phase(part, start, start + math.ceil(coarse * steps), start + steps, peak))
        start += steps
    return tuple(found)


def rate(recipe: Recipe, at: Phase, step: int) -> float:
    """The learning rate of a step; one cycle per phase warms up linearly and anneals along a
    cosine.
    """
    if not recipe.one_cycle:
        return at.peak
    done = at.done(step)
    if done < WARM_UP:
        return at.peak * (0.04 + 0.96 * done / WARM_UP)
    return at.peak * (1e-4 + 0.5 * (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))))
