"""What is recorded of a rig, topic by topic, and what the rig promises of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from xlvla.rig import Rig
from xlvla.ros import topics
from xlvla.ros.topics import Topic
from xlvla.ros.wiring import recorded, type_name
from xlvla.types import Part, Side
from xlvla_data.bag.definitions import described
from xlvla_data.bag.layout import BagTopic, Qos
from xlvla_data.bag.picture import RAW_KIND
from xlvla_data.recorder.tape import Stream

DEVICE_KIND = "diagnostic_msgs/msg/DiagnosticStatus"
_PICTURE = re.compile(r"/cameras/([^/]+)/image_raw(/compressed)?$")


def streams(rig: Rig) -> list[tuple[Topic, Stream]]:
    """Topics with how they are stored and judged."""
    bodies = {stream.topic.name: stream for stream in _bodies(rig)}
    return [(topic, bodies.get(topic.name) or _stream(rig, topic)) for topic in recorded(rig)]


def is_raw_picture(topic: Topic) -> bool:
    """Whether a camera says it uncompressed; it is recorded compressed."""
    return type_name(topic) == RAW_KIND


def _stream(rig: Rig, topic: Topic) -> Stream:
    if picture := _PICTURE.match(topic.name):
        stored = _stored(topics.compressed(picture[1]))
        rendered = rig.sim is not None or picture[1] in rig.mirrored
        return Stream(stored, "camera", picture[1], rig.cameras[picture[1]].rate_hz, counted=True, noiseless=rendered)
    if type_name(topic) == DEVICE_KIND:
        return Stream(_stored(topic), "device")
    return Stream(_stored(topic), "reset" if topic == topics.RESET else "other")


def _bodies(rig: Rig) -> Iterator[Stream]:
    """Measured and commanded joints of every part."""
    for side, part in rig.parts:
        about = {"of": f"{side} {part}", "joints": rig.joint_names(side, part), "counted": True}
        lower, upper = _limits(rig, side, part)
        yield Stream(
            _stored(topics.joint_states(side, part)), "state", claim_hz=_state_hz(rig, side, part), lower=lower, upper=upper, **about
        )
        for topic in (topics.command(side, part), topics.command_dry(side, part)):
            yield Stream(_stored(topic), "command", claim_hz=rig.motion.rate_hz, lower=lower, upper=upper, **about)


def _limits(rig: Rig, side: Side, part: Part) -> tuple[np.ndarray, np.ndarray]:
    limits = rig.arm(side).limits if part == "arm" else rig.hand(side).limits(side)
    return np.asarray(limits.lower, float), np.asarray(limits.upper, float)


def _state_hz(rig: Rig, side: Side, part: Part) -> float | None:
    device = rig.device(side, part)
    return rig.sim.joint_state_hz if rig.sim else device and device.rate_hz


def _stored(topic: Topic) -> BagTopic:
    reliable = topic.qos.reliability == ReliabilityPolicy.RELIABLE
    latched = topic.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL
    return described(topic.name, type_name(topic), Qos(topic.qos.depth, reliable, latched))
