"""What a rig specifies for each recorded topic: the expected rates and joints."""

from __future__ import annotations

import numpy as np

from xlvla import topics
from xlvla.rig import Rig
from xlvla.types import Part, Side
from xlvla_data.bag.layout import BagTopic
from xlvla_data.bag.picture import KIND
from xlvla_data.recorder.stream_statistics import RecordedTopic

_DEVICE = "diagnostic_msgs/msg/DiagnosticStatus"


def stream(rig: Rig, topic: BagTopic) -> RecordedTopic:
    """How a topic is judged."""
    picture = topics.match(topics.COMPRESSED, topic.name)
    if picture and topic.type == KIND and picture["camera"] in rig.cameras:
        return _camera(rig, topic, picture["camera"])
    for side, part in rig.parts:
        if topic.name == topics.PART_JOINT_STATES.format(side=side, part=part):
            return _body(rig, topic, side, part, measured=True)
        for template in (topics.COMMAND, topics.COMMAND_DRY):
            if topic.name == template.format(side=side, part=part):
                return _body(rig, topic, side, part, measured=False)
    if topic.name == topics.RESET:
        return RecordedTopic(topic, "reset")
    if topic.type == _DEVICE:
        return RecordedTopic(topic, "device")
    return RecordedTopic(topic, "other")


def _camera(rig: Rig, topic: BagTopic, camera: str) -> RecordedTopic:
    rate_hz = rig.cameras[camera].rate_hz
    rendered = rig.sim is not None or camera in rig.mirrored
    return RecordedTopic(topic, "camera", camera, rate_hz, counted=True, noiseless=rendered)


def _body(rig: Rig, topic: BagTopic, side: Side, part: Part, measured: bool) -> RecordedTopic:
    limits = rig.arm(side).limits if part == "arm" else rig.hand(side).limits(side)
    claim_hz = _state_hz(rig, side, part) if measured else rig.motion.rate_hz
    return RecordedTopic(
        topic,
        kind="state" if measured else "command",
        of=f"{side} {part}",
        claim_hz=claim_hz,
        joints=rig.joint_names(side, part),
        lower=np.asarray(limits.lower, float),
        upper=np.asarray(limits.upper, float),
        counted=True,
    )


def _state_hz(rig: Rig, side: Side, part: Part) -> float | None:
    """Rate of the joint states of a part; None where it has neither simulation nor device."""
    if rig.sim:
        return rig.sim.joint_state_hz
    device = rig.device(side, part)
    if device is None:
        return None
    return device.rate_hz
