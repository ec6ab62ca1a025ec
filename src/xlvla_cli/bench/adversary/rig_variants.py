"""The rigs that are put to the test: two arms, five hands, mixed pairs, with and without a
workspace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from xlvla import catalog, rig_file
from xlvla.motion import Box, MotionConfig
from xlvla.rig import Rig
from xlvla.types import SIDES, Side

MIXED = ("xhand+inspire", "ability+allegro", "paxini+xhand")

G1_Y_M = 0.12
G1_Z_M = 0.1
G1_ROLL_RAD = 0.35
"""Half the distance between the G1's arms, the height of their torsos above the table, and how far
the shoulders are spread at home.

On the robot both arms share one torso; here each has its own, so that the torso of one side does
not hold the other.
"""

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
        presses: hands may press on the table as in the rig `bimanual`; otherwise as by default.
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
        rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
        rig = replace(rig, motion=self._motion(rig))
        if self.arm == "xarm7":
            hands: dict[Side, str | None] = dict(zip(SIDES, self.hands, strict=True))
            return rig_file.with_choices(rig, hands=hands)
        document = asdict(rig)
        document["name"] = "g1"
        document["cameras"] = {}
        for side, hand in zip(SIDES, self.hands, strict=True):
            document["sides"][side] = _g1_station(side, hand)
        return rig_file.from_document(document, "g1")

    def _motion(self, bimanual: Rig) -> MotionConfig:
        motion = bimanual.motion
        if not self.presses:
            motion = replace(motion, touch=MotionConfig().touch)
        if self.boxed:
            motion = replace(motion, workspace=dict.fromkeys(SIDES, REACH[self.arm]))
        return motion


def _g1_station(side: Side, hand: str) -> dict[str, Any]:
    outwards = 1 if side == "left" else -1
    home = {"shoulder_roll_joint": outwards * G1_ROLL_RAD, "shoulder_pitch_joint": -0.3}
    arm = {"type": "g1", "xyz": [0.0, outwards * G1_Y_M, G1_Z_M], "home": home}
    return {"arm": arm, "hand": {"type": hand}}


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
