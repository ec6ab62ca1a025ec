"""Headsets with a browser: events as bytes, and the source against the emulated headset in both
layouts.
"""

from __future__ import annotations

import socket
import ssl
import stat
import subprocess
import tempfile
import time

import msgpack
import numpy as np
import pytest
from streams import assert_seen, steady, until, until_lost
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from xlvla.errors import XlvlaError
from xlvla_drivers.emulators import person
from xlvla_drivers.emulators.webxr import Emulator
from xlvla_drivers.teleop import webxr_frames as wire
from xlvla_drivers.teleop.operator import GONE_S
from xlvla_drivers.teleop.webxr import MOST_BYTES, Driver, Options
from xlvla_drivers.teleop.webxr_door import key as server_key

BOTH = ("left", "right")


def test_the_smallest_event_is_the_published_one():
    published = bytes.fromhex(
        "83 A5 65 74 79 70 65 A4 49 4E 49 54 A2 74 73 01 A5 76 61 6C 75 65 80"
    )
    assert wire.event(wire.INIT, {}, 1) == published
    assert wire.read(published) == (wire.INIT, 0.001, {})


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x00",
        b"\x83\xa5etype",
        b"\xc1",
        msgpack.packb([1, 2]),
        msgpack.packb({"etype": "INIT"}),
        "{}",
    ],
)
def test_what_is_no_event_is_refused(frame):
    with pytest.raises(XlvlaError, match="no event"):
        wire.read(frame)


def hand_numbers():
    joints = np.tile(np.eye(4), (25, 1, 1))
    joints[:, :3, 3] = np.random.default_rng(0).normal(size=(25, 3))
    return joints


@pytest.mark.parametrize("written", ["list", "bytes", "ext"])
def test_both_layouts_and_all_ways_of_writing_numbers_say_the_same(written):
    joints = hand_numbers().astype("<f4")
    ways = {
        "list": lambda a: a.ravel().tolist(),
        "bytes": lambda a: a.tobytes(),
        "ext": lambda a: msgpack.ExtType(23, a.tobytes()),
    }
    pack = ways[written]
    columns = np.ascontiguousarray(joints.transpose(0, 2, 1))
    new = {"left": pack(columns), "right": None, "leftState": {"pinch": False}}
    old = {
        "leftHand": pack(columns[0]),
        "leftLandmarks": pack(np.ascontiguousarray(joints[:, :3, 3])),
    }
    for value in (new, old):
        found = wire.hands(wire.read(wire.event(wire.HAND_MOVE, value, 5))[2])
        assert list(found) == ["left"]
        np.testing.assert_allclose(found["left"][0], joints[0])
        np.testing.assert_allclose(found["left"][1], joints[list(wire.KEPT), :3, 3])


@pytest.mark.parametrize(
    "value",
    [None, {}, {"left": [0.0] * 400}, {"left": [1.0] * 399}, {"right": "hand"}, {"left": b"123"}],
)
def test_a_hand_that_is_not_there_is_not_seen(value):
    assert wire.hands(value) == {}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder for temporary files, empty."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def free_address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


@pytest.fixture
def headset(own):
    address = free_address()
    source = Driver(address, BOTH, Options(), None)
    emulator = Emulator(address, "right", Options())
    source.open()
    yield emulator, source
    emulator.stop()
    source.close()


@pytest.mark.parametrize("old", [True, False])
def test_hands_come_as_the_person_moves_them(headset, old):
    emulator, source = headset
    emulator.old, emulator.moves = old, steady(emulator.moves, at_s=1.7)
    emulator.start()
    assert_seen(until(lambda: source.read(0.5), both=True), at_s=1.7)


def test_a_headset_that_leaves_is_lost_and_may_come_back(headset):
    emulator, source = headset
    emulator.start()
    until(lambda: source.read(0.5))
    emulator.inject("unplug")
    until_lost(source)
    source.open()
    emulator.inject("unplug", False)
    until(lambda: source.read(0.5), both=True)


def test_a_second_headset_is_sent_away(headset):
    emulator, source = headset
    emulator.start()
    until(lambda: source.read(0.5))
    second = Emulator(source.address, "right", Options())
    second.moves = lambda side, time_s: (
        np.eye(4) * np.array([1, 1, 1, 1]) + 9.0 * np.eye(4, k=3),
        person.hand(side, 0.0)[1],
    )
    second.start()
    try:
        for _ in range(60):
            sample = source.read(0.1)
            assert sample is None or all(
                abs(tracked.T_world_wrist[:3, 3]).max() < 5 for tracked in sample.sides.values()
            )
    finally:
        second.stop()


class Log:
    """The node that reads a source: what it would warn of."""

    def __init__(self):
        self.lines = []

    def warn(self, line):
        self.lines.append(line)


@pytest.fixture
def served(own):
    """An open source, its address with the key, and what it warned of."""
    told = Log()
    source = Driver(free_address(), BOTH, Options(), told)
    source.open()
    yield source, f"ws://{source.address}/{server_key(int(source.address.split(':')[1]))}", told
    source.close()


def moved(where):
    """A HAND_MOVE whose wrists are at `where` m."""
    joints = np.tile(np.eye(4), (25, 1, 1))
    joints[:, 0, 3] = where
    columns = joints.transpose(0, 2, 1).ravel().tolist()
    return wire.event(wire.HAND_MOVE, {"left": columns, "right": columns}, 1)


def seen(source):
    """How far from the origin the next sample's wrist is [m]."""
    sample = until(lambda: source.read(0.5))
    return float(np.linalg.norm(sample.sides["left"].T_world_wrist[:3, 3]))


@pytest.mark.parametrize("path", ["", "/", "/wrong", "/%00", "/?key=1"])
def test_a_client_without_the_key_is_refused(served, path):
    source, _, told = served
    with pytest.raises(InvalidStatus) as refused:
        connect(f"ws://{source.address}{path}")
    assert refused.value.response.status_code == 403
    assert told.lines == [
        "a client at 127.0.0.1 was refused: its address does not end with this server's key"
    ]


@pytest.mark.parametrize(
    "origin",
    [
        "https://example.org",
        "https://vuer.ai.example.org",
        "http://vuer.ai",
        "null",
        "https://localhost:8012",
    ],
)
def test_a_page_of_another_site_is_sent_away_even_with_the_key(served, origin):
    source, uri, told = served
    with pytest.raises(InvalidStatus) as refused:
        connect(uri, origin=origin)
    assert refused.value.response.status_code == 403
    assert f"its page is '{origin}', not https://vuer.ai" in told.lines[0]
    assert source.read(0.1) is None


def test_the_page_itself_and_one_of_the_server_own_host_are_let_in(served):
    source, uri, told = served
    for where, origin in enumerate(("https://vuer.ai", f"http://{source.address}"), start=1):
        with connect(uri, origin=origin) as client:
            client.send(moved(float(where)))
            assert seen(source) == pytest.approx(where)
        until_lost(source)
        source.open()
    assert not told.lines


def test_a_headset_that_fell_asleep_gives_way_to_the_next_within_a_second(served):
    source, uri, _ = served
    with connect(uri) as asleep:
        asleep.send(moved(1.0))
        assert seen(source) == pytest.approx(1.0)
        began = time.monotonic()
        with connect(uri) as back:
            back.send(moved(2.0))
            assert seen(source) == pytest.approx(2.0)
            assert (
                time.monotonic() - began >= 0.5 * GONE_S
            )  # as long as the first may still have spoken
            with pytest.raises(ConnectionClosed):  # it wakes up: too late
                asleep.recv(timeout=5.0)
                asleep.send(moved(3.0))
            back.send(moved(4.0))
            assert seen(source) == pytest.approx(4.0)


def test_clients_that_say_nothing_lock_nobody_out(served):
    source, uri, _ = served
    host, _, port = source.address.partition(":")
    with (
        socket.create_connection((host, int(port))),
        socket.create_connection((host, int(port))) as half,
        connect(uri),
    ):
        half.sendall(b"GET / HTTP/1.1\r\nHost: ")
        with connect(uri) as client:
            client.send(moved(1.0))
            assert seen(source) == pytest.approx(1.0)


def test_a_headset_that_drives_is_not_ousted_by_the_next(served):
    source, uri, _ = served
    with connect(uri) as driving, connect(uri) as other:
        give_up = time.monotonic() + 10.0
        closed = False
        while not closed and time.monotonic() < give_up:
            driving.send(moved(1.0))
            try:
                other.recv(timeout=0.02)
            except TimeoutError:
                continue
            except ConnectionClosed as error:
                closed = error.rcvd.code == 1013
        assert closed
        driving.send(moved(1.0))
        assert seen(source) == pytest.approx(1.0)


def test_an_event_too_long_to_be_one_ends_the_connection_and_nothing_else(served):
    source, uri, _ = served
    with connect(uri) as client:
        client.send(b"0" * (MOST_BYTES + 1))
        with pytest.raises(ConnectionClosed) as closed:
            client.recv(timeout=5.0)
        assert closed.value.rcvd.code == 1009
    until_lost(source)
    source.open()
    with connect(uri) as client:
        client.send(moved(1.0))
        assert seen(source) == pytest.approx(1.0)


def test_the_key_stays_for_a_bookmark_and_only_its_user_reads_it(own):
    key = server_key(8012)
    assert server_key(8012) == key != server_key(8013)
    file = next(own.glob("*/webxr-8012.key"))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.write_text("short")
    assert len(server_key(8012)) == len(key) != len("short")


def test_the_address_is_printed_once_with_the_key(own, capsys):
    source = Driver(free_address(), BOTH, Options(), None)
    port = source.address.split(":")[1]
    source.open()
    assert (
        capsys.readouterr().out
        == f"open https://vuer.ai?ws=ws://localhost:{port}/{server_key(int(port))} on the headset\n"
    )
    source.open()
    source.close()
    assert not capsys.readouterr().out


@pytest.mark.parametrize("address", ["0.0.0.0:8012", ":8012", "192.0.2.7:8012", "robot.local:8012"])
def test_the_key_never_crosses_a_network_in_the_clear(own, address):
    source = Driver(address, BOTH, Options(), None)
    with pytest.raises(XlvlaError, match=r"needs `options: .certificate"):
        source.open()


def test_with_a_certificate_it_serves_the_network(own):
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "1",
        "-subj",
        "/CN=localhost",
        "-keyout",
        "key",
        "-out",
        "cert",
    ]
    try:
        subprocess.run(made, cwd=own, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("no openssl here")
    port = free_address().split(":")[1]
    source = Driver(
        f"0.0.0.0:{port}", BOTH, Options(certificate=str(own / "cert"), key=str(own / "key")), None
    )
    source.open()
    trusting = ssl.create_default_context(cafile=str(own / "cert"))
    trusting.check_hostname = False
    try:
        with connect(f"wss://127.0.0.1:{port}/{server_key(int(port))}", ssl=trusting) as client:
            client.send(moved(1.0))
            assert seen(source) == pytest.approx(1.0)
    finally:
        source.close()
