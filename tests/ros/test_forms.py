"""What a reader takes, and what it counts, says and passes over; on a ROS domain of its own."""

from __future__ import annotations

import json
import math
import time
from collections import Counter

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from builtin_interfaces.msg import Time
from rclpy.context import Context
from rclpy.serialization import serialize_message
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CompressedImage, JointState
from std_msgs.msg import Header, String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from xlvla.errors import XlvlaError
from xlvla.rig_file import load
from xlvla.ros import compressed, convert, forms, refusals, sizes, statuses, topics
from xlvla.ros.convert import SECOND
from xlvla.ros.measured import Measured
from xlvla.ros.reader import Reader
from xlvla.ros.refusals import Refusals
from xlvla.run import own_domain

NAMES = [f"left_arm_joint{k}" for k in range(1, 8)]
NOW_NS = 1_800_000_000 * SECOND


class Log:
    """Two ends of a topic in one process, and what was refused."""

    def __init__(self, node):
        self.node = node
        self.lines = list[str]()
        self.counts = Counter[str]()
        refusals.tell(node, Refusals(self.lines.append, self.counts))

    def reader(self, topic, form=forms.MESSAGE):
        reader = Reader(self.node, topic, form)
        publisher = self.node.create_publisher(topic.type, topic.name, topics.RELIABLE)
        while not publisher.get_subscription_count():
            time.sleep(0.01)
        return reader, publisher

    def until(self, true):
        give_up = time.monotonic() + 10
        while not (value := true()):
            assert time.monotonic() < give_up, (self.lines, self.counts)
            time.sleep(0.002)
        return value


@pytest.fixture
def told():
    context = Context()
    rclpy.init(
        context=context, domain_id=own_domain(), signal_handler_options=SignalHandlerOptions.NO
    )
    node = rclpy.create_node("reader", context=context)
    yield Log(node)
    node.destroy_node()
    rclpy.shutdown(context=context)


def chunk(frames: int, names=NAMES, width: int | None = None) -> JointTrajectory:
    return convert.trajectory(
        names, np.zeros((frames, len(names) if width is None else width)), NOW_NS, 20.0
    )


def read(form: forms.Form, topic: topics.Topic, message):
    return form(topic, message if isinstance(message, bytes) else serialize_message(message))


CHUNK = topics.chunk("left")


def test_a_chunk_of_as_many_frames_as_may_be_is_read_whatever_arrays_it_has():
    whole = chunk(convert.MOST_FRAMES)
    for point in whole.points:
        point.velocities = point.accelerations = point.effort = point.positions
    whole.header.frame_id = "x" * convert.LONGEST_NAME
    assert len(read(forms.chunk(NAMES), CHUNK, whole).points) == convert.MOST_FRAMES
    assert len(read(forms.chunk(NAMES), CHUNK, chunk(1)).points) == 1


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda: chunk(10_000), "bytes is refused: at most"),
        (
            lambda: chunk(convert.MOST_FRAMES + 1),
            f"a chunk of {convert.MOST_FRAMES + 1} frames is refused",
        ),
        (
            lambda: JointTrajectory(joint_names=NAMES, points=[JointTrajectoryPoint()] * 700),
            "a chunk of 700 frames is refused",
        ),
        (lambda: chunk(1, ["x" * 3_000_000]), "bytes is refused: at most"),
        (
            lambda: chunk(1, [f"a{k}" for k in range(9)]),
            "a chunk of 9 joints is refused: there are 7",
        ),
        (
            lambda: JointTrajectory(header=Header(frame_id="x" * 40_000)),
            "bytes is refused: at most",
        ),
        (lambda: serialize_message(chunk(1))[:20], "a chunk that is cut off is refused"),
        (
            lambda: serialize_message(chunk(3))[:200],
            "that are no JointTrajectory are refused",
        ),
    ],
    ids=[
        "points",
        "frames",
        "empty points",
        "long name",
        "joints",
        "long frame",
        "cut off",
        "cut in a point",
    ],
)
def test_a_chunk_that_is_too_long_is_refused_before_it_is_made_into_a_message(
    make, line, monkeypatch
):
    message = make()
    made = list[int]()
    whole = forms.deserialize_message
    monkeypatch.setattr(
        forms, "deserialize_message", lambda data, kind: made.append(len(data)) or whole(data, kind)
    )
    with pytest.raises(XlvlaError, match=line):
        read(forms.chunk(NAMES), CHUNK, message)
    assert not made or "are no" in line


def test_points_are_refused_by_their_number_and_by_their_names():
    with pytest.raises(XlvlaError, match="a chunk of 10000 frames is refused"):
        convert.points(chunk(10_000))
    with pytest.raises(XlvlaError, match="longest name of 3000000 characters"):
        convert.points(chunk(2, ["x" * 3_000_000]))


def joints(position, names=NAMES, sec=None) -> JointState:
    stamp = convert.stamp(NOW_NS) if sec is None else Time(sec=sec)
    return JointState(
        header=Header(stamp=stamp), name=list(names), position=[float(value) for value in position]
    )


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (joints([math.nan, *[0] * 6]), "'left_arm_joint1' is not a finite number"),
        (joints([0, math.inf, *[0] * 5]), "'left_arm_joint2' is not a finite number"),
        (joints([1e300, *[0] * 6]), "no joint is there"),
        (joints([]), "7 joints are named but 0 positions given"),
        (joints([0] * 7, [*NAMES[:-1], "tail"]), "unknown joint 'tail'"),
        (joints([0] * 7, [*NAMES[:-1], NAMES[0]]), "'left_arm_joint7' is missing"),
        (joints([0] * 7, ["x" * 300_000, *NAMES[1:]]), "bytes is refused: at most"),
        (joints([0] * 7, sec=-5), "a stamp of -5 s and 0 ns is no time"),
        (joints([0] * 7, sec=2**31 - 1), "s ahead of the clock is refused"),
        (
            JointState(
                header=Header(stamp=Time(sec=3, nanosec=4_000_000_000)),
                name=NAMES,
                position=[0.0] * 7,
            ),
            "is no time",
        ),
    ],
)
def test_joint_states_that_are_no_pose_are_refused(message, line):
    with pytest.raises(XlvlaError, match=line):
        read(forms.joints(NAMES, lambda: NOW_NS), topics.joint_states("left", "arm"), message)


def test_joint_states_are_read_in_the_order_of_the_rig():
    said = read(
        forms.joints(NAMES, lambda: NOW_NS),
        topics.joint_states("left", "arm"),
        joints(range(7), NAMES[::-1]),
    )
    assert said.position.tolist() == [6, 5, 4, 3, 2, 1, 0] and said.stamp_ns == NOW_NS


def test_a_reset_of_the_future_is_refused_and_one_of_the_past_holds():
    form = forms.reset(lambda: NOW_NS)
    assert read(form, topics.RESET, Header(stamp=convert.stamp(5))) == convert.Reset(5, 5)
    for header in (
        Header(stamp=convert.stamp(NOW_NS + 60 * SECOND)),
        Header(stamp=Time(sec=2**31 - 1)),
        Header(stamp=Time(sec=-1)),
    ):
        with pytest.raises(XlvlaError):
            read(form, topics.RESET, header)


STATUS = {
    "begun": 1,
    "episode": 0,
    "seed": 7,
    "success": False,
    "stage": 0,
    "done": False,
    "text": "reaching",
    "time_s": 0.5,
}


def test_a_status_is_read_with_what_is_missing_and_without_what_is_unknown():
    said = read(statuses.SIM, topics.SIM_STATUS, String(data=json.dumps(STATUS | {"new": [1]})))
    assert said == STATUS | {"task": "", "stage": 0.0, "real_time_factor": 0.0}
    said = read(statuses.RECORDER, topics.RECORDER_STATUS, String(data='{"state": "idle"}'))
    assert said["findings"] == [] and said["duration_s"] == 0.0


@pytest.mark.parametrize(
    ("data", "line"),
    [
        ("", "is no JSON"),
        ("[" * 20_000, "is no JSON"),
        ("9" * 5000, "is no JSON"),
        ("[]", "status must be a mapping"),
        (json.dumps(STATUS | {"time_s": "late"}), "status.time_s must be a number, is 'late'"),
        (json.dumps(STATUS | {"time_s": math.nan}), "status.time_s must be a number"),
        (json.dumps(STATUS | {"time_s": 10**400}), "status.time_s must be a number"),
        (json.dumps(STATUS | {"begun": 1.5}), "status.begun must be a whole number"),
        (json.dumps(STATUS | {"done": 1}), "status.done must be true or false"),
        (json.dumps({key: STATUS[key] for key in STATUS if key != "text"}), "'text' is missing"),
        (json.dumps(STATUS | {"text": "x" * 100_000}), "bytes is refused"),
    ],
)
def test_a_status_of_another_shape_is_refused(data, line):
    with pytest.raises(XlvlaError, match=line):
        read(statuses.SIM, topics.SIM_STATUS, String(data=data))


@pytest.mark.parametrize(("text", "seed"), [("7", 7), (" 4294967295\n", 2**32 - 1)])
def test_a_seed_is_a_whole_number_in_digits(text, seed):
    assert read(forms.SEED, topics.SIM_SEED, String(data=text)) == seed


@pytest.mark.parametrize("text", ["", "-1", "1.5", "4294967296", "9" * 500, "seven", "٣"])
def test_another_text_is_no_seed(text):
    with pytest.raises(XlvlaError, match="seed"):
        read(forms.SEED, topics.SIM_SEED, String(data=text))


def test_texts_of_a_status_are_plain():
    said = read(
        statuses.SIM, topics.SIM_STATUS, String(data=json.dumps(STATUS | {"text": "a\nb\x1b[1m"}))
    )
    assert said["text"] == "a\\nb\\x1b[1m"


def test_words_are_one_plain_line():
    assert (
        read(forms.WORDS, topics.CUE, String(data=" push\n the [b]\x07 box "))
        == "push the [b]\\x07 box"
    )
    with pytest.raises(XlvlaError, match="at most 1000"):
        read(forms.WORDS, topics.CUE, String(data="x" * 1001))


def test_a_reader_counts_and_says_what_it_refuses_and_reads_on(told):
    topic = topics.Topic("/strange", JointState, topics.RELIABLE).history(50)
    reader, publisher = told.reader(topic, forms.joints(NAMES, lambda: NOW_NS))
    for k in range(20):
        publisher.publish(joints([math.nan] * 7) if k % 2 else joints([k] * 7))
    publisher.publish(b"\x00\x01\x00\x00")
    seen = list[float]()
    told.until(
        lambda: (
            seen.extend(said.position[0] for said in reader.every())
            or told.counts["refused /strange"] == 11
        )
    )
    assert seen == list(range(0, 20, 2))
    assert len(told.lines) == 1 and told.lines[0].startswith(
        "/strange: position of 'left_arm_joint1' is not a finite number"
    )


def test_no_look_at_a_topic_lasts_longer_than_its_queue(told):
    topic = topics.Topic("/flood", String, topics.RELIABLE).history(10)
    reader, publisher = told.reader(topic)
    publisher.publish(String(data="first"))
    told.until(lambda: reader.next())
    flowing = iter(reader.every())
    read_on = 0
    for _ in range(100):  # whoever sends as fast as it is read
        publisher.publish(String(data="more"))
        time.sleep(0.002)
        read_on += next(flowing, None) is not None
    assert 0 < read_on <= 10


def test_a_pose_is_not_known_from_reports_that_are_none_and_nothing_is_raised(told):
    rig = load("bimanual")
    measured = Measured(told.node, rig, "left")
    publishers = {
        part: told.node.create_publisher(
            JointState, topics.joint_states("left", part).name, topics.RELIABLE
        )
        for part in ("arm", "hand")
    }
    while not all(publisher.get_subscription_count() for publisher in publishers.values()):
        time.sleep(0.01)
    now_ns = time.time_ns()

    def say(ns: int, value: float = 0.1) -> None:
        for part, publisher in publishers.items():
            names = rig.joint_names("left", part)
            publisher.publish(convert.JointMessage(names).fill(ns, np.full(len(names), value)))

    told.until(lambda: say(now_ns) or measured.pose(now_ns, 0) is not None)
    say(now_ns, math.nan)
    told.until(
        lambda: (
            measured.pose(now_ns, 0) is not None and told.counts["refused /left/arm/joint_states"]
        )
    )
    say(now_ns + 3600 * SECOND)
    told.until(
        lambda: (
            measured.pose(now_ns, 0) is not None
            and told.counts["refused /left/hand/joint_states"] >= 2
        )
    )
    assert measured.pose(now_ns + 2 * SECOND, 0) is None, "a report of the future is fresh for ever"


def test_a_picture_that_claims_to_be_gigabytes_is_refused_unread():
    head = b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03"
    assert compressed.size(head) == 65535 * 65535
    with pytest.raises(XlvlaError, match="cannot be read"):
        convert.picture(CompressedImage(format="jpeg", data=head + bytes(100)))
    rgb = np.zeros((48, 64, 3), np.uint8)
    assert compressed.size(bytes(convert.jpeg(rgb, 90, 0, "front").data)) == 48 * 64
    for data in (b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\x00\x00\x00\x00", b"text"):
        assert compressed.size(data) == 0


def test_the_sizes_of_a_rig_hold_what_its_own_nodes_say():
    for side in (rig := load("bimanual")).sides:
        names = [name for part in ("arm", "hand") for name in rig.joint_names(side, part)]
        assert len(serialize_message(chunk(convert.MOST_FRAMES, names))) < sizes.of_chunk(names)
        assert len(serialize_message(joints([0] * len(names), names))) < sizes.of_joints(names)
