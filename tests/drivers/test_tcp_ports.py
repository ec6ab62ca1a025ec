"""The wire of emulated network devices."""

import socket
import time

import pytest

from xlvla_drivers.emulators.tcp_ports import LOOK_S, Pushes, TcpPorts

HOST = "127.0.0.77"
PORT = 15077
RATE_HZ = 100.0


@pytest.fixture
def faults():
    return set()


@pytest.fixture
def ports(faults):
    pushes = {PORT: Pushes(RATE_HZ, lambda: b"report")}
    served = TcpPorts(HOST, pushes, faults, corrupt=lambda fault, port, frame: frame)
    served.start()
    yield served
    served.stop()


def let_in() -> bool:
    try:
        socket.create_connection((HOST, PORT)).close()
    except ConnectionRefusedError:
        return False
    return True


def test_an_unplugged_device_leaves_the_processor_to_others_though_a_client_waits(ports, faults):
    with socket.create_connection((HOST, PORT)) as client:
        assert client.recv(6) == b"report"
        assert ports.pause_s() <= 1 / RATE_HZ
        faults.add("unplug")
        while let_in():
            time.sleep(LOOK_S)
        # What was due to the client is not waited for: it would be due for ever.
        time.sleep(2 / RATE_HZ)
        assert ports.pause_s() == LOOK_S
