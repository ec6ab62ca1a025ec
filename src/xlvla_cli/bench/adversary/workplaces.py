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

On the robot both arms have one torso; here they stand apart, so that the torso of one side is not
what holds the other.
"""

REACH = {
    "xarm7": Box((0.1, -0.5, -0.01), (0.75, 0.5, 0.8)),
    "g1": Box((-0.1, -0.45, -0.01), (0.55, 0.45, 0.7)),
}
"""Workspace of the rigs that have one."""


@dataclass(frozen=True)
class Workplace:
    """A rig in words.

    Args:
        arm: on both sides.
        hands: left, right.
        presses: hands may press on the table as in the rig `bimanual`; else as rigs do that do not
            say.
        boxed: flanges and fingertips have a workspace.
    """

    arm: str
    hands: tuple[str, str]
    presses: bool
    boxed: bool

    @property
    def name(self) -> str:
        words = [self.arm, "+".join(self.hands)]
        if self.presses:
            words.append("presses")
        if self.boxed:
            words.append("boxed")
        return " ".join(words)

    def rig(self) -> Rig:
        rig = rig_file.with_choices(rig_file.load("bimanual"), policy="none")
        rig = replace(rig, motion=self._motion(rig))
        if self.arm == "xarm7":
            hands: dict[Side, str | None] = dict(zip(SIDES, self.hands, strict=True))
            return rig_file.with_choices(rig, hands=hands)
        document = asdict(rig)
        for side, hand in zip(SIDES, self.hands, strict=True):
            document["sides"][side] = _g1_station(side, hand)
        return rig_file.from_document(document | {"name": "g1", "cameras": {}}, "g1")

    def _motion(self, bimanual: Rig) -> MotionConfig:
        motion = (
            bimanual.motion
            if self.presses
            else replace(bimanual.motion, touch=MotionConfig().touch)
        )
        if not self.boxed:
            return motion
        return replace(motion, workspace=dict.fromkeys(SIDES, REACH[self.arm]))


def _g1_station(side: Side, hand: str) -> dict[str, Any]:
    outwards = 1 if side == "left" else -1
    home = {"shoulder_roll_joint": outwards * G1_ROLL_RAD, "shoulder_pitch_joint": -0.3}
    arm = {"type": "g1", "xyz": [0.0, outwards * G1_Y_M, G1_Z_M], "home": home}
    return {"arm": arm, "hand": {"type": hand}}


def workplaces(hands: Sequence[str] = ()) -> list[Workplace]:
    """Every pair of hands on both kinds of arms; `hands` are names or left+right, all and mixed
    ones where none are given.
    """
    chosen = list(hands) or [*catalog.hands(), *MIXED]
    places: list[Workplace] = []
    for number, words in enumerate(chosen):
        left, _, right = words.partition("+")
        pair = catalog.hand(left).name, catalog.hand(right or left).name
        places.append(Workplace("xarm7", pair, presses=number % 2 == 0, boxed=number % 3 == 1))
        places.append(Workplace("g1", pair, presses=number % 2 == 1, boxed=number % 3 == 2))
    return places
