"""Both ends of an emulated serial line: the port an emulator serves and the link a driver opens."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
import tty
from collections import Counter

import pytest

from xlvla.errors import XlvlaError
from xlvla_drivers import thread_clock
from xlvla_drivers.device import LINK_TIMEOUT_S, LinkLost
from xlvla_drivers.emulators.emulator import Faults
from xlvla_drivers.emulators.serial_port import WIRE_FAULTS, SerialPort
from xlvla_drivers.serial_link import SerialLink

pytestmark = pytest.mark.usefixtures("hastened")


def line(buffer: bytearray) -> bytes | None:
    """Frames of this test end with a newline."""
    head, newline, rest = buffer.partition(b"\n")
    if not newline:
        return None
    buffer[:] = rest
    return bytes(head)


class Echo:
    """A device that says every line back."""

    def __init__(self, path, **wire):
        self.faults = Faults(WIRE_FAULTS)
        self._heard = bytearray()
        self.port = SerialPort(str(path), self._answer, self.faults, **wire)

    def _answer(self, data):
        self._heard += data
        while (text := line(self._heard)) is not None:
            yield text + b"\n"

    def inject(self, fault, on=True):
        self.faults.inject(fault, on)
        self.port.wake()


@pytest.fixture
def echo(tmp_path):
    device = Echo(tmp_path / "hand")
    device.port.start()
    yield device
    device.port.stop()


@pytest.fixture
def link(echo, tmp_path):
    made = SerialLink(str(tmp_path / "hand"), 115200, Counter())
    made.open()
    yield made
    made.close()


def ask(link, text):
    return link.exchange(text + b"\n", line, lambda answer: answer == text)


def test_what_is_asked_is_answered(link):
    for k in range(200):
        assert ask(link, b"%d" % k) == b"%d" % k
    assert not +link.counts


def test_an_unplugged_device_is_lost_at_once_and_found_again_when_plugged_in(echo, link):
    echo.inject("unplug")
    began = time.monotonic()
    with pytest.raises(LinkLost):
        ask(link, b"there?")
    assert time.monotonic() - began < 1.5 * LINK_TIMEOUT_S
    with pytest.raises(LinkLost, match="plugged in"):
        link.open()
    echo.inject("unplug", on=False)
    until = time.monotonic() + 5.0
    while not os.path.exists(link.address) and time.monotonic() < until:
        time.sleep(0.005)
    link.open()
    assert ask(link, b"again") == b"again"


def test_silence_is_a_lost_link(link):
    began = time.monotonic()
    with pytest.raises(LinkLost, match="no answer"):
        link.exchange(b"no end of line", line, lambda _: True)
    assert LINK_TIMEOUT_S * 0.9 < time.monotonic() - began < 10 * LINK_TIMEOUT_S
    assert link.counts["retries"] == 1


@pytest.mark.parametrize("fault", ["bad_checksum", "truncated", "duplicated", "late"])
def test_a_line_fault_spoils_some_frames_and_leaves_the_others(echo, link, fault):
    echo.inject(fault)
    sound = 0
    for k in range(30):
        text = b"number %02d" % k
        link.send(text + b"\n")
        if link.frame(line, thread_clock.now_s() + 0.015) == text:
            sound += 1
        else:
            time.sleep(0.025)
            link.drain()
    assert 3 <= sound < 30


def test_a_line_takes_the_time_its_rate_says(tmp_path):
    device = Echo(tmp_path / "hand", baud=9600)
    device.port.start()
    link = SerialLink(str(tmp_path / "hand"), 9600, Counter())
    link.open()
    began = time.monotonic()
    link.send(b"x" * 19 + b"\n")
    assert link.frame(line, thread_clock.now_s() + 1.0) == b"x" * 19
    assert time.monotonic() - began >= 40 * 10 / 9600
    device.port.stop()


def test_a_client_at_another_rate_is_not_understood(tmp_path):
    device = Echo(tmp_path / "hand", baud=460800)
    device.port.start()
    for baud, answered in ((115200, False), (460800, True)):
        link = SerialLink(str(tmp_path / "hand"), baud, Counter())
        link.open()
        link.send(b"who?\n")
        assert (link.frame(line, thread_clock.now_s() + 0.2) is not None) == answered
        link.close()
    device.port.stop()


def test_a_port_belongs_to_one_program(link):
    with pytest.raises(LinkLost, match="another program"):
        SerialLink(link.address, 115200, Counter()).open()


def test_a_link_left_behind_is_replaced_and_its_late_owner_does_not_remove_the_new_one(tmp_path):
    first = Echo(tmp_path / "hand")
    second = Echo(tmp_path / "hand")
    first.port.start()
    second.port.start()
    first.port.stop()
    link = SerialLink(str(tmp_path / "hand"), 115200, Counter())
    link.open()
    assert ask(link, b"second?") == b"second?"
    second.port.stop()
    assert not os.path.lexists(tmp_path / "hand")


@pytest.mark.parametrize(
    "make", [lambda path: path.write_text("precious"), lambda path: path.symlink_to("/dev/ttyUSB0")]
)
def test_nothing_but_an_emulators_link_is_replaced(tmp_path, make):
    path = tmp_path / "hand"
    make(path)
    with pytest.raises(XlvlaError, match="not an emulator's link"):
        Echo(path).port.start()
    assert os.path.lexists(path)


SENDER = """
import sys
from collections import Counter
from xlvla_drivers.serial_link import SerialLink

link = SerialLink(sys.argv[1], 115200, Counter())
link.open()
print("sends", flush=True)
while not sys.stdin.closed:
    link.send(b"x")
"""


def test_a_process_that_stood_still_while_it_wrote_has_lost_nothing():
    here, there = os.openpty()
    tty.setraw(there)
    command = [sys.executable, "-c", SENDER, os.ttyname(there)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, **pipes) as sender:
        ending = threading.Event()
        reader = threading.Thread(target=drained, args=(here, ending))
        reader.start()
        try:
            assert sender.stdout.readline() == "sends\n"
            for _ in range(20):
                time.sleep(0.01)
                sender.send_signal(signal.SIGSTOP)
                time.sleep(1.5 * LINK_TIMEOUT_S)
                sender.send_signal(signal.SIGCONT)
            time.sleep(0.05)
            assert sender.poll() is None, sender.stderr.read()
        finally:
            sender.kill()
            ending.set()
            reader.join()
    os.close(here)
    os.close(there)


def drained(descriptor: int, ending: threading.Event) -> None:
    """Takes what arrives, until the end."""
    while not ending.is_set():
        if select.select([descriptor], [], [], 0.05)[0]:
            os.read(descriptor, 65536)


def test_a_line_that_takes_no_bytes_is_lost_in_time():
    here, there = os.openpty()
    tty.setraw(there)
    link = SerialLink(os.ttyname(there), 115200, Counter())
    link.open()
    with pytest.raises(LinkLost, match="it took no bytes for 70 ms"):
        link.send(bytes(1_000_000))
    os.close(here)
    os.close(there)
