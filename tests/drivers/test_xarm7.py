"""The xArm7: its emulator against the vendor's SDK, and our driver against the emulator."""

from __future__ import annotations

import socket
import time
from collections import Counter
from typing import Any, ClassVar

import numpy as np
import pytest

pytest.importorskip("xarm.version")

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.kinematics import Kinematics
from xlvla_drivers.arms import xarm7_frames as wire
from xlvla_drivers.arms.xarm7 import Driver, Options, split_address
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost
from xlvla_drivers.emulators.xarm7 import Emulator

pytestmark = [
    pytest.mark.usefixtures("hastened"),
    pytest.mark.filterwarnings("ignore:The 'warn' method:DeprecationWarning"),  # the SDK's
]

HOME = np.array([0.1, -0.3, 0.2, 0.5, 0.0, 0.7, -0.1])
HOST = "127.0.77"
SOON_S = 5.0


class OldFirmware(Emulator):
    rates_hz: ClassVar = {
        port: rate for port, rate in Emulator.rates_hz.items() if port != wire.REALTIME_PORT
    }


def emulated(number: int, kind: type[Emulator] = Emulator) -> Emulator:
    emulator = kind(f"{HOST}.{number}:1502", "left", Options())
    emulator.plant.place(HOME)
    emulator.start()
    return emulator


def until(true, otherwise: str):
    give_up = time.monotonic() + SOON_S
    while not (value := true()):
        assert time.monotonic() < give_up, otherwise
        time.sleep(0.005)
    return value


@pytest.fixture
def emulator():
    made = emulated(1)
    yield made
    made.stop()


@pytest.fixture
def driver(emulator):
    made = Driver(f"{HOST}.1:1502", "left", Options(payload_kg=0.7, payload_xyz=(0.0, 0.0, 0.05)))
    made.connect()
    yield made
    made.disconnect()


def named(driver, q):
    return dict(zip(driver.joints, q, strict=True))


def stream(driver, target, seconds: float = 0.5):
    """Commands a straight way from where the arm is, 100 times a second."""
    start = driver.read().position
    for way in np.linspace(0, 1, round(100 * seconds)):
        driver.write(named(driver, start + way * (target - start)))
        time.sleep(0.01)


# the wire


@pytest.mark.parametrize(
    ("register", "payload", "hexadecimal"),
    [
        (wire.MOTION_ENABLE, "08 01", "00 05 00 03 00 03 0B 08 01"),
        (wire.SET_MODE, "01 00", "00 05 00 03 00 03 13 01 00"),
        (wire.GET_JOINTS, "01", "00 05 00 03 00 02 2A 01"),
    ],
)
def test_requests_are_the_documented_bytes_and_are_read_back_however_they_arrive(
    register, payload, hexadecimal
):
    request = wire.Request(5, 3, register, bytes.fromhex(payload))
    assert request.encode() == bytes.fromhex(hexadecimal)
    buffer = bytearray()
    found = []
    for byte in request.encode() * 2:
        buffer.append(byte)
        found += wire.requests(buffer)
    assert found == [request, request] and not buffer


def test_the_reply_to_the_version_request_is_the_documented_one():
    text = b"7,7,XI1303,AC1303,v2.3.0".ljust(40, b"\0")
    documented = bytes.fromhex(
        "00 01 00 02 00 2A 01 10 37 2C 37 2C 58 49 31 33 30 33 2C 41 43 31 33 30 33 2C 76 32 2E 33 "
        "2E 30"
    ) + bytes(16)
    assert wire.reply(wire.Request(1, 2, 1, b""), wire.CANNOT_MOVE, text) == documented


@pytest.mark.parametrize("port", wire.REPORTS)
def test_reports_have_the_layout_the_sdk_reads(port):
    from xarm.x3.report import ReportDataStructure

    report = np.zeros((), wire.REPORTS[port])
    report["q"], report["state_mode"], report["torque"] = HOME, 0x12, 7 * HOME
    theirs: Any = ReportDataStructure.create(port, is_radian=True)
    assert len(theirs) == report.nbytes
    theirs.update(report.tobytes())
    np.testing.assert_allclose(theirs.actual_joint_angle, HOME, atol=1e-6)
    np.testing.assert_allclose(theirs.estimated_joint_torque, 7 * HOME, atol=1e-5)
    assert (theirs.state, theirs.mode) == (2, 1)


def test_garbage_and_cut_reports_between_sound_ones_are_skipped_and_counted():
    layout = wire.REPORTS[wire.REAL_PORT]
    counts = Counter()
    sound = np.zeros((), layout)
    sound["size"], sound["q"] = layout.itemsize, HOME
    bad = sound.copy()
    bad["q"][3] = np.nan
    buffer = bytearray(
        b"\7" * 50
        + sound.tobytes()
        + sound.tobytes()[:90]
        + sound.tobytes()
        + bad.tobytes()
        + sound.tobytes()
    )
    found = list(wire.reports(buffer, wire.REAL_PORT, counts))
    assert len(found) == 3 and not buffer
    assert counts["truncated"] == 1 and counts["corrupt"] == 2


def test_an_address_is_a_host_with_the_control_port_unless_it_says_another():
    assert split_address("10.0.0.4") == ("10.0.0.4", 502) and split_address("127.0.0.2:1502") == (
        "127.0.0.2",
        1502,
    )
    with pytest.raises(XlvlaError, match=r"192\.168\.1\.185"):
        split_address("10.0.0.4:usb")


# the emulator and the vendor's SDK alone


@pytest.fixture
def sdk(emulator, monkeypatch):
    """The SDK as it comes; its one control port is a constant, which only root can serve at its
    real number.
    """
    from xarm.core.config.x_config import XCONF
    from xarm.core.wrapper import uxbus_cmd_tcp
    from xarm.wrapper import XArmAPI

    monkeypatch.setattr(XCONF.SocketConf, "TCP_CONTROL_PORT", 1502)
    monkeypatch.setattr(
        uxbus_cmd_tcp, "print", lambda *_: None, raising=False
    )  # from a thread while pytest swaps stdout: crashes
    arm = XArmAPI(f"{HOST}.1", is_radian=True, forbid_uds=True, check_joint_limit=False)
    yield arm
    arm.disconnect()
    socket.setdefaulttimeout(None)


def make_ready(arm, mode: int):
    assert [arm.clean_error(), arm.motion_enable(True), arm.set_mode(mode), arm.set_state(0)] == [
        0,
        0,
        0,
        0,
    ]


def test_the_sdk_connects_reads_and_streams(emulator, sdk):
    assert sdk.connected and sdk.version_number == (2, 3, 0) and sdk.axis == 7
    make_ready(sdk, wire.SERVO_MODE)
    until(lambda: sdk.mode == 1 and sdk.state in (1, 2), "the SDK hears no reports")
    target = HOME + 0.2
    for way in np.linspace(0, 1, 50):
        assert sdk.set_servo_angle_j((HOME + way * 0.2).tolist()) == 0
        time.sleep(0.005)
    until(lambda: np.allclose(emulator.position, target, atol=1e-3), "the arm does not arrive")
    code, (q, dq, _) = sdk.get_joint_states()
    assert code == 0 and len(dq) == 7
    np.testing.assert_allclose(q, target, atol=2e-3)
    until(
        lambda: np.allclose(sdk.angles, target, atol=2e-3),
        "the report does not say where the arm is",
    )
    assert sdk.temperatures == [35] * 7


def test_the_sdk_moves_joints_in_position_mode_and_reads_the_tool_pose(emulator, sdk):
    make_ready(sdk, wire.POSITION_MODE)
    assert sdk.set_servo_angle(angle=(HOME + 0.1).tolist(), speed=1.0) == 0
    until(lambda: np.allclose(emulator.position, HOME + 0.1, atol=1e-3), "the arm does not arrive")
    arm = catalog.arm("xarm7")
    T = Kinematics(arm.urdf_model, arm.joints).fk(emulator.position, [arm.flange])[arm.flange]
    code, pose = sdk.get_position()
    assert code == 0
    np.testing.assert_allclose(pose[:3], 1000 * T[:3, 3], atol=0.5)


def test_the_sdk_moves_in_cartesian_coordinates_and_asks_for_kinematics(emulator, sdk):
    make_ready(sdk, wire.POSITION_MODE)
    _, here = sdk.get_position()
    there = [here[0] - 30, here[1] + 20, here[2] + 10, *here[3:]]
    assert sdk.set_position(*there, speed=200) == 0

    def arrived():
        return np.allclose(sdk.get_position()[1][:3], there[:3], atol=0.5)

    until(arrived, "the flange does not arrive")
    code, joints = sdk.get_inverse_kinematics(there)
    assert code == 0
    np.testing.assert_allclose(joints[:7], emulator.position, atol=2e-3)
    code, pose = sdk.get_forward_kinematics(joints[:7])
    assert code == 0
    np.testing.assert_allclose(pose[:3], there[:3], atol=0.5)
    assert sdk.is_joint_limit(joints[:7]) == (0, False)
    assert sdk.is_tcp_limit([5000, 0, 0, *there[3:]]) == (0, True)
    assert sdk.get_inverse_kinematics([5000, 0, 0, *there[3:]])[0] != 0
    assert sdk.set_tool_position(z=-10, speed=200) == 0
    before = np.array(there[:3])
    until(
        lambda: abs(np.linalg.norm(np.array(sdk.get_position()[1][:3]) - before) - 10) < 0.5,
        "the tool does not go back by 10 mm",
    )


def test_the_sdk_streams_poses_in_servo_mode(emulator, sdk):
    make_ready(sdk, wire.SERVO_MODE)
    _, here = sdk.get_position()
    for way in np.linspace(0, 10, 40):
        assert sdk.set_servo_cartesian([here[0], here[1], here[2] + way, *here[3:]]) == 0
        time.sleep(0.005)
    until(lambda: abs(sdk.get_position()[1][2] - here[2] - 10) < 0.5, "the flange does not arrive")


def arrives(sdk, expected, otherwise: str):
    """Waits until the tool's pose [6] (mm, rad) is the expected one."""
    until(lambda: np.allclose(sdk.get_position()[1], expected, atol=0.05), otherwise)


def test_the_sdk_moves_by_steps_by_rotation_vectors_and_blended(emulator, sdk):
    make_ready(sdk, wire.POSITION_MODE)
    start = np.array(sdk.get_position()[1])
    step = np.array([-20, 0, 15, 0, 0, 0.2])
    x, _, z, _, _, yaw = step.tolist()
    assert sdk.set_position(x=x, z=z, yaw=yaw, relative=True, speed=500) == 0
    arrives(sdk, start + step, "the tool makes no step")
    _, there = sdk.get_position_aa()
    assert sdk.set_position(*start, speed=500) == 0
    arrives(sdk, start, "the tool does not go back")
    assert sdk.set_position_aa(there, speed=500) == 0
    arrives(sdk, start + step, "a rotation vector is taken for another turn")
    assert sdk.set_servo_angle(angle=HOME.tolist(), speed=3.0, radius=10) == 0
    until(lambda: np.allclose(emulator.position, HOME, atol=1e-3), "a blended way ends elsewhere")
    assert sdk.set_servo_angle(servo_id=2, angle=0.1, relative=True, speed=3.0) == 0
    turned = HOME + np.array([0, 0.1, 0, 0, 0, 0, 0])
    until(lambda: np.allclose(emulator.position, turned, atol=1e-3), "one joint makes no step")


def test_what_the_sdk_only_checks_moves_nothing(emulator, sdk):
    make_ready(sdk, wire.POSITION_MODE)
    _, (x, y, z, *turn) = sdk.get_position()
    assert sdk.set_position(x, y, z + 20, *turn, only_check_type=1) == 0
    assert sdk.set_position(5000, y, z, *turn, only_check_type=1) != 0
    assert sdk.set_servo_angle(angle=(HOME + 0.1).tolist(), only_check_type=1) == 0
    assert sdk.set_servo_angle(angle=[0, -3, 0, 0, 0, 0, 0], only_check_type=1) != 0
    assert sdk.get_err_warn_code() == (0, [0, 0])
    np.testing.assert_allclose(emulator.position, HOME, atol=1e-6)


def test_a_target_beyond_the_limits_is_an_error_in_position_mode_too(emulator, sdk):
    make_ready(sdk, wire.POSITION_MODE)
    sdk.set_servo_angle(angle=[0, -3, 0, 0, 0, 0, 0], speed=3.0)
    assert sdk.get_err_warn_code()[1][0] == 23
    np.testing.assert_allclose(emulator.position, HOME, atol=1e-6)


def test_the_sdk_pauses_a_motion_that_goes_on_when_the_arm_is_ready_again(emulator, sdk):
    make_ready(sdk, wire.POSITION_MODE)
    assert sdk.set_servo_angle(angle=(HOME + 0.3).tolist(), speed=0.5) == 0
    until(lambda: emulator.position[0] > HOME[0] + 0.02, "the arm does not start")
    assert sdk.set_state(wire.PAUSED) == 0
    paused = emulator.position
    assert sdk.get_state() == (0, wire.PAUSED)
    time.sleep(0.1)
    np.testing.assert_allclose(emulator.position, paused, atol=1e-6)
    assert sdk.set_state(wire.READY) == 0
    until(lambda: np.allclose(emulator.position, HOME + 0.3, atol=1e-3), "it does not go on")


def test_the_sdk_commands_velocities_that_end_when_they_have_lasted(emulator, sdk):
    make_ready(sdk, wire.JOINT_VELOCITY_MODE)
    assert sdk.vc_set_joint_velocity([0.5, 0, 0, 0, 0, 0, 0], duration=0.2) == 0
    expected = HOME + np.array([0.1, 0, 0, 0, 0, 0, 0])
    until(lambda: np.allclose(emulator.position, expected, atol=2e-3), "it goes as far as told")
    time.sleep(0.1)
    np.testing.assert_allclose(emulator.position, expected, atol=2e-3)
    assert sdk.vc_set_joint_velocity([-0.5, 0, 0, 0, 0, 0, 0]) == 0
    until(lambda: emulator.position[0] < HOME[0], "it does not turn back")
    assert sdk.vc_set_joint_velocity([0] * 7) == 0
    rest = emulator.position
    time.sleep(0.1)
    np.testing.assert_allclose(emulator.position, rest, atol=1e-6)


@pytest.mark.parametrize("mode", [wire.ONLINE_JOINT_MODE, wire.ONLINE_CARTESIAN_MODE])
def test_the_online_modes_replace_a_target_on_the_way(emulator, sdk, mode):
    make_ready(sdk, mode)
    _, (x, y, z, *turn) = sdk.get_position()
    for way in (30, 20):
        if mode == wire.ONLINE_JOINT_MODE:
            assert sdk.set_servo_angle(angle=(HOME + 0.01 * way).tolist(), speed=3.0) == 0
        else:
            assert sdk.set_position(x, y, z + way, *turn, speed=500) == 0
    if mode == wire.ONLINE_JOINT_MODE:
        until(lambda: np.allclose(emulator.position, HOME + 0.2, atol=1e-3), "it does not arrive")
    else:
        arrives(sdk, [x, y, z + 20, *turn], "it does not arrive")


def test_poses_are_of_the_tool_that_was_told(emulator, sdk):
    _, flange = sdk.get_position()
    assert sdk.set_tcp_offset([0, 0, 100, 0, 0, 0]) == 0
    _, tool = sdk.get_position()
    arm = catalog.arm("xarm7")
    T = Kinematics(arm.urdf_model, arm.joints).fk(HOME, [arm.flange])[arm.flange]
    np.testing.assert_allclose(np.subtract(tool, flange)[:3], 100 * T[:3, 2], atol=0.01)
    np.testing.assert_allclose(sdk.get_forward_kinematics(HOME.tolist())[1], tool, atol=0.01)
    code, joints = sdk.get_inverse_kinematics(tool)
    assert code == 0
    np.testing.assert_allclose(sdk.get_forward_kinematics(joints)[1], tool, atol=0.5)
    until(lambda: sdk.tcp_offset[2] == 100, "the report does not say the tool")


def test_a_base_that_is_moved_is_refused_since_poses_would_mean_others(emulator, sdk):
    assert sdk.set_world_offset([0] * 6) == 0
    assert sdk.set_world_offset([100, 0, 0, 0, 0, 0]) != 0
    assert sdk.get_err_warn_code() == (0, [0, 12])


def test_the_sdk_streams_poses_in_the_tools_coordinates_and_by_rotation_vectors(emulator, sdk):
    make_ready(sdk, wire.SERVO_MODE)
    _, start = sdk.get_position()
    arm = catalog.arm("xarm7")
    T = Kinematics(arm.urdf_model, arm.joints).fk(HOME, [arm.flange])[arm.flange]
    assert sdk.set_servo_cartesian([0, 0, -5, 0, 0, 0], is_tool_coord=True) == 0
    until(
        lambda: np.allclose(sdk.get_position()[1][:3], start[:3] - 5 * T[:3, 2], atol=0.1),
        "the tool does not go back along its axis",
    )
    until(lambda: sdk.get_state() == (0, wire.SLEEPING), "the tool does not come to rest")
    _, expected = sdk.get_position()
    _, vector = sdk.get_position_aa()
    for pose in (expected, vector):
        pose[2] += 5
    assert sdk.set_servo_cartesian_aa(vector) == 0
    arrives(sdk, expected, "a rotation vector is taken for another turn")


def test_the_sdk_finds_the_emulator_at_its_own_port(emulator, monkeypatch):
    from xarm.core.config.x_config import XCONF
    from xarm.core.wrapper import uxbus_cmd_tcp
    from xarm.wrapper import XArmAPI

    with socket.socket() as probe:
        try:
            probe.bind(("127.0.77.250", wire.CONTROL_PORT))
        except PermissionError:
            pytest.skip(f"only root may open port {wire.CONTROL_PORT} here")
    monkeypatch.setattr(XCONF.SocketConf, "TCP_CONTROL_PORT", wire.CONTROL_PORT)
    monkeypatch.setattr(uxbus_cmd_tcp, "print", lambda *_: None, raising=False)
    arm = XArmAPI(f"{HOST}.1", is_radian=True, forbid_uds=True)
    try:
        assert arm.connected and arm.get_version()[0] == 0
    finally:
        arm.disconnect()
        socket.setdefaulttimeout(None)


def test_the_emulator_refuses_to_move_when_not_enabled_in_the_wrong_mode_or_in_error(emulator, sdk):
    step = (HOME + 0.05).tolist()
    assert sdk.set_servo_angle_j(step) == 9
    make_ready(sdk, wire.POSITION_MODE)
    sdk.set_servo_angle_j(step)
    make_ready(sdk, wire.SERVO_MODE)
    sdk.set_mode(0)
    assert sdk.set_servo_angle_j(step) == 9, "a new mode waits for set_state(0)"
    make_ready(sdk, wire.SERVO_MODE)
    emulator.inject("protective_stop")
    assert sdk.set_servo_angle_j(step) == 1
    assert sdk.get_err_warn_code() == (0, [31, 0])
    np.testing.assert_allclose(emulator.position, HOME, atol=1e-6)


@pytest.mark.parametrize(("joint", "angle", "error"), [(0, HOME[0] + 1.0, 24), (1, -2.2, 23)])
def test_a_target_too_far_or_out_of_range_is_an_error_and_moves_nothing(
    emulator, sdk, joint, angle, error
):
    make_ready(sdk, wire.SERVO_MODE)
    target = HOME.copy()
    target[joint] = angle
    sdk.set_servo_angle_j(target.tolist())
    assert sdk.get_err_warn_code()[1][0] == error
    np.testing.assert_allclose(emulator.position, HOME, atol=1e-6)


# our driver


def test_connecting_makes_the_arm_ready_and_moves_nothing(emulator, driver, capfd):
    state = driver.read()
    np.testing.assert_allclose(state.position, HOME, atol=1e-6)
    assert state.faults == () and state.velocity is not None and state.effort is not None
    assert abs(state.stamp_ns - time.time_ns()) < 1e9
    np.testing.assert_allclose(emulator.position, HOME, atol=1e-9)
    assert capfd.readouterr().out == "", "the SDK talks on standard output"
    assert socket.getdefaulttimeout() is None


def test_a_stream_moves_the_arm_and_write_returns_what_was_sent(emulator, driver):
    stream(driver, HOME + 0.2)
    sent = driver.write(named(driver, HOME + 0.2))
    np.testing.assert_allclose(list(sent.values()), HOME + 0.2, atol=1e-6)
    until(
        lambda: np.allclose(driver.read().position, HOME + 0.2, atol=2e-3),
        "the arm does not arrive",
    )
    assert not driver.read().faults


def test_a_target_beyond_what_the_arm_can_do_is_sent_as_its_limit(driver):
    target = HOME.copy()
    target[3] = -0.25
    stream(driver, target)
    sent = driver.write(named(driver, target))
    assert sent["joint4"] == pytest.approx(-0.191986, abs=1e-6)
    assert not driver.read().faults


@pytest.mark.parametrize(
    ("fault", "code", "joint"),
    [
        ("protective_stop", "C31", ""),
        ("over_speed", "C24", ""),
        ("emergency_stop", "C1", ""),
        ("over_temperature", "C15/S15", "joint5"),
    ],
)
def test_an_error_stops_the_arm_until_it_recovers_where_it_stands(
    emulator, driver, monkeypatch, fault, code, joint
):
    monkeypatch.setattr("xlvla_drivers.arms.xarm7.PATIENCE_S", 0.5)
    stream(driver, HOME + 0.1, 0.2)
    emulator.inject(fault)

    def reported():
        return [f for f in driver.read().faults if (f.code, f.joint) == (code, joint) and f.stops]

    until(reported, f"{fault} is not reported as {code}")
    stopped = emulator.position
    assert driver.write(named(driver, HOME)) == {}, "commands are not sent to a stopped arm"
    if fault in ("emergency_stop", "over_temperature"):
        with pytest.raises(XlvlaError, match="stays stopped: C"):
            driver.recover()
    emulator.inject(fault, False)
    assert "servo mode" in driver.recover()
    np.testing.assert_allclose(emulator.position, stopped, atol=1e-6)
    assert not driver.read().faults
    stream(driver, HOME, 0.3)
    until(
        lambda: np.allclose(emulator.position, HOME, atol=1e-3),
        "it does not follow after it recovered",
    )


def test_a_stalled_joint_is_named(emulator, driver):
    emulator.inject("stall")
    stream(driver, HOME + 0.25, 0.3)
    until(
        lambda: [
            f for f in driver.read().faults if f.joint == "joint4" and f.code.startswith("C14")
        ],
        "nobody says that it is stuck",
    )


def test_another_client_that_stops_the_arm_is_noticed(emulator, driver):
    with socket.create_connection((f"{HOST}.1", 1502)) as other:
        other.sendall(wire.Request(9, 2, wire.SET_STATE, bytes([wire.STOPPED])).encode())
        assert other.recv(64)
    until(
        lambda: [f for f in driver.read().faults if f.code == "state 4" and f.stops],
        "the stop goes unnoticed",
    )
    driver.recover()
    assert not driver.read().faults


def test_an_unplugged_arm_is_missed_in_time_and_taken_up_again_where_it_is(emulator, driver):
    stream(driver, HOME + 0.1, 0.2)
    emulator.inject("unplug")
    pulled_s = time.monotonic()
    with pytest.raises(LinkLost):
        while time.monotonic() - pulled_s < SOON_S:
            driver.read()
            driver.write(named(driver, HOME + 0.1))
    assert time.monotonic() - pulled_s < LINK_TIMEOUT_S + 0.5
    with pytest.raises(LinkLost):
        driver.connect()
    emulator.inject("unplug", False)

    def connected():
        try:
            driver.connect()
        except LinkLost:
            return False
        return True

    until(connected, "it does not come back")
    np.testing.assert_allclose(driver.read().position, emulator.position, atol=1e-5)
    assert not driver.read().faults


def test_a_controller_that_dies_is_a_lost_link(emulator, driver):
    emulator.stop()
    with pytest.raises(LinkLost):
        for _ in range(200):
            driver.read()
            driver.write(named(driver, HOME))
            time.sleep(0.005)
    driver.disconnect()
    driver.disconnect()


@pytest.mark.parametrize(
    ("fault", "count"),
    [
        ("late", "late"),
        ("duplicated", "duplicated"),
        ("bad_header", "corrupt"),
        ("truncated", "truncated"),
    ],
)
def test_frames_gone_wrong_are_counted_and_survived(emulator, driver, fault, count):
    emulator.inject(fault)
    stream(driver, HOME + 0.1, 1.0)
    emulator.inject(fault, False)
    stream(driver, HOME, 0.5)
    assert driver.counts[count] > 0
    until(lambda: np.allclose(emulator.position, HOME, atol=1e-3), "the arm was lost on the way")
    assert not driver.read().faults


def test_firmware_without_the_real_time_port_is_heard_at_the_older_one():
    emulator = emulated(3, OldFirmware)
    driver = Driver(f"{HOST}.3:1502", "left", Options())
    driver.connect()
    state = driver.read()
    driver.disconnect()
    emulator.stop()
    np.testing.assert_allclose(state.position, HOME, atol=1e-6)
    assert state.velocity is None


def test_two_arms_on_one_machine_do_not_meet():
    emulators = [emulated(4), emulated(5)]
    drivers = [Driver(f"{HOST}.{number}:1502", "left", Options()) for number in (4, 5)]
    for driver in drivers:
        driver.connect()
    stream(drivers[0], HOME + 0.1, 0.2)
    until(
        lambda: np.allclose(emulators[0].position, HOME + 0.1, atol=1e-3), "the first does not move"
    )
    np.testing.assert_allclose(emulators[1].position, HOME, atol=1e-9)
    with pytest.raises(XlvlaError, match="is taken"):
        emulated(4)
    for made in drivers:
        made.disconnect()
    for made in emulators:
        made.stop()


def test_nobody_at_the_address_is_one_clear_line():
    with pytest.raises(LinkLost, match=r"no xArm answers at 127\.0\.77\.9:1502"):
        Driver(f"{HOST}.9:1502", "left", Options()).connect()


def asked(number: int, register: int, payload: bytes = b"") -> bytes:
    """What an arm answers another client."""
    with socket.create_connection((f"{HOST}.{number}", 1502)) as other:
        other.sendall(wire.Request(9, 2, register, payload).encode())
        return other.recv(64)[8:]


LED_BY_HAND = 2
"""The controller's mode in which joints give way to hands."""


def test_connecting_clears_no_error_the_operator_does():
    emulator = emulated(6)
    driver = Driver(f"{HOST}.6:1502", "left", Options())
    try:
        emulator.inject("protective_stop")
        emulator.inject("protective_stop", False)
        driver.connect()
        assert asked(6, wire.GET_ERROR)[0] == 31
        assert [fault.code for fault in driver.read().faults if fault.stops] == ["C31"]
        assert driver.write(named(driver, HOME)) == {}
        assert driver.recover().startswith("cleared C31")
        assert not driver.read().faults
    finally:
        driver.disconnect()
        emulator.stop()


def test_an_arm_that_somebody_leads_by_hand_stays_theirs():
    emulator = emulated(7)
    driver = Driver(f"{HOST}.7:1502", "left", Options())
    try:
        driver.connect()
        driver.disconnect()
        asked(7, wire.SET_MODE, bytes([LED_BY_HAND, 0]))
        asked(7, wire.SET_STATE, bytes([wire.READY]))
        for _ in range(2):
            driver.connect()
            assert [fault.code for fault in driver.read().faults] == ["mode 2"]
            driver.disconnect()
            assert asked(7, wire.GET_STATE) == bytes([wire.SLEEPING])
    finally:
        driver.disconnect()
        emulator.stop()


def test_a_stop_of_another_client_outlasts_a_lost_link():
    emulator = emulated(8)
    driver = Driver(f"{HOST}.8:1502", "left", Options())
    try:
        driver.connect()
        asked(8, wire.SET_STATE, bytes([wire.STOPPED]))
        emulator.inject("unplug")
        with pytest.raises(LinkLost):
            while True:
                driver.read()
        emulator.inject("unplug", False)

        def connected():
            try:
                driver.connect()
            except LinkLost:
                return False
            return True

        until(connected, "it does not come back")
        assert [fault.code for fault in driver.read().faults] == ["state 4"]
        assert driver.recover() == "in servo mode"
    finally:
        driver.disconnect()
        emulator.stop()
