"""What is tried: kinds of unsafe chunks, fast and slow, late, relative, on an irregular clock; all
of it from one seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from xlvla.types import SIDES, Side
from xlvla_cli.bench.adversary.rig_variants import RigVariant

Kind = Literal["meet", "table", "itself", "resting", "walk", "more", "reversal", "hands"]
KINDS: tuple[Kind, ...] = get_args(Kind)
"""Both arms towards each other; to the table; an arm onto itself; towards one that rests; anywhere;
a bit further again and again; away and suddenly back; hands that open and close near each other.
"""

Clock = Literal["regular", "jitter", "stalls"]
CLOCKS: tuple[Clock, ...] = get_args(Clock)

SLOWEST_HZ = 5.0
FASTEST_HZ = 200.0
OFFERED_S = 2.0
"""How long chunks come in a scenario."""


@dataclass(frozen=True)
class Scenario:
    """One stream of chunks on one rig.

    Args:
        seed, number: everything random comes from these two.
        hz: chunks per second and side.
        moving: sides that get chunks.
        relative: the arms' positions are changes.
        late_s: the most a chunk's stamp lies in the past.
        clock: how regular the ticks are.
        too_near: it begins where something may be nearer than its stop distance.
    """

    kind: Kind
    variant: RigVariant
    seed: int
    number: int
    hz: float
    moving: tuple[Side, ...]
    relative: bool
    late_s: float
    clock: Clock
    too_near: bool

    @property
    def key(self) -> str:
        return f"{self.seed}/{self.number} {self.kind} {self.variant.name}"

    @property
    def chunks_per_side(self) -> int:
        return max(3, round(self.hz * OFFERED_S))

    @property
    def chunks(self) -> int:
        return self.chunks_per_side * len(self.moving)

    def rng(self) -> np.random.Generator:
        return np.random.default_rng([self.seed, self.number, 1])


def scenarios(
    seed: int, kinds: Sequence[Kind], variants: Sequence[RigVariant], stale_s: float
) -> Iterator[Scenario]:
    """Without end: every kind on a rig before the next one, which costs some time to build."""
    number = 0
    while True:
        turn, index = divmod(number, len(kinds))
        variant = variants[turn % len(variants)]
        yield _drawn(seed, number, kinds[index], variant, stale_s)
        number += 1


def _drawn(seed: int, number: int, kind: Kind, variant: RigVariant, stale_s: float) -> Scenario:
    # The order of what is drawn decides what a seed stands for.
    rng = np.random.default_rng([seed, number, 0])
    side: Side = SIDES[int(rng.integers(2))]
    moving = (side,) if kind == "resting" else SIDES
    return Scenario(
        kind=kind,
        variant=variant,
        seed=seed,
        number=number,
        hz=float(np.exp(rng.uniform(np.log(SLOWEST_HZ), np.log(FASTEST_HZ)))),
        moving=moving,
        relative=bool(rng.random() < 0.3),
        late_s=float(rng.choice([0.0, 0.02, 0.15, stale_s])),
        clock=CLOCKS[int(rng.integers(len(CLOCKS)))],
        too_near=bool(rng.random() < 0.15),
    )


def planned(
    seed: int, kinds: Sequence[Kind], variants: Sequence[RigVariant], stale_s: float, chunks: int
) -> list[Scenario]:
    """The first scenarios that together offer at least this many chunks."""
    first: list[Scenario] = []
    left = chunks
    for scenario in scenarios(seed, kinds, variants, stale_s):
        if left <= 0:
            return first
        first.append(scenario)
        left -= scenario.chunks
    return first
