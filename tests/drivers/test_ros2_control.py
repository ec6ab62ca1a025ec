"""An arm behind ros2_control: its driver and an emulated controller, two ROS nodes of their own."""

from __future__ import annotations

import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from xlvla import rig_file
from xlvla.errors import XlvlaError
from xlvla_cli.bench.rehearsal import Rehearsal
from xlvla_drivers import registry, ros2_control
from xlvla_drivers.ros.devices import activity
from xlvla_drivers.ros2_control import Options

pytestmark = pytest.mark.usefixtures("hastened")

PATIENCE_S = 20.0

MAPPED = {"prefix": "left_", "names": {"elbow_joint": "elbow"}}
"""What a robot may call its joints otherwise."""


def rehearsal(part="arm", kind="ur5e", **options) -> Rehearsal:
    """One part of a rig on its emulated controller."""
    device = {"emulated": True, "rate_hz": 100, "driver": "ros2_control", "options": options}
    left = {"arm": {"type": "none"}, "hand": {"type": "none"}}
    left[part] = {"type": kind, "device": device}
    document = {"name": "test", "sides": {"left": left}, "policy": None, "sim": None}
    return Rehearsal(rig_file.from_document(document, "test"), "left", part)


def until(desk: Rehearsal, true) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < give_up_s, desk.link.status.line
        desk.go_on(0.05)


def says(desk: Rehearsal, fault: str, line: str) -> None:
    """The fault is said in one line, and ends by itself."""
    desk.emulator.inject(fault)
    until(desk, lambda: line in desk.link.status.line)
    assert "\n" not in desk.link.status.line
    desk.emulator.inject(fault, False)
    assert desk.followed_after() is not None


@pytest.mark.parametrize(
    ("part", "kind", "options"),
    [
        ("arm", "ur5e", MAPPED),
        pytest.param("arm", "fr3", {"commands": "trajectory"}, marks=pytest.mark.long),
        pytest.param("arm", "gen3", {"commands": "joint_state"}, marks=pytest.mark.long),
        pytest.param("hand", "inspire", {"controller": "fingers"}, marks=pytest.mark.long),
    ],
)
def test_joints_go_where_they_are_told_whatever_they_are_called(part, kind, options):
    with rehearsal(part, kind, **options) as desk:
        assert desk.followed_after() is not None
        desk.go_on(0.5)
        until(desk, lambda: np.abs(desk.emulator.position).max() > 0.02)
        apart = desk.link.state.position - desk.emulator.position
        assert np.abs(apart).max() < 0.05
        until(desk, lambda: desk.link.sent)
        sent = np.array(list(desk.link.sent.values()))
        assert np.abs(sent - desk.emulator.position).max() < 0.1
        assert desk.link.state.velocity is not None


def test_the_order_of_the_array_is_the_rigs_where_the_controller_does_not_say_it():
    theirs = (
        rig_file.from_document(
            {"name": "x", "sides": {"left": {"arm": {"type": "ur5e"}, "hand": {"type": "none"}}}},
            "x",
        )
        .arm("left")
        .joints
    )
    order = [*theirs[3:], *theirs[:3]]
    with rehearsal(order=order) as desk:
        assert desk.followed_after() is not None
        desk.go_on(0.5)
        until(desk, lambda: desk.link.sent)
        sent = np.array(list(desk.link.sent.values()))
        assert np.abs(sent - desk.emulator.position).max() < 0.1


def test_nothing_is_commanded_where_nobody_says_in_which_order():
    """The emulated controller has another order than the rig, and does not answer when asked."""
    with rehearsal() as desk:
        assert desk.followed_after() is not None
        desk.emulator.inject("unnamed")
        desk.emulator.inject("unplug")
        until(desk, lambda: "no joint states" in desk.link.status.line)
        # The emulated arm goes on to what it was commanded last.
        desk.go_on(1.0)
        before = desk.emulator.position
        desk.emulator.inject("unplug", False)
        until(desk, lambda: "does not answer in which order: say device" in desk.link.status.line)
        desk.go_on(1.0)
        assert np.abs(desk.emulator.position - before).max() < 1e-6
        desk.emulator.inject("unnamed", False)
        assert desk.followed_after() is not None


def test_whatever_is_wrong_is_said_in_a_line_and_no_wrong_state_is_taken():
    with rehearsal() as desk:
        assert desk.followed_after() is not None
        says(desk, "unplug", "lost: no joint states on /left_ros2_control_")
        says(desk, "stale", "a joint state that is 3.0 s old is refused")
        says(desk, "unstamped", "a joint state without a stamp is refused")
        says(desk, "not_finite", "is not a finite number")
        says(desk, "wrong_names", "and not 'wrist_3_joint'")
        says(desk, "inactive", "controller 'forward_position_controller' is inactive")
        assert desk.link.device.counts["refused"] > 0


def test_nothing_is_commanded_to_a_controller_that_is_inactive_and_it_is_held_where_it_is_then():
    with rehearsal() as desk:
        outcome = desk.run("inactive")
    assert outcome.reported.startswith("stopped: controller")
    assert outcome.return_step_rad < 0.05


def test_where_nothing_tells_whether_the_controller_is_active_a_line_says_so(monkeypatch):
    monkeypatch.setattr(activity, "PATIENCE_S", 0.3)
    with rehearsal() as desk:
        desk.emulator.inject("unmanaged")
        until(desk, lambda: "is active is not known: nothing on" in desk.link.status.line)
        assert desk.link.status.level == "warning"
        until(desk, lambda: desk.link.sent and desk.guard.following)


def test_an_emergency_stop_brakes_the_arm_and_holds_it():
    with rehearsal() as desk:
        assert desk.followed_after() is not None
        desk.go_on(0.3)
        desk.guard.stop("somebody")
        until(desk, lambda: desk.guard.at_rest)
        desk.go_on(0.3)
        held = desk.emulator.position.copy()
        desk.go_on(0.5)
        assert np.abs(desk.emulator.position - held).max() < 1e-3
        assert "stopped by somebody" in desk.link.status.line


def test_names_that_nobody_has_are_refused_before_anything_starts():
    with pytest.raises(XlvlaError, match=r"options.names: unknown joint 'elbw'.* 'elbow_joint'"):
        rehearsal(names={"elbw": "x"})


def test_a_controller_of_other_joints_is_refused_in_a_line():
    with pytest.raises(XlvlaError, match="has the joints a, b; the rig has a, c: say `names`"):
        ros2_control.columns(["a", "b"], ["a", "c"], "the parameter `joints` of /x")


def test_a_robot_that_is_not_there_is_a_lost_link_and_a_line():
    device = rig_file.from_document(
        {
            "name": "test",
            "sides": {
                "left": {
                    "arm": {"type": "ur5e", "device": {"address": "/nobody"}},
                    "hand": {"type": "none"},
                }
            },
            "policy": None,
            "sim": None,
        },
        "test",
    )
    arm = registry.open_device(registry.configured(device, "left", "arm"))
    with pytest.raises(XlvlaError, match="no joint states on /nobody/joint_states: is the robot's"):
        arm.connect()


def test_two_arms_at_one_controller_are_two_drivers_of_one_device():
    one = ros2_control.claim("/", "left", Options())
    assert (
        one == ros2_control.claim("", "right", Options()) == "/forward_position_controller/commands"
    )
    assert one != ros2_control.claim("/ur", "left", Options())
