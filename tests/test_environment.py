"""Shells that lack something: one line each that says what to do, from the checks and from the real
commands.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from rows import rows
from xlvla import environment
from xlvla.errors import FOLDER_GONE, machine_line

CHANGES = {
    "a domain that is no number": ({"ROS_DOMAIN_ID": "abc"}, "ROS_DOMAIN_ID is 'abc'"),
    "a domain beyond the last port": ({"ROS_DOMAIN_ID": "232"}, "0 to 231"),
    "another middleware": (
        {"RMW_IMPLEMENTATION": "rmw_none_cpp"},
        "RMW_IMPLEMENTATION is 'rmw_none_cpp'",
    ),
    "no home": ({"HOME": None}, "set ROS_LOG_DIR"),
    "a home that cannot be made": ({"HOME": "/proc/1/nowhere"}, "set ROS_LOG_DIR"),
    "a home that cannot be written": ({"HOME": "/proc"}, "set ROS_LOG_DIR"),
    "logs that cannot be written": ({"ROS_LOG_DIR": "/proc/logs"}, "set ROS_LOG_DIR"),
    "graphics nobody knows": ({"MUJOCO_GL": "vulkan"}, "MUJOCO_GL is 'vulkan'"),
    "graphics without a display": (
        {"MUJOCO_GL": "glfw", "DISPLAY": None, "WAYLAND_DISPLAY": None},
        "no display",
    ),
}


@pytest.fixture(autouse=True)
def plain_shell(monkeypatch):
    for name in ("ROS_LOG_DIR", "ROS_HOME", "RMW_IMPLEMENTATION"):
        monkeypatch.delenv(name, raising=False)


def change(monkeypatch, changes):
    for name, value in changes.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)


def test_the_shell_the_tests_run_in_has_no_fault():
    assert environment.faults(draws=True) == []


@pytest.mark.parametrize("case", CHANGES)
def test_what_a_shell_lacks_is_one_line_with_what_to_do(monkeypatch, case):
    changes, said = CHANGES[case]
    change(monkeypatch, changes)
    (fault,) = environment.faults(draws=True)
    assert said in fault
    assert "\n" not in fault


@pytest.mark.parametrize("domain", ["", "0", "73", "231"])
def test_every_domain_whose_ports_there_are_is_allowed(monkeypatch, domain):
    monkeypatch.setenv("ROS_DOMAIN_ID", domain)
    assert environment.faults() == []
    assert environment.domain() == int(domain or 0)


def test_middleware_of_a_sourced_ros_is_allowed(monkeypatch, tmp_path):
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "librmw_zenoh_cpp.so").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"/none{os.pathsep}{tmp_path}")
    monkeypatch.setenv("RMW_IMPLEMENTATION", "rmw_zenoh_cpp")
    assert environment.faults() == []


def test_a_folder_for_logs_of_ones_own_needs_no_home(monkeypatch, tmp_path):
    monkeypatch.delenv("HOME")
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "logs"))
    assert environment.faults() == []


def test_graphics_do_not_matter_to_who_draws_nothing(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "vulkan")
    assert environment.faults() == []


def test_too_few_files_at_once_are_one_line():
    ask = "from xlvla import environment; print(environment.faults())"
    limited = (
        "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, "
        f"{resource.getrlimit(resource.RLIMIT_NOFILE)[1]})); {ask}"
    )
    said = command("-c", limited)
    assert "only 20 files may be open at once" in said.stdout and "ulimit -n" in said.stdout


@pytest.mark.parametrize(
    ("case", "words"),
    rows(
        ("a home that cannot be made", "another middleware", "a domain that is no number"),
        (("check",), ("run", "--policy", "none")),
    ),
)
def test_commands_say_what_a_shell_lacks_without_a_traceback(monkeypatch, case, words):
    changes, said = CHANGES[case]
    change(monkeypatch, changes)
    ended = command("-m", "xlvla", *words)
    assert ended.returncode == 2
    assert said in ended.stderr and "Traceback" not in ended.stderr
    assert len(ended.stderr.splitlines()) == 1


def test_a_node_says_what_its_shell_lacks_without_a_traceback(monkeypatch):
    pytest.importorskip("rclpy")
    monkeypatch.setenv("HOME", "/proc/1/nowhere")
    ended = command("-m", "xlvla.nodes.joint_states", "--ros-args", "-r", "__node:=joints")
    assert ended.returncode == 1
    assert (
        ended.stderr.startswith("joints: ROS cannot write its logs")
        and len(ended.stderr.splitlines()) == 1
    )


@pytest.mark.parametrize(
    "words",
    [("check",), ("run", "--policy", "none"), ("inject", "left", "hand", "unplug")],
    ids=["check", "run", "inject"],
)
def test_a_ros_of_another_python_on_the_path_is_one_line(monkeypatch, tmp_path, words):
    (tmp_path / "rclpy").mkdir()
    (tmp_path / "rclpy" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'rclpy._rclpy_pybind11'\")\n"
    )
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    )
    ended = command("-m", "xlvla", *words)
    assert ended.returncode == 2
    assert (
        str(tmp_path) in ended.stderr
        and "PYTHONPATH" in ended.stderr
        and "Traceback" not in ended.stderr
    )


def test_a_full_disk_is_a_line_and_a_wrong_name_is_not():
    assert (
        machine_line(OSError(28, "No space left on device", "/out"))
        == "/out: No space left on device"
    )
    assert machine_line(FileNotFoundError(2, "No such file or directory", "/out")) is None
    assert machine_line(ValueError("28")) is None


def test_a_file_where_a_folder_is_to_be_written_is_a_line(tmp_path):
    file = tmp_path / "a_file"
    file.write_text("")
    for make in (
        lambda: file.mkdir(exist_ok=True),
        lambda: (file / "below").mkdir(parents=True),
        lambda: tmp_path.write_text(""),
        lambda: (tmp_path / ("n" * 300)).write_text(""),
    ):
        with pytest.raises(OSError) as raised:
            make()
        assert str(tmp_path) in (machine_line(raised.value) or "")


def test_a_machine_without_a_temporary_folder_is_a_line():
    line = machine_line(FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"))
    assert line is not None and "/tmp" in line and "TMPDIR" in line


FULL = """
from xlvla_cli.app import app, main

@app.command()
def full():
    with open("/dev/full", "w") as file:
        file.write("x")

main()
"""


def test_a_disk_that_is_full_ends_a_command_with_a_line():
    ended = command("-c", FULL, "full")
    assert ended.returncode == 2
    assert "No space left on device" in ended.stderr and "Traceback" not in ended.stderr


def test_a_folder_that_was_removed_is_not_taken_for_a_full_disk(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert machine_line(FileNotFoundError(2, "No such file or directory")) == FOLDER_GONE


def test_logs_in_the_home_of_nobody_end_no_look(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ROS_LOG_DIR", "~nobody_at_all/logs")
    assert environment.faults() == []
