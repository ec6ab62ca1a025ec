"""An episode while it is recorded, without a graph: messages in, a bag and a verdict out."""

import time

import numpy as np
import pytest

pytest.importorskip("mcap")
pytest.importorskip("rosbags")
pytest.importorskip(
    "sensor_msgs", reason="message definitions come from installed message packages"
)

from rosbags.typesys import Stores, get_typestore

from xlvla.errors import XlvlaError
from xlvla_data.bag.card import EpisodeCard, read_episode_card
from xlvla_data.bag.definitions import described
from xlvla_data.bag.layout import Qos
from xlvla_data.bag.picture import KIND
from xlvla_data.bag.reader import Bag, bags
from xlvla_data.recorder.episode_control import EpisodeControl
from xlvla_data.recorder.recording import ReceivedMessage, Recording
from xlvla_data.recorder.session import Session
from xlvla_data.recorder.stream_statistics import RecordedTopic, StreamStatistics

TYPES = get_typestore(Stores.ROS2_JAZZY)
JOINTS = ("left_arm_joint1", "left_arm_joint2")
LATCHED = Qos(1, True, True)
SENSOR = Qos(1, False, False)
STATE = RecordedTopic(
    described("/left/arm/joint_states", "sensor_msgs/msg/JointState", SENSOR),
    "state",
    "left arm",
    100.0,
    JOINTS,
    np.full(2, -3.0),
    np.full(2, 3.0),
    True,
)
CAMERA = RecordedTopic(
    described("/cameras/front/image_raw/compressed", KIND, SENSOR),
    "camera",
    "front",
    20.0,
    counted=True,
)
RESET = RecordedTopic(described("/reset", "std_msgs/msg/Header", LATCHED), "reset")
DEVICE = RecordedTopic(
    described("/left/arm/device", "diagnostic_msgs/msg/DiagnosticStatus", LATCHED), "device"
)
STREAMS = (STATE, CAMERA, RESET)


def header(seconds):
    ns = round(seconds * 1e9)
    time_of = TYPES.types["builtin_interfaces/msg/Time"]
    header_of = TYPES.types["std_msgs/msg/Header"]
    return header_of(stamp=time_of(sec=ns // 10**9, nanosec=ns % 10**9), frame_id="")


def heard(stream, kind, number, **fields):
    data = bytes(TYPES.serialize_cdr(TYPES.types[kind](**fields), kind))
    now_ns = time.time_ns()
    return ReceivedMessage(stream, data, now_ns, now_ns, number)


def pose(number, names=JOINTS, values=None):
    position = np.array([0.1 * number, 0.2]) if values is None else np.asarray(values, float)
    fields = {
        "name": list(names),
        "position": position,
        "velocity": np.zeros(0),
        "effort": np.zeros(0),
    }
    return heard(STATE, "sensor_msgs/msg/JointState", number, header=header(number / 100), **fields)


def picture(number):
    return heard(
        CAMERA,
        KIND,
        number,
        header=header(number / 20),
        format="jpeg",
        data=np.full(50, number, np.uint8),
    )


def reset():
    head = header(1.0)
    return heard(RESET, "std_msgs/msg/Header", 1, stamp=head.stamp, frame_id="episode 3")


def card():
    facts = {"rates_hz": {}, "rig": {}, "rig_hash": "", "codec": "", "simulated": True}
    return EpisodeCard(
        "",
        "recording",
        "push_cans",
        "Push.",
        {"left": "xhand"},
        {"left": {"arm": list(JOINTS), "hand": []}},
        **facts,
    )


def begin(folder):
    return Recording(folder, card(), STREAMS, 0, "jazzy")


@pytest.fixture
def recording(tmp_path):
    folder = tmp_path / "session" / "episode_000000"
    folder.mkdir(parents=True)
    made = begin(folder)
    yield made
    made.spool.close(5)


def test_what_was_recorded_is_in_the_bag_and_on_the_card(recording):
    recording.take(
        [pose(number) for number in range(1, 50)] + [picture(number) for number in range(1, 10)]
    )
    assert read_episode_card(recording.folder).state == "recording"
    ended = recording.finish("stopped", seed=7, success=True)
    assert read_episode_card(recording.folder) == ended
    assert (ended.state, ended.verdict, ended.seed, ended.success) == ("stopped", "green", 7, True)
    assert ended.duration_s == pytest.approx(0.48)
    assert ended.figures[STATE.topic.name]["messages"] == 49
    assert len(list(Bag(recording.folder).messages())) == 58


def test_numbers_that_are_missing_are_lost_messages(recording):
    recording.take([pose(number) for number in (1, 2, 3, 10, 11)])
    assert recording.finish("stopped").figures[STATE.topic.name]["lost"] == 6


def test_a_publisher_that_begins_anew_has_lost_nothing(recording):
    recording.take([pose(number) for number in (100, 101, 1, 2)])
    assert recording.finish("stopped").figures[STATE.topic.name]["lost"] == 0


def test_a_device_that_was_lost_makes_it_red():
    said = [
        {"level": level, "name": "left arm", "message": text, "hardware_id": "", "values": []}
        for level, text in enumerate(("fine", "warm", "unplugged"))
    ]
    for fields, lost in zip(said, ((), (), ("unplugged",)), strict=True):
        statistics = StreamStatistics(DEVICE)
        statistics.add(
            heard(DEVICE, "diagnostic_msgs/msg/DiagnosticStatus", 1, **fields).data, 1, 1, 1
        )
        assert statistics.track().faults == lost


def test_missing_joints_make_it_red(recording):
    recording.take([pose(number, JOINTS[:1], [0.1]) for number in range(1, 20)])
    assert (
        "red: /left/arm/joint_states: lacks left_arm_joint2" in recording.finish("stopped").findings
    )


def test_positions_are_judged_by_name_whatever_their_order():
    statistics = StreamStatistics(STATE)
    for number in range(1, 20):
        said = pose(number, JOINTS[::-1], [0.5, 0.1 * number])
        statistics.add(said.data, number, said.log_ns, number)
    track = statistics.track()
    assert track.values[:, 1].tolist() == [0.5] * 19 and not track.faults


def test_a_world_that_is_put_back_in_the_midst_makes_it_red_and_before_it_does_not(recording):
    before = reset()
    recording.take(
        [ReceivedMessage(before.stream, before.data, before.log_ns - 10**12, before.sent_ns, 1)]
    )
    assert recording.verdict().colour == "green"
    recording.take([reset()])
    assert (
        "red: the simulation was reset during the episode" in recording.finish("stopped").findings
    )
    assert [
        message.log_ns >= recording.card.began_ns
        for message in Bag(recording.folder).messages([RESET.topic.name])
    ] == [True, True]


def test_a_card_without_a_disk_is_no_reason_to_fall(recording):
    recording.take([pose(1)])
    recording.folder.rename(recording.folder.with_name("elsewhere"))
    assert recording.finish("stopped").state == "stopped"


@pytest.fixture
def desk(tmp_path):
    cues = []
    made = EpisodeControl(
        Session(tmp_path, 1e-9),
        begin,
        lambda: {"seed": 3, "success": False},
        lambda: "Stack.",
        lambda *cue: cues.append(cue),
        0.3,
    )
    made.cues = cues
    return made


def test_a_second_press_discards_only_in_time(desk, tmp_path):
    desk.press("record")
    desk.press("record")
    assert "press again" in desk.press("discard")
    time.sleep(0.35)
    assert "press again" in desk.press("discard")
    assert len(bags(tmp_path)) == 1
    assert "discarded" in desk.press("discard")
    assert bags(tmp_path) == []
    desk.press("discard")
    assert "is restored" in desk.press("discard")
    assert len(bags(tmp_path)) == 1


def test_what_the_operator_said_counts_more_than_what_the_simulation_says(desk):
    desk.start()
    desk.mark(True)
    desk.relabel()
    desk.stop()
    found = read_episode_card(desk.last)
    assert (found.success, found.seed, found.instruction) == (True, 3, "Stack.")


def test_a_button_nobody_knows_is_told(desk):
    assert "did you mean 'record'" in desk.press("recrd")
    assert desk.cues[-1][0] == "error"
    with pytest.raises(XlvlaError, match="nothing is being recorded"):
        desk.stop()
