"""A hand that is driven through the joints of another one, by retargeting at run time: what a
policy needs that was trained on one hand only and has no latent.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.types import Side
from xlvla_policy.latent.baselines.dex import DexRetargeting
from xlvla_policy.latent.embodiment import Embodiment, embodiment
from xlvla_policy.latent.kinematics import MIRROR

KIND = "vector from thumb"
"""dex-retargeting's optimiser: it keeps the lines from the thumb's tip to the other tips."""


class RetargetedHand:
    """A hand's half of a side, told in the joints of `source`; the source itself is not changed.

    Raises:
        XlvlaError: `source` is no hand, or dex-retargeting is not installed and the hand is another
            one.
    """

    def __init__(self, codec: Codec, hand: str, side: Side, source: str):
        self._codec = codec
        self._side: Side = side
        self._source = catalog.hand(source).name
        self._hand = hand
        self.kind = f"hand {self._source}"
        self.joints = catalog.hand(source).joint_names(side)
        self.width = len(self.joints)
        if hand != self._source:
            # Now, instead of in the first chunk.
            _ = self._to_source, self._from_source

    def encode(self, q: np.ndarray) -> np.ndarray:
        """Joints [T, J] rad of the hand to those of the source."""
        if self._hand == self._source:
            return q
        return self._follow(self._to_source, self._hand, q)

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """Joints [T, J] rad of the source to those of the hand."""
        if self._hand == self._source:
            return numbers
        return self._follow(self._from_source, self._source, numbers)

    def latent(self, numbers: np.ndarray) -> np.ndarray:
        return self._codec.encode(self._source, self._side, numbers)

    @cached_property
    def _to_source(self) -> DexRetargeting:
        return DexRetargeting(self._body(self._hand), self._body(self._source), KIND, self._side)

    @cached_property
    def _from_source(self) -> DexRetargeting:
        return DexRetargeting(self._body(self._source), self._body(self._hand), KIND, self._side)

    def _body(self, hand: str) -> Embodiment:
        return embodiment(catalog.hand(hand), self._side)

    def _follow(self, run: DexRetargeting, hand: str, q: np.ndarray) -> np.ndarray:
        """A path [T, J] rad of a hand on the other one."""
        tips = self._body(hand).tips(torch.tensor(q, dtype=torch.float32)).numpy()
        if self._side == "left":
            # Tips of a left hand appear as a right one's; the package takes them where they are.
            tips = tips * np.array(MIRROR)
        return run.follow(run.references(tips))
