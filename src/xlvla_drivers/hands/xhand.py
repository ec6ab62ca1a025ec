"""RobotEra XHand1: its RS485 frames, or the vendor's SDK where it is installed (EtherCAT needs it).

An exchange brings targets to the hand and its state back, 8.4 ms on the wire. `write` begins one
and `read` waits for its end, so that each control cycle costs one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Protocol

import numpy as np

from xlvla.errors import XlvlaError
from xlvla.hands.xhand import HAND
from xlvla.ranges import Range
from xlvla.types import SECOND, Side
from xlvla_drivers import thread_clock
from xlvla_drivers.addresses import serial_port
from xlvla_drivers.device import LINK_TIMEOUT_S, DeviceState, Fault, LinkLost
from xlvla_drivers.hands import xhand_frames as wire
from xlvla_drivers.serial_link import SerialLink

REPLY_S = LINK_TIMEOUT_S / 3
MODES = {"position": wire.POSITION, "powerful": wire.POWERFUL}
BOARDS = {
    "commboard_err": "communication board",
    "jointboard_err": "joint board",
    "tipboard_err": "fingertip board",
}


@dataclass(frozen=True)
class Options:
    """What a rig may say of an XHand.

    Args:
        interface: rs485 is spoken here; sdk_rs485 and sdk_ethercat through the vendor's SDK, whose
            wheels fit Python 3.10 and 3.12 only.
        hand_id: of the device: on its bus 0x80, 255 for whichever there is; for the SDK 0 is the
            first it finds.
        kp, ki, kd: of every joint's position servo, device's units.
        tor_max: limit of every motor's current [mA].
        force_n: newton per count of a fingertip, UNCONFIRMED by the vendor.
        taxels: report the 120 forces of each fingertip beside their sum.
        torque_nm_a: joint torque [Nm] per ampere; 0: nobody knows it, and no effort is reported.
        release: let the fingers go on disconnecting; else they hold, with up to `tor_max`, what was
            asked last.
        sdk_module: where the vendor's SDK is imported from.
    """

    interface: Literal["rs485", "sdk_rs485", "sdk_ethercat"] = "rs485"
    hand_id: Annotated[int, Range(0, 255)] = wire.HAND
    mode: Literal["position", "powerful"] = "position"
    kp: Annotated[int, Range(0, 32767)] = 100
    ki: Annotated[int, Range(0, 32767)] = 0
    kd: Annotated[int, Range(0, 32767)] = 0
    tor_max: Annotated[int, Range(0, 1000)] = 300
    force_n: Annotated[float, Range(0, 10)] = 0.1
    taxels: bool = True
    torque_nm_a: Annotated[float, Range(0, 100)] = 0.0
    release: bool = True
    sdk_module: str = "xhand_controller.xhand_control"


class Exchanges(Protocol):
    """A way to the hand; an exchange is begun, then awaited.

    Attributes:
        complaint: why the last exchange failed, where the way itself says so.
    """

    complaint: str

    def open(self) -> None: ...

    def begin(self, command: np.ndarray) -> None:
        """Sends [12] of `wire.COMMAND`; raises LinkLost."""
        ...

    def end(self, timeout_s: float) -> np.ndarray | None:
        """The state that answers it, scalar of `wire.STATE`; None when none came in time."""
        ...

    def close(self) -> None: ...


class SerialExchanges:
    """Over RS485. Answers bear no number: one that comes before the wire had time for both is not
    the last request's.
    """

    complaint = ""

    def __init__(self, address: str, options: Options, counts: Counter[str]):
        self._link = SerialLink(address, wire.BAUD, counts)
        self._id = options.hand_id
        self._counts = counts
        self._last = b""
        self._earliest_s = 0.0

    def open(self) -> None:
        self._link.open()

    def begin(self, command: np.ndarray) -> None:
        self._dismiss(self._newest(thread_clock.NOW))
        self._counts["truncated"] += self._link.drain() > 0
        self._earliest_s = time.monotonic() + 0.95 * wire.EXCHANGE_S
        self._link.send(wire.frame(wire.PC, self._id, wire.EXCHANGE, command.tobytes()))

    def end(self, timeout_s: float) -> np.ndarray | None:
        until_s = thread_clock.now_s() + timeout_s
        while (data := self._newest(until_s)) is not None:
            parsed = wire.parse(data)
            in_time = time.monotonic() > self._earliest_s
            is_state = len(parsed.payload) == wire.STATE.itemsize
            if in_time and parsed.command == wire.EXCHANGE and is_state:
                self._last = data
                return wire.state(parsed.payload)
            self._dismiss(data)
        return None

    def close(self) -> None:
        self._link.close()

    def _newest(self, until_s: float) -> bytes | None:
        """The last of the frames that have arrived, waiting until then for one."""
        newest = self._link.frame(self._cut, until_s)
        if newest is None:
            return None
        while (later := self._link.frame(self._cut, thread_clock.NOW)) is not None:
            self._counts["duplicated" if later == newest else "unexpected"] += 1
            newest = later
        return newest

    def _dismiss(self, frame: bytes | None) -> None:
        if frame is not None:
            self._counts["duplicated" if frame == self._last else "unexpected"] += 1

    def _cut(self, buffer: bytearray) -> bytes | None:
        return wire.cut(buffer, self._counts)


def claim(address: str, side: Side, options: Options) -> str:
    """A serial port has one hand; over EtherCAT the address is a network interface."""
    return address if options.interface == "sdk_ethercat" else serial_port(address)


class Driver:
    """One XHand. It is passive (mode 0) from `connect` until the first `write`."""

    def __init__(self, address: str, side: Side, options: Options):
        self.joints = HAND.joint_names(side)
        self.counts: Counter[str] = Counter()
        self._options = options
        self._exchanges = _exchanges(address, options, self.counts)
        self._command = self._passive()
        self._begun_ns = 0

    def connect(self) -> None:
        self.disconnect()
        self._exchanges.open()
        self._command = self._passive()
        self._begun_ns = 0
        self.read()

    def read(self) -> DeviceState:
        """The answer to the last `write`, or to its repetition where that has been read already."""
        if not self._begun_ns:
            self._begin(self._command)
        state, stamp_ns = self._end()
        return self._reported(state, stamp_ns)

    def write(self, target: Mapping[str, float]) -> dict[str, float]:
        if self._begun_ns:
            # The line is half-duplex.
            self._end()
        command = self._passive()
        command["position"] = [target[name] for name in self.joints]
        command["mode"] = MODES[self._options.mode]
        self._command = command
        self._begin(command)
        return dict(zip(self.joints, command["position"].astype(float).tolist(), strict=True))

    def recover(self) -> str:
        """Tells every joint to stay where it is. No command that clears errors is known: what
        remains needs the power switched.
        """
        measured = self.read()
        if self._command["mode"].any():
            self.write(dict(zip(self.joints, measured.position.tolist(), strict=True)))
        left = [fault for fault in self.read().faults if fault.stops]
        if left:
            listing = "; ".join(f"{fault.joint}: {fault.text} {fault.code}" for fault in left)
            raise XlvlaError(
                f"{listing}: nothing is known to clear it but switching the hand off and on"
            )
        return "no error is left"

    def disconnect(self) -> None:
        try:
            if self._options.release and self._command["mode"].any():
                self._exchanges.begin(self._passive())
                self._exchanges.end(REPLY_S)
        except Exception:
            # The hand may be gone already.
            self.counts["lost at parting"] += 1
        self._exchanges.close()

    def _passive(self) -> np.ndarray:
        command = np.zeros(wire.JOINTS, wire.COMMAND)
        command["id"] = np.arange(wire.JOINTS)
        for name in ("kp", "ki", "kd", "tor_max"):
            command[name] = getattr(self._options, name)
        return command

    def _begin(self, command: np.ndarray) -> None:
        self._exchanges.begin(command)
        self._begun_ns = time.time_ns()

    def _end(self) -> tuple[np.ndarray, int]:
        """Waits for the answer, asking again where it does not come; the answer, and when it came
        [ns].
        """
        end_s = thread_clock.now_s() + LINK_TIMEOUT_S
        try:
            state = self._exchanges.end(0.0)
            if state is not None:
                # It lay there already, at most since the wire was done with it.
                arrived_ns = self._begun_ns + round(SECOND * wire.EXCHANGE_S)
                return state, min(time.time_ns(), arrived_ns)
            while True:
                patience_s = min(REPLY_S, end_s - thread_clock.now_s())
                state = self._exchanges.end(patience_s)
                if state is not None:
                    return state, time.time_ns()
                if thread_clock.now_s() >= end_s:
                    raise LinkLost(
                        f"no sound answer from the hand within {1e3 * LINK_TIMEOUT_S:.0f} "
                        f"ms{self._exchanges.complaint}"
                    )
                self.counts["retries"] += 1
                self._begin(self._command)
        finally:
            self._begun_ns = 0

    def _reported(self, state: np.ndarray, stamp_ns: int) -> DeviceState:
        joints = state["joints"]
        effort = None
        if self._options.torque_nm_a:
            effort = self._options.torque_nm_a * 1e-3 * joints["torque"].astype(float)
        return DeviceState(
            stamp_ns,
            joints["position"].astype(float),
            effort=effort,
            tactile=self._tactile(state["tips"]),
            temperature=self._temperature(state),
            faults=self._faults(joints),
        )

    def _temperature(self, state: np.ndarray) -> dict[str, float]:
        """Degrees of every joint and of every fingertip."""
        temperature: dict[str, float] = {}
        # The high byte is not the temperature's.
        warm = (state["joints"]["temperature"] & 0xFF).tolist()
        for joint, celsius in zip(self.joints, warm, strict=True):
            temperature[joint] = float(celsius)
        tips = state["tips"]["temperature"].tolist()
        for finger, celsius in zip(wire.FINGERS, tips, strict=True):
            temperature[f"{finger}_tip"] = float(celsius)
        return temperature

    def _tactile(self, tips: np.ndarray) -> dict[str, np.ndarray]:
        scale = self._options.force_n
        felt: dict[str, np.ndarray] = {}
        for finger, force in zip(wire.FINGERS, wire.forces(tips["force"]), strict=True):
            felt[f"{finger}_force"] = scale * force
        if self._options.taxels:
            for finger, taxels in zip(wire.FINGERS, wire.forces(tips["taxels"]), strict=True):
                felt[f"{finger}_taxels"] = scale * taxels
        return felt

    def _faults(self, joints: Any) -> tuple[Fault, ...]:
        """What the codes mean is not published; a fingertip's board does not keep its joint from
        moving.
        """
        faults: list[Fault] = []
        for field, board in BOARDS.items():
            stops = field != "tipboard_err"
            for name, code in zip(self.joints, joints[field].tolist(), strict=True):
                if code:
                    text = f"error of the {board}"
                    faults.append(Fault(f"{field} {code:#06x}", text, name, stops=stops))
        return tuple(faults)


def _exchanges(address: str, options: Options, counts: Counter[str]) -> Exchanges:
    if options.interface == "rs485":
        return SerialExchanges(address, options, counts)
    from xlvla_drivers.hands.xhand_sdk import SdkExchanges

    return SdkExchanges(
        address, options.interface, options.hand_id, options.taxels, options.sdk_module
    )
