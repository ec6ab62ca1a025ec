"""Baselines that retarget a hand's path to another hand, in place of the codec in `xlvla.retarget`,
and their evaluation.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache

import numpy as np
import torch

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.types import Side
from xlvla_policy.latent.baselines.dex import DexRetargeting
from xlvla_policy.latent.contact import SelfContact
from xlvla_policy.latent.embodiment import embodiment
from xlvla_policy.latent.kinematics import MIRROR


@dataclass(frozen=True)
class RightOnly:
    """A codec that was trained for right hands alone: a left hand has the right one's networks, as
    in the released code.
    """

    codec: Codec

    def encode(self, hand: str, side: Side, q: np.ndarray) -> np.ndarray:
        return self.codec.encode(hand, "right", q)

    def decode(self, hand: str, side: Side, z: np.ndarray) -> np.ndarray:
        return self.codec.decode(hand, "right", z)


@dataclass(frozen=True)
class Dex:
    """dex-retargeting along a path: there is no latent, so what is `encoded` is the source's own
    joints.
    """

    kind: str = "vector from thumb"
    _sources: dict[Side, str] = field(default_factory=dict)

    def encode(self, hand: str, side: Side, q: np.ndarray) -> np.ndarray:
        self._sources[side] = hand
        return q

    def decode(self, hand: str, side: Side, z: np.ndarray) -> np.ndarray:
        source = embodiment(catalog.hand(self._sources[side]), side)
        target = embodiment(catalog.hand(hand), side)
        run = DexRetargeting(source, target, self.kind, side)
        tips = source.tips(torch.tensor(z, dtype=torch.float32)).numpy()
        if side == "left":
            # Tips of a left hand appear as a right one's; the package takes them where they are.
            tips = tips * np.array(MIRROR)
        return run.follow(run.references(tips))


def self_contact(hand: str, side: Side, q: np.ndarray) -> float:
    """Share of poses [F, J] rad of a hand in which it reaches into itself."""
    return _contact(hand, side).share(torch.tensor(q, dtype=torch.float32))


@cache
def _contact(hand: str, side: Side) -> SelfContact:
    return SelfContact(catalog.hand(hand), side)
