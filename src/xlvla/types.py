"""The few types every package shares.

Shape letters used in docstrings: B batch, T frames of a chunk, J joints of one hand, N joints of
one robot, L latent width (32), H W image height and width. Angles are radians, lengths metres,
times seconds; stamps are integer nanoseconds of the ROS clock.
"""

from __future__ import annotations

from typing import Literal, get_args

Side = Literal["left", "right"]
SIDES: tuple[Side, ...] = get_args(Side)

Finger = Literal["thumb", "index", "middle", "ring", "little"]
FINGERS: tuple[Finger, ...] = get_args(Finger)

Part = Literal["arm", "hand"]
PARTS: tuple[Part, ...] = get_args(Part)

NONE = "none"
"""The type of an arm or a hand that a side of a rig does not have."""

Source = Literal["policy", "teleop", "replay"]
"""Who sends chunks under its own name."""
SOURCES: tuple[Source, ...] = get_args(Source)

CHUNK_FRAMES = 64
"""Frames of one action chunk in the paper (section 4); a policy has its own (`Policy.frames`)."""

CHUNK_HZ = 20
"""Frames per second of the paper's chunks and demonstrations (section 4); a policy has its own
(`Policy.rate_hz`).
"""


SECOND = 1_000_000_000
"""Nanoseconds of a second: stamps are whole nanoseconds."""

FIRST_EVALUATION_SEED = 1_000_000
"""Simulated episodes from this seed on are kept for evaluation: demonstrations never use them."""


def scoped(side: Side, part: Part, name: str) -> str:
    """The name a joint or link of a part bears in an assembled rig: it begins with the side's word
    and the part's.

    >>> scoped("left", "arm", "joint1")
    'left_arm_joint1'
    >>> scoped("left", "hand", "left_hand_thumb_bend_joint")
    'left_hand_thumb_bend_joint'
    >>> scoped("left", "hand", "left_palm_link")
    'left_hand_palm_link'
    """
    return f"{side}_{part}_" + name.removeprefix(f"{side}_").removeprefix(f"{part}_")
