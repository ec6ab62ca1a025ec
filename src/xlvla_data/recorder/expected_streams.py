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
    parts: dict[tuple[str, str], tuple[Side, Part]] = {
        (side, part): (side, part) for side, part in rig.parts
    }
    for template in (topics.PART_JOINT_STATES, topics.COMMAND, topics.COMMAND_DRY):
        body = topics.match(template, topic.name)
        if body and (key := (body["side"], body["part"])) in parts:
            return _body(rig, topic, *parts[key], measured=template == topics.PART_JOINT_STATES)
    kind = "reset" if topic.name == topics.RESET else "device" if topic.type == _DEVICE else "other"
    return RecordedTopic(topic, kind)


def _camera(rig: Rig, topic: BagTopic, camera: str) -> RecordedTopic:
    rate_hz = rig.cameras[camera].rate_hz
    rendered = rig.sim is not None or camera in rig.mirrored
    return RecordedTopic(topic, "camera", camera, rate_hz, counted=True, noiseless=rendered)


def _body(rig: Rig, topic: BagTopic, side: Side, part: Part, measured: bool) -> RecordedTopic:
    limits = rig.arm(side).limits if part == "arm" else rig.hand(side).limits(side)
    claim_hz = _state_hz(rig, side, part) if measured else rig.motion.rate_hz
    lower = np.asarray(limits.lower, float)
    upper = np.asarray(limits.upper, float)
    kind = "state" if measured else "command"
    joints = rig.joint_names(side, part)
    return RecordedTopic(
        topic, kind, f"{side} {part}", claim_hz, joints, lower, upper, counted=True
    )


def _state_hz(rig: Rig, side: Side, part: Part) -> float | None:
    device = rig.device(side, part)
    return rig.sim.joint_state_hz if rig.sim else device and device.rate_hz
