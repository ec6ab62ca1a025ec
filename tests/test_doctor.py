"""`xlvla doctor` names what a machine lacks, each with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xlvla import catalog
from xlvla.errors import FOLDER_GONE
from xlvla_cli import machine
from xlvla_cli.machine import UsbPort

SHELLS = {
    "a domain that is no number": {"ROS_DOMAIN_ID": "lab"},
    "middleware that is not there": {"RMW_IMPLEMENTATION": "rmw_none_cpp"},
    "logs that cannot be written": {"ROS_LOG_DIR": "/proc/logs"},
    "graphics nobody knows": {"MUJOCO_GL": "vulkan"},
    "discovery switched off": {"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"},
    "a range of discovery that is none": {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LAB"},
}

BROKEN = {
    "ruckig": "raise ImportError('libcoal.so.3: cannot open shared object file: no such file')",
    "torch": "raise RuntimeError('of another machine')",
    "cv2": "import os; os.abort()",
}
"""Packages whose import fails: a library of the system's is missing, it raises, it ends the
process.
"""


def levels(findings):
    return [finding.level for finding in findings]


def test_a_machine_on_which_the_tests_run_has_no_fault():
    command = [sys.executable, "-m", "xlvla", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split()[:2] for line in done.stdout.splitlines() if line.strip()]
    assert ["Python", "ok"] in rows and ["rclpy", "ok"] in rows and ["ruckig", "ok"] in rows


@pytest.mark.parametrize("case", SHELLS)
def test_what_is_wrong_with_a_shell_is_one_line(case, monkeypatch):
    for name, value in SHELLS[case].items():
        monkeypatch.setenv(name, value)
    (fault,) = machine.shell(SHELLS[case])
    assert fault.level == "fault"
    assert next(iter(SHELLS[case])) in fault.line and "\n" not in fault.line


def test_a_fault_of_a_shell_is_the_exit_code(monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "lab")
    command = [sys.executable, "-m", "xlvla", "doctor"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "ROS_DOMAIN_ID is 'lab'" in done.stdout


def test_packages_that_cannot_be_imported_are_named(tmp_path, monkeypatch):
    for module, text in BROKEN.items():
        (tmp_path / f"{module}.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = {finding.what: finding for finding in machine.packages()}
    assert {what for what, finding in found.items() if finding.level == "fault"} == set(BROKEN)
    assert found["ruckig"].line.startswith("libcoal.so.3 is not installed on this machine")
    assert found["torch"].line == "cannot be imported: RuntimeError: of another machine"
    assert found["torch"].remedy.startswith("pip install --force-reinstall --no-deps torch==")
    assert found["cv2"].line.startswith("cannot be imported")


def test_shared_memory_that_was_left_unfinished_is_named_with_what_to_remove(tmp_path, monkeypatch):
    monkeypatch.setenv("ROS_DOMAIN_ID", "0")
    assert levels(machine.shared(tmp_path)) == ["ok"]
    (tmp_path / "fastrtps_port7400").write_bytes(bytes(64))
    (fault,) = machine.shared(tmp_path)
    assert fault.level == "fault" and f"rm {tmp_path}/fastrtps_port7400" in fault.line


def test_a_machine_without_shared_memory_speaks_through_sockets(tmp_path):
    (lack,) = machine.shared(tmp_path / "none")
    assert lack.level == "lack" and "sockets" in lack.line


def test_a_serial_adapter_that_keeps_answers_is_named_with_what_to_type(tmp_path):
    device = tmp_path / "ttyUSB0"
    device.touch()
    port = UsbPort(device, device, "FT232R USB UART")
    assert levels(machine.serial_ports([port], tmp_path)) == ["ok"]
    timer = tmp_path / "drivers" / "ttyUSB0" / "latency_timer"
    timer.parent.mkdir(parents=True)
    timer.write_text("16\n")
    (lack,) = machine.serial_ports([port], tmp_path / "drivers")
    assert "keeps answers for 16 ms" in lack.line
    assert lack.remedy == f"echo 1 | sudo tee {timer}"
    assert levels(machine.serial_ports([], tmp_path)) == ["ok"]


def test_a_device_that_may_not_be_read_is_named_with_its_group(tmp_path, monkeypatch):
    (tmp_path / "video0").touch(mode=0o000)
    (finding,) = machine.device_files(tmp_path)
    # Root may read everything.
    permitted = finding.level == "ok"
    assert permitted == (Path("/proc/self").owner() == "root")
    assert permitted or finding.remedy


NODES = {
    "settings that a library refuses": ({"RCUTILS_COLORIZED_OUTPUT": "some"}, "lack"),
    "security without keys": ({"ROS_SECURITY_ENABLE": "true"}, "fault"),
    "a profile that is not there": ({"FASTRTPS_DEFAULT_PROFILES_FILE": "/none.xml"}, "lack"),
}


@pytest.mark.parametrize("case", NODES)
def test_a_node_that_does_not_start_in_this_shell_is_named_with_what_the_shell_sets(
    case, monkeypatch
):
    pytest.importorskip("rclpy")
    variables, level = NODES[case]
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if level == "fault":
        monkeypatch.setenv("ROS_SECURITY_STRATEGY", "Enforce")
    (finding,) = machine.node()
    assert finding.level == level
    for name, value in variables.items():
        assert f"{name}={value}" in finding.remedy


def test_middleware_that_is_missing_is_no_fault_of_rclpy(monkeypatch):
    pytest.importorskip("rclpy")
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_none_cpp")
    (rclpy,) = (package for package in machine._PACKAGES if package.module == "rclpy")
    assert machine._package(rclpy).level == "ok"


def test_a_namesake_of_pyserial_is_named_and_hides_nothing_else(tmp_path, monkeypatch):
    (tmp_path / "serial").mkdir()
    (tmp_path / "serial" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (pyserial,) = (entry for entry in machine._PACKAGES if entry.distribution == "pyserial")
    found = machine._package(pyserial)
    assert (found.what, found.level) == ("serial", "fault")
    assert "pyserial" in found.remedy


def test_entries_of_ones_own_that_are_not_there_are_named(monkeypatch):
    names = ("XLVLA_CODEC", "XLVLA_HANDS", "XLVLA_POLICIES", "XLVLA_SHARE")
    catalog.hands.cache_clear()
    for name in names:
        monkeypatch.setenv(name, "/nowhere")
    findings = list(machine.own_entries())
    assert [finding.what for finding in findings] == list(names)
    assert all(finding.level == "fault" and "/nowhere" in finding.line for finding in findings)


def test_a_folder_that_was_removed_is_named(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    (fault,) = machine.disk(machine._here())
    assert (fault.level, fault.line) == ("fault", FOLDER_GONE)


DRIVERS = {
    "of another machine": "\x7fELF",
    "that does not fit its kernel": "#!/bin/sh\necho no driver; exit 9\n",
}


@pytest.mark.parametrize("case", DRIVERS)
def test_a_driver_of_a_gpu_that_does_not_answer_is_named(case, tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text(DRIVERS[case])
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    (lack,) = machine.gpu()
    assert lack.level == "lack" and lack.remedy
    assert "no driver" in lack.line or "Exec format error" in lack.line


def test_a_device_of_an_unknown_group_or_one_that_is_gone_has_a_remedy(tmp_path):
    device = tmp_path / "ttyUSB0"
    assert machine._permission(device) == "plug it in again"
    device.touch(mode=0o660)
    if os.geteuid() == 0:
        os.chown(device, 0, 54321)
        assert "--group-add" in machine._permission(device)


def test_what_every_machine_has_is_looked_at():
    for findings in (
        machine.python(),
        machine.scheduling(),
        machine.disk(Path.cwd()),
        machine.gpu(),
    ):
        (finding,) = findings
        assert finding.line and (finding.level != "lack" or finding.remedy)
    assert machine.is_synchronised() in (True, False, None)
