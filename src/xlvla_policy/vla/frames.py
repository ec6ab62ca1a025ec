"""Frames: a robot's joints as the policy's numbers and back, in either space; shared by collection,
training and the policy.

A frame holds, side by side, the arm's joints and then the hand: its latent in the latent space, its
joints, padded to the side's share of the frame, in the raw space. Every run of numbers with one
meaning is a block, and a block's name says whose statistics it is normalised with: a latent means
the same for all hands, a joint only for its own arm or hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.types import Part, Side
from xlvla_policy.vla.config import VlaConfig
from xlvla_policy.vla.rig_fit import refuse_other_sides

Positions = Mapping[Side, Mapping[Part, np.ndarray]]
"""Joint positions [T, J] rad by side and part, in the catalogue's order."""


@dataclass(frozen=True)
class Body:
    """What one side of a robot is, by the catalogue's names."""

    arm: str
    hand: str


@dataclass(frozen=True)
class Block:
    """A run of a frame's numbers with one meaning.

    Args:
        kind: whose numbers they are: 'arm xarm7', 'latent', 'hand inspire'.
        joints: their names; none where they are latents.
    """

    side: Side
    part: Part
    kind: str
    joints: tuple[str, ...]
    start: int
    width: int

    @property
    def name(self) -> str:
        return f"{self.side} {self.kind}"

    @property
    def columns(self) -> slice:
        return slice(self.start, self.start + self.width)


class HandCoder(Protocol):
    """A hand's half of a side."""

    kind: str
    joints: tuple[str, ...]
    width: int

    def encode(self, q: np.ndarray) -> np.ndarray:
        """Joints [T, J] rad to numbers [T, width]."""
        ...

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers [T, width] to joints [T, J] rad."""
        ...

    def latent(self, numbers: np.ndarray) -> np.ndarray:
        """The latents [T, L] these numbers stand for."""
        ...


class LatentHand:
    """The latent that all hands share."""

    def __init__(self, codec: Codec, hand: str, side: Side):
        # Refuses a hand the codec does not know.
        codec.joints(hand, side)
        self._hand = hand
        self._side: Side = side
        self._codec = codec
        self.kind = "latent"
        self.joints = ()
        self.width = codec.latent_dim

    def encode(self, q: np.ndarray) -> np.ndarray:
        return self._codec.encode(self._hand, self._side, q)

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        return self._codec.decode(self._hand, self._side, numbers)

    def latent(self, numbers: np.ndarray) -> np.ndarray:
        return numbers


class RawHand:
    """Joints as they are."""

    def __init__(self, codec: Codec, hand: str, side: Side):
        self._codec = codec
        self._hand = hand
        self._side: Side = side
        self.kind = f"hand {hand}"
        self.joints = catalog.hand(hand).joint_names(side)
        self.width = len(self.joints)

    def encode(self, q: np.ndarray) -> np.ndarray:
        return q

    def decode(self, numbers: np.ndarray) -> np.ndarray:
        return numbers

    def latent(self, numbers: np.ndarray) -> np.ndarray:
        return self._codec.encode(self._hand, self._side, numbers)


def _coder(config: VlaConfig, codec: Codec, hand: str, side: Side) -> HandCoder:
    if config.space == "latent":
        return LatentHand(codec, hand, side)
    if config.space == "raw":
        return RawHand(codec, hand, side)
    # dex-retargeting is wanted by this baseline alone.
    from xlvla_policy.vla.retargeted_hand import RetargetedHand

    return RetargetedHand(codec, hand, side, config.source_hand)


class Frames:
    """The frames of one robot.

    Raises:
        XlvlaError: a hand the codec does not know, arms of another number of joints, or a frame too
            narrow for the hands.
    """

    def __init__(self, config: VlaConfig, bodies: Mapping[Side, Body], codec: Codec):
        self.config = config
        self.bodies: dict[Side, Body] = {}
        self.coders: dict[Side, HandCoder] = {}
        blocks: list[Block] = []
        for index, side in enumerate(config.sides):
            self.bodies[side] = bodies[side]
            self.coders[side] = _coder(config, codec, bodies[side].hand, side)
            blocks += self._side(index, side)
        self.blocks = tuple(blocks)

    @property
    def label(self) -> str:
        """The robot in short: 'xarm7+xhand', or side by side where they differ."""
        labels = [f"{body.arm}+{body.hand}" for body in self.bodies.values()]
        return " | ".join(dict.fromkeys(labels))

    def encode(self, positions: Positions) -> np.ndarray:
        """Frames [T, frame_dim], not normalised."""
        length = len(positions[self.blocks[0].side]["arm"])
        frames = np.zeros((length, self.config.frame_dim), np.float32)
        for block in self.blocks:
            values = positions[block.side][block.part]
            if block.part == "hand":
                values = self.coders[block.side].encode(values)
            frames[:, block.columns] = values
        return frames

    def decode(self, frames: np.ndarray) -> dict[Side, dict[Part, np.ndarray]]:
        """Joint positions [T, J] of frames [T, frame_dim]; those of an arm, and of a hand in raw
        space, may be beyond its limits.
        """
        positions: dict[Side, dict[Part, np.ndarray]] = {side: {} for side in self.config.sides}
        for block in self.blocks:
            values = frames[:, block.columns]
            if block.part == "hand":
                values = self.coders[block.side].decode(values)
            positions[block.side][block.part] = values
        return positions

    def latents(self, frames: np.ndarray) -> dict[Side, np.ndarray]:
        """Each hand's latents [T, L] of frames [T, frame_dim]."""
        latents: dict[Side, np.ndarray] = {}
        for block in self.blocks:
            if block.part == "hand":
                coder = self.coders[block.side]
                latents[block.side] = coder.latent(frames[:, block.columns])
        return latents

    def _side(self, index: int, side: Side) -> tuple[Block, Block]:
        """The blocks of arm and hand of the `index`-th side."""
        config = self.config
        body = self.bodies[side]
        coder = self.coders[side]
        arm = catalog.arm(body.arm)
        arm_width = len(arm.joints)
        if arm_width != config.arm_joints:
            raise XlvlaError(
                f"this policy drives arms of {config.arm_joints} joints; the {side} {arm.title} "
                f"has {arm_width}"
            )
        share = config.frame_dim // len(config.sides)
        needed = arm_width + coder.width
        if needed > share:
            raise XlvlaError(
                f"the {side} {body.hand} on its arm needs {needed} numbers of a frame, this policy "
                f"has {share} for a side"
            )
        start = index * share
        return (
            Block(side, "arm", f"arm {body.arm}", arm.joints, start, arm_width),
            Block(side, "hand", coder.kind, coder.joints, start + arm_width, coder.width),
        )


def of_rig(config: VlaConfig, rig: Rig, codec: Codec) -> Frames:
    """The frames of a rig; refuses one that has other sides than the policy."""
    refuse_other_sides(rig, config)
    bodies: dict[Side, Body] = {}
    for side, station in rig.sides.items():
        bodies[side] = Body(station.arm.type, station.hand.type)
    return Frames(config, bodies, codec)


def raw_dim(config: VlaConfig, robots: Sequence[Mapping[Side, Body]]) -> int:
    """Numbers a raw frame needs for these robots: every side as wide as the widest hand."""
    widest = 0
    for bodies in robots:
        for body in bodies.values():
            widest = max(widest, len(catalog.hand(body.hand).joints))
    return len(config.sides) * (config.arm_joints + widest)
