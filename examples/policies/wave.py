"""A policy that waves: the arm's last joint swings, the hand opens and closes in the latent."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xlvla.codec import Codec
from xlvla.policy import Chunk, Observation
from xlvla.rig import Rig

SWING_RAD = 0.4
PERIOD_S = 4.0


@dataclass
class Wave:
    """One chunk is 2 s at 20 Hz."""

    rig: Rig
    codec: Codec
    frames: int = 40
    rate_hz: float = 20.0

    def predict(self, observation: Observation) -> Chunk:
        seconds = observation.stamp_ns / 1e9 + np.arange(1, self.frames + 1) / self.rate_hz
        phase = np.sin(2 * np.pi * seconds / PERIOD_S)
        positions = {}
        latents = {}
        for side in self.rig.sides:
            hand = self.rig.hand(side).name
            lower, upper = self.codec.limits(hand, side)
            opened, closed = self.codec.encode(hand, side, [lower, 0.5 * (lower + upper)])
            latents[side] = opened + (0.5 + 0.5 * phase[:, None]) * (closed - opened)
            arm = np.tile(list(self.rig.home(side).values()), (self.frames, 1))
            arm[:, -1] += SWING_RAD * phase
            positions[side] = {"arm": arm, "hand": self.codec.decode(hand, side, latents[side])}
        return Chunk(observation.stamp_ns, self.rate_hz, positions, latents)


def load(rig: Rig, *, threads: int = 1) -> Wave:
    return Wave(rig, Codec.load())
