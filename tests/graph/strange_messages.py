"""Messages that no node should be sent, by type: what a strange publisher, a broken driver or
another machine's clock may say.
"""

from __future__ import annotations

import array
import json
import time
from collections.abc import Iterator, Sequence
from typing import Any

from builtin_interfaces.msg import Duration, Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from rclpy.serialization import serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image, JointState, PointCloud2, PointField
from std_msgs.msg import Float32MultiArray, Float64MultiArray, Header, MultiArrayDimension, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from xlvla.ros import convert

NAN = float("nan")
INF = float("inf")
TEXTS = (
    "",
    "x" * 200_000,
    "box [a] and [/b]",
    "[/]",
    "first\nERROR: second",
    "\x1b[1mbold\x1b[0m \a\r",
    "{",
    "null",
    "[]",
    "3",
    '"text"',
    "NaN",
    "[" * 5000,
    "9" * 5000,
)
FIELDS = (
    "begun",
    "plays",
    "sides",
    "state",
    "source",
    "text",
    "time_s",
    "duration_s",
    "findings",
    "rate_hz",
    "left arm",
    "seed",
    "success",
)
VALUES = (None, "text", -1, 1e300, [], {}, {"left": 3}, ["a", 1], "[/b]\x1b[1m")


def header(sec: int, nanosec: int = 0, frame: str = "") -> Header:
    return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame)


def headers() -> Iterator[Header]:
    """Stamps of another time, and frames that are none."""
    now = time.time_ns()
    for sec, nanosec in (
        (-5, 0),
        (2**31 - 1, 999_999_999),
        (5, 4_000_000_000),
        (0, 0),
        (now // convert.SECOND + 3600, 0),
    ):
        yield header(sec, nanosec)
    for frame in ("x" * 100_000, "first\nsecond", "[/b]\x1b[1m"):
        yield Header(stamp=convert.stamp(now), frame_id=frame)


def strange(kind: type, names: Sequence[str]) -> list[Any]:
    """Messages of a type, or bytes that are none of it; `names` are the joints that belong on the
    topic.
    """
    messages = list(_OF[kind](list(names)) if kind in _OF else others(kind))
    whole = serialize_message(messages[-1])
    return [*messages, whole[: min(len(whole) // 2, 40)]]


def stamped(message: Any) -> Iterator[Any]:
    """A message with every strange header."""
    for head in headers():
        other = type(message)(
            **{field: getattr(message, field) for field in message.get_fields_and_field_types()}
        )
        other.header = head
        yield other


def others(kind: type) -> Iterator[Any]:
    """Of a type of which nothing is known here."""
    if "header" in kind.get_fields_and_field_types():
        yield from stamped(kind())
    yield kind()


def joint_states(names: list[str]) -> Iterator[JointState]:
    now = Header(stamp=convert.stamp(time.time_ns()))
    zeros = [0.0] * len(names)
    yield JointState(header=now)
    yield JointState(header=now, position=zeros)
    yield JointState(header=now, name=names)
    yield JointState(header=now, name=names, position=zeros[:-1])
    yield JointState(header=now, name=[*names[:-1], names[0]], position=zeros)
    yield JointState(header=now, name=[*names[:-1], "tail\n[/b]\x1b[1m"], position=zeros)
    yield JointState(header=now, name=["x" * 300_000, *names[1:]], position=zeros)
    yield JointState(header=now, name=[f"joint{k}" for k in range(5000)], position=[0.0] * 5000)
    for value in (NAN, INF, -INF):
        yield JointState(header=now, name=names, position=[value, *zeros[1:]])
    yield JointState(header=now, name=names, position=[1e300] * len(names))
    yield from stamped(JointState(name=names, position=[NAN, *zeros[1:]]))
    yield JointState(header=header(2**31 - 1), name=names, position=zeros)


def chunks(names: list[str]) -> Iterator[JointTrajectory]:
    def point(k: int, value: float = 0.0, width: int = len(names)) -> JointTrajectoryPoint:
        return JointTrajectoryPoint(
            positions=[value] * width, time_from_start=Duration(nanosec=50_000_000 * (k + 1))
        )

    now = Header(stamp=convert.stamp(time.time_ns()))
    yield JointTrajectory(header=now)
    yield JointTrajectory(header=now, joint_names=names)
    yield JointTrajectory(
        header=now, joint_names=names, points=[point(k % 4) for k in range(10_000)]
    )
    yield JointTrajectory(header=now, joint_names=names, points=[JointTrajectoryPoint()] * 3000)
    yield JointTrajectory(header=now, joint_names=["x" * 3_000_000, *names[1:]], points=[point(0)])
    yield JointTrajectory(
        header=now, joint_names=[f"joint{k}" for k in range(20_000)], points=[point(0)]
    )
    yield JointTrajectory(header=now, joint_names=[*names[:-1], names[0]], points=[point(0)])
    yield JointTrajectory(header=now, joint_names=[*names[:-1], "[/b]\x1b[1m"], points=[point(0)])
    yield JointTrajectory(header=now, joint_names=names, points=[point(0, NAN), point(1, INF)])
    yield JointTrajectory(header=now, joint_names=names, points=[point(0), point(1, width=1)])
    yield JointTrajectory(header=now, joint_names=names, points=[point(0), point(3)])
    yield from stamped(JointTrajectory(joint_names=names, points=[point(0), point(1)]))


def strings(names: list[str]) -> Iterator[String]:
    for text in TEXTS:
        yield String(data=text)
    for field in FIELDS:
        for value in VALUES:
            yield String(data=json.dumps({field: value}))


def diagnostics(names: list[str]) -> Iterator[DiagnosticArray]:
    values = [
        KeyValue(key="control [Hz]", value="fast"),
        KeyValue(key="observation to chunk p50 [ms]", value="NaN"),
    ]
    values += [
        KeyValue(key="read p50 [ms]", value="[/b]\x1b[1m"),
        KeyValue(key="states [Hz]", value=""),
    ]
    for name in ("policy", "motion", "left_arm", "[/b]\x1b[1m"):
        for value in values:
            yield DiagnosticArray(
                status=[DiagnosticStatus(name=name, message="[/b]\x1b[1m", values=[value])]
            )
    yield DiagnosticArray(
        status=[DiagnosticStatus(name=f"node{k}", message="x" * 100) for k in range(5000)]
    )
    yield from stamped(DiagnosticArray(status=[DiagnosticStatus(values=values)]))


def devices(names: list[str]) -> Iterator[DiagnosticStatus]:
    for text in TEXTS:
        yield DiagnosticStatus(level=b"\x00", name=text, message=text)
    yield DiagnosticStatus(level=b"\xff", message="well")


def images(names: list[str]) -> Iterator[Image]:
    now = Header(stamp=convert.stamp(time.time_ns()))
    good = {"header": now, "height": 240, "width": 320, "encoding": "rgb8", "step": 960}
    yield Image(**{**good, "data": array.array("B", bytes(7))})
    yield Image(**{**good, "encoding": "mono8", "data": array.array("B", bytes(230_400))})
    yield Image(**{**good, "encoding": "[/b]\x1b[1m\n", "data": array.array("B", bytes(230_400))})
    yield Image(**{**good, "height": 0, "width": 0, "step": 0})
    yield Image(**{**good, "width": 2**32 - 1, "step": 2**32 - 1})
    yield from stamped(
        Image(**{**good, "encoding": "mono16", "data": array.array("B", bytes(230_400))})
    )


def compressed(names: list[str]) -> Iterator[CompressedImage]:
    now = Header(stamp=convert.stamp(time.time_ns()))
    for data in (b"", b"no picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"):
        yield CompressedImage(header=now, format="[/b]\x1b[1m\n", data=array.array("B", data))
    yield from stamped(CompressedImage(format="jpeg", data=array.array("B", b"no picture")))


def poses(names: list[str]) -> Iterator[PoseStamped]:
    for value in (0.0, NAN, INF, 1e300):
        message = PoseStamped(header=Header(stamp=convert.stamp(time.time_ns())))
        for numbers in (message.pose.position, message.pose.orientation):
            numbers.x = numbers.y = numbers.z = value
        message.pose.orientation.w = value
        yield message
    yield from stamped(message)


def clouds(names: list[str]) -> Iterator[PointCloud2]:
    fields = [
        PointField(name=axis, offset=4 * k, datatype=PointField.FLOAT32, count=1)
        for k, axis in enumerate("xyz")
    ]
    now = Header(stamp=convert.stamp(time.time_ns()))
    yield PointCloud2(header=now)
    yield PointCloud2(header=now, fields=fields, point_step=0, data=array.array("B", bytes(252)))
    yield PointCloud2(header=now, fields=fields, point_step=5, data=array.array("B", bytes(252)))
    yield PointCloud2(header=now, fields=fields, point_step=12, data=array.array("B", bytes(250)))
    yield PointCloud2(header=now, fields=fields, point_step=12, data=array.array("B", bytes(24)))
    yield from stamped(
        PointCloud2(fields=fields[:1], point_step=12, data=array.array("B", bytes(252)))
    )


def rows(names: list[str], kind: type = Float64MultiArray) -> Iterator[Any]:
    yield kind(data=[0.0, 1.0])
    yield kind(data=[NAN] * 5)
    yield kind(data=[0.0] * (40_000 if kind is Float64MultiArray else 80_000))
    message = kind(data=[NAN, INF])
    message.layout.dim = [MultiArrayDimension(label="[/b]\x1b[1m", size=2**32 - 1)] * 2
    yield message


def resets(names: list[str]) -> Iterator[Header]:
    """Times that are none of a reset; its frame, if it has one, says nothing."""
    yield from (head for head in headers() if head.stamp.sec != 0 and not head.frame_id)
    yield Header(frame_id="x" * 100_000)


def clocks(names: list[str]) -> Iterator[Clock]:
    for sec, nanosec in ((-5, 0), (5, 4_000_000_000), (2**31 - 1, 0), (0, 0)):
        yield Clock(clock=Time(sec=sec, nanosec=nanosec))


_OF = {
    JointState: joint_states,
    JointTrajectory: chunks,
    String: strings,
    DiagnosticArray: diagnostics,
    DiagnosticStatus: devices,
    Image: images,
    CompressedImage: compressed,
    PoseStamped: poses,
    PointCloud2: clouds,
    Float64MultiArray: rows,
    Float32MultiArray: lambda names: rows(names, Float32MultiArray),
    Header: resets,
    Clock: clocks,
}
