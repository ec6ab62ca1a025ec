"""How far the nodes of a rig speak: on this machine alone, or on the network.

ROS 2's discovery range decides whom a node looks for, not who may look for it: with LOCALHOST, Fast
DDS still listens on every interface, and whoever names this machine in ROS_STATIC_PEERS is let in.
A rig that keeps to itself therefore also takes a profile of Fast DDS whose sockets listen on the
loopback interface.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

from xlvla.errors import XlvlaError

RANGE = "ROS_AUTOMATIC_DISCOVERY_RANGE"
ONLY = "ROS_LOCALHOST_ONLY"
PEERS = "ROS_STATIC_PEERS"
SERVER = "ROS_DISCOVERY_SERVER"
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")
"""What Fast DDS 2 and 3 call the file of their settings."""

VARIABLES = (
    RANGE,
    ONLY,
    PEERS,
    SERVER,
    *PROFILES,
    "FASTDDS_BUILTIN_TRANSPORTS",
    "RMW_IMPLEMENTATION",
    "ROS_DOMAIN_ID",
)
"""What in an environment decides which nodes are discovered."""

LOOPBACK = Path(__file__).with_name("loopback.xml")
"""Settings of Fast DDS that listen on the loopback interface alone."""

SERVER_PORT = 11811
"""Of a discovery server whose address has none."""

REFUSED_S = 0.3
"""A machine on which nobody listens at a port says so within this time."""

RTPS_HEADER = b"RTPS\x02\x03" + bytes(14)
"""A message of DDS without content, which no server answers."""

RANGES = ("LOCALHOST", "SUBNET", "SYSTEM_DEFAULT", "OFF")
HERE = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Reach:
    """How far nodes speak.

    Attributes:
        network: whether on the network.
        line: that, for people, and why where a shell decided.
        variables: what the environment of every node must say for that; None: nothing.
        fault: why nodes would not discover each other; '' where nothing is wrong.
    """

    network: bool
    line: str
    variables: Mapping[str, str | None] = field(default_factory=dict[str, "str | None"])
    fault: str = ""

    def apply(self, environment: MutableMapping[str, str]) -> None:
        for name, value in self.variables.items():
            if value is None:
                environment.pop(name, None)
            else:
                environment[name] = value


def reach(wanted: bool, shell: Mapping[str, str], *, insisted: bool = False) -> Reach:
    """How far nodes speak that are started from this shell.

    Args:
        wanted: whether the rig asks for the network.
        shell: the environment; what it says of discovery wins over the rig.
        insisted: `wanted` was said on the command line, and wins over the shell.
    """
    if insisted:
        return _network(shell, "SUBNET") if wanted else _local(shell)
    scope = shell.get(RANGE, "").upper()
    if scope and scope not in RANGES:
        return Reach(
            False, "", fault=f"{RANGE}={shell[RANGE]} in this shell is none of {', '.join(RANGES)}"
        )
    if scope == "OFF":
        return Reach(
            False,
            "",
            fault=f"with {RANGE}=OFF in this shell no node finds another: unset it, or say "
            "LOCALHOST or SUBNET",
        )
    if shell.get(ONLY) == "1":
        return _local(shell, _against(wanted, f"{ONLY}=1"))
    static_peers = [
        peer
        for peer in shell.get(PEERS, "").split(";")
        if peer.strip() and peer.strip().lower() not in HERE
    ]
    for name, is_set in (
        (SERVER, bool(shell.get(SERVER))),
        (PEERS, bool(static_peers)),
        (RANGE, scope in ("SUBNET", "SYSTEM_DEFAULT")),
    ):
        if is_set:
            why = "" if wanted else f", since this shell says {name}={shell[name]}"
            return _network(shell, scope or ("SUBNET" if wanted else "LOCALHOST"), why)
    if scope == "LOCALHOST":
        return _local(shell, _against(wanted, f"{RANGE}={shell[RANGE]}"))
    return _network(shell, "SUBNET") if wanted else _local(shell)


def absent_servers(scope: Reach, shell: Mapping[str, str]) -> str:
    """Why nodes would not discover each other, as a line, where this shell names discovery servers
    and nobody listens at any of their addresses; '' where one may be there. It takes up to
    `REFUSED_S` for each: a server says nothing, and neither does a machine that is switched off.
    """
    addresses = [word.strip() for word in shell.get(SERVER, "").split(";") if word.strip()]
    if not scope.network or not addresses or not all(map(_refuses, addresses)):
        return ""
    return (
        f"{SERVER}={shell[SERVER]} in this shell: no discovery server is there; start it "
        "(`fastdds discovery`), mend the address, or unset it"
    )


def _refuses(address: str) -> bool:
    """Whether it is sure that nobody listens at `host:port`; other forms of addresses are left to
    the middleware.
    """
    host, _, port = address.partition(":")
    if port and not port.isdigit():
        return False
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.settimeout(REFUSED_S)
            probe.connect((host, int(port or SERVER_PORT)))
            probe.send(RTPS_HEADER)
            probe.recv(1)
    except (ConnectionRefusedError, socket.gaierror, OverflowError):
        return True
    except OSError:
        return False
    return False


def listening(host: str, port: int, what: str, other: str) -> socket.socket:
    """The socket of a server of `what`; raises XlvlaError where it cannot be had. `other` is what
    may have the port, and where.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise XlvlaError(
            f"the {what} cannot be served at {host}:{port}: {reason}; is {other}? "
            "--port takes another"
        ) from None


def discovery_settings(shell: Mapping[str, str]) -> str:
    """The discovery settings of an environment, as a line; '' where it has none."""
    return ", ".join(
        f"{name}={shell[name]}"
        for name in VARIABLES
        if shell.get(name) and shell[name] != str(LOOPBACK)
    )


def _against(wanted: bool, setting: str) -> str:
    return (
        f", since this shell says {setting}, though the rig asks for the network" if wanted else ""
    )


def _network(shell: Mapping[str, str], scope: str, why: str = "") -> Reach:
    ours = {name: None for name in PROFILES if shell.get(name) == str(LOOPBACK)}
    domain = shell.get("ROS_DOMAIN_ID") or "0"
    line = (
        f"on the network{why}: every machine that reaches this one on ROS "
        f"domain {domain} can drive the robot"
        ""
    )
    return Reach(True, line, {RANGE: scope, ONLY: None, **ours})


def _local(shell: Mapping[str, str], why: str = "") -> Reach:
    variables: dict[str, str | None] = {RANGE: "LOCALHOST", ONLY: None, PEERS: None, SERVER: None}
    if strange := [
        f"{name}={shell[name]}"
        for name in PROFILES
        if shell.get(name) not in (None, "", str(LOOPBACK))
    ]:
        line = (
            f"looking for nodes on this machine alone{why}; its sockets listen where "
            f"{' and '.join(strange)} of this shell lets them"
        )
        return Reach(False, line, variables)
    return Reach(
        False,
        f"on this machine alone{why}",
        {**variables, **dict.fromkeys(PROFILES, str(LOOPBACK))},
    )
