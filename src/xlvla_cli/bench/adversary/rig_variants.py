"""The rigs that are put to the test: two arms, five hands, mixed pairs, with and without a
workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from xlvla import catalog, rig_file
from xlvla.motion import Box, MotionConfig
from xlvla.rig import Rig
from xlvla.types import SIDES, Side

MIXED = ("xhand+inspire", "ability+allegro", "paxini+xhand")

RIGS = {"xarm7": "bimanual", "g1": "g1"}
"""The shipped rig that a kind of arms stands in: of the G1, on its torso."""

REACH = {
    "xarm7": Box((0.1, -0.5, -0.01), (0.75, 0.5, 0.8)),
    "g1": Box((-0.1, -0.45, -0.01), (0.55, 0.45, 0.7)),
}
"""Workspace of the rigs that have one."""


@dataclass(frozen=True)
class RigVariant:
    """Arms, hands and motion settings of a rig.

    Args:
        arm: on both sides.
        hands: left, right.
        presses: hands may press on the table as in the shipped rigs; otherwise as by default.
        boxed: flanges and fingertips have a workspace.
    """

    arm: str
    hands: tuple[str, str]
    presses: bool
    boxed: bool

    @property
    def name(self) -> str:
        traits = [self.arm, "+".join(self.hands)]
        if self.presses:
            traits.append("presses")
        if self.boxed:
            traits.append("boxed")
        return " ".join(traits)

    def rig(self) -> Rig:
        hands: dict[Side, str | None] = dict(zip(SIDES, self.hands, strict=True))
        shipped = rig_file.load(RIGS[self.arm])
        rig = rig_file.with_choices(shipped, policy="none", hands=hands)
        return replace(rig, motion=self._motion(rig))

    def _motion(self, shipped: Rig) -> MotionConfig:
        motion = shipped.motion
        if not self.presses:
            motion = replace(motion, touch=MotionConfig().touch)
        if self.boxed:
            motion = replace(motion, workspace=dict.fromkeys(SIDES, REACH[self.arm]))
        return motion


def rig_variants(hands: Sequence[str] = ()) -> list[RigVariant]:
    """Every pair of hands on both kinds of arms.

    Args:
        hands: names, or left+right; where none are given, all, and some mixed pairs.
    """
    pairs = list(hands) or [*catalog.hands(), *MIXED]
    variants: list[RigVariant] = []
    for number, names in enumerate(pairs):
        left, _, right = names.partition("+")
        pair = catalog.hand(left).name, catalog.hand(right or left).name
        # Every second rig presses and every third is boxed, so that all combinations occur.
        variants.append(RigVariant("xarm7", pair, presses=number % 2 == 0, boxed=number % 3 == 1))
        variants.append(RigVariant("g1", pair, presses=number % 2 == 1, boxed=number % 3 == 2))
    return variants
