"""Simulation and motion on the running graph: what moves a robot, and what does not."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
from builtin_interfaces.msg import Duration
from diagnostic_msgs.msg import DiagnosticStatus
from std_msgs.msg import String
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from xlvla.errors import XlvlaError
from xlvla.ros import convert, stop, topics
from xlvla.ros.reader import Reader
from xlvla_drivers.motion.distance import Distances


@pytest.fixture(autouse=True)
def _fresh_episode(bench):
    bench.begin()
    yield
    bench.hush()


def command(bench, positions, *, age_s=0.0, names=None):
    """Sends a command to the right hand, past motion."""
    names = list(names or bench.rig.joint_names("right", "hand"))
    stamp_ns = bench.now_ns() - round(age_s * convert.SECOND)
    bench.send(
        topics.command("right", "hand"),
        convert.JointMessage(names).fill(stamp_ns, np.asarray(positions)),
    )


def lifted(bench, side, by=0.3):
    """Home with the elbow and the fingers somewhere else."""
    pose = bench.home(side)
    pose[3] += by
    pose[-4:] += by
    return pose


def test_a_command_moves_a_simulated_hand(bench):
    wanted = np.full(12, 0.15)

    def arrived():
        pose = bench.pose("right", "hand")
        command(bench, pose + np.clip(wanted - pose, -0.08, 0.08))
        return np.abs(pose - wanted).max() < 0.02

    bench.until(arrived, "the hand did not go where it was told")


def test_a_command_that_is_stale_or_strange_moves_nothing(bench):
    names = bench.rig.joint_names("right", "hand")
    fine = np.full(12, 0.08)
    before = float(bench.figure("sim", "refused /right/hand/command"))
    bench.pass_time(0.8)  # so that a stale stamp is one of this episode
    bad = [
        {"positions": fine, "age_s": 0.7},
        {"positions": np.where(np.arange(12) == 3, np.nan, fine)},
        {"positions": np.where(np.arange(12) == 3, np.inf, fine)},
        {"positions": fine, "names": [*names[:-1], "right_hand_tail_joint"]},
        {"positions": fine[:-1], "names": names[:-1]},
        {"positions": fine, "names": [*names[:-1], names[0]]},
        {"positions": fine[:-1]},
    ]
    for case in bad:
        command(bench, **case)
        bench.pass_time(0.05)
    bench.until_figure("sim", "refused /right/hand/command", before + len(bad))
    assert np.abs(bench.pose("right", "hand")).max() < 0.05


def test_motion_holds_while_somebody_else_commands_the_same_devices_and_says_who(bench):
    bench.chunk("left", lifted(bench, "left"), frames=60)
    bench.until(
        lambda: bench.pose("left", "arm")[3] > bench.home("left")[3] + 0.02, "the arm did not start"
    )
    bench.send(
        topics.command("left", "hand"),
        convert.JointMessage(["of_a_stranger"]).fill(bench.now_ns(), np.zeros(1)),
    )
    said = bench.until(
        lambda: (said := bench.figure("motion", "")) and "second writer" in said and said,
        "motion does not say who else commands",
    )
    assert "/operator" in said
    bench.pass_time(0.5)
    held = bench.pose("left", "arm")
    bench.chunk("left", lifted(bench, "left", by=0.6), frames=30)
    bench.pass_time(0.5)
    assert np.abs(bench.pose("left", "arm") - held).max() < 0.01


def test_a_chunk_is_played_and_held_at_its_end(bench):
    wanted = lifted(bench, "left")
    bench.chunk("left", wanted, frames=20)
    bench.until(
        lambda: np.abs(bench.pose("left", "arm") - wanted[:7]).max() < 0.02,
        "the arm did not follow the chunk",
    )
    bench.until(
        lambda: np.abs(bench.pose("left", "hand") - wanted[7:]).max() < 0.05,
        "the hand did not follow the chunk",
    )
    bench.pass_time(1.0)
    assert np.abs(bench.pose("left", "arm") - wanted[:7]).max() < 0.02


def plan(names, ways, times_s):
    """A trajectory as a planner writes it: no stamp, the first point at 0, velocities."""
    message = JointTrajectory(joint_names=list(names))
    for way, time_s in zip(ways, times_s, strict=True):
        point = JointTrajectoryPoint(positions=way.tolist(), velocities=[0.0] * len(way))
        point.time_from_start = Duration(nanosec=round(time_s * convert.SECOND))
        message.points.append(point)
    return message


def test_a_plan_of_the_arm_alone_is_played_and_the_hand_stays(bench):
    home = bench.home("left")[:7]
    wanted = lifted(bench, "left")[:7]
    hand = bench.pose("left", "hand")
    names = bench.rig.joint_names("left", "arm")
    bench.publisher(topics.chunk("left"))
    bench.send(
        topics.chunk("left"), plan(names, [home, (home + wanted) / 2, wanted], [0, 0.3, 0.9])
    )
    bench.until(
        lambda: np.abs(bench.pose("left", "arm") - wanted).max() < 0.02,
        "the arm did not follow the plan",
    )
    assert np.abs(bench.pose("left", "hand") - hand).max() < 0.05


def test_a_stale_chunk_is_refused_and_the_robot_holds(bench):
    before = float(bench.figure("motion", "left refused: stale"))
    bench.pass_time(0.8)  # so that a stale stamp is one of this episode
    bench.chunk("left", lifted(bench, "left"), age_s=0.7)
    bench.until_figure("motion", "left refused: stale", before + 1)
    assert np.abs(bench.pose("left", "arm") - bench.home("left")[:7]).max() < 0.02


def test_a_chunk_with_numbers_or_names_nobody_knows_is_refused_and_the_robot_holds(bench):
    names = [name for part in ("arm", "hand") for name in bench.rig.joint_names("left", part)]
    numbers, unknown = (
        float(bench.figure("motion", f"left refused: {reason}"))
        for reason in ("not finite", "names")
    )
    bench.chunk("left", lifted(bench, "left") * np.nan)
    bench.until_figure("motion", "left refused: not finite", numbers + 1)
    bench.chunk("left", lifted(bench, "left"), names=["left_arm_jiont1", *names[1:]])
    bench.until_figure("motion", "left refused: names", unknown + 1)
    assert np.abs(bench.pose("left", "arm") - bench.home("left")[:7]).max() < 0.02


def test_a_reset_ends_the_motion_of_the_episode_before(bench):
    bench.chunk("left", lifted(bench, "left", by=0.6))
    bench.until(
        lambda: bench.pose("left", "arm")[3] > bench.home("left")[3] + 0.1, "the arm did not start"
    )
    bench.session.operator.reset()
    bench.pass_time(1.0)
    assert np.abs(bench.pose("left", "arm") - bench.home("left")[:7]).max() < 0.02
    bench.chunk("left", lifted(bench, "left"), frames=20)
    wanted = bench.home("left")[3] + 0.3
    bench.until(
        lambda: abs(bench.pose("left", "arm")[3] - wanted) < 0.02,
        "the arm does not play chunks after a reset",
    )


def test_nothing_told_before_a_reset_passes_for_the_new_episode(bench):
    reader = Reader(bench.node, topics.joint_states("left", "arm").history(200))
    resets = bench.read(topics.RESET)
    bench.until(resets.newest, "no word of the reset before")
    bench.until(lambda: reader.next(), "no joint states")
    bench.pass_time(0.1)
    bench.session.operator.reset()
    reset = bench.until(resets.newest, "no word of the reset")
    bench.pass_time(0.1)
    told = {convert.nanoseconds(message.header.stamp) for message in iter(reader.next, None)}
    began = convert.nanoseconds(reset.stamp)
    assert min(told) < began < max(told)
    assert began not in told, (
        "the last pose of the old episode would be taken for the first of the new one"
    )


def test_an_emergency_stop_latches_until_it_is_reset_and_engaged(bench):
    operator = bench.session.operator
    home = bench.home("left")
    bench.chunk("left", lifted(bench, "left", by=0.6))
    bench.until(lambda: bench.pose("left", "arm")[3] > home[3] + 0.1, "the arm did not start")
    operator.call(topics.ESTOP)
    bench.pass_time(0.5)
    stopped = bench.pose("left", "arm")
    assert stopped[3] < home[3] + 0.5
    with pytest.raises(XlvlaError, match="e-stop is latched"):
        operator.call(topics.ENGAGE, data=True)
    bench.chunk("left", lifted(bench, "left", by=0.6))
    bench.pass_time(0.7)
    assert np.abs(bench.pose("left", "arm") - stopped).max() < 0.02
    operator.call(topics.MOTION_RESET)
    bench.chunk("left", lifted(bench, "left", by=0.6))
    bench.pass_time(0.5)
    assert np.abs(bench.pose("left", "arm") - stopped).max() < 0.02
    operator.call(topics.ENGAGE, data=True)
    bench.chunk("left", lifted(bench, "left", by=0.6), frames=30)
    bench.until(
        lambda: abs(bench.pose("left", "arm")[3] - home[3] - 0.6) < 0.02,
        "the arm does not move after engaging",
    )


def test_a_reset_and_an_engagement_right_after_a_stop_last(bench):
    operator = bench.session.operator
    for _ in range(10):
        operator.estop()
        operator.end_stop()
        operator.call(topics.ENGAGE, data=True)
        bench.pass_time(0.1)
        assert "home" in operator.call(topics.HOME), "a stop from before the reset came back"


def test_a_stop_that_only_a_device_reports_binds_motion(bench):
    stopped = DiagnosticStatus(level=DiagnosticStatus.WARN, message="stopped by x")
    stop.mark(stopped, "x", stamp_ns=bench.now_ns())
    bench.send(topics.device("left", "arm"), stopped)
    bench.until(
        lambda: bench.figure("motion", "") == "e-stop latched", "motion does not know of the stop"
    )
    tell(bench, DiagnosticStatus.OK, "connected")


def test_every_topic_of_the_body_comes_at_its_rate(bench):
    rig = bench.rig
    wanted = {
        topics.joint_states(side, part): rig.sim.joint_state_hz
        for side in rig.sides
        for part in ("arm", "hand")
    }
    wanted |= {
        topics.image("front"): rig.cameras["front"].rate_hz,
        topics.camera_info("front"): rig.cameras["front"].rate_hz,
    }
    wanted |= {topics.JOINT_STATES: 30.0}
    readers = {topic: bench.read(topic) for topic in wanted}
    stamps: dict[topics.Topic, set[int]] = {topic: set() for topic in wanted}
    end_ns = bench.now_ns() + 2 * convert.SECOND

    def listen() -> bool:
        for topic, reader in readers.items():
            while (message := reader.next()) is not None:
                stamps[topic].add(convert.nanoseconds(message.header.stamp))
        return bench.clock.now_ns() > end_ns

    bench.until(listen, "the clock stands still")
    for topic, rate_hz in wanted.items():
        seen = sorted(stamps[topic])
        usual_s = np.median(np.diff(seen)) / convert.SECOND
        rate = (len(seen) - 1) / (seen[-1] - seen[0]) * convert.SECOND
        assert rate > 0.5 * rate_hz, f"{topic.name} comes at {rate:.1f} Hz, not {rate_hz}"
        assert usual_s > 0.6 / rate_hz, (
            f"{topic.name} comes every {usual_s:.3f} s, faster than {rate_hz} Hz"
        )


def test_every_node_reports_its_health_and_the_description_is_there(bench):
    bench.until(
        lambda: {"sim", "motion", "joint_states"} <= set(bench.session.operator.figures()),
        "a node is silent on /diagnostics",
    )
    xml = bench.until(
        bench.read(topics.ROBOT_DESCRIPTION).newest, "there is no /robot_description"
    ).data
    assert "left_hand" in xml and "right_arm_joint7" in xml
    assert float(bench.figure("motion", "control [Hz]")) > 0


def tell(bench, level, text):
    """Says how the left arm's device is, as its driver would."""
    bench.send(topics.device("left", "arm"), DiagnosticStatus(level=level, message=text))


def test_a_lost_device_stops_the_rig_until_the_operator_engages_again(bench):
    operator = bench.session.operator
    home = bench.home("left")
    lost = float(bench.figure("motion", "devices lost"))
    tell(bench, DiagnosticStatus.OK, "connected")
    bench.chunk("left", lifted(bench, "left", by=0.6), frames=30)
    bench.until(lambda: bench.pose("left", "arm")[3] > home[3] + 0.1, "the arm did not start")
    tell(bench, DiagnosticStatus.ERROR, "unplugged")
    bench.until_figure("motion", "devices lost", lost + 1)
    with pytest.raises(XlvlaError, match="left arm: unplugged"):
        operator.call(topics.ENGAGE, data=True)
    tell(bench, DiagnosticStatus.OK, "connected")
    bench.pass_time(0.5)
    stopped = bench.pose("left", "arm")
    bench.chunk("left", lifted(bench, "left", by=0.6), frames=30)
    bench.pass_time(0.7)
    assert np.abs(bench.pose("left", "arm") - stopped).max() < 0.02, "nobody engaged"
    operator.call(topics.ENGAGE, data=True)
    bench.chunk("left", lifted(bench, "left", by=0.6), frames=30)
    bench.until(
        lambda: abs(bench.pose("left", "arm")[3] - home[3] - 0.6) < 0.02,
        "the arm does not move after engaging",
    )


def test_two_arms_told_to_meet_stop_short_of_each_other(bench):
    slowed = float(bench.figure("motion", "speed-scaled cycles"))
    for side, turn in (("left", -0.95), ("right", 0.95)):
        end = bench.home(side)
        end[0] += turn
        bench.chunk(side, end, frames=40)
    bench.until_figure("motion", "speed-scaled cycles", slowed + 20)
    bench.pass_time(2.0)
    distances = Distances(bench.rig)
    here = np.concatenate(
        [bench.pose(side, part) for side in bench.rig.sides for part in ("arm", "hand")]
    )
    between = [
        number
        for number, gap in enumerate(distances.gaps)
        if gap.margin is bench.rig.motion.between
    ]
    assert 0 < distances.at(here)[between].min() < 0.1


def test_a_robot_that_is_told_to_goes_home_slowly_and_chunks_wait(bench):
    operator = bench.session.operator
    start = np.array(list(bench.rig.start("left").values()))
    operator.reset()
    bench.pass_time(0.1)
    bench.chunk("left", lifted(bench, "left", by=0.6), frames=40)
    bench.until(
        lambda: bench.pose("left", "arm")[3] > start[3] + 0.55, "the arm did not play the chunk"
    )
    assert "home" in operator.call(topics.HOME)
    ignored = float(bench.figure("motion", "left chunks ignored"))
    bench.pass_time(0.3)
    there = bench.pose("left", "arm")
    bench.chunk("left", np.concatenate([there, bench.pose("left", "hand")]), frames=20)
    bench.until(
        lambda: np.abs(bench.pose("left", "arm") - start[:7]).max() < 0.01,
        "the arm did not go home",
    )
    bench.until(
        lambda: np.abs(bench.pose("left", "hand") - start[7:]).max() < 0.05, "the hand did not open"
    )
    bench.until_figure("motion", "left chunks ignored", ignored + 1)
    bench.until(lambda: bench.figure("motion", "") == "engaged", "the way home does not end")


def test_a_robot_that_is_not_engaged_does_not_go_home(bench):
    operator = bench.session.operator
    operator.call(topics.ESTOP)
    try:
        with pytest.raises(XlvlaError, match="only what is engaged goes home"):
            operator.call(topics.HOME)
    finally:
        operator.call(topics.MOTION_RESET)
        operator.call(topics.ENGAGE, data=True)


def test_commands_that_end_with_a_stop_end_with_the_same_pose_twice(bench):
    commands = bench.read(topics.command("left", "hand").history(400))
    bench.chunk("left", lifted(bench, "left", by=0.6), frames=10)
    bench.pass_time(0.25)
    bench.session.operator.call(topics.ENGAGE, data=False)
    bench.session.operator.call(topics.ENGAGE, data=True)
    bench.pass_time(0.4)
    positions = []
    while (message := commands.next()) is not None:
        positions.append(list(message.position))
    assert len(positions) > 20, "the hand was not commanded"
    assert positions[-1] == positions[-2]
    assert positions[-1] != positions[-30], "the hand did not move"


def lift_from(bench, source, by):
    """The left elbow and fingers lifted from home within a second, as that source says."""
    joints = [name for part in ("arm", "hand") for name in bench.rig.joint_names("left", part)]
    way = np.linspace(bench.home("left"), lifted(bench, "left", by=by), 20)
    message = convert.trajectory(joints, way, bench.now_ns(), 20.0)
    bench.send(topics.chunk("left", source), message)


def until_lifted(bench, source, by, otherwise):
    """Lifts as that source again and again: a chunk that comes late is refused."""
    home = bench.home("left")
    sent_s = -math.inf

    def is_lifted() -> bool:
        nonlocal sent_s
        if time.monotonic() > sent_s + 2.0:
            sent_s = time.monotonic()
            lift_from(bench, source, by)
        return abs(bench.pose("left", "arm")[3] - home[3] - by) < 0.01

    bench.until(is_lifted, otherwise)


def test_only_one_source_drives_until_the_operator_names_another(bench):
    home = bench.home("left")
    until_lifted(bench, "policy", 0.2, "the first source does not drive")
    refused = float(bench.figure("motion", "left refused: source"))
    lift_from(bench, "teleop", 0.4)
    bench.until_figure("motion", "left refused: source", refused + 1)
    assert abs(bench.pose("left", "arm")[3] - home[3] - 0.2) < 0.01
    try:
        bench.send(topics.SOURCE, String(data="teleop"))
        until_lifted(bench, "teleop", 0.4, "the source that was named does not drive")
    finally:
        bench.send(topics.SOURCE, String(data=""))
