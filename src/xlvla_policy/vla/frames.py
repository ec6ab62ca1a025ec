"""Frames: a robot's joints as the policy's numbers and back, in either space; what collects, trains
and acts shares this.

A frame holds, side by side, the arm's joints and then the hand: its latent in the latent space, its
joints, padded to the side's share of the frame, in the raw space. Every run of numbers with one
meaning is a block, and a block's name says whose statistics it is normalised with: a latent means
the same for all hands, a joint only for its own arm or hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from xlvla import catalog
from xlvla.codec import Codec
from xlvla.errors import XlvlaError
from xlvla.rig import Rig
from xlvla.types import Part, Side
from xlvla_policy.vla.config import VlaConfig

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

    def decode(self, numbers: np.ndarray) -> np.ndarray: ...

    def latent(self, numbers: np.ndarray) -> np.ndarray:
        """The latents [T, L] these numbers stand for."""
        ...


class LatentHand:
    """The latent that all hands share."""

    def __init__(self, codec: Codec, hand: str, side: Side):
        self._hand = hand
        self._side: Side = side
        self._codec = codec
        self.kind = "latent"
        self.joints = ()
        self.width = codec.latent_dim
        codec.joints(hand, side)

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


CODERS = {"latent": LatentHand, "raw": RawHand}


class Frames:
    """The frames of one robot.

    Raises:
        XlvlaError: a hand the codec does not know, arms of another number of joints, or a frame too
            narrow for the hands.
    """

    def __init__(self, config: VlaConfig, bodies: Mapping[Side, Body], codec: Codec):
        self.config = config
        self.bodies: dict[Side, Body] = {
            side: bodies[side] for side in config.sides if side in bodies
        }
        self.coders: dict[Side, HandCoder] = {
            side: CODERS[config.space](codec, bodies[side].hand, side) for side in config.sides
        }
        self.blocks = tuple(
            block for index, side in enumerate(config.sides) for block in self._side(index, side)
        )

    @property
    def label(self) -> str:
        """The robot in a word: 'xarm7+xhand', or side by side where they differ."""
        return " | ".join(dict.fromkeys(f"{body.arm}+{body.hand}" for body in self.bodies.values()))

    def encode(self, positions: Positions) -> np.ndarray:
        """Frames [T, frame_dim], not normalised."""
        frames = np.zeros(
            (len(positions[self.blocks[0].side]["arm"]), self.config.frame_dim), np.float32
        )
        for block in self.blocks:
            values = positions[block.side][block.part]
            frames[:, block.columns] = (
                values if block.part == "arm" else self.coders[block.side].encode(values)
            )
        return frames

    def decode(self, frames: np.ndarray) -> dict[Side, dict[Part, np.ndarray]]:
        """Joint positions [T, J] of frames [T, frame_dim]; those of an arm, and of a hand in raw
        space, may be beyond its limits.
        """
        positions: dict[Side, dict[Part, np.ndarray]] = {side: {} for side in self.config.sides}
        for block in self.blocks:
            values = frames[:, block.columns]
            positions[block.side][block.part] = (
                values if block.part == "arm" else self.coders[block.side].decode(values)
            )
        return positions

    def latents(self, frames: np.ndarray) -> dict[Side, np.ndarray]:
        """Each hand's latents [T, L] of frames [T, frame_dim]."""
        hands = [block for block in self.blocks if block.part == "hand"]
        return {
            block.side: self.coders[block.side].latent(frames[:, block.columns]) for block in hands
        }

    def _side(self, index: int, side: Side) -> tuple[Block, Block]:
        config = self.config
        body = self.bodies[side]
        coder = self.coders[side]
        arm = catalog.arm(body.arm)
        slot = config.frame_dim // len(config.sides)
        if len(arm.joints) != config.arm_joints:
            raise XlvlaError(
                f"this policy drives arms of {config.arm_joints} joints; the {side} {arm.title} "
                f"has {len(arm.joints)}"
            )
        needed = len(arm.joints) + coder.width
        start = index * slot
        if needed > slot:
            raise XlvlaError(
                f"the {side} {body.hand} on its arm needs {needed} numbers of a frame, this policy "
                f"has {slot} for a side"
            )
        return (
            Block(side, "arm", f"arm {body.arm}", arm.joints, start, len(arm.joints)),
            Block(side, "hand", coder.kind, coder.joints, start + len(arm.joints), coder.width),
        )


def of_rig(config: VlaConfig, rig: Rig, codec: Codec) -> Frames:
    """The frames of a rig; refuses one that has other sides than the policy."""
    if set(rig.sides) != set(config.sides):
        raise XlvlaError(
            f"this policy drives {' and '.join(config.sides)}; rig '{rig.name}' has "
            f"{' and '.join(rig.sides)}"
        )
    return Frames(
        config,
        {side: Body(station.arm.type, station.hand.type) for side, station in rig.sides.items()},
        codec,
    )


def raw_dim(config: VlaConfig, bodies: list[Mapping[Side, Body]]) -> int:
    """Numbers a raw frame needs for these robots: every side as wide as the widest hand."""
    widest = max(len(catalog.hand(body.hand).joints) for robot in bodies for body in robot.values())
    return len(config.sides) * (config.arm_joints + widest)
