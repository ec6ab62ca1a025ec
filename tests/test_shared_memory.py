"""What killed processes leave behind in shared memory, in a folder of the tests' own: files of a
few bytes, which nobody opens.
"""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from xlvla import environment
from xlvla.errors import XlvlaError
from xlvla.shared_memory import LOOK_AGAIN_S, refuse_unfinished_ports, unfinished_ports

WHOLE = b"\x02\0\0\0" + bytes(60)
EMPTY = b""
DOMAIN = 3
OWN_PORT = 7400 + 250 * DOMAIN + 11
OTHERS_PORT = 7400 + 250 * (DOMAIN + 1) + 11
EVERYBODYS_PORT = 7000


def left(folder: Path, name: str, content: bytes = EMPTY) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content", [EMPTY, bytes(64), b"\x01\0\0\0" + bytes(60)], ids=["empty", "blank", "being made"]
)
def test_an_unfinished_port_is_named_with_what_to_type(tmp_path, content):
    port = left(tmp_path, f"fastrtps_port{EVERYBODYS_PORT}", content)
    with pytest.raises(XlvlaError, match=f"rm {port}$"):
        refuse_unfinished_ports(DOMAIN, tmp_path)
    assert port.read_bytes() == content, "it is the user who removes"


def test_all_unfinished_ports_are_in_one_line(tmp_path):
    ports = [left(tmp_path, f"fastrtps_port{number}") for number in (OWN_PORT, EVERYBODYS_PORT)]
    with pytest.raises(XlvlaError) as refused:
        refuse_unfinished_ports(DOMAIN, tmp_path)
    assert all(str(port) in str(refused.value) for port in ports)
    assert "\n" not in str(refused.value)


def test_ordinary_things_left_behind_are_no_fault(tmp_path):
    left(tmp_path, f"fastrtps_port{OWN_PORT}", WHOLE)
    left(tmp_path, f"fastrtps_port{EVERYBODYS_PORT}", WHOLE)
    left(tmp_path, f"fastrtps_port{EVERYBODYS_PORT}_el")
    left(tmp_path, f"sem.fastrtps_port{OWN_PORT}_mutex", bytes(32))
    left(tmp_path, "fastrtps_0123456789abcdef")
    left(tmp_path, "fastrtps_0123456789abcdef_el")
    left(tmp_path, "somebody_elses")
    (tmp_path / "fastrtps_port7001").mkdir()
    assert unfinished_ports(DOMAIN, tmp_path) == []


def test_a_folder_that_is_not_there_holds_no_fault(tmp_path):
    assert unfinished_ports(DOMAIN, tmp_path / "none") == []


def test_a_port_of_another_domain_hinders_nobody_here(tmp_path):
    port = left(tmp_path, f"fastrtps_port{OTHERS_PORT}")
    assert unfinished_ports(DOMAIN, tmp_path) == []
    assert unfinished_ports(DOMAIN + 1, tmp_path) == [port]


def test_a_port_that_somebody_is_just_making_is_no_fault(tmp_path):
    port = left(tmp_path, f"fastrtps_port{OWN_PORT}")
    maker = threading.Timer(LOOK_AGAIN_S / 4, lambda: port.write_bytes(WHOLE))
    maker.start()
    assert unfinished_ports(DOMAIN, tmp_path) == []
    maker.join()


def test_a_port_that_goes_away_meanwhile_is_no_fault(tmp_path):
    port = left(tmp_path, f"fastrtps_port{OWN_PORT}")
    remover = threading.Timer(LOOK_AGAIN_S / 4, port.unlink)
    remover.start()
    assert unfinished_ports(DOMAIN, tmp_path) == []
    remover.join()


def test_a_port_with_a_lock_that_nobody_holds_is_made_anew_by_fast_dds_itself(tmp_path):
    left(tmp_path, f"fastrtps_port{OWN_PORT}")
    left(tmp_path, f"fastrtps_port{OWN_PORT}_el")
    assert unfinished_ports(DOMAIN, tmp_path) == []


def test_a_port_whose_lock_a_living_process_holds_is_not_made_anew(tmp_path):
    port = left(tmp_path, f"fastrtps_port{OWN_PORT}")
    lock = left(tmp_path, f"fastrtps_port{OWN_PORT}_el")
    hold = (
        "import fcntl, sys; file = open(sys.argv[1]); fcntl.flock(file, fcntl.LOCK_EX); "
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", hold, str(lock)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        assert unfinished_ports(DOMAIN, tmp_path) == [port]
        with lock.open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        holder.communicate()


def test_processes_that_wait_for_the_port_already_are_named(tmp_path):
    port = left(tmp_path, f"fastrtps_port{OWN_PORT}")
    wait = "import sys; file = open(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", wait, str(port)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as waiting:
        assert waiting.stdout is not None and waiting.stdout.readline() == "open\n"
        with pytest.raises(XlvlaError, match=f"rm {port}; processes {waiting.pid} wait"):
            refuse_unfinished_ports(DOMAIN, tmp_path)
        waiting.communicate()


def test_a_node_that_was_killed_while_it_ran_leaves_nothing_unfinished():
    pytest.importorskip("rclpy")
    up = (
        "import rclpy, time; rclpy.init(); node = rclpy.create_node('doomed'); print('up', "
        "flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", up], stdout=subprocess.PIPE, text=True) as node:
        assert node.stdout is not None and node.stdout.readline() == "up\n"
        assert unfinished_ports(environment.domain()) == []
        node.kill()
    time.sleep(0.1)
    assert unfinished_ports(environment.domain()) == []


@pytest.mark.parametrize(
    ("variable", "value"),
    [("RMW_IMPLEMENTATION", "rmw_cyclonedds_cpp"), ("FASTDDS_BUILTIN_TRANSPORTS", "UDPv4")],
)
def test_who_does_not_use_shared_memory_of_fast_dds_is_not_bothered_with_it(
    monkeypatch, variable, value
):
    assert environment.shares_memory()
    monkeypatch.setenv(variable, value)
    assert not environment.shares_memory()
