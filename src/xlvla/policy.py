"""What goes into a policy and what comes out; nothing here knows how a policy decides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xlvla.types import Part, Side


@dataclass(frozen=True)
class Observation:
    """What a policy sees.

    Args:
        stamp_ns: time of the newest image.
        images: RGB uint8 [H, W, 3] by camera.
        instruction: the task in words.
        executed: commanded positions [T, J] rad of the last T = 64 frames at 20 Hz by side and part, oldest first, the
            last one in force at `stamp_ns`; before the first command the measured position, repeated.
    """

    stamp_ns: int
    images: Mapping[str, np.ndarray]
    instruction: str
    executed: Mapping[Side, Mapping[Part, np.ndarray]]


@dataclass(frozen=True)
class Chunk:
    """What a policy decides: T frames at `rate_hz`; frame k is meant for `stamp_ns` + (k + 1) / rate_hz.

    Args:
        positions: joint positions [T, J] rad by side and part, in the order of the rig's joint names.
        latents: latent of each hand [T, 32] by side.
    """

    stamp_ns: int
    rate_hz: float
    positions: Mapping[Side, Mapping[Part, np.ndarray]]
    latents: Mapping[Side, np.ndarray]


class Policy(Protocol):
    """Anything that turns an observation into a chunk; construct it with `load(rig)`."""

    def predict(self, observation: Observation) -> Chunk:
        """The next chunk; raises XlvlaError for an observation it cannot use."""
        ...
