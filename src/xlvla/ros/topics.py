"""Every topic and service of the graph with its type and QoS, written once: a QoS is part of the
interface. Their names are in `xlvla.topics`.

A name that depends on side, part or camera is a function. High-rate topics keep one message, so
that a slow reader gets the newest and never a queue of old ones; readers that need every message
ask for more with `history`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState, PointCloud2
from std_msgs.msg import Bool, Float32MultiArray, Float64MultiArray, Header, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory
from visualization_msgs.msg import MarkerArray

from xlvla import topics as names
from xlvla.types import Part, Side, Source


def _qos(reliable: bool, *, latched: bool = False, depth: int = 1) -> QoSProfile:
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=depth,
        reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


SENSOR = _qos(reliable=False)
RELIABLE = _qos(reliable=True)
LATCHED = _qos(reliable=True, latched=True)


@dataclass(frozen=True)
class Topic:
    """A topic: name, message type, QoS, and bytes of its largest message where its type does not
    say it (`sizes`).

    The name is what it is in the namespace `/`, and in every recording. A `foreign` topic, of nodes
    that are not ours, has its full name in every namespace.
    """

    name: str
    type: Any
    qos: QoSProfile = field(compare=False)
    largest: int | None = field(default=None, compare=False)
    foreign: bool = field(default=False, compare=False)

    @property
    def relative(self) -> str:
        """The name as a node says it to ROS, which puts the node's namespace before it, but for a
        foreign one.
        """
        return self.name if self.foreign else self.name.removeprefix("/")

    def history(self, depth: int) -> Topic:
        """The same for a reader that wants the last `depth` messages."""
        qos = self.qos
        return replace(
            self,
            qos=QoSProfile(
                history=HistoryPolicy.KEEP_LAST,
                depth=depth,
                reliability=qos.reliability,
                durability=qos.durability,
            ),
        )


@dataclass(frozen=True)
class Service:
    """A service: its name in the namespace `/`, and its type."""

    name: str
    type: Any

    @property
    def relative(self) -> str:
        """As of a topic."""
        return self.name.removeprefix("/")


CLOCK = Topic(names.CLOCK, Clock, SENSOR)
"""Simulated time."""

RESET = Topic(names.RESET, Header, LATCHED)
"""The simulation was reset: whatever is stamped before this stamp is discarded by every node.
Its stamp [ns] is the reset id.
"""

JOINT_STATES = Topic(names.JOINT_STATES, JointState, _qos(reliable=True, depth=10))
ROBOT_DESCRIPTION = Topic(names.ROBOT_DESCRIPTION, String, LATCHED, largest=16 << 20)
DIAGNOSTICS = Topic(names.DIAGNOSTICS, DiagnosticArray, _qos(reliable=True, depth=10))
INSTRUCTION = Topic(names.INSTRUCTION, String, LATCHED)

LATENT = Topic(names.LATENT, Float32MultiArray, SENSOR)
"""The newest chunk as latents: dimensions side, frame, latent."""

MARKERS = Topic(names.MARKERS, MarkerArray, RELIABLE)
"""The newest chunk as ghost hands and fingertip trails, in `world`."""

SIM_STATUS = Topic(names.SIM_STATUS, String, LATCHED)
"""JSON: begun (how many episodes were), episode, task, seed, success, stage, done, text, time_s,
real_time_factor.
"""

STATE_HZ = 15

SIM_STATE = Topic(names.SIM_STATE, Float64MultiArray, SENSOR)
"""Generalised positions of the simulated world `STATE_HZ` times a second, from which pictures can
be made afterwards.

The label of the dimension is `begun` of the status."""

ESTOP = Service(names.ESTOP, Trigger)
"""Stops and latches; only `/motion/reset` ends it."""

MOTION_RESET = Service(names.MOTION_RESET, Trigger)
"""Ends an e-stop: motion forgets chunk and command and stays disengaged."""

ENGAGE = Service(names.ENGAGE, SetBool)
"""True: chunks are played, starting from the measured pose. False: they are not, the last command
holds.
"""

STOP = Topic(names.STOP, String, LATCHED)
"""JSON: stopped (true or false), by (who stopped it), stamp_ns. True binds every driver, regardless
of
the command source: it brakes and holds.

Only false ends it, which motion says at `/motion/reset`. See `xlvla.ros.stop`."""

HOME = Service(names.HOME, Trigger)
"""Moves slowly to where an episode starts: arms at the rig's home, hands open. Only while engaged;
chunks wait meanwhile.
"""

SOURCE = Topic(names.SOURCE, String, LATCHED)
"""Who may drive: the name of a source of chunks (see `chunk`), said by the operator.

Empty, or never published: the first source received after engaging drives until the next
engagement.
"""

MOTION_STATUS = Topic(names.MOTION_STATUS, String, LATCHED)
"""JSON, at every change: plays (whether chunks are played now), state (for people), source (whose;
'' for nobody's yet).
"""

TAKE_OVER = Topic(names.TAKE_OVER, Bool, _qos(reliable=True, depth=10))
"""True: the operator takes the robot from the policy, which is braked until teleoperation's first
chunk. False: they give it back. Nothing else gives it back: who is lost sight of keeps the robot
where it is.
"""

CONTROL_SOURCE = Topic(names.CONTROL_SOURCE, Header, LATCHED)
"""Who drives from this stamp on, as `frame_id`: a word of `xlvla.control_source`, '' for nobody.
Said at every change.
"""

INJECT = Topic(names.INJECT, String, _qos(reliable=True, depth=10))
"""Begins or ends a fault of an emulated device: 'left hand unplug on'."""

EMULATED_FAULTS = Topic(names.EMULATED_FAULTS, String, LATCHED)
"""JSON by part ('left hand'): `known` faults of its emulator and those `active` now."""

TELEOP_STATUS = Topic(names.TELEOP_STATUS, String, LATCHED)
"""JSON: source and its address, link ('' where all is well, else what is wrong), sides, rate_hz of
samples, latency_ms (p50, p99) from a sample to its chunk. By side: tracked, clutched (the robot
follows), strained (it cannot reach), why it does not follow.
"""

TELEOP_CLUTCH = Service(names.TELEOP_CLUTCH, SetBool)
"""True: the robot follows the operator from where both are. False: it stays, and the operator may
move freely.
"""

TELEOP_LATENT = Topic(names.TELEOP_LATENT, Float32MultiArray, SENSOR)
"""The operator's newest hand poses as latents: dimensions side, frame (one), latent."""

TELEOP_KEYS = Topic(names.TELEOP_KEYS, String, _qos(reliable=True, depth=50))
"""Keys pressed at a terminal, for the teleop source `keyboard`."""

BUTTON = Topic(names.BUTTON, String, _qos(reliable=True, depth=10))
"""What the operator pressed or signed: record (start or stop, whichever it is time for), start,
stop, discard, success, failure, relabel, clutch.
"""

CUE = Topic(names.CUE, String, _qos(reliable=True, depth=10))
"""Operator feedback: the name of a sound, a colon, a line of text."""

RECORDER_STATUS = Topic(names.RECORDER_STATUS, String, LATCHED)
"""JSON: state (idle, recording, stopped), episode, duration_s, verdict (green, yellow, red) and its
findings.
"""

RECORDER_START = Service(names.RECORDER_START, Trigger)
RECORDER_STOP = Service(names.RECORDER_STOP, Trigger)
"""Begins and ends an episode; the answers' messages name it."""

RECORDER_DISCARD = Service(names.RECORDER_DISCARD, Trigger)
"""Puts the last episode aside, into the session's `discarded` folder; called again, back."""

RECORDER_MARK = Service(names.RECORDER_MARK, SetBool)
"""Says whether the last episode succeeded."""

RECORDER_RELABEL = Service(names.RECORDER_RELABEL, Trigger)
"""The last episode was told the sentence that is on `/instruction` now."""

SIM_RESET = Service(names.SIM_RESET, Trigger)
"""Begins the next episode; the answer's message is the JSON of `/sim/status`."""

SIM_SEED = Topic(names.SIM_SEED, String, LATCHED)
"""In digits: the seed of the episode that `/sim/reset` begins next; those after it count on."""


def image(camera: str) -> Topic:
    return Topic(names.IMAGE.format(camera=camera), Image, SENSOR)


def compressed(camera: str) -> Topic:
    """The same pictures as JPEG, from cameras whose rig gives a `jpeg` quality; the policy then
    reads these.
    """
    return Topic(names.COMPRESSED.format(camera=camera), CompressedImage, SENSOR)


def camera_info(camera: str) -> Topic:
    return Topic(names.CAMERA_INFO.format(camera=camera), CameraInfo, SENSOR)


def joint_states(side: Side, part: Part) -> Topic:
    return Topic(names.PART_JOINT_STATES.format(side=side, part=part), JointState, SENSOR)


def command(side: Side, part: Part) -> Topic:
    """Positions by joint name at the control rate; motion is the only writer.

    After the joints two more names may stand, whose numbers are no angles: `session` and `reset`,
    the session and the reset it was made in (see `xlvla.ros.command_session`), so that a stranger's
    command, and one on its way during a reset, are known. Best effort: a lost command is followed
    by a newer one, and to acknowledge each woke every process twice.
    """
    return Topic(names.COMMAND.format(side=side, part=part), JointState, SENSOR)


def command_dry(side: Side, part: Part) -> Topic:
    """What motion would command, from a rig with `dry_run: true`; no driver listens to it."""
    return Topic(names.COMMAND_DRY.format(side=side, part=part), JointState, SENSOR)


def device(side: Side, part: Part) -> Topic:
    """How the device is, said by its driver at every change. OK: commands flow; WARN: degraded;
    ERROR: link lost or fault.

    WARN is also a device that is stopped (`xlvla.ros.forms.stopped_by` tells by whom) and one that
    has a second writer.

    Motion stops and disengages on ERROR; once all is well again the operator engages anew.
    """
    return Topic(names.DEVICE.format(side=side, part=part), DiagnosticStatus, LATCHED)


def chunk(side: Side, source: Source | None = None) -> Topic:
    """Future positions of arm and hand, stamped with the time of the observation they were decided
    on.

    Every source has a topic of its own, by which motion knows who sends; None is a source without a
    name.
    """
    if source is None:
        return Topic(names.CHUNK.format(side=side), JointTrajectory, RELIABLE)
    return Topic(names.CHUNK_OF.format(side=side, source=source), JointTrajectory, RELIABLE)


def relative_chunk(side: Side) -> Topic:
    """As `chunk` of a source without a name, but the arm's positions count as changes since the
    source's first frame, from where the robot was then; the hand's are what they say.
    """
    return Topic(names.RELATIVE_CHUNK.format(side=side), JointTrajectory, RELIABLE)


def tactile(side: Side) -> Topic:
    """Forces of a hand's touch sensors by name, in newtons, as `effort`; a field of taxels has
    names like `palm[3,1]`.

    A JointState, since no other standard message has a stamp, names and numbers together, and every
    plotting tool shows its numbers by name.
    """
    return Topic(names.TACTILE.format(side=side), JointState, SENSOR)


def operator_wrist(side: Side) -> Topic:
    """A wrist of the operator in their own world, z up [m]; from the tracker as teleop understood
    it, before any scaling.
    """
    return Topic(names.OPERATOR_WRIST.format(side=side), PoseStamped, SENSOR)


def operator_keypoints(side: Side) -> Topic:
    """21 keypoints of the operator's hand in the frame of its wrist [m], in MediaPipe's order; a
    cloud, which RViz shows.
    """
    return Topic(names.OPERATOR_KEYPOINTS.format(side=side), PointCloud2, SENSOR)


def leader(side: Side) -> Topic:
    """Joints of the leader arm or exoskeleton the operator holds."""
    return Topic(names.LEADER.format(side=side), JointState, SENSOR)


def tracked_wrist(side: Side) -> Topic:
    """As `operator_wrist`, said by any tracker that speaks ROS, for the teleop source `topics`."""
    return Topic(names.TRACKED_WRIST.format(side=side), PoseStamped, SENSOR)


def tracked_keypoints(side: Side) -> Topic:
    """As `operator_keypoints`, said by any tracker that speaks ROS, for the teleop source
    `topics`.
    """
    return Topic(names.TRACKED_KEYPOINTS.format(side=side), PointCloud2, SENSOR)


def exoskeleton(side: Side) -> Topic:
    """Joints of an exoskeleton or a leader arm with a ROS driver of its own, for the teleop source
    `exoskeleton`.
    """
    return Topic(names.EXOSKELETON.format(side=side), JointState, SENSOR)


def recover(side: Side, part: Part) -> Service:
    """Clears what can be cleared of a device's faults, without moving it."""
    return Service(names.RECOVER.format(side=side, part=part), Trigger)
