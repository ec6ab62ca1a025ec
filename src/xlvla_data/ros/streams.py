"""What is recorded of a rig, topic by topic, and what the rig promises of it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from xlvla.rig import Rig
from xlvla.ros import topics
from xlvla.ros.topics import Topic
from xlvla.ros.wiring import recorded, type_name
from xlvla.types import Part, Side
from xlvla_data.bag.definitions import described
from xlvla_data.bag.layout import Qos
from xlvla_data.bag.picture import KIND, RAW_KIND
from xlvla_data.tape import Stream

_BODY = re.compile(r"/(left|right)/(arm|hand)/(joint_states|command|command_dry)$")
_PICTURE = re.compile(r"/cameras/([^/]+)/image_raw(/compressed)?$")


def streams(rig: Rig) -> list[tuple[Topic, Stream]]:
    """Topics with how they are stored and judged."""
    return [(topic, _stream(rig, topic)) for topic in recorded(rig)]


def is_raw_picture(topic: Topic) -> bool:
    """Whether a camera says it uncompressed; it is recorded compressed."""
    return type_name(topic) == RAW_KIND


def _stream(rig: Rig, topic: Topic) -> Stream:
    if body := _BODY.match(topic.name):
        return _body(rig, topic, *body.groups())
    if picture := _PICTURE.match(topic.name):
        return _picture(rig, topic, picture[1])
    return Stream(_stored(topic), "reset" if topic == topics.RESET else "other")


def _body(rig: Rig, topic: Topic, side: Side, part: Part, what: str) -> Stream:
    measured = what == "joint_states"
    lower, upper = _limits(rig, side, part)
    claim_hz = _state_hz(rig, side, part) if measured else rig.motion.rate_hz
    joints = rig.joint_names(side, part)
    return Stream(_stored(topic), "state" if measured else "command", f"{side} {part}", claim_hz, joints, lower, upper, counted=True)


def _limits(rig: Rig, side: Side, part: Part) -> tuple[np.ndarray, np.ndarray]:
    limits = rig.arm(side).limits if part == "arm" else rig.hand(side).limits(side)
    return np.asarray(limits.lower, float), np.asarray(limits.upper, float)


def _state_hz(rig: Rig, side: Side, part: Part) -> float | None:
    device = rig.device(side, part)
    return rig.sim.joint_state_hz if rig.sim else device and device.rate_hz


def _picture(rig: Rig, topic: Topic, camera: str) -> Stream:
    stored = _stored(topics.compressed(camera))
    return Stream(stored, "camera", camera, rig.cameras[camera].rate_hz, counted=True)


def _stored(topic: Topic) -> Any:
    reliable = topic.qos.reliability == ReliabilityPolicy.RELIABLE
    latched = topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    kind = KIND if is_raw_picture(topic) else type_name(topic)
    return described(topic.name, kind, Qos(topic.qos.depth, reliable, latched))
