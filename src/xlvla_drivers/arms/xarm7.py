"""UFACTORY xArm7 over its controller's TCP ports, commanded through xarm-python-sdk in servo
mode.
"""

from __future__ import annotations

import builtins
import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np

from xlvla import catalog
from xlvla.errors import XlvlaError
from xlvla.ranges import Range
from xlvla.types import Side
from xlvla_drivers import thread_clock
from xlvla_drivers.addresses import host_and_port
from xlvla_drivers.arms import xarm7_frames as wire
from xlvla_drivers.arms.xarm7_codes import ERRORS, faults
from xlvla_drivers.arms.xarm7_reports import CONNECT_S, Reports
from xlvla_drivers.device import LINK_TIMEOUT_S, DeviceState, LinkLost

ANSWER_S = 0.02
"""A servo command without an answer for this long is late; several in a row are a lost link."""

PATIENCE_S = 2.0
"""What enabling and clearing errors may take; brakes need their time."""

_MODEL_1305 = 71305
"""The SDK's number of an xArm7 from serial number 1305 on, whose limits stand for unknown ones."""

_TIMEOUT = 3
_CORRUPT = (4, 5, 6, 7, 10)
_NOT_SENT = (-1, 8)

_sdk_lock = threading.Lock()

Offset = Annotated[float, Range(-1, 1)]


@dataclass(frozen=True)
class Options:
    """Args:
    payload_kg: mass at the flange, hand included; 0 keeps what the controller has. A wrong one is
    felt as a collision. payload_xyz: its centre of mass in the flange's frame [m].
    """

    payload_kg: Annotated[float, Range(0, 10)] = 0.0
    payload_xyz: tuple[Offset, Offset, Offset] = (0.0, 0.0, 0.0)


def split_address(address: str) -> tuple[str, int]:
    """`192.168.1.185` or `127.0.0.1:1502` as host and control port."""
    place = host_and_port(address, wire.CONTROL_PORT)
    if place is None:
        raise XlvlaError(
            f"'{address}' is no address of an xArm: give host or host:port, such as 192.168.1.185"
        )
    return place


def claim(address: str, side: Side, options: Options) -> str:
    """One controller moves one arm."""
    host, port = split_address(address)
    return f"{host}:{port}"


class Driver:
    """Targets go out through the SDK, states come in through the report ports, which the SDK would
    poll far slower.
    """

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = catalog.arm("xarm7").joints
        self.counts: Counter[str] = Counter()
        self.host, self.port = split_address(address)
        self._options = options
        self._api: Any = None
        self._reports = Reports(self.host, self.counts)
        # Since when commands have gone without an answer.
        self._silent_s: float | None = None
        self._error: int | None = None
        # Whether a stop without an error is this driver's own, or that of an arm just switched on.
        self._own_stop = True
        self._lower = np.zeros(0)
        self._upper = np.zeros(0)

    def connect(self) -> None:
        """Gets an idle arm ready. One with an error, led by hand, or used or stopped by another
        client stays as it is and says so as a fault: only the operator's `recover` changes that.
        """
        self.disconnect()
        host = self._find()
        self._api = _open(host, self.port)
        try:
            self._set_limits()
            self._reports = Reports(host, self.counts)
            self._reports.open()
            if self._is_idle():
                self.recover()
            else:
                self._api.set_timeout(ANSWER_S)
            self._own_stop = False
        except Exception:
            self.disconnect()
            raise

    def read(self) -> DeviceState:
        stamp_ns, report = self._newest()
        health = self._reports.health
        state, mode = _state_mode(report)
        velocity = None
        if "dq" in (report.dtype.names or ()):
            velocity = report["dq"].astype(float)
        # What the health report says, which comes later than the first motion report.
        servo = [0] * len(self.joints)
        warning = 0
        temperature: dict[str, float] = {}
        if health is not None:
            servo = [int(code) for _, code in health["servo"]]
            warning = int(health["warning"])
            for joint, celsius in zip(self.joints, health["temperature"], strict=True):
                temperature[joint] = float(celsius)
        error = self._find_error(state, health)
        return DeviceState(
            stamp_ns,
            position=report["q"].astype(float),
            velocity=velocity,
            effort=report["torque"].astype(float),
            temperature=temperature,
            faults=tuple(faults(error, warning, servo, self.joints, state, mode)),
        )

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        """Nothing is sent, and the result is empty, while an error or another client has stopped
        the arm.
        """
        _, report = self._newest()
        state, mode = _state_mode(report)
        if state not in wire.RUNNING or mode != wire.SERVO_MODE:
            return {}
        wanted = [target[joint] for joint in self.joints]
        angles = np.clip(wanted, self._lower, self._upper).astype("<f4").tolist()
        began_s = thread_clock.now_s()
        if self._ask(lambda api: api.set_servo_angle_j(angles, is_radian=True)):
            self._silent_s = None
        elif self._silent_s is None:
            self._silent_s = began_s
        if self._silent_s and thread_clock.now_s() - self._silent_s > LINK_TIMEOUT_S:
            raise LinkLost(
                f"xArm at {self.host}: commands are not answered for {1e3 * LINK_TIMEOUT_S:.0f} ms"
            )
        return dict(zip(self.joints, angles, strict=True))

    def recover(self) -> str:
        """May take seconds: motors are enabled and their brakes let go. The arm stays where it
        is.
        """
        error = self._find_error(wire.STOPPED, self._reports.health)
        self._api.set_timeout(PATIENCE_S)
        self._insist("clear its error", lambda api: api.clean_error())
        self._insist("clear its warning", lambda api: api.clean_warn())
        self._insist("enable its motors", lambda api: api.motion_enable(True))
        self._insist("enter servo mode", lambda api: api.set_mode(wire.SERVO_MODE))
        self._insist("get ready", lambda api: api.set_state(wire.READY))
        self._wait_until_ready()
        if self._options.payload_kg > 0:
            centre_mm = [1000 * x for x in self._options.payload_xyz]
            self._insist(
                "take its payload",
                lambda api: api.set_tcp_load(self._options.payload_kg, centre_mm),
            )
        self._api.set_timeout(ANSWER_S)
        self._silent_s = None
        if not error:
            return "in servo mode"
        return f"cleared C{error} ({ERRORS.get(error, 'joint error')}), in servo mode"

    def disconnect(self) -> None:
        """Stops an arm that follows this driver where it is; it holds, and follows no commands
        until it is made ready again."""
        api = self._api
        self._api = None
        if api is not None:
            with contextlib.suppress(Exception):
                state, mode = _state_mode(self._newest()[1])
                if state in wire.RUNNING and mode == wire.SERVO_MODE:
                    api.set_state(wire.STOPPED)
                    self._own_stop = True
            # The SDK takes a second to join its threads.
            threading.Thread(target=_close, args=(api,), daemon=True).start()
        self._reports.close()

    def _is_idle(self) -> bool:
        """Whether the arm has no error and nobody else uses it or stopped it."""
        state, mode = _state_mode(self._first_report())
        self._insist("report its errors", self._get_error)
        if self._error or mode not in (wire.POSITION_MODE, wire.SERVO_MODE):
            return False
        if state == wire.STOPPED:
            return self._own_stop
        moved_by_another = state == wire.MOVING and mode == wire.POSITION_MODE
        return state != wire.PAUSED and not moved_by_another

    def _first_report(self) -> np.void:
        """The first motion report after connecting, which the controller sends unasked."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            motion = self._reports.motion
            if motion is not None:
                return motion[1]
            time.sleep(0.005)
        raise LinkLost(f"xArm at {self.host} sends no reports")

    def _find(self) -> str:
        """The controller's IP number, once it answers: the SDK would ask a silent one for
        minutes.
        """
        question = wire.Request(1, wire.PRIVATE_PROTOCOL, wire.GET_VERSION, b"").encode()
        try:
            with socket.create_connection((self.host, self.port), timeout=CONNECT_S) as line:
                line.sendall(question)
                if line.recv(64):
                    return line.getpeername()[0]
        except OSError as error:
            raise LinkLost(
                f"no xArm answers at {self.host}:{self.port}: {error.strerror or error}"
            ) from None
        raise LinkLost(f"{self.host}:{self.port} hung up: is it an xArm controller?")

    def _set_limits(self) -> None:
        """What this very arm can be told; newer control boxes allow less."""
        from xarm.core.config.x_config import XCONF

        if self._api.axis != len(self.joints):
            raise XlvlaError(
                f"the arm at {self.host} has {self._api.axis} axes, an xArm7 has {len(self.joints)}"
            )
        # As the SDK itself tells models apart, by the digits of the serial number.
        number = (self._api.sn or "")[2:6]
        model = self._api.device_type
        if number.isdigit() and 1305 <= int(number) < 8500:
            model = _MODEL_1305
        limits = XCONF.Robot.JOINT_LIMITS[len(self.joints)]
        chosen = limits.get(model, limits[_MODEL_1305])
        self._lower, self._upper = np.transpose(chosen)

    def _newest(self) -> tuple[int, np.void]:
        """Stamp [ns] and motion report; LinkLost when they have stopped coming."""
        motion = self._reports.motion
        if motion is None or self._reports.silent_s > LINK_TIMEOUT_S:
            raise LinkLost(f"xArm at {self.host}: no report for {1e3 * LINK_TIMEOUT_S:.0f} ms")
        return motion

    def _find_error(self, state: int, health: np.void | None) -> int:
        """Why the arm is stopped: asked at once, since the health report takes its time. Every
        error stops it.
        """
        if state in wire.RUNNING:
            self._error = None
            return 0
        if not self._error:
            self._ask(self._get_error)
        if self._error:
            return self._error
        return 0 if health is None else int(health["error"])

    def _get_error(self, api: Any) -> int:
        code, (error, _) = api.get_err_warn_code()
        self._error = error
        return code

    def _ask(self, call: Callable[[Any], int]) -> bool:
        """Whether the controller answered soundly; LinkLost when the SDK has lost its
        connection.
        """
        try:
            code = call(self._api)
        except Exception:
            # The SDK trips over answers that are too short, in ways of its own.
            self.counts["truncated"] += 1
            return False
        if code in _NOT_SENT:
            raise LinkLost(f"xArm at {self.host}: the connection is closed")
        self.counts["late"] += code == _TIMEOUT
        self.counts["corrupt"] += code in _CORRUPT
        return code not in (_TIMEOUT, *_CORRUPT)

    def _insist(self, what: str, call: Callable[[Any], int], tries: int = 3) -> None:
        for attempt in range(tries):
            self.counts["retries"] += attempt > 0
            if self._ask(call):
                return
        raise LinkLost(f"xArm at {self.host} does not answer when told to {what}")

    def _wait_until_ready(self) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            motion = self._reports.motion
            if motion is not None:
                _, report = motion
                state, mode = _state_mode(report)
                if state in wire.RUNNING and mode == wire.SERVO_MODE:
                    return
            time.sleep(0.005)
        wrong = [f"{fault.code} {fault.joint} {fault.text}" for fault in self.read().faults]
        why = "; ".join(wrong) or "no reason given"
        raise XlvlaError(f"xArm at {self.host} stays stopped: {why}")


def _state_mode(report: np.void) -> tuple[int, int]:
    """Both in one byte."""
    both = int(report["state_mode"])
    return both & 0x0F, both >> 4


def _open(host: str, port: int) -> Any:
    """The SDK's arm, connected. Its reports are left out (`Reports`), as is a socket in /tmp that
    would hide every arm.
    """
    with _sdk_lock:
        with _without_prints():
            from xarm.core.config.x_config import XCONF
            from xarm.core.utils import log
            from xarm.wrapper import XArmAPI
            from xarm.x3 import base

        log.logger.disabled = True
        # Below the one above, in SDKs from 1.17.3 on.
        if hasattr(log, "origin_logger"):
            log.origin_logger.disabled = True
        # It warns at every command of its mode, which it does not know without reports.
        log.logger.warn = _silent
        base.__dict__["print"] = _silent
        settings: Any = XCONF
        settings.SocketConf.TCP_CONTROL_PORT = port
        # In ms, for the version, which it asks for up to a hundred times.
        settings.UxbusConf.GET_TIMEOUT = 300
        timeout_s = socket.getdefaulttimeout()
        try:
            return XArmAPI(
                host, is_radian=True, enable_report=False, timed_comm=False, forbid_uds=True
            )
        except Exception as error:
            raise LinkLost(f"xArm at {host}:{port}: {error}") from None
        finally:
            # The SDK sets it for the whole process.
            socket.setdefaulttimeout(timeout_s)


@contextlib.contextmanager
def _without_prints() -> Generator[None]:
    """What is imported here prints nothing; to swap sys.stdout beside other threads could crash the
    interpreter.
    """
    prints = builtins.print
    builtins.print = _silent
    try:
        yield
    finally:
        builtins.print = prints


def _silent(*_: object, **__: object) -> None:
    """In place of the SDK's print."""


def _close(api: Any) -> None:
    with contextlib.suppress(Exception):
        api.disconnect()
