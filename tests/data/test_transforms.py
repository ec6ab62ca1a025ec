"""The transforms in a recorded bag are those of the robot's kinematics."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("mcap")
pytest.importorskip("rosbags")
pytest.importorskip(
    "sensor_msgs", reason="message definitions come from installed message packages"
)

from rosbags.typesys import Stores, get_typestore

from xlvla import rig_file, topics
from xlvla.kinematics import Kinematics
from xlvla.robot import rig_description
from xlvla.types import PARTS
from xlvla_data.bag.card import EpisodeCard
from xlvla_data.bag.definitions import described
from xlvla_data.bag.layout import Qos
from xlvla_data.bag.reader import Bag
from xlvla_data.recorder.recording import ReceivedMessage, Recording
from xlvla_data.recorder.stream_statistics import RecordedTopic
from xlvla_data.recorder.transforms import KIND, Transforms

TYPES = get_typestore(Stores.ROS2_JAZZY)
RIG = rig_file.load("bimanual")
URDF = rig_description(RIG)
NAMES = [name for side in RIG.sides for part in PARTS for name in RIG.joint_names(side, part)]
STATES = RecordedTopic(
    described(topics.JOINT_STATES, "sensor_msgs/msg/JointState", Qos(10, True, False)), "other"
)


def joint_state(values, ns=1_500_000_007, names=NAMES):
    stamp = TYPES.types["builtin_interfaces/msg/Time"](sec=ns // 10**9, nanosec=ns % 10**9)
    message = TYPES.types["sensor_msgs/msg/JointState"](
        header=TYPES.types["std_msgs/msg/Header"](stamp=stamp, frame_id=""),
        name=list(names),
        position=np.asarray(values, float),
        velocity=np.zeros(0),
        effort=np.zeros(0),
    )
    return bytes(TYPES.serialize_cdr(message, "sensor_msgs/msg/JointState"))


def poses(*messages):
    """Where every link is in the world [4, 4], by the transforms of some messages."""
    steps = {}
    for data in messages:
        for each in TYPES.deserialize_cdr(data, KIND).transforms:
            moved = each.transform
            x, y, z, w = (getattr(moved.rotation, axis) for axis in "xyzw")
            step = np.eye(4)
            step[:3, :3] = [
                [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
                [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
                [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
            ]
            step[:3, 3] = [getattr(moved.translation, axis) for axis in "xyz"]
            steps[each.child_frame_id] = each.header.frame_id, step
    found = {URDF.description.root: np.eye(4)}
    while len(found) <= len(steps):
        for child, (parent, step) in steps.items():
            if parent in found:
                found[child] = found[parent] @ step
    return found


def test_every_link_is_where_the_kinematics_say():
    transforms = Transforms(URDF.description)
    rng = np.random.default_rng(0)
    for _ in range(3):
        values = rng.uniform(-0.5, 0.5, len(NAMES))
        found = poses(transforms.static(5), transforms.of(joint_state(values)))
        assert set(found) == set(URDF.description.links)
        expected = Kinematics(URDF, NAMES).fk(values, list(found))
        for link, pose in found.items():
            assert np.allclose(pose, expected[link], atol=1e-9), link


def test_the_stamp_is_that_of_the_joint_states_and_unknown_joints_are_left_out():
    transforms = Transforms(URDF.description)
    message = TYPES.deserialize_cdr(transforms.of(joint_state([0.3], names=NAMES[:1])), KIND)
    (only,) = message.transforms
    assert (only.header.stamp.sec, only.header.stamp.nanosec) == (1, 500_000_007)
    assert only.child_frame_id == URDF.description.joint(NAMES[0]).child
    nothing = transforms.of(joint_state([np.nan], names=NAMES[:1]))
    assert not TYPES.deserialize_cdr(nothing, KIND).transforms


def test_a_recording_has_them_beside_the_joint_states_with_their_definition(tmp_path):
    card = EpisodeCard("", "recording", "", "", {}, {}, {}, {}, "", "", False)
    recording = Recording(
        tmp_path / "episode_000000", card, [STATES], 0, "jazzy", Transforms(URDF.description)
    )
    for number in range(5):
        now_ns = recording.card.began_ns + number * 10**7
        data = joint_state(np.full(len(NAMES), 0.1 * number), number * 10**7)
        recording.take([ReceivedMessage(STATES, data, now_ns, now_ns, number + 1)])
    damaged = joint_state(np.zeros(len(NAMES)))[:60]
    recording.take([ReceivedMessage(STATES, damaged, now_ns, now_ns, 6)])
    assert any("/joint_states" in line for line in recording.finish("test").findings)
    bag = Bag(tmp_path / "episode_000000")
    messages = list(bag.messages())
    counts = {name: sum(m.topic == name for m in messages) for name in bag.topics}
    assert counts == {topics.JOINT_STATES: 5, topics.TF: 5, topics.TF_STATIC: 1}
    assert "geometry_msgs/TransformStamped[] transforms" in bag.topics[topics.TF].definition
    assert bag.topics[topics.TF].type_hash.startswith("RIHS01_")
