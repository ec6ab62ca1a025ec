"""numpy to messages and back. Names are checked on the way in: what comes out is in the order that
was asked for.
"""

from __future__ import annotations

import array
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from builtin_interfaces.msg import Duration, Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState
from std_msgs.msg import Float32MultiArray, Float64MultiArray, Header, MultiArrayDimension
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from xlvla import hermite
from xlvla.errors import XlvlaError, unknown_line
from xlvla.pinhole import Pinhole
from xlvla.ros import compressed
from xlvla.types import SECOND, Side


def stamp(ns: int) -> Time:
    return Time(sec=ns // SECOND, nanosec=ns % SECOND)


def nanoseconds(time: Time | Duration) -> int:
    return time.sec * SECOND + time.nanosec


def time_ns(time: Time) -> int:
    """A stamp [ns]; refuses what is no time."""
    if time.sec < 0 or time.nanosec >= SECOND:
        raise XlvlaError(f"a stamp of {time.sec} s and {time.nanosec} ns is no time")
    return nanoseconds(time)


def timely_ns(time: Time, now_ns: int, ahead_ns: int) -> int:
    """A stamp [ns] that is no further ahead of the clock than so; any, while the clock says nothing
    yet (a negative time).
    """
    ns = time_ns(time)
    if 0 <= now_ns < ns - ahead_ns:
        raise XlvlaError(
            f"a stamp {(ns - now_ns) / SECOND:.1f} s ahead of the clock is refused: do the clocks "
            "of all machines agree?"
        )
    return ns


RESET_AHEAD_NS = 5 * SECOND
"""A reset may be heard before the simulation's clock, which as fast as it can passes seconds in the
meantime.
"""

LONGEST_NAME = 200
"""Characters of a joint's name, of a source's and of a reset's."""

MOST_RAD = 100.0
"""Of a joint's measured or commanded position: more is no angle of any robot's."""

MOST_NAMES = 256
"""Joints of a part; the largest hand has 16 and a body 29."""

MOST_FRAMES = 128
"""Frames of a chunk, twice the paper's: making a message of them takes about 1 ms, and motion has
5.
"""


@dataclass(frozen=True)
class Reset:
    """The simulation was reset: what is stamped before `began_ns` is discarded."""

    id: int = 0
    began_ns: int = 0


def reset(message: Header, now_ns: int) -> Reset:
    """The reset that a message tells of, whose id is its stamp; refuses one of the future, for
    which everything until then would be discarded.
    """
    stamp_ns = timely_ns(message.stamp, now_ns, RESET_AHEAD_NS)
    return Reset(stamp_ns, stamp_ns)


class JointMessage:
    """A JointState of fixed joints, filled again for every sample: building one anew costs ten
    times as much.
    """

    def __init__(self, names: Sequence[str]):
        self.names = tuple(names)
        self._message = JointState(name=list(names))

    def fill(
        self,
        ns: int,
        position: np.ndarray,
        velocity: np.ndarray | None = None,
        effort: np.ndarray | None = None,
    ) -> JointState:
        """The message for position [J] rad, velocity [J] rad/s and effort [J] Nm at a stamp;
        publish it before the next fill.
        """
        message = self._message
        message.header.stamp = stamp(ns)
        message.position = doubles(position)
        message.velocity = doubles(velocity)
        message.effort = doubles(effort)
        return message


def _head(header: Header, ns: int, frame: str) -> None:
    header.stamp = stamp(ns)
    header.frame_id = frame


def doubles(values: np.ndarray | None) -> array.array[float]:
    """Numbers as a message wants them; none where there are none."""
    packed = array.array("d")
    if values is not None:
        packed.frombytes(np.ascontiguousarray(values, dtype=np.float64).tobytes())
    return packed


@dataclass(frozen=True)
class Joints:
    """A JointState that was understood: its stamp [ns], its positions [J] rad in the order of a
    rig, and itself.
    """

    stamp_ns: int
    position: np.ndarray
    message: JointState


def by_name(command: JointState) -> dict[str, float]:
    """A command's positions [rad] by joint; refuses names and numbers that do not belong
    together.
    """
    names = list(command.name)
    _check_names(names)
    if len(command.position) != len(names) or len(set(names)) != len(names):
        raise XlvlaError(
            f"command refused: {len(set(names))} joints are named but {len(command.position)} "
            "positions given"
        )
    return dict(zip(names, command.position, strict=True))


def positions(message: JointState, names: Sequence[str]) -> np.ndarray:
    """Positions [J] rad in the order of `names`; refuses unknown, missing or repeated names and
    numbers that are not finite.
    """
    given = list(message.name)
    values = np.array(message.position, dtype=float)
    _check_names(given)
    if len(values) != len(given):
        raise XlvlaError(f"{len(given)} joints are named but {len(values)} positions given")
    if given != list(names):
        values = values[order(given, names)]
    refuse_no_angles(values, names)
    return values


def refuse_no_angles(values: np.ndarray, names: Sequence[str]) -> None:
    """Refuses positions [J] that are no angles of joints."""
    finite = np.isfinite(values)
    if not finite.all():
        name = names[int(np.argmin(finite))]
        raise XlvlaError(f"position of '{name}' is not a finite number")
    sizes = np.abs(values)
    largest = sizes.max(initial=0.0)
    if largest > MOST_RAD:
        name = names[int(np.argmax(sizes))]
        raise XlvlaError(f"position of '{name}' is {largest:.3g} rad: no joint is there")


def _check_names(names: Sequence[str]) -> None:
    """Refuses names that nobody could have given, before they are compared and quoted."""
    longest = max((len(name) for name in names), default=0)
    if len(names) > MOST_NAMES or longest > LONGEST_NAME:
        raise XlvlaError(
            f"{len(names)} joints, the longest name of {longest} characters, are refused"
        )


def order(given: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """Where in `given` each wanted name stands; both must hold the same names, once."""
    for name in given:
        if name not in wanted:
            raise XlvlaError(unknown_line("joint", name, wanted))
    missing = [name for name in wanted if name not in given]
    if missing:
        raise XlvlaError(f"joint '{missing[0]}' is missing")
    if len(given) != len(wanted):
        raise XlvlaError("a joint is named twice")
    return [given.index(name) for name in wanted]


def image(rgb: np.ndarray, ns: int, frame: str) -> Image:
    """The message of an RGB picture uint8 [H, W, 3]."""
    height, width, _ = rgb.shape
    message = Image(height=height, width=width, encoding="rgb8", step=3 * width)
    _head(message.header, ns, frame)
    data = array.array("B")
    data.frombytes(np.ascontiguousarray(rgb, dtype=np.uint8).tobytes())
    message.data = data
    return message


def jpeg(rgb: np.ndarray, quality: int, ns: int, frame: str) -> CompressedImage:
    """The message of an RGB picture uint8 [H, W, 3] as JPEG."""
    import cv2

    bgr = np.ascontiguousarray(rgb[..., ::-1])
    _, data = cv2.imencode(".jpg", bgr, (cv2.IMWRITE_JPEG_QUALITY, quality))
    message = CompressedImage(format="rgb8; jpeg compressed bgr8")  # as image_transport says it
    _head(message.header, ns, frame)
    message.data = array.array("B", data.tobytes())
    return message


def picture(message: Image | CompressedImage) -> np.ndarray:
    """RGB uint8 [H, W, 3] of a compressed message, or of one with encoding rgb8 or bgr8, whatever
    its row padding.
    """
    if isinstance(message, CompressedImage):
        return compressed.pixels(message)
    if message.encoding not in ("rgb8", "bgr8"):
        raise XlvlaError(f"image encoding '{message.encoding}' is not supported: rgb8 and bgr8 are")
    is_empty = message.width == 0 or message.height == 0
    is_cut = message.step < 3 * message.width
    if is_empty or is_cut or len(message.data) != message.height * message.step:
        size = f"{message.width}x{message.height} with rows of {message.step} bytes"
        raise XlvlaError(f"an image of {size} cannot have {len(message.data)} bytes")
    rows = np.frombuffer(message.data, np.uint8).reshape(message.height, message.step)
    pixels = rows[:, : 3 * message.width].reshape(message.height, message.width, 3)
    return pixels if message.encoding == "rgb8" else pixels[..., ::-1]


def camera_info(lens: Pinhole, ns: int, frame: str) -> CameraInfo:
    """The message of a pinhole camera without distortion."""
    message = CameraInfo(width=lens.width, height=lens.height)
    message.distortion_model = "plumb_bob"
    message.d = [0.0] * 5
    _head(message.header, ns, frame)
    message.k = lens.matrix.ravel()
    message.r = np.eye(3).ravel()
    message.p = (lens.matrix @ np.eye(3, 4)).ravel()
    return message


def trajectory(
    names: Sequence[str], points: np.ndarray, ns: int, rate_hz: float
) -> JointTrajectory:
    """The message of a chunk [T, N] rad: frame k is due (k + 1) / rate_hz after the stamp."""
    message = JointTrajectory(joint_names=list(names))
    message.header.stamp = stamp(ns)
    message.points = [
        JointTrajectoryPoint(positions=doubles(row), time_from_start=_duration((k + 1) / rate_hz))
        for k, row in enumerate(points)
    ]
    return message


RESAMPLED_HZ = 50.0
"""Frames of a trajectory that is no chunk: so dense that smoothing them moves no joint by more than
a milliradian.
"""


def is_chunk(message: JointTrajectory) -> bool:
    """Whether points are the frames of a chunk: evenly spaced, the first one period after the
    stamp.
    """
    due = _due_ns(message)
    if not len(due) or due[0] <= 0:
        return False
    even = due[0] * np.arange(1, len(due) + 1)
    return bool(np.abs(due - even).max() <= 1e6)


def began_ns(message: JointTrajectory, now_ns: int) -> int:
    """The time from which a trajectory's points count [ns]. One that is no chunk and bears no stamp
    begins now, as ROS's controllers have it; a chunk must say what it was decided on.
    """
    ns = nanoseconds(message.header.stamp)
    if ns == 0 and message.points and not is_chunk(message):
        return now_ns
    return ns


def points(message: JointTrajectory, longest_s: float = math.inf) -> tuple[np.ndarray, float]:
    """Frames [T, N] rad of a chunk or of any other trajectory, and their rate [Hz]: frame k is due
    (k + 1) / rate after the stamp.

    A chunk's points are its frames. A trajectory as planners and controllers write it (first point
    at 0, uneven times) is sampled: with the velocities of its points where it has them, else
    straight from point to point. One that goes on for longer than `longest_s` is refused.
    """
    if not message.points:
        raise XlvlaError("the trajectory has no points")
    if len(message.points) > MOST_FRAMES:
        raise XlvlaError(
            f"a chunk of {len(message.points)} frames is refused: at most {MOST_FRAMES} are played"
        )
    _check_names(list(message.joint_names))
    if any(len(point.positions) != len(message.joint_names) for point in message.points):
        raise XlvlaError(
            f"every point must have {len(message.joint_names)} positions, as many as joints are "
            "named"
        )
    chunk = np.array([point.positions for point in message.points], dtype=float)
    _refuse_absurd(chunk, message.joint_names)
    due = _due_ns(message)
    if is_chunk(message):
        return chunk, SECOND * len(due) / due[-1]
    return _resampled(message, chunk, due / SECOND, longest_s), RESAMPLED_HZ


def _due_ns(message: JointTrajectory) -> np.ndarray:
    return np.array([nanoseconds(point.time_from_start) for point in message.points], dtype=float)


def _refuse_absurd(chunk: np.ndarray, names: Sequence[str]) -> None:
    """Of a relative chunk a constant that large would leave no digits for its changes."""
    absurd = np.argwhere(np.abs(chunk) > MOST_RAD)
    if absurd.size:
        frame = int(absurd[0, 0])
        joint = int(absurd[0, 1])
        raise XlvlaError(
            f"frame {frame} of '{names[joint]}' is {chunk[frame, joint]:.3g} rad: no joint is there"
        )


def _resampled(
    message: JointTrajectory, positions: np.ndarray, due_s: np.ndarray, longest_s: float
) -> np.ndarray:
    """Evenly spaced frames [T, N] rad of points that are not, up to the last of them."""
    backwards = np.flatnonzero(np.diff(due_s, prepend=-1.0) <= 0)
    if due_s[0] < 0 or backwards.size:
        k = 0 if due_s[0] < 0 else int(backwards[0])
        raise XlvlaError(
            f"point {k} is due {due_s[k]:.3f} s after the stamp: times must begin at 0 or later "
            "and increase from point to point"
        )
    if due_s[-1] > longest_s:
        raise XlvlaError(
            f"the trajectory takes {due_s[-1]:.1f} s and is refused: motion.horizon_s of the rig "
            f"lets {longest_s:g} s be played"
        )
    frames = max(1, math.ceil(due_s[-1] * RESAMPLED_HZ - 1e-6))
    at_s = np.arange(1, frames + 1) / RESAMPLED_HZ
    return hermite.sampled(due_s, positions, _velocities(message), at_s)


def _velocities(message: JointTrajectory) -> np.ndarray | None:
    """Velocities [K, N] rad/s of the points; None where none are given."""
    joints = len(message.joint_names)
    sizes = {len(point.velocities) for point in message.points}
    if sizes == {0}:
        return None
    if sizes != {joints}:
        raise XlvlaError(f"either every point has {joints} velocities or none has any")
    velocities = np.array([point.velocities for point in message.points], dtype=float)
    if not np.isfinite(velocities).all():
        k, joint = np.argwhere(~np.isfinite(velocities))[0]
        raise XlvlaError(
            f"velocity of '{message.joint_names[joint]}' at point {k} is {velocities[k, joint]}"
        )
    return velocities


def _duration(seconds: float) -> Duration:
    ns = round(seconds * SECOND)
    return Duration(sec=ns // SECOND, nanosec=ns % SECOND)


def vector(values: np.ndarray, label: str) -> Float64MultiArray:
    """One row of numbers with a label."""
    message = Float64MultiArray(data=doubles(values))
    message.layout.dim = [MultiArrayDimension(label=label, size=len(values), stride=len(values))]
    return message


def latents(by_side: Mapping[Side, np.ndarray]) -> Float32MultiArray:
    """Latents [T, L] by side as one array [side, frame, latent]; the first dimension's label lists
    the sides.
    """
    stack = np.stack(list(by_side.values())).astype(np.float32)
    message = Float32MultiArray()
    labels = ("side: " + ",".join(by_side), "frame", "latent")
    strides = [stack.size, stack[0].size, stack.shape[2]]
    message.layout.dim = [
        MultiArrayDimension(label=label, size=size, stride=stride)
        for label, size, stride in zip(labels, stack.shape, strides, strict=True)
    ]
    data = array.array("f")
    data.frombytes(stack.tobytes())
    message.data = data
    return message
