"""A recorded operator: what an episode's bag holds of wrists, fingers and leader arms, played as it
was.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Options:
    """What a rig may say about it.

    Args:
        speed: times as fast as it was.
        repeat: begins anew at the end, which opens the clutch; else the operator is gone then.
    """

    speed: float = 1.0
    repeat: bool = True
