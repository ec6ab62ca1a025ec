"""How a rig says what is recorded of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from xlvla.ranges import Range


@dataclass(frozen=True)
class RecorderConfig:
    """Where episodes go and when the recorder warns.

    Args:
        folder: sessions of episodes go here, one folder per start of the rig.
        least_free_gb: free space on the disk below which an episode is stopped cleanly.
        confirm_s: within this time a second press discards the episode that the first one asked
            about.
        instruction: the task instruction until another one is published; '' uses the policy's.
        task: the name of what is done on hardware; a simulation knows its own.
    """

    folder: str = "recordings"
    instruction: str = ""
    task: str = ""
    least_free_gb: Annotated[float, Range(0.0, 1_000_000)] = 1.0
    confirm_s: Annotated[float, Range(0.1, 60)] = 3.0
