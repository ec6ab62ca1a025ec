"""Sources against what they read: leader arms and their emulator, keys, exoskeletons and trackers
on topics, recorded bags, gloves.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

import rclpy
from mcap.writer import CompressionType
from mcap_ros2.writer import Writer
from std_msgs.msg import String
from streams import until, until_lost

from xlvla import catalog, rig_file
from xlvla.errors import XlvlaError
from xlvla.ros import convert, geometry, topics
from xlvla_drivers import registry
from xlvla_drivers.device import LinkLost
from xlvla_drivers.emulators import leader as emulated
from xlvla_drivers.emulators import person
from xlvla_drivers.ros.sources import exoskeleton, keyboard, manus, recorded
from xlvla_drivers.ros.sources import topics as trackers
from xlvla_drivers.teleop import exoskeleton as exoskeletons
from xlvla_drivers.teleop import leader
from xlvla_drivers.teleop.closing import closed
from xlvla_drivers.teleop.manus_frames import CHAINS, keypoints
from xlvla_drivers.teleop.operator import TeleopSource

BOTH = ("left", "right")
DOMAIN = 101 + os.getpid() % 16  # apart from the domain of the session's other graphs


@pytest.fixture(scope="module")
def node():
    context = rclpy.Context()
    rclpy.init(context=context, domain_id=DOMAIN)
    made = rclpy.create_node("sources", context=context)
    yield made
    made.destroy_node()
    rclpy.shutdown(context=context)


def said(node, topic, messages, look):
    """What a source makes of messages on a topic."""
    publisher = node.create_publisher(topic.type, topic.name, topic.qos)
    until(publisher.get_subscription_count)
    time.sleep(0.2)  # the reader must have found the speaker too

    def told():
        for message in messages:
            publisher.publish(message)
        return look()

    return until(told)


@pytest.mark.parametrize("name", catalog.drivers("teleop"))
def test_every_source_says_what_a_rig_may_choose(name):
    options = registry.options("teleop", name, {}, "teleop.options")
    assert type(options).__doc__
    with pytest.raises(XlvlaError, match=r"teleop\.options: unknown key 'colour'"):
        registry.options("teleop", name, {"colour": "red"}, "teleop.options")


@pytest.fixture
def arms(tmp_path):
    """Both leader arms, as a rig has them, and their emulators."""
    ports = {side: str(tmp_path / side) for side in BOTH}
    options = leader.Options(
        ports=ports, servos=leader.dynamixel.Options(baud=1_000_000, gripper_id=8)
    )
    emulators = {side: emulated.Emulator(ports[side], side, options) for side in BOTH}
    for emulator in emulators.values():
        emulator.start()
    source = leader.Driver("", BOTH, options, None)
    yield emulators, source
    source.close()
    for emulator in emulators.values():
        emulator.stop()


def test_leader_arms_are_read_by_joint_and_their_grippers_close_the_hands(arms):
    emulators, source = arms
    source.open()
    seen = until(lambda: source.read(0.5), both=True)
    rig = rig_file.load("teleop_leader")
    for side, tracked in seen.items():
        assert list(tracked.joints) == list(rig.arm(side).joints)
        home = np.array(list(rig.home(side).values()))
        assert (
            np.abs(np.array(list(tracked.joints.values())) - home).max()
            < 4 * emulators[side].swing_rad
        )
        np.testing.assert_allclose(tracked.keypoints[0], 0.0, atol=1e-9)


def test_a_leader_that_is_unplugged_is_lost_and_found_again(arms):
    emulators, source = arms
    source.open()
    until(lambda: source.read(0.5))
    emulators["left"].inject("unplug")
    until_lost(source)
    with pytest.raises(LinkLost):
        source.open()
    emulators["left"].inject("unplug", False)

    def again():
        try:
            source.open()
        except LinkLost:
            return False
        return True

    until(again)
    until(lambda: source.read(0.5), both=True)


def test_keys_move_one_wrist_at_a_time_smoothly_and_close_its_hand(node):
    source: TeleopSource = keyboard.Driver("", BOTH, keyboard.Options(), node)
    source.open()
    publisher = node.create_publisher(
        topics.TELEOP_KEYS.type, topics.TELEOP_KEYS.name, topics.TELEOP_KEYS.qos
    )
    until(publisher.get_subscription_count)
    time.sleep(0.2)
    path = []

    def wrist(side):
        sample = source.read(0.1)
        if sample:
            path.append(sample.sides[side].T_world_wrist[:3, 3])
        return path[-1] if path else np.zeros(3)

    publisher.publish(String(data="88889"))
    until(lambda: np.allclose(wrist("right"), [0.04, 0.0, 0.01], atol=1e-3))
    assert max(np.linalg.norm(np.diff(path, axis=0), axis=1)) < 0.02
    path.clear()
    publisher.publish(String(data="\t4]]]]]"))
    until(lambda: np.allclose(wrist("left"), [0.0, 0.01, 0.0], atol=1e-3))
    until(
        lambda: np.allclose(
            source.read(0.1).sides["left"].keypoints, closed("left", 0.5), atol=1e-6
        )
    )


def test_an_exoskeleton_is_read_by_its_own_names_and_calibration(node):
    options = exoskeleton.Options(
        names={"{side}_elbow": "joint4"},
        calibration={"right": {"joint4": {"sign": -1.0, "offset": 0.5}}},
        grip=exoskeletons.Grip("{side}_trigger", open=0.2, closed=1.0),
    )
    chosen = registry.options(
        "teleop",
        "exoskeleton",
        {"names": options.names, "calibration": options.calibration},
        "options",
    )
    source = exoskeleton.Driver(
        "", BOTH, exoskeleton.Options(chosen.names, chosen.calibration, options.grip), node
    )
    message = convert.JointMessage(["right_elbow", "joint1", "right_trigger"]).fill(
        1_000_000_000, np.array([0.3, 1.0, 0.6])
    )
    sample = said(node, topics.exoskeleton("right"), [message], lambda: source.read(0.05))
    assert list(sample.sides) == ["right"] and sample.stamp_s == 1.0
    assert sample.sides["right"].joints == pytest.approx({"joint4": 0.2, "joint1": 1.0})
    np.testing.assert_allclose(sample.sides["right"].keypoints, closed("right", 0.5))


def test_a_tracker_on_topics_is_seen_with_its_fingers(node):
    source = trackers.Driver("", BOTH, trackers.Options(), node)
    pose, hand = person.hand("left", 2.0)
    fingers = node.create_publisher(
        topics.tracked_keypoints("left").type, topics.tracked_keypoints("left").name, topics.SENSOR
    )
    until(fingers.get_subscription_count)

    def look():
        fingers.publish(geometry.cloud(hand, 5_000_000_000, "wrist"))
        sample = source.read(0.02)
        return sample if sample and sample.sides["left"].keypoints is not None else None

    sample = said(
        node, topics.tracked_wrist("left"), [geometry.pose(pose, 5_000_000_000, "operator")], look
    )
    np.testing.assert_allclose(sample.sides["left"].T_world_wrist, pose, atol=1e-9)
    np.testing.assert_allclose(sample.sides["left"].keypoints, hand, atol=1e-6)
    assert sample.stamp_s == 5.0


def test_fingers_on_topics_are_seen_before_their_wrist_and_once_it_is_silent_again(node):
    source = trackers.Driver("", ("right",), trackers.Options(), node)
    wrists, clouds = (
        node.create_publisher(topic.type, topic.name, topic.qos)
        for topic in (topics.tracked_wrist("right"), topics.tracked_keypoints("right"))
    )
    until(lambda: wrists.get_subscription_count() and clouds.get_subscription_count())
    pose, hand = person.hand("right", 2.0)

    def seen(*, with_wrist):
        def look():
            clouds.publish(geometry.cloud(hand, 5_000_000_000, "wrist"))
            if with_wrist:
                wrists.publish(geometry.pose(pose, 5_000_000_000, "operator"))
            sample = source.read(0.02)
            if sample is None or sample.sides["right"].keypoints is None:
                return None
            return (sample.sides["right"].T_world_wrist is not None) == with_wrist

        return until(look)

    assert seen(with_wrist=False)
    assert seen(with_wrist=True)
    assert seen(with_wrist=False)


POSE = """std_msgs/Header header
geometry_msgs/Pose pose
================================================================================
MSG: std_msgs/Header
builtin_interfaces/Time stamp
string frame_id
================================================================================
MSG: geometry_msgs/Pose
geometry_msgs/Point position
geometry_msgs/Quaternion orientation
================================================================================
MSG: geometry_msgs/Point
float64 x
float64 y
float64 z
================================================================================
MSG: geometry_msgs/Quaternion
float64 x
float64 y
float64 z
float64 w"""


@pytest.fixture
def bag(tmp_path):
    """A bag in which both wrists move for half a second."""
    with (tmp_path / "episode.mcap").open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        schema = writer.register_msgdef("geometry_msgs/msg/PoseStamped", POSE)
        for k in range(25):
            ns = 1_000_000_000 + 20_000_000 * k
            for side in BOTH:
                placed = np.eye(4)
                placed[0, 3] = 0.01 * k
                message = geometry.pose(placed, ns, "operator")
                plain = {
                    "header": {
                        "stamp": {"sec": ns // 10**9, "nanosec": ns % 10**9},
                        "frame_id": "operator",
                    }
                }
                plain["pose"] = {
                    "position": {"x": 0.01 * k, "y": 0.0, "z": 0.0},
                    "orientation": {"x": 0.0, "y": 0.0, "z": 0.0, "w": 1.0},
                }
                assert message.pose.position.x == plain["pose"]["position"]["x"]
                writer.write_message(
                    topics.operator_wrist(side).name, schema, plain, log_time=ns, publish_time=ns
                )
        writer.finish()
    return tmp_path


def test_a_recorded_operator_does_it_again_at_the_same_pace(bag):
    source = recorded.Driver(str(bag), BOTH, recorded.Options(), None)
    source.open()
    began_s = time.monotonic()
    places = []
    while len(places) < 25:
        if sample := source.read(0.05):
            assert set(sample.sides) == set(BOTH)
            places.append(sample.sides["right"].T_world_wrist[0, 3])
    assert time.monotonic() - began_s > 0.4
    np.testing.assert_allclose(places, 0.01 * np.arange(25), atol=1e-9)
    with pytest.raises(LinkLost, match="begins anew"):
        until(lambda: source.read(0.05))
    source.open()
    assert until(lambda: source.read(0.05)).sides["left"].T_world_wrist[0, 3] == 0.0


@pytest.mark.parametrize("address", ["", "nowhere", "/"])
def test_a_folder_without_a_bag_is_named(address):
    with pytest.raises(XlvlaError, match=r"teleop\.address: '.*' is no bag"):
        recorded.Driver(address, BOTH, recorded.Options(), None)


def test_gloves_become_keypoints_whatever_the_order_of_their_nodes():
    hand = closed("left", 0.3)
    joints = {"thumb": ("MCP", "PIP", "IP", "TIP")}
    nodes = [("Hand", "", tuple(hand[0]))]
    for finger, chain in enumerate(CHAINS):
        for k, joint in enumerate(joints.get(chain, ("PIP", "IP", "DIP", "TIP"))):
            nodes.append((chain.title(), joint, tuple(hand[1 + 4 * finger + k])))
    nodes += [(chain.title(), "MCP", (9.0, 9.0, 9.0)) for chain in CHAINS[1:]]
    np.random.default_rng(0).shuffle(nodes)
    np.testing.assert_allclose(
        keypoints([(chain, joint, tuple(map(float, at))) for chain, joint, at in nodes]), hand
    )
    with pytest.raises(XlvlaError, match="joints of the thumb: four are needed"):
        keypoints([node for node in nodes if node[0] != "Thumb"])


def test_gloves_without_their_message_package_say_what_to_do(node):
    pytest.importorskip("rclpy")
    try:
        import manus_ros2_msgs  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(
            XlvlaError, match=r"'manus_ros2_msgs\.msg' is not installed: build MANUS's"
        ):
            manus.Driver("", BOTH, manus.Options(), node)
