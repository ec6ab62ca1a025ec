"""A recorded operator: wrists, fingers and leader arms of an episode's bag, played in time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from xlvla.ranges import Range


@dataclass(frozen=True)
class Options:
    """Options in a rig's file.

    Args:
        speed: how many times faster it is played than it was recorded.
        repeat: begins again at the end, which opens the clutch; otherwise the operator is not seen
            any more then.
    """

    speed: Annotated[float, Range(0.05, 5)] = 1.0
    repeat: bool = True
