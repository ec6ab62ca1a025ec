"""When to end a part of training early: on poses held out of it, nothing has become better for
long.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

CHECKS = 8
"""How often within its patience a run evaluates the poses held out."""
GAIN = 0.002
"""Share by which the held-out objective must fall to count as better."""


@dataclass(frozen=True)
class Best:
    """The lowest held-out objective of a part so far, its step and its weights."""

    cost: float = float("inf")
    step: int = 0
    weights: dict[str, Tensor] = field(default_factory=dict)

    def beaten(self, cost: float) -> bool:
        return cost < (1 - GAIN) * self.cost
