"""Where a robot's links are, as robot_state_publisher publishes it on `/tf` and `/tf_static`: a
recording shows the robot in Foxglove, RViz and Rerun without anything else.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from xlvla import topics
from xlvla.types import SECOND
from xlvla.urdf import Description, Joint, rotation
from xlvla_data.bag.decode import START, Positions, header_ns, read_text
from xlvla_data.bag.definitions import described, jazzy_types
from xlvla_data.bag.layout import BagTopic, Qos

KIND = "tf2_msgs/msg/TFMessage"
JOINT_STATE = "sensor_msgs/msg/JointState"

STAMP = struct.Struct("<iI")
NUMBERS = struct.Struct("<7d")
LENGTH_BYTES = 4


class Transforms:
    """The transforms of a robot: those that never change, and those of its joint states."""

    def __init__(self, description: Description):
        self.moving = described(topics.TF, KIND, Qos(100, reliable=True, latched=False))
        self.fixed = described(topics.TF_STATIC, KIND, Qos(1, reliable=True, latched=True))
        self._description = description
        self._positions = Positions()
        # A stream's messages have the same joints, one after the other
        self._templates: dict[tuple[str, ...], Template] = {}

    @property
    def topics(self) -> tuple[BagTopic, BagTopic]:
        return self.fixed, self.moving

    def static(self, stamp_ns: int) -> bytes:
        """The serialised transforms of the joints that do not move."""
        fixed = [joint for joint in self._description.joints if not joint.moves]
        return Template(fixed).filled(stamp_ns, np.zeros(len(fixed)))

    def of(self, joint_state: bytes) -> bytes:
        """The serialised transforms at a serialised JointState; joints that it does not have are
        left out.

        Raises:
            struct.error, ValueError: it cannot be read.
        """
        stamp_ns = header_ns(JOINT_STATE, joint_state) or 0
        values = self._positions(joint_state)
        positions = dict(zip(self._positions.names, values.tolist(), strict=False))
        known = tuple(name for name, value in positions.items() if math.isfinite(value))
        if known not in self._templates:
            self._templates = {known: self._template(set(known))}
        template = self._templates[known]
        leading = np.array([positions[name] for name in template.leaders])
        return template.filled(stamp_ns, template.multipliers * leading + template.offsets)

    def _template(self, known: set[str]) -> Template:
        """Of every joint that moves with one of these, coupled ones too."""
        moved: list[Joint] = []
        couplings: list[tuple[Joint, float, float]] = []
        for joint in self._description.joints:
            if not joint.moves:
                continue
            coupling = self._description.coupling(joint)
            if coupling[0].name in known:
                moved.append(joint)
                couplings.append(coupling)
        return Template(moved, couplings)


class Template:
    """A serialised message whose numbers are filled in: thirty times a second, nothing else of it
    changes.

    Attributes:
        leaders: names of the joints that move these, whose positions are `multipliers` times
            theirs plus `offsets`.
    """

    def __init__(
        self, joints: Sequence[Joint], couplings: Sequence[tuple[Joint, float, float]] = ()
    ):
        self.leaders = [leader.name for leader, _, _ in couplings]
        self.multipliers = np.array([multiplier for _, multiplier, _ in couplings])
        self.offsets = np.array([offset for _, _, offset in couplings])
        self._places = np.array([joint.xyz for joint in joints], float).reshape(-1, 3)
        turns = [_quaternion(rotation(joint.rpy)) for joint in joints]
        self._turns = np.array(turns, float).reshape(-1, 4)
        axes = np.array([joint.axis for joint in joints], float).reshape(-1, 3)
        lengths = np.linalg.norm(axes, axis=1, keepdims=True)
        self._axes = np.divide(axes, lengths, out=np.zeros_like(axes), where=lengths > 0)
        slides = np.array([joint.type == "prismatic" for joint in joints], bool)
        ways = [rotation(joint.rpy) @ axis for joint, axis in zip(joints, self._axes, strict=True)]
        self._ways = slides[:, None] * np.array(ways, float).reshape(-1, 3)
        self._turning = ~slides
        message = _serialised(joints)
        self._message = bytearray(message)
        self._stamp_offsets, self._number_offsets = _offsets(message, len(joints))

    def filled(self, stamp_ns: int, positions: np.ndarray) -> bytes:
        """The message at positions [J] rad or m."""
        numbers = np.empty((len(positions), 7))
        numbers[:, :3] = self._places + self._ways * positions[:, None]
        half = positions * self._turning / 2
        numbers[:, 3:] = _product(self._turns, np.sin(half)[:, None] * self._axes, np.cos(half))
        seconds, nanoseconds = divmod(stamp_ns, SECOND)
        message = self._message
        for at in self._stamp_offsets:
            STAMP.pack_into(message, at, seconds, nanoseconds)
        for at, row in zip(self._number_offsets, numbers.tolist(), strict=True):
            NUMBERS.pack_into(message, at, *row)
        return bytes(message)


def _serialised(joints: Sequence[Joint]) -> bytes:
    """A message with the links' names, and no numbers yet."""
    store = jazzy_types()
    types = store.types
    transforms: list[Any] = []
    for joint in joints:
        transform = types["geometry_msgs/msg/Transform"](
            translation=types["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0),
            rotation=types["geometry_msgs/msg/Quaternion"](0.0, 0.0, 0.0, 1.0),
        )
        stamp = types["builtin_interfaces/msg/Time"](0, 0)
        header = types["std_msgs/msg/Header"](stamp, joint.parent)
        transforms.append(
            types["geometry_msgs/msg/TransformStamped"](header, joint.child, transform)
        )
    return bytes(store.serialize_cdr(types[KIND](transforms), KIND))


def _offsets(message: bytes, count: int) -> tuple[list[int], list[int]]:
    """Where the stamps, and where the seven numbers, of every transform are."""
    stamps: list[int] = []
    numbers: list[int] = []
    at = START + LENGTH_BYTES
    for _ in range(count):
        at += -at % 4
        stamps.append(at)
        _, at = read_text(message, at + STAMP.size)
        _, at = read_text(message, at)
        at += (START - at) % 8
        numbers.append(at)
        at += NUMBERS.size
    return stamps, numbers


def _quaternion(matrix: np.ndarray) -> tuple[float, ...]:
    """The quaternion x, y, z, w of a rotation [3, 3], w not negative."""
    # Every product of two components is in this matrix; the largest row has no small divisor
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = matrix.tolist()
    products = np.array(
        [
            [1 + xx - yy - zz, xy + yx, xz + zx, zy - yz],
            [xy + yx, 1 - xx + yy - zz, yz + zy, xz - zx],
            [xz + zx, yz + zy, 1 - xx - yy + zz, yx - xy],
            [zy - yz, xz - zx, yx - xy, 1 + xx + yy + zz],
        ]
    )
    row = products[int(products.diagonal().argmax())]
    row = row / np.linalg.norm(row)
    return tuple((row if row[3] >= 0 else -row).tolist())


def _product(turns: np.ndarray, vectors: np.ndarray, scalars: np.ndarray) -> np.ndarray:
    """Quaternions [N, 4] of turns, and of further turns, with vectors [N, 3] and scalars [N], in
    their frames.
    """
    own = turns[:, :3]
    own_scalars = turns[:, 3:]
    product = np.empty_like(turns)
    product[:, :3] = own_scalars * vectors + scalars[:, None] * own + np.cross(own, vectors)
    product[:, 3] = own_scalars[:, 0] * scalars - (own * vectors).sum(1)
    return product
