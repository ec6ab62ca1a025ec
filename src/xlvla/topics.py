"""The name of every topic and service, written once, for nodes and for readers of recordings.

`{camera}`, `{side}` and `{part}` stand for the names of a rig. Types and QoS are in
`xlvla.ros.topics`.
"""

from __future__ import annotations

import re
from functools import cache


def compressed(image: str) -> str:
    """Where the pictures of a topic are published as JPEG, as image_transport does it."""
    return f"{image}/compressed"


CLOCK = "/clock"
RESET = "/reset"
INSTRUCTION = "/instruction"
CUE = "/cue"
DIAGNOSTICS = "/diagnostics"
ROBOT_DESCRIPTION = "/robot_description"
JOINT_STATES = "/joint_states"
TF = "/tf"
TF_STATIC = "/tf_static"

# Cameras
IMAGE = "/cameras/{camera}/image_raw"
COMPRESSED = compressed(IMAGE)
CAMERA_INFO = "/cameras/{camera}/camera_info"

# Arms and hands
PART_JOINT_STATES = "/{side}/{part}/joint_states"
COMMAND = "/{side}/{part}/command"
COMMAND_DRY = "/{side}/{part}/command_dry"
DEVICE = "/{side}/{part}/device"
RECOVER = "/{side}/{part}/recover"
COMMAND_ORIGIN = ("session", "reset")
"""Names in a command that are no joints, see `xlvla.ros.command_session`."""
TACTILE = "/{side}/hand/tactile"
CHUNK = "/{side}/chunk"
CHUNK_OF = "/{side}/chunk/{source}"
RELATIVE_CHUNK = "/{side}/relative_chunk"

# Policy
LATENT = "/policy/latent"
MARKERS = "/policy/markers"

# Motion
ESTOP = "/motion/estop"
MOTION_RESET = "/motion/reset"
ENGAGE = "/motion/engage"
HOME = "/motion/home"
STOP = "/motion/stop"
SOURCE = "/motion/source"
MOTION_STATUS = "/motion/status"
TAKE_OVER = "/motion/take_over"
CONTROL_SOURCE = "/motion/control_source"

# Teleoperation
TELEOP_STATUS = "/teleop/status"
TELEOP_CLUTCH = "/teleop/clutch"
TELEOP_LATENT = "/teleop/latent"
TELEOP_KEYS = "/teleop/keys"
BUTTON = "/teleop/button"
OPERATOR_WRIST = "/teleop/{side}/wrist"
OPERATOR_KEYPOINTS = "/teleop/{side}/keypoints"
LEADER = "/teleop/{side}/leader"
TRACKED_WRIST = "/tracker/{side}/wrist"
TRACKED_KEYPOINTS = "/tracker/{side}/keypoints"
EXOSKELETON = "/exoskeleton/{side}/joint_states"

# Recorder
RECORDER_STATUS = "/recorder/status"
RECORDER_START = "/recorder/start"
RECORDER_STOP = "/recorder/stop"
RECORDER_DISCARD = "/recorder/discard"
RECORDER_MARK = "/recorder/mark"
RECORDER_RELABEL = "/recorder/relabel"

# Simulation and emulators
SIM_STATUS = "/sim/status"
SIM_STATE = "/sim/state"
SIM_RESET = "/sim/reset"
SIM_SEED = "/sim/seed"
INJECT = "/emulators/inject"
EMULATED_FAULTS = "/emulators/faults"


def match(template: str, name: str) -> dict[str, str] | None:
    """What the fields of a template stand for in a topic's name; None where it is another topic.

    >>> match(COMMAND, "/left/arm/command")
    {'side': 'left', 'part': 'arm'}
    """
    found = _pattern(template).fullmatch(name)
    return found.groupdict() if found else None


def namespace(template: str) -> str:
    """What the names of a template have in common.

    >>> namespace(TRACKED_WRIST)
    '/tracker'
    """
    return template.partition("/{")[0]


@cache
def _pattern(template: str) -> re.Pattern[str]:
    words = re.split(r"\{(\w+)\}", template)
    fixed, fields = words[::2], words[1::2]
    pattern = re.escape(fixed[0])
    for field, text in zip(fields, fixed[1:], strict=True):
        pattern += f"(?P<{field}>[^/]+)" + re.escape(text)
    return re.compile(pattern)
