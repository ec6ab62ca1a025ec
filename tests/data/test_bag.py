"""Bags: read by others' readers, torn by others' signals, and full disks."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("mcap")
pytest.importorskip("rosbags")
pytest.importorskip(
    "sensor_msgs", reason="message definitions come from installed message packages"
)

import typer
import yaml
from mcap.reader import make_reader
from mcap.records import Chunk, MessageIndex
from mcap.stream_reader import StreamReader
from mcap_ros2.decoder import DecoderFactory
from rosbags.highlevel import AnyReader
from rosbags.typesys import Stores, get_typestore
from typer.testing import CliRunner

from xlvla.errors import XlvlaError
from xlvla_cli.data import recordings
from xlvla_data.bag.card import EpisodeCard, read_episode_card
from xlvla_data.bag.decode import Decoder, Positions, header_ns
from xlvla_data.bag.definitions import definition, described
from xlvla_data.bag.layout import Qos, mcap_path
from xlvla_data.bag.mcap_file import left_of
from xlvla_data.bag.picture import KIND, compressed, fingerprint, pixels
from xlvla_data.bag.reader import Bag
from xlvla_data.bag.writer import SPARE, BagWriter
from xlvla_data.recorder.repair import repair
from xlvla_data.recorder.spool import Item, Spool

TYPES = get_typestore(Stores.ROS2_JAZZY)
STATES = "/left/arm/joint_states"
SENTENCE = "/instruction"
BEGAN_NS = 1_700_000_000_000_000_000
NAMES = ("left_arm_joint1", "left_arm_joint2", "left_arm_joint3")
TOPICS = [
    described(STATES, "sensor_msgs/msg/JointState", Qos(1, reliable=False, latched=False)),
    described(SENTENCE, "std_msgs/msg/String", Qos(1, reliable=True, latched=True)),
]


def serialised(kind, **fields):
    return bytes(TYPES.serialize_cdr(TYPES.types[kind](**fields), kind))


def header(ns, frame="era"):
    time_of = TYPES.types["builtin_interfaces/msg/Time"]
    header_of = TYPES.types["std_msgs/msg/Header"]
    return header_of(stamp=time_of(sec=ns // 10**9, nanosec=ns % 10**9), frame_id=frame)


def pose(ns, values, names=NAMES, frame="era"):
    numbers = np.asarray(values, float)
    fields = {
        "name": list(names),
        "position": numbers,
        "velocity": np.zeros(0),
        "effort": np.zeros(0),
    }
    return serialised("sensor_msgs/msg/JointState", header=header(ns, frame), **fields)


def record(folder, count=500, close=True):
    """A bag with `count` poses a millisecond apart, flushed every hundred, and a sentence in their
    midst.
    """
    writer = BagWriter(folder, TOPICS, "jazzy")
    for number in range(count):
        log_ns = BEGAN_NS + number * 10**6
        writer.add(
            STATES, pose(number * 10**7, [number, 0.5, -0.5]), log_ns, log_ns - 1000, number + 1
        )
        if number == count // 2:
            writer.add(
                SENTENCE, serialised("std_msgs/msg/String", data="stack the cans"), log_ns, log_ns
            )
        if number % 100 == 99:
            writer.flush()
    if close:
        writer.flush()
        writer.close()
    return writer


@pytest.fixture(scope="module")
def bag(tmp_path_factory):
    folder = tmp_path_factory.mktemp("session") / "episode_000003"
    record(folder)
    return folder


def test_what_was_written_is_read_back(bag):
    found = Bag(bag)
    assert found.whole
    assert {name: topic.type for name, topic in found.topics.items()} == {
        topic.name: topic.type for topic in TOPICS
    }
    said = list(found.messages())
    assert len(said) == 501
    assert [message.log_ns for message in said] == sorted(message.log_ns for message in said)
    third = next(message for message in said if message.topic == STATES and message.sequence == 3)
    assert third.content.position.tolist() == [2.0, 0.5, -0.5]
    assert (third.stamp_ns, third.log_ns, third.sent_ns) == (
        2 * 10**7,
        BEGAN_NS + 2 * 10**6,
        BEGAN_NS + 2 * 10**6 - 1000,
    )


def test_a_message_without_a_stamp_has_the_latest_one_before_it(bag):
    (sentence,) = Bag(bag).messages([SENTENCE])
    assert sentence.content.data == "stack the cans"
    assert sentence.stamp_ns == 250 * 10**7


def picture(ns, size, noise):
    data = np.frombuffer(noise.bytes(size), np.uint8)
    return serialised(KIND, header=header(ns), format="jpeg", data=data)


def test_pictures_are_stored_among_compressed_messages_and_read_back_by_others(tmp_path):
    """More of them than the kernel takes at once, and one that is longer than a block of LZ4."""
    folder = tmp_path / "episode_000000"
    noise = np.random.default_rng(0)
    camera = described("/cameras/front/image_raw/compressed", KIND, Qos(1, False, False))
    writer = BagWriter(folder, [*TOPICS, camera], "jazzy")
    written = []
    for number in range(1200):
        ns = BEGAN_NS + number * 10**6
        size = {0: 1, 1: 5_000_000}.get(number, 5000)
        written.append((STATES, ns, pose(ns, [number, 0.5, -0.5])))
        written.append((camera.name, ns + 1, picture(ns, size, noise)))
        for topic, log_ns, data in written[-2:]:
            writer.add(topic, data, log_ns, log_ns, number)
        if number in (0, 1):
            writer.flush()
    writer.flush()
    writer.close()
    ours = [(found.topic, found.log_ns, found.content) for found in Bag(folder).messages(raw=True)]
    assert ours == written
    with mcap_path(folder).open("rb") as file:
        found = make_reader(file, validate_crcs=True).iter_messages()
        assert [(channel.topic, said.log_time, said.data) for _, channel, said in found] == written
    with AnyReader([folder]) as reader:
        assert [(of.topic, ns, data) for of, ns, data in reader.messages()] == written
    stored = written[-1][2]
    assert len(stored) > 5000 and stored in mcap_path(folder).read_bytes()


def test_messages_that_came_late_are_indexed_by_their_time(tmp_path):
    folder = tmp_path / "episode_000000"
    writer = BagWriter(folder, TOPICS, "jazzy")
    for number in (3, 1, 2):
        writer.add(STATES, pose(number, [number, 0, 0]), BEGAN_NS + number, BEGAN_NS + number)
    writer.flush()
    writer.close()
    with mcap_path(folder).open("rb") as file:
        records = list(StreamReader(file, emit_chunks=True).records)
    (chunk,) = [record for record in records if isinstance(record, Chunk)]
    (index,) = [record for record in records if isinstance(record, MessageIndex)]
    assert [log_ns - BEGAN_NS for log_ns, _ in index.records] == [1, 2, 3]
    assert index.records[-1][1] == 0
    times = (chunk.message_start_time - BEGAN_NS, chunk.message_end_time - BEGAN_NS)
    assert times == (1, 3)


def test_what_a_short_write_left_is_written_next():
    pieces = [b"abc", b"", b"defg", b"h"]
    whole = b"".join(pieces)
    for written in range(len(whole) + 1):
        left = left_of([memoryview(piece) for piece in pieces], written)
        assert b"".join(left) == whole[written:]
        assert not left or left[0]


def test_a_topic_that_is_not_there_is_named(bag):
    with pytest.raises(XlvlaError, match="did you mean '/left/arm/joint_states'"):
        list(Bag(bag).messages(["/left/arm/joint_state"]))


def test_another_reader_of_rosbag2_reads_it(bag):
    with AnyReader([bag]) as reader:
        assert (reader.message_count, reader.duration) == (501, 499 * 10**6 + 1)
        qos = {
            connection.topic: connection.ext.offered_qos_profiles[0]
            for connection in reader.connections
        }
        assert (qos[STATES].reliability.name, qos[SENTENCE].durability.name) == (
            "BEST_EFFORT",
            "TRANSIENT_LOCAL",
        )
        read = [
            reader.deserialize(data, connection.msgtype)
            for connection, _, data in reader.messages()
            if connection.topic == STATES
        ]
    assert [message.position[0] for message in read] == list(range(500))


def test_another_decoder_understands_the_definitions_in_it(bag):
    with mcap_path(bag).open("rb") as file:
        reader = make_reader(file, decoder_factories=[DecoderFactory()])
        read = [message for *_, message in reader.iter_decoded_messages(topics=[STATES])]
    assert [message.position[0] for message in read] == list(range(500))
    assert read[7].header.stamp.nanosec == 7 * 10**7 and read[7].name == list(NAMES)


def test_the_file_has_what_rosbag2_writes_in_it(bag):
    with mcap_path(bag).open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary, (notes,) = reader.get_summary(), reader.iter_metadata()
        assert reader.get_header().profile == "ros2"
        found = {channel.topic: channel for channel in summary.channels.values()}
        assert len(list(reader.iter_messages(topics=[STATES]))) == 500
    assert {schema.encoding for schema in summary.schemas.values()} == {"ros2msg"}
    assert {channel.message_encoding for channel in found.values()} == {"cdr"}
    assert all(
        set(channel.metadata) == {"offered_qos_profiles", "topic_type_hash"}
        for channel in found.values()
    )
    assert (
        summary.statistics.message_count == 501
        and len(summary.chunk_indexes) == summary.statistics.chunk_count == 5
    )
    assert all(index.message_index_offsets for index in summary.chunk_indexes)
    metadata = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (
        notes.name == "rosbag2"
        and yaml.safe_load(notes.metadata["serialized_metadata"]) == metadata
    )


def test_its_metadata_is_what_jazzy_writes(bag):
    about = yaml.safe_load((bag / "metadata.yaml").read_text())["rosbag2_bagfile_information"]
    assert (about["version"], about["storage_identifier"], about["ros_distro"]) == (
        9,
        "mcap",
        "jazzy",
    )
    assert (
        about["relative_file_paths"]
        == ["episode_000003_0.mcap"]
        == [file["path"] for file in about["files"]]
    )
    assert about["starting_time"] == {"nanoseconds_since_epoch": BEGAN_NS}
    topic = next(
        entry
        for entry in about["topics_with_message_count"]
        if entry["topic_metadata"]["name"] == SENTENCE
    )
    assert topic["message_count"] == 1
    told = topic["topic_metadata"]
    assert (
        told["type_description_hash"]
        == "RIHS01_df668c740482bbd48fb39d76a70dfd4bd59db1288021743503259e948f6b1a18"
    )
    assert told["offered_qos_profiles"][0]["deadline"] == {"sec": 9223372036, "nsec": 854775807}
    assert told["offered_qos_profiles"][0]["liveliness"] == "automatic"


def test_a_definition_holds_the_types_it_is_made_of_once():
    text = definition("trajectory_msgs/msg/JointTrajectory").text
    parts = [part.splitlines()[0] for part in text.split(80 * "=" + "\n")[1:]]
    assert sorted(parts) == [
        "MSG: builtin_interfaces/Duration",
        "MSG: builtin_interfaces/Time",
        "MSG: std_msgs/Header",
        "MSG: trajectory_msgs/JointTrajectoryPoint",
    ]


def test_positions_are_found_without_decoding_the_rest():
    positions = Positions()
    for frame, names in (
        ("era", NAMES),
        ("era", NAMES),
        ("another era", NAMES),
        ("", NAMES[:2]),
        ("era", NAMES[::-1]),
        ("era", ()),
    ):
        values = np.arange(len(names)) + 0.5
        assert positions(pose(5, values, names, frame)).tolist() == values.tolist()
        assert positions.names == tuple(names)


def state(ns, names, position, velocity=(), effort=(), frame="era"):
    numbers = {"position": position, "velocity": velocity, "effort": effort}
    return serialised(
        "sensor_msgs/msg/JointState",
        header=header(ns, frame),
        name=list(names),
        **{name: np.asarray(values, float) for name, values in numbers.items()},
    )


STREAM = [
    state(1, ["one", "two"], [1, 2]),
    state(2, ["one", "two"], [3, 4]),
    # Of the same length: other names, another frame, numbers of another kind
    state(3, ["two", "one"], [5, 6]),
    state(4, ["one", "two"], [7, 8], frame="arm"),
    state(5, ["one", "two"], [], [1, 2]),
    state(6, ["one", "two"], [], [], [1, 2]),
    state(7, ["one", "two"], [1, 2]),
    state(13, ["one"], [1], [2], [3, 4]),
    state(14, ["one"], [1], [2, 1e-323], [4]),
    # Of other lengths
    state(8, ["one"], [1], [2], [3]),
    state(9, ["one"], [4], [5], [6]),
    state(10, [], []),
    state(11, [], []),
    state(12, ["öne"], [1]),
]


def test_joint_states_are_decoded_like_every_other_message_whatever_came_before():
    """The decoder learns a stream's names; rosbags decodes every message on its own."""
    decode = Decoder()
    for data in [*STREAM, *STREAM[::-1], *np.repeat(np.array(STREAM, object), 2)]:
        found = decode(TOPICS[0], data)
        expected = TYPES.deserialize_cdr(data, TOPICS[0].type)
        assert type(found).__name__ == type(expected).__name__
        assert (found.header.stamp.sec, found.header.stamp.nanosec) == (
            0,
            expected.header.stamp.nanosec,
        )
        assert (found.header.frame_id, found.name) == (expected.header.frame_id, expected.name)
        for numbers in ("position", "velocity", "effort"):
            ours = getattr(found, numbers)
            theirs = getattr(expected, numbers)
            assert ours.dtype == theirs.dtype and ours.tolist() == theirs.tolist()


@pytest.mark.parametrize("damage", ["cut off", "longer", "count", "big-endian", "no encapsulation"])
def test_a_damaged_joint_state_is_refused_although_one_like_it_was_learned(damage):
    decode = Decoder()
    data = STREAM[0]
    decode(TOPICS[0], data)
    bad = {
        "cut off": data[:-9],
        "longer": data + bytes(8),
        "count": data[:-4] + b"\1\0\0\0",
        "big-endian": b"\0\0" + data[2:],
        "no encapsulation": b"\7\7" + data[2:],
    }
    with pytest.raises(XlvlaError, match="cannot be read as sensor_msgs/msg/JointState"):
        decode(TOPICS[0], bad[damage])
    assert decode(TOPICS[0], data).position.tolist() == [1, 2]


def test_what_was_decoded_can_be_changed_without_changing_the_next_message():
    decode = Decoder()
    decode(TOPICS[0], STREAM[0])
    decode(TOPICS[0], STREAM[1]).name[0] = "another"
    assert decode(TOPICS[0], STREAM[1]).name == ["one", "two"]


def test_a_raw_picture_becomes_a_compressed_one_with_the_same_header():
    shown = np.zeros((48, 64, 3), np.uint8)
    shown[10:20, 20:40] = (200, 30, 60)
    fields = {"height": 48, "width": 64, "is_bigendian": 0, "step": 192, "data": shown.ravel()}
    raw = {
        code: serialised("sensor_msgs/msg/Image", header=header(7), encoding=code, **fields)
        for code in ("rgb8", "bgr8")
    }
    assert (pixels(raw["rgb8"])[0] == shown).all()
    made = TYPES.deserialize_cdr(compressed(raw["rgb8"]), KIND)
    assert (header_ns(KIND, compressed(raw["rgb8"])), made.header.frame_id, made.format) == (
        7,
        "era",
        "rgb8; jpeg compressed bgr8",
    )
    cv2 = pytest.importorskip("cv2")
    for code, expected in (("rgb8", shown[..., ::-1]), ("bgr8", shown)):
        data = TYPES.deserialize_cdr(compressed(raw[code]), KIND).data
        assert np.abs(cv2.imdecode(data, cv2.IMREAD_COLOR).astype(int) - expected).mean() < 3
    assert fingerprint(raw["rgb8"]) != fingerprint(raw["bgr8"])
    with pytest.raises(XlvlaError, match="encoding '16UC1'"):
        pixels(serialised("sensor_msgs/msg/Image", header=header(7), encoding="16UC1", **fields))


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from test_bag import BEGAN_NS, STATES, TOPICS, pose
from xlvla_data.bag.writer import BagWriter
from xlvla_data.recorder.spool import Item, Spool
spool = Spool(BagWriter(Path(sys.argv[2]), TOPICS, "jazzy"), 0)
for number in range(100_000):
    spool.put([Item(STATES, pose(number, [number, 0, 0]), time.time_ns(), time.time_ns(), number +
    1)])
    print(number, flush=True)
    time.sleep(0.005)
"""


def said(command, folder):
    """What a command says of a folder of sessions."""
    app = typer.Typer()
    recordings.register(app)
    told = CliRunner().invoke(app, [command, str(folder)])
    assert told.exit_code == 0, told.output
    return told.output


def test_a_killed_recorder_loses_at_most_the_last_second(tmp_path):
    folder = tmp_path / "session" / "episode_000000"
    writing = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(Path(__file__).parent), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
    )
    while int(writing.stdout.readline()) < 250:
        pass
    writing.send_signal(signal.SIGKILL)
    killed_ns = time.time_ns()
    last = int((writing.communicate()[0].split() or ["250"])[-1])
    torn = Bag(folder)
    assert not torn.whole
    found = [message.content.position[0] for message in torn.messages()]
    assert found == list(range(len(found))) and len(found) <= last + 1
    assert killed_ns - list(torn.messages())[-1].log_ns < 10**9
    facts = {"rates_hz": {}, "rig": {}, "rig_hash": "", "codec": "", "simulated": False}
    EpisodeCard(folder.name, "recording", "", "", {"left": "xhand"}, {}, **facts).write(folder)
    assert "1 repaired" in said("repair", tmp_path)
    assert (
        "yellow" in said("recordings", tmp_path)
        and "killed" in read_episode_card(folder).findings[0]
    )
    assert Bag(folder).whole and not repair(folder)
    assert [message.content.position[0] for message in Bag(folder).messages()] == found
    assert sorted(path.name for path in folder.iterdir()) == [
        "episode.json",
        "episode_000000_0.mcap",
        "metadata.yaml",
    ]
    with AnyReader([folder]) as reader:
        assert reader.message_count == len(found)


@pytest.mark.parametrize("lost", [1, 40, 5000])
def test_a_torn_bag_is_read_up_to_where_it_was_torn(tmp_path, lost):
    folder = tmp_path / "episode_000000"
    record(folder, close=False)
    path = mcap_path(folder)
    os.truncate(path, path.stat().st_size - lost)
    found = [message.content.position[0] for message in Bag(folder).messages([STATES])]
    assert found == list(range(len(found))) and 300 <= len(found) <= 500


def test_a_bag_that_ends_in_zeros_is_read(tmp_path):
    folder = tmp_path / "episode_000000"
    record(folder, close=False)
    with mcap_path(folder).open("ab") as file:
        file.write(bytes(4096))
    assert len(list(Bag(folder).messages([STATES]))) == 500


def test_a_bag_that_is_being_recorded_is_not_repaired(tmp_path):
    folder = tmp_path / "episode_000000"
    writer = record(folder, close=False)
    assert not repair(folder)
    assert len(list(Bag(folder).messages([STATES]))) == 500
    writer.close()
    assert Bag(folder).whole


def test_a_full_disk_ends_a_bag_cleanly(tmp_path):
    """The limit of a file's size stands for the disk: the kernel refuses to write beyond either."""
    folder = tmp_path / "episode_000000"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = BagWriter(folder, TOPICS, "jazzy")
    spool = Spool(writer, 0)
    noise = np.random.default_rng(0)
    try:
        for number in range(60):
            values = noise.normal(size=3000)
            names = [f"joint{i}" for i in range(3000)]
            spool.put(
                [
                    Item(
                        STATES,
                        pose(number, values, names),
                        BEGAN_NS + number,
                        BEGAN_NS + number,
                        number + 1,
                    )
                ]
            )
            if number == 20:
                # All of them, on however busy a machine: what comes later meets the full disk
                deadline = time.monotonic() + 10
                while writer.file.counts[STATES] <= number and time.monotonic() < deadline:
                    time.sleep(0.01)
                resource.setrlimit(resource.RLIMIT_FSIZE, (writer.file.end + 100_000, before[1]))
        deadline = time.monotonic() + 10
        while not spool.fault and time.monotonic() < deadline:
            time.sleep(0.01)
        assert "File too large" in spool.fault
        assert spool.close(10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Bag(folder).whole and not (folder / SPARE).exists()
    with AnyReader([folder]) as reader:
        assert 20 <= reader.message_count < 60


def test_a_disk_that_is_full_in_the_midst_of_a_picture_costs_one_chunk(tmp_path):
    folder = tmp_path / "episode_000000"
    noise = np.random.default_rng(0)
    camera = described("/cameras/front/image_raw/compressed", KIND, Qos(1, False, False))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = BagWriter(folder, [camera], "jazzy")
    whole = []
    for number in range(40):
        writer.add(camera.name, picture(number, 50_000, noise), BEGAN_NS + number, BEGAN_NS)
        if number == 19:
            writer.flush()
            whole = list(range(20))
    end = writer.file.end
    resource.setrlimit(resource.RLIMIT_FSIZE, (end + 333_333, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            writer.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert writer.file.end == end == mcap_path(folder).stat().st_size
    writer.add(camera.name, picture(40, 50_000, noise), BEGAN_NS + 40, BEGAN_NS)
    writer.flush()
    writer.close()
    found = [message.log_ns - BEGAN_NS for message in Bag(folder).messages()]
    assert found == [*whole, 40]


def test_a_disk_without_room_for_the_end_gives_up_the_last_second(tmp_path):
    folder = tmp_path / "episode_000000"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = record(folder, close=False)
    resource.setrlimit(resource.RLIMIT_FSIZE, (writer.file.end + 100, before[1]))
    try:
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Bag(folder).whole
    with AnyReader([folder]) as reader:
        assert 0 < reader.message_count < 501
        assert reader.message_count == len(list(Bag(folder).messages()))


def test_an_almost_full_disk_is_noticed_before_it_is_full(tmp_path):
    spool = Spool(BagWriter(tmp_path / "episode_000000", TOPICS, "jazzy"), least_free_bytes=1e18)
    spool.put([Item(STATES, pose(0, [0, 0, 0]), BEGAN_NS, BEGAN_NS, 1)])
    deadline = time.monotonic() + 10
    while not spool.fault and time.monotonic() < deadline:
        time.sleep(0.01)
    assert "recorder.least_free_gb" in spool.fault
    spool.put([Item(STATES, pose(1, [0, 0, 0]), BEGAN_NS, BEGAN_NS, 2)])
    assert spool.close(10)
    assert spool.dropped == 1 and len(list(Bag(tmp_path / "episode_000000").messages())) == 1


class SlowDisk(BagWriter):
    """A disk that takes its time."""

    def flush(self):
        time.sleep(0.5)
        super().flush()


def test_a_slow_disk_holds_nobody_up_and_is_noticed(tmp_path):
    spool = Spool(SlowDisk(tmp_path / "episode_000000", TOPICS, "jazzy"), 0, most_bytes=200_000)
    longest = 0.0
    give_up = time.monotonic() + 20
    while not spool.fault and time.monotonic() < give_up:
        began = time.monotonic()
        spool.put(
            [
                Item(
                    STATES,
                    pose(0, np.zeros(100), [f"j{i}" for i in range(100)]),
                    BEGAN_NS,
                    BEGAN_NS,
                    0,
                )
            ]
        )
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.0005)
    assert "too slow" in spool.fault
    assert longest < 0.4
    assert spool.close(10) and Bag(tmp_path / "episode_000000").whole


def test_what_is_no_bag_is_told_in_one_line(tmp_path):
    with pytest.raises(XlvlaError, match="is no bag"):
        Bag(tmp_path)
    folder = tmp_path / "episode_000000"
    folder.mkdir()
    mcap_path(folder).write_bytes(b"nothing of that kind")
    with pytest.raises(XlvlaError, match="is no MCAP file"):
        Bag(folder)
    (folder / "episode.json").write_text(json.dumps({"name": "x"}))
    record(tmp_path / "other")
    with pytest.raises(XlvlaError, match=r"has no episode\.json"):
        _ = Bag(tmp_path / "other").info
