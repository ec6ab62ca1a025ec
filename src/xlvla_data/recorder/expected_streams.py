"""What a rig specifies for each recorded topic: the expected rates and joints."""

from __future__ import annotations

import re

import numpy as np

from xlvla.rig import Rig
from xlvla.types import Part, Side
from xlvla_data.bag.layout import BagTopic
from xlvla_data.bag.picture import KIND
from xlvla_data.recorder.stream_statistics import RecordedTopic

_BODY = re.compile(r"/(\w+)/(\w+)/(joint_states|command|command_dry)$")
_PICTURE = re.compile(r"/cameras/([^/]+)/image_raw/compressed$")
_DEVICE = "diagnostic_msgs/msg/DiagnosticStatus"
_RESET = "/reset"


def stream(rig: Rig, topic: BagTopic) -> RecordedTopic:
    """How a topic is judged."""
    picture = _PICTURE.match(topic.name)
    body = _BODY.match(topic.name)
    if picture and topic.type == KIND and picture[1] in rig.cameras:
        rendered = rig.sim is not None or picture[1] in rig.mirrored
        return RecordedTopic(
            topic,
            "camera",
            picture[1],
            rig.cameras[picture[1]].rate_hz,
            counted=True,
            noiseless=rendered,
        )
    parts: dict[tuple[str, str], tuple[Side, Part]] = {
        (side, part): (side, part) for side, part in rig.parts
    }
    if body and (body[1], body[2]) in parts:
        return _body(rig, topic, *parts[body[1], body[2]], measured=body[3] == "joint_states")
    kind = "reset" if topic.name == _RESET else "device" if topic.type == _DEVICE else "other"
    return RecordedTopic(topic, kind)


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
