"""Arms of a Unitree G1. Both share one process that talks DDS to the robot (`g1_server`), since a
command names all joints at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.ranges import Range
from xlvla.types import NONE, Side
from xlvla_drivers import thread_clock
from xlvla_drivers.arms import g1_remote
from xlvla_drivers.device import LINK_TIMEOUT_S, DeviceState, Fault, LinkLost
from xlvla_drivers.own_folder import own_folder

START_S = 60.0
HEAR_S = 5.0
LEAVE_S = 5.0
"""For the server to start; for it to hear the robot; and beyond the ramps, for its answers."""

RETURN_S = 5.0
"""How long the arms of drivers that vanished are held, in case they come back."""

ANSWERED_S = 0.04
"""In which the server has taken a message, and reported."""

BYE = b"bye"
"""A driver that leaves for good; one whose line is cut is expected back."""

RECOVER = b"recover"
"""A driver whose robot was stopped asks to have its arms back."""

SENT = np.dtype([("sent_s", "<f8"), ("target", "<f4", 7)])
COUNTS = ("corrupt", "truncated", "duplicated", "unexpected", "late")
REPORT = np.dtype(
    [
        ("stamp_ns", "<i8"),
        ("received_s", "<f8"),
        ("q", "<f4", 7),
        ("dq", "<f4", 7),
        ("torque", "<f4", 7),
        ("temperature", "<i2", (7, 2)),
        ("error", "<u4", 7),
        ("waist", "<f4", 3),
        ("stopped", "S64"),
        ("weight", "<f4"),
        ("remote", "?"),
        ("remote_lost", "?"),
        ("charge", "<f4"),
        ("volts", "<f4"),
        ("amperes", "<f4"),
        ("counts", "<u4", len(COUNTS)),
    ]
)
"""What the server and a driver tell each other, a message each: SI units, motors in the order of
the arm's joints; `sent_s` and `received_s` by the monotonic clock, which is one for all processes.
`stopped` says by what, empty where nothing did; `charge` of the battery is in percent, NaN where
the robot says nothing of it.
"""

WAIST_RAD = 0.05
"""A waist turned further than this puts the arms elsewhere than a rig believes."""


@dataclass(frozen=True)
class Options:
    """Both arms of a robot must be given the same ones, but for what they carry.

    Args:
        way: 'arm_sdk' blends with the robot's own motion service, which keeps its balance; 'lowcmd'
            commands every motor and needs a robot that hangs from a gantry with that service
            released (L2+R2 on the remote).
        ramp_s: in which the arms are taken over, and let go at the end.
        rate_hz: of the commands to the robot.
        speed: fastest motion of a commanded angle [rad/s], whatever is asked.
        arm_kp, arm_kd, wrist_kp, wrist_kd: gains of shoulder and elbow, and of the wrist [Nm/rad,
            Nms/rad].
        body_kp, body_kd: gains that hold the waist, and in 'lowcmd' the legs, where they were.
        hot_c: temperature from which a motor is reported [deg C].
        battery_low: charge from which on the battery is reported [%].
        remote_stops: keys of the remote that stop both arms, pressed together where joined by +.
            They are given back, and taken over again by `recover`. UNCONFIRMED which of them the
            robot's own service takes as its stop, too.
        carries: hand of the catalogue on this arm, whose weight its motors are told to hold beside
            the arm's own; the rig's hand where not given, 'none' for none.
    """

    way: Literal["arm_sdk", "lowcmd"] = "arm_sdk"
    ramp_s: Annotated[float, Range(0.5, 30)] = 2.0
    rate_hz: Annotated[float, Range(50, 1000)] = 250.0
    speed: Annotated[float, Range(0.1, 10)] = 3.0
    arm_kp: Annotated[float, Range(0, 300)] = 60.0
    arm_kd: Annotated[float, Range(0, 20)] = 1.5
    wrist_kp: Annotated[float, Range(0, 300)] = 40.0
    wrist_kd: Annotated[float, Range(0, 20)] = 1.5
    body_kp: Annotated[float, Range(0, 500)] = 300.0
    body_kd: Annotated[float, Range(0, 20)] = 3.0
    hot_c: Annotated[float, Range(40, 120)] = 80.0
    battery_low: Annotated[float, Range(0, 100)] = 20.0
    remote_stops: tuple[str, ...] = ("L1+A", "L2+B", "select")
    carries: str | None = None

    def __post_init__(self):
        g1_remote.combinations(self.remote_stops)


def shared(options: Options) -> dict[str, Any]:
    """What both arms of a robot have to agree on."""
    agreed = dataclasses.asdict(options)
    del agreed["carries"]
    return agreed


def split_address(address: str) -> tuple[str, int]:
    """`eth0` or `lo@1` as network interface and DDS domain; the robot's is 0."""
    interface, _, domain = address.partition("@")
    # That of a host is none of an interface
    is_host = interface.replace(".", "").isdigit()
    named = bool(interface) and "/" not in interface and not is_host
    # DDS has no domains beyond 232.
    numbered = not domain or (domain.isdigit() and int(domain) <= 232)
    if not named or not numbered:
        raise XlvlaError(
            f"'{address}' is no address of a G1: give the network interface, or interface@domain "
            "such as lo@1"
        )
    return interface, int(domain or 0)


def claim(address: str, side: Side, options: Options) -> str:
    """Both arms of a robot have its address, through one server."""
    interface, domain = split_address(address)
    return f"{interface}@{domain}, {side} arm"


def socket_path(address: str) -> Path:
    """Where the server of a robot is found by this user's drivers, and by nobody else's."""
    interface, domain = split_address(address)
    return own_folder() / f"g1-{interface}-{domain}"


class Driver:
    """One arm, over a line to the robot's server."""

    def __init__(self, address: str, side: Side, options: Options):
        arm = catalog.arm("g1").on(side)
        self.joints = arm.joints
        self.counts: Counter[str] = Counter()
        self.address = address
        self.side = side
        self._options = options
        limits = arm.limits
        self._lower = limits.lower
        self._upper = limits.upper
        self._path = socket_path(address)
        self._line: socket.socket | None = None
        self._newest: np.void | None = None
        # When the newest report came (`thread_clock`).
        self._received_s = 0.0
        self._lost = False

    def connect(self) -> None:
        self.disconnect()
        line = self._join()
        self._line = line
        # Until the server agrees.
        self._lost = True
        hello = {
            "side": self.side,
            "options": shared(self._options),
            "carries": self._options.carries or NONE,
        }
        try:
            line.settimeout(HEAR_S + self._options.ramp_s + LEAVE_S)
            line.send(json.dumps(hello).encode())
            answer = json.loads(line.recv(4096) or b"{}")
        except (OSError, ValueError) as error:
            self._line = None
            line.close()
            raise LinkLost(f"G1 at {self.address}: its server does not answer: {error}") from None
        if "ready" not in answer:
            self.disconnect()
            why = f"G1 at {self.address}: {answer.get('error', 'its server has ended')}"
            if answer.get("lost", True):
                raise LinkLost(why)
            # To try again would not mend it.
            raise XlvlaError(why)
        line.setblocking(False)
        self._lost = False
        self._received_s = thread_clock.now_s()

    def read(self) -> DeviceState:
        report = self._newest_report()
        self.counts.update(dict.fromkeys(COUNTS, 0))
        for name, count in zip(COUNTS, report["counts"].tolist(), strict=True):
            self.counts[name] = count
        warmth = report["temperature"].max(axis=1).astype(float)
        return DeviceState(
            int(report["stamp_ns"]),
            position=report["q"].astype(float),
            velocity=report["dq"].astype(float),
            effort=report["torque"].astype(float),
            temperature=dict(zip(self.joints, warmth.tolist(), strict=True)),
            faults=tuple(self._faults(report, warmth)),
            facts=_facts(report),
        )

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        wanted = [target[joint] for joint in self.joints]
        angles = np.clip(wanted, self._lower, self._upper).astype("<f4")
        message = np.zeros((), SENT)
        message["sent_s"] = time.monotonic()
        message["target"] = angles
        self._send(message.tobytes())
        return dict(zip(self.joints, angles.tolist(), strict=True))

    def recover(self) -> str:
        """Asks for both arms of a robot that was stopped: they are taken over within `ramp_s`,
        where they are. The robot clears its motors' errors by itself or not at all; an arm with an
        error is commanded to where it is.
        """
        wrong = [fault for fault in self.read().faults if fault.stops and fault.joint]
        if wrong:
            line = "; ".join(f"{fault.joint} {fault.text}" for fault in wrong)
            raise XlvlaError(
                f"G1 at {self.address}: {line}: no command clears this, switch the robot off and on"
            )
        if not _stopped(self._newest_report()):
            return "no motor reports an error; held where it is"
        self._send(RECOVER)
        asked_s = time.monotonic()
        while _stopped(report := self._newest_report()):
            if report["received_s"] > asked_s + ANSWERED_S:
                why = _stopped(report)
                raise XlvlaError(f"G1 at {self.address}: still stopped by {why}: end that first")
            time.sleep(ANSWERED_S / 10)
        return f"both arms are taken over again within {self._options.ramp_s:g} s"

    def disconnect(self) -> None:
        """Where this was the last arm driven, the robot takes its arms back within `ramp_s`; else,
        or after a loss, the arm is held.
        """
        line = self._line
        self._line = None
        self._newest = None
        if line is None:
            return
        with contextlib.suppress(OSError):
            if not self._lost:
                line.settimeout(self._options.ramp_s + LEAVE_S)
                line.send(BYE)
            while not self._lost and line.recv(4096):
                pass
        line.close()

    def _join(self) -> socket.socket:
        """A line to the robot's server, which is started where there is none."""
        until_s = time.monotonic() + START_S
        server: subprocess.Popen[bytes] | None = None
        while time.monotonic() < until_s:
            line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with contextlib.suppress(OSError):
                line.connect(str(self._path))
                return line
            line.close()
            if server is None or server.poll() == 0:
                # One that ended well found another, which has just left.
                server = self._start_server()
            if server.poll():
                break
            time.sleep(0.05)
        raise LinkLost(f"G1 at {self.address}: its server does not start; see what it printed")

    def _start_server(self) -> subprocess.Popen[bytes]:
        """In a session of its own: it lets the arms go gently when its drivers are gone, Ctrl-C
        included.
        """
        options = json.dumps(dataclasses.asdict(self._options))
        command = [sys.executable, "-m", "xlvla_drivers.arms.g1_server", self.address, options]
        return subprocess.Popen(
            command, start_new_session=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )

    def _send(self, message: bytes) -> None:
        try:
            self._opened().send(message)
        except OSError as error:
            raise LinkLost(
                f"G1 at {self.address}: its server does not listen: {error.strerror or error}"
            ) from None

    def _opened(self) -> socket.socket:
        if self._line is None:
            raise LinkLost(f"G1 at {self.address} is not connected")
        return self._line

    def _newest_report(self) -> np.void:
        """The newest report, all that have arrived taken; where it has grown old, since the line
        was full while we paused, the next.
        """
        line = self._opened()
        self._take_all(line)
        while self._is_stale() and thread_clock.wait([line], self._received_s + LINK_TIMEOUT_S):
            self._take_all(line)
        if self._newest is None or self._is_stale():
            self._lost = True
            raise LinkLost(f"G1 at {self.address}: no report for {1e3 * LINK_TIMEOUT_S:.0f} ms")
        return self._newest

    def _is_stale(self) -> bool:
        if self._newest is None:
            return True
        return time.monotonic() - self._newest["received_s"] > LINK_TIMEOUT_S

    def _take_all(self, line: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while data := self._receive(line):
                report = np.frombuffer(data, REPORT)[0]
                if self._newest is None or report["received_s"] > self._newest["received_s"]:
                    self._newest = report
                    self._received_s = thread_clock.now_s()

    def _receive(self, line: socket.socket) -> bytes:
        try:
            data = line.recv(4096)
        except BlockingIOError:
            raise
        except OSError:
            data = b""
        if not data:
            raise LinkLost(
                f"G1 at {self.address}: its server has ended, since the robot fell silent or it "
                "was stopped"
            )
        return data

    def _faults(self, report: np.void, warmth: np.ndarray) -> Iterator[Fault]:
        if why := _stopped(report):
            yield Fault("stopped", f"{why}: the robot has its arms back")
        elif report["weight"] < 1:
            yield Fault("weight", f"taken over to {report['weight']:.0%}")
        if report["remote_lost"]:
            yield Fault("remote", "the robot does not hear its remote any more", stops=False)
        if report["charge"] <= self._options.battery_low:
            yield Fault("battery", f"its battery has {report['charge']:.0f} %", stops=False)
        errors = report["error"].tolist()
        for joint, error, celsius in zip(self.joints, errors, warmth, strict=True):
            if error:
                yield Fault(f"0x{error:X}", "its motor reports an error", joint)
            if celsius >= self._options.hot_c:
                yield Fault("hot", f"its motor has {celsius:.0f} deg C", joint, stops=False)
        if np.abs(report["waist"]).max() > WAIST_RAD:
            turned = ", ".join(f"{angle:.2f}" for angle in report["waist"].tolist())
            yield Fault(
                "waist", f"the waist is at {turned} rad, the rig believes it at zero", stops=False
            )


def _stopped(report: np.void) -> str:
    """What stopped the robot's arms, '' where nothing did."""
    return report["stopped"].decode()


def _facts(report: np.void) -> dict[str, str]:
    """What a report says of the robot beside its arms, for diagnostics."""
    facts = {
        "weight of commands": f"{report['weight']:.2f}",
        "remote": "heard" if report["remote"] else "not heard",
    }
    if np.isfinite(report["charge"]):
        facts["battery [%]"] = f"{report['charge']:.0f}"
        facts["battery [V]"] = f"{report['volts']:.1f}"
        facts["battery [A]"] = f"{report['amperes']:.1f}"
    return facts
