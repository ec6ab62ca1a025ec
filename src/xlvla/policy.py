"""What goes into a policy and what comes out; nothing here knows how a policy decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from xlvla.types import Part, Side

Chunking = Literal["plain", "prefix", "guided", "ensemble"]
"""How a chunk follows the one before it: not at all, from what of it is being executed, pulled
towards it, or as a mean.
"""

EngineName = Literal["auto", "torch", "captured", "compiled", "onnx"]
"""What runs a network: torch as it is, in fixed buffers (CUDA graphs), that with compiled kernels,
or ONNX Runtime.
"""
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16", "float16", "float8"]
"""What a network computes in; auto: bfloat16 on a GPU, float32 on a CPU."""


@dataclass(frozen=True)
class Observation:
    """What a policy sees.

    Args:
        stamp_ns: time of the newest image.
        images: RGB uint8 [H, W, 3] by camera.
        instruction: the task instruction.
        executed: commanded positions [T, J] rad of the policy's last T = `frames` frames at its
            `rate_hz` by side and part, oldest first, the last one in force at `stamp_ns`; before
            the first command the measured position, repeated.
        previous: chunks that were sent to the robot for the same instruction, oldest first.
        delay_s: how long after `stamp_ns` the next chunk will take effect: till then the robot
            follows the previous one.
        measured: newest measured positions [J] rad by side and part; empty where nobody measured.
    """

    stamp_ns: int
    images: Mapping[str, np.ndarray]
    instruction: str
    executed: Mapping[Side, Mapping[Part, np.ndarray]]
    previous: Sequence[Chunk] = ()
    delay_s: float = 0.0
    measured: Mapping[Side, Mapping[Part, np.ndarray]] = field(
        default_factory=dict[Side, Mapping[Part, np.ndarray]]
    )


@dataclass(frozen=True)
class Chunk:
    """What a policy decides: T frames at `rate_hz`; frame k is meant for `stamp_ns` + (k + 1) /
    rate_hz.

    Args:
        positions: joint positions [T, J] rad by side and part, in the order of the rig's joint
            names.
        latents: latent of each hand [T, 32] by side.
        decided: the same in the policy's own numbers [T, D], before it was joined with others: for
            the policy alone.
    """

    stamp_ns: int
    rate_hz: float
    positions: Mapping[Side, Mapping[Part, np.ndarray]]
    latents: Mapping[Side, np.ndarray]
    decided: np.ndarray | None = None


class Policy(Protocol):
    """Anything that turns an observation into a chunk.

    A policy is a file with `load(rig, *, threads=1)`, which makes one; `threads` is how many
    processor threads it may use.
    """

    @property
    def frames(self) -> int:
        """Frames of a chunk, and of the executed commands it observes."""
        ...

    @property
    def rate_hz(self) -> float:
        """Frames per second of both."""
        ...

    def predict(self, observation: Observation) -> Chunk:
        """The next chunk; raises XlvlaError for an observation it cannot use."""
        ...
