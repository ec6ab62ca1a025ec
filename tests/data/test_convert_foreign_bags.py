"""`xlvla data convert --map`: bags of other stacks, in MCAP and sqlite3, by a map that is
proposed.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rosbags")

import cv2
import yaml
from made_episodes import bar, picture, run
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.types import scoped
from xlvla_data import foreign_bag, store

TYPES = get_typestore(Stores.ROS2_JAZZY)
ARM = [f"xarm_j{number}" for number in range(1, 8)]
HAND = [f"finger_{number}" for number in range(6)]
OURS = [scoped("right", "arm", joint) for joint in catalog.arm("xarm7").joints] + [
    scoped("right", "hand", joint) for joint in catalog.hand("inspire").joint_names("right")
]
BEGAN_NS = 1_700_000_000_000_000_000
SECONDS = 3
MAP = {
    "hands": {"right": "inspire"},
    "arms": {"right": "xarm7"},
    "instruction": "Push.",
    "state": "/joint_states",
    "action": ["/controller/command", "/hand/command"],
    "names": {"/hand/command": HAND},
    "cameras": {"front": "/camera/color/image_raw/compressed"},
    "joints": dict(zip(OURS, [*ARM, *HAND], strict=True)),
}


def build(name, /, **fields):
    return TYPES.types[name](**fields)


def header(ns):
    stamp = build("builtin_interfaces/msg/Time", sec=ns // 10**9, nanosec=ns % 10**9)
    return build("std_msgs/msg/Header", stamp=stamp, frame_id="base")


def positions(t):
    """The joints at a time [s]: the arm swings, the hand closes."""
    return np.full(7, 0.2 * np.sin(t)), np.full(6, 0.2 + 0.1 * t)


def states(ns, t):
    """Arm and hand on one topic, each by a publisher of its own."""
    for names, values in zip((ARM, HAND), positions(t), strict=True):
        yield (
            "/joint_states",
            build(
                "sensor_msgs/msg/JointState",
                header=header(ns),
                name=names,
                position=values,
                velocity=np.zeros(0),
                effort=np.zeros(0),
            ),
        )


def commands(ns, t):
    arm, hand = positions(t + 0.05)
    point = build(
        "trajectory_msgs/msg/JointTrajectoryPoint",
        positions=arm,
        velocities=np.zeros(0),
        accelerations=np.zeros(0),
        effort=np.zeros(0),
        time_from_start=build("builtin_interfaces/msg/Duration", sec=0, nanosec=0),
    )
    yield (
        "/controller/command",
        build(
            "trajectory_msgs/msg/JointTrajectory",
            header=header(ns),
            joint_names=ARM,
            points=[point],
        ),
    )
    layout = build("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
    yield "/hand/command", build("std_msgs/msg/Float64MultiArray", layout=layout, data=hand)


def images(ns, frame):
    _, jpeg = cv2.imencode(".jpg", np.ascontiguousarray(picture(frame)[..., ::-1]))
    yield (
        "/camera/color/image_raw/compressed",
        build(
            "sensor_msgs/msg/CompressedImage",
            header=header(ns),
            format="jpeg",
            data=jpeg.reshape(-1),
        ),
    )
    depth = np.full((4, 6), 900, np.uint16)
    yield (
        "/camera/depth/image_raw",
        build(
            "sensor_msgs/msg/Image",
            header=header(ns),
            height=4,
            width=6,
            encoding="16UC1",
            is_bigendian=0,
            step=12,
            data=depth.view(np.uint8).reshape(-1),
        ),
    )


def record(folder, storage=StoragePlugin.MCAP, began_ns=BEGAN_NS):
    """A bag of somebody else's stack: states at 50 Hz, pictures at 20 Hz, no card."""
    connections = {}
    with Writer(folder, version=9, storage_plugin=storage) as writer:
        for tick in range(100 * SECONDS):
            ns = began_ns + tick * 10**7
            messages = []
            if tick % 2 == 0:
                messages += [*states(ns, tick / 100), *commands(ns, tick / 100)]
            if tick % 5 == 0:
                messages += images(ns, tick // 5)
            for topic, message in messages:
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=TYPES)
                data = TYPES.serialize_cdr(message, kind)
                writer.write(connections[topic], ns, data)
    return folder


def saved(folder, **changes):
    path = folder / "map.yaml"
    path.write_text(yaml.safe_dump({**MAP, **changes}))
    return path


@pytest.mark.parametrize("storage", [StoragePlugin.MCAP, StoragePlugin.SQLITE3])
def test_a_bag_of_another_stack_becomes_episodes_by_a_map(tmp_path, storage):
    record(tmp_path / "bags/monday", storage)
    record(tmp_path / "bags/tuesday", storage, BEGAN_NS + 10**15)
    options = ("--to", tmp_path / "to", "--map", saved(tmp_path))
    text, code = run("convert", tmp_path / "bags", *options)
    assert code == 0 and "2 converted" in text, text
    for stored in store.find(tmp_path / "to"):
        read = stored.read()
        assert read.info.instruction == "Push." and read.info.success is None
        assert read.frames == pytest.approx(20 * SECONDS, abs=2)
        arm, hand = read.measured["right"]["arm"], read.measured["right"]["hand"]
        times = np.arange(read.frames) / 20
        assert np.allclose(arm[:, 0], 0.2 * np.sin(times), atol=0.01)
        assert np.allclose(hand[:, 0], 0.2 + 0.1 * times, atol=0.01)
        assert np.abs(read.action["right"]["arm"] - arm).max() < 0.03
        shown = [bar(each) for each in read.pictures["front"]][:14]
        assert shown == [bar(picture(frame)) for frame in range(14)]
    assert run("check", tmp_path / "to")[1] == 0
    assert "2 there before" in run("convert", tmp_path / "bags", *options)[0]


def test_what_a_bag_has_beside_the_map_is_counted_and_named(tmp_path):
    record(tmp_path / "bags/monday")
    fewer = {ours: theirs for ours, theirs in MAP["joints"].items() if theirs in ARM}
    mapped = saved(tmp_path, hands={"right": "none"}, joints=fewer, action="/controller/command")
    text, code = run("convert", tmp_path / "bags", "--to", tmp_path / "to", "--map", mapped)
    assert code == 0, text
    closing = text.splitlines()[-1]
    assert closing.startswith("8 not taken over: ")
    assert "/camera/depth/image_raw (sensor_msgs/msg/Image)" in closing
    assert "/hand/command (std_msgs/msg/Float64MultiArray)" in closing
    assert all(f"/joint_states: {name}" in closing for name in HAND)
    (stored,) = store.find(tmp_path / "to")
    assert stored.read().action["right"]["hand"].shape[1] == 0


def test_a_map_is_proposed_that_needs_little_to_be_filled_in(tmp_path):
    record(tmp_path / "bags/monday")
    bodies = ("--hands", "right=inspire", "--arms", "right=xarm7")
    with pytest.raises(XlvlaError, match="was not recorded by xlvla: save the map above"):
        run("convert", tmp_path / "bags", "--to", tmp_path / "to", *bodies)
    assert not (tmp_path / "to").exists()


def test_a_proposal_names_topics_joints_and_cameras_and_no_depth(tmp_path):
    from xlvla_data.map_proposal import UNKNOWN, proposal

    folder = record(tmp_path / "monday")
    document = yaml.safe_load(proposal(folder, {"right": "inspire"}, {"right": "xarm7"}))
    assert document["state"] == ["/joint_states"]
    assert document["action"] == ["/controller/command", "/hand/command"]
    assert document["cameras"] == {"camera_color": "/camera/color/image_raw/compressed"}
    assert document["joints"][OURS[0]] == ARM[0]
    assert yaml.safe_load(proposal(folder, {}, {}))["hands"] == {"right": UNKNOWN}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"state": "/joint_state"}, "no topic '/joint_state'; did you mean '/joint_states'"),
        ({"joints": {}}, "right arm state lacks 'right_arm_joint1' and 6 more"),
        ({"names": {}}, "its messages do not name their numbers: `names` in the map does"),
        ({"cameras": {"front": "/camera/depth/image_raw"}}, "image encoding '16UC1' is not"),
        ({"action": "/camera/depth/image_raw"}, "lacks|hold no joints|positions for"),
        ({"degrees": True, "scale": {OURS[0]: 1e5}}, "its numbers are no such angles"),
    ],
)
def test_what_does_not_fit_refuses_the_bag_with_a_line(tmp_path, changes, complaint):
    import re

    record(tmp_path / "bags/monday")
    mapped = saved(tmp_path, **changes)
    text, code = run("convert", tmp_path / "bags", "--to", tmp_path / "to", "--map", mapped)
    assert code == 1 and "refused: " in text
    assert re.search(complaint, " ".join(text.split())), text


@pytest.mark.parametrize(
    "document",
    [[], {"hands": {}}, {**MAP, "state": 3}, {**MAP, "nobody": 1}, {**MAP, "joints": {"x": "y"}}],
    ids=["a list", "nothing", "no topic", "another key", "no joint of ours"],
)
def test_a_map_that_is_none_is_one_line(tmp_path, document):
    path = tmp_path / "map.yaml"
    path.write_text(yaml.safe_dump(document))
    with pytest.raises(XlvlaError):
        foreign_bag.read_bag_map(path)


def test_a_damaged_bag_costs_that_episode_and_no_other(tmp_path):
    for storage, name in ((StoragePlugin.MCAP, "first"), (StoragePlugin.SQLITE3, "second")):
        folder = record(tmp_path / "bags" / name, storage)
        (path,) = [each for each in folder.iterdir() if each.suffix in (".mcap", ".db3")]
        data = bytearray(path.read_bytes())
        data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
        path.write_bytes(data)
    record(tmp_path / "bags/third")
    mapped = saved(tmp_path)
    text, code = run("convert", tmp_path / "bags", "--to", tmp_path / "to", "--map", mapped)
    assert code == 1 and "1 converted, 2 refused" in text, text
