"""How far a rig speaks: what shells and rigs say of it, and where the sockets of its nodes
listen.
"""

import os
import socket
import struct
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rclpy")

from xlvla import graph, rig_file
from xlvla.network import LOOPBACK, PROFILES, RANGE, absent_servers, reach
from xlvla.run import Supervisor, own_domain

LONE = {
    RANGE: "LOCALHOST",
    "ROS_LOCALHOST_ONLY": None,
    "ROS_STATIC_PEERS": None,
    "ROS_DISCOVERY_SERVER": None,
}
LONE_SOCKETS = LONE | dict.fromkeys(PROFILES, str(LOOPBACK))


@pytest.mark.parametrize(
    ("wanted", "shell", "network", "words"),
    [
        (False, {}, False, "on this machine alone"),
        (True, {}, True, "on the network: every machine that reaches this one on ROS domain 0"),
        (True, {"ROS_DOMAIN_ID": "7"}, True, "ROS domain 7"),
        (False, {RANGE: "SUBNET"}, True, f"since this shell says {RANGE}=SUBNET"),
        (True, {RANGE: "SUBNET"}, True, "on the network: "),
        (
            True,
            {RANGE: "LOCALHOST"},
            False,
            f"since this shell says {RANGE}=LOCALHOST, though the rig asks for the network",
        ),
        (False, {"ROS_LOCALHOST_ONLY": "1"}, False, "on this machine alone"),
        (
            True,
            {"ROS_LOCALHOST_ONLY": "1", RANGE: "SUBNET"},
            False,
            "since this shell says ROS_LOCALHOST_ONLY=1",
        ),
        (
            False,
            {"ROS_STATIC_PEERS": "10.0.0.7"},
            True,
            "since this shell says ROS_STATIC_PEERS=10.0.0.7",
        ),
        (False, {"ROS_STATIC_PEERS": "127.0.0.1;localhost"}, False, "on this machine alone"),
        (
            False,
            {"ROS_DISCOVERY_SERVER": "10.0.0.7:11811"},
            True,
            "since this shell says ROS_DISCOVERY_SERVER=10.0.0.7:11811",
        ),
        (
            False,
            {PROFILES[0]: "/lab/fastdds.xml"},
            False,
            f"its sockets listen where {PROFILES[0]}=/lab/fastdds.xml",
        ),
    ],
)
def test_the_rig_decides_unless_the_shell_says_otherwise_and_the_line_says_why(
    wanted, shell, network, words
):
    scope = reach(wanted, shell)
    assert scope.network == network
    assert words in scope.line
    assert not scope.fault


@pytest.mark.parametrize(
    "shell",
    [
        {},
        {RANGE: "SUBNET"},
        {RANGE: "OFF"},
        {"ROS_LOCALHOST_ONLY": "1"},
        {"ROS_STATIC_PEERS": "10.0.0.7"},
    ],
)
def test_what_the_command_line_says_wins_over_the_shell(shell):
    assert reach(True, shell, insisted=True).network
    alone = reach(False, shell, insisted=True)
    assert not alone.network
    assert alone.variables == LONE_SOCKETS


@pytest.mark.parametrize("value", ["OFF", "off", "LAN"])
def test_a_shell_in_which_no_node_finds_another_is_a_fault_that_names_its_word(value):
    assert f"{RANGE}={value}".upper() in reach(False, {RANGE: value}).fault.upper()


def port(bound):
    """A port of this machine, taken by a socket."""
    bound.bind(("127.0.0.1", 0))
    return f"127.0.0.1:{bound.getsockname()[1]}"


@pytest.fixture
def nobody():
    """An address of this machine at which nobody listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        return port(bound)


def test_discovery_servers_of_which_none_is_there_are_a_fault(nobody):
    shell = {"ROS_DISCOVERY_SERVER": f"{nobody};nowhere.invalid:11811"}
    fault = absent_servers(reach(False, shell), shell)
    assert "no discovery server is there" in fault and nobody in fault
    # Nodes that stay on this machine ask no server.
    assert not absent_servers(reach(False, shell, insisted=True), shell)


@pytest.mark.parametrize("form", ["{nobody};{there}", ";{there}", "TCPv4:[{nobody}]:1", ""])
def test_a_discovery_server_that_may_be_there_is_no_fault(nobody, form):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        shell = {"ROS_DISCOVERY_SERVER": form.format(nobody=nobody, there=port(server))}
        assert absent_servers(reach(True, shell), shell) == ""


@pytest.mark.parametrize("variable", [RANGE, "ROS_DISCOVERY_SERVER"])
def test_a_rig_in_a_shell_in_which_no_node_finds_another_is_refused_with_one_line(variable, nobody):
    shell = {RANGE: "OFF"} if variable == RANGE else {variable: nobody}
    command = [sys.executable, "-m", "xlvla", "run", "bimanual", "--policy", "none"]
    ran = subprocess.run(
        command, env=os.environ | shell, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
    assert variable in ran.stderr


def test_a_profile_of_the_labs_own_is_kept():
    environment = {PROFILES[0]: "/lab/fastdds.xml"}
    reach(False, environment).apply(environment)
    assert environment == {PROFILES[0]: "/lab/fastdds.xml", RANGE: "LOCALHOST"}


def test_going_to_the_network_takes_back_what_an_earlier_rig_set():
    environment: dict[str, str] = {}
    reach(False, environment).apply(environment)
    reach(True, environment, insisted=True).apply(environment)
    assert environment == {RANGE: "SUBNET"}


def test_check_says_how_far_a_rig_speaks(tmp_path):
    shell = {key: value for key, value in os.environ.items() if key not in (RANGE, *PROFILES)}
    path = replace(rig_file.load("bimanual"), policy=None, network=True).save(
        tmp_path / "open.yaml"
    )
    for name, words in (
        ("bimanual", "on this machine alone"),
        (str(path), "on the network: every machine that reaches this one"),
    ):
        ran = subprocess.run(
            [sys.executable, "-m", "xlvla", "check", name],
            env=shell,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ran.returncode == 0
        assert words in ran.stdout


def udp_sockets(pid: int) -> dict[int, tuple[str, int, int]]:
    """Address, port and bytes that wait to be read of a process's UDP sockets, by inode."""
    links = [
        os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir() if entry.is_symlink()
    ]
    inodes = {int(link[8:-1]) for link in links if link.startswith("socket:[")}
    found = {}
    for line in Path(f"/proc/{pid}/net/udp").read_text().splitlines()[1:]:
        fields = line.split()
        address, port = fields[1].split(":")
        if int(fields[9]) in inodes:
            found[int(fields[9])] = (
                socket.inet_ntoa(struct.pack("<I", int(address, 16))),
                int(port, 16),
                int(fields[4].split(":")[1], 16),
            )
    return found


def open_to_others(pid: int) -> list[int]:
    """Ports of sockets of a process that others can reach and that somebody reads: a datagram does
    not stay there.
    """
    exposed = {
        inode: entry for inode, entry in udp_sockets(pid).items() if not entry[0].startswith("127.")
    }
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for address, port, _ in exposed.values():
            if not address.startswith("239."):
                sender.sendto(
                    b"anybody there?", ("127.0.0.1" if address == "0.0.0.0" else address, port)
                )
    time.sleep(0.5)
    after = udp_sockets(pid)
    return [
        port for inode, (_, port, _) in exposed.items() if inode in after and after[inode][2] == 0
    ]


@pytest.mark.parametrize("network", [False, True])
def test_a_rig_listens_on_the_loopback_interface_alone_unless_the_network_is_asked_for(
    network, monkeypatch
):
    for name in (RANGE, *PROFILES):
        monkeypatch.delenv(name, raising=False)
    chosen = replace(rig_file.load("bimanual"), policy=None, network=network)
    specs = graph.chosen(chosen, only=["joint_states", "sim"])
    with Supervisor(chosen, specs, domain=own_domain()) as supervisor:
        supervisor.wait_ready()
        for node in supervisor.nodes:
            assert udp_sockets(node.process.pid)
            assert bool(open_to_others(node.process.pid)) == network
