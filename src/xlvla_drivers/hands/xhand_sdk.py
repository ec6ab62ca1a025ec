"""The XHand through the vendor's SDK (xhand_controller), whose calls take as long as they like: a
thread of its own makes them.
"""

from __future__ import annotations

import contextlib
import importlib
import math
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as Overdue
from typing import Any

import numpy as np

from xlvla.errors import XlvlaError
from xlvla_drivers.device import LinkLost
from xlvla_drivers.hands import xhand_frames as wire

OPEN_S = 5.0
TACTILE_ERRORS = (1501018, 1501019, 1501020)
"""The skin could not be read; what the joints say is sound."""

_FIELDS = {
    "id": "id",
    "sensor_id": "sensor_id",
    "position": "position",
    "torque": "torque",
    "raw_position": "raw_position",
    "temperature": "temperature",
    "commboard_err": "commboard_err",
    "jointboard_err": "jonitboard_err",
    "tipboard_err": "tipboard_err",
}
"""A joint's fields in the frames, and as the vendor spells them."""


class SdkExchanges:
    """A hand behind the SDK. That `read_state` fails for a hand that is gone is UNCONFIRMED."""

    def __init__(
        self, address: str, interface: str, hand_id: int | None, taxels: bool, sdk_module: str
    ):
        self._address = address
        self._interface = interface
        self._hand_id = hand_id
        self._taxels = taxels
        self._sdk_module = sdk_module
        self._sdk: Any = None
        self._hand: Any = None
        self._id = 0
        self.complaint = ""
        self._worker: ThreadPoolExecutor | None = None
        self._answer: Future[np.ndarray | None] | None = None

    def open(self) -> None:
        try:
            self._sdk = importlib.import_module(self._sdk_module)
        except ImportError as error:
            raise XlvlaError(
                f"the vendor's SDK is not installed here ({error}): install its wheel (Python 3.10 "
                "or 3.12), or choose interface: rs485"
            ) from None
        self._worker = ThreadPoolExecutor(1, "xhand sdk")
        try:
            self._worker.submit(self._open).result(OPEN_S)
        except Overdue:
            raise LinkLost(
                f"{self._address}: the SDK did not open the hand within {OPEN_S:.0f} s"
            ) from None

    def begin(self, command: np.ndarray) -> None:
        if self._worker is None:
            raise LinkLost(f"{self._address} is not open")
        if self._answer is not None and not self._answer.done():
            # The SDK is still busy: asking twice only makes it later.
            return
        self._answer = self._worker.submit(self._exchange, command)

    def end(self, timeout_s: float) -> np.ndarray | None:
        if self._answer is None:
            return None
        try:
            return self._answer.result(max(timeout_s, 0.0))
        except Overdue:
            return None

    def close(self) -> None:
        """A call that hangs is left behind with its thread."""
        worker = self._worker
        self._worker = None
        self._answer = None
        if worker is not None:
            hand = self._hand
            self._hand = None
            if hand is not None:
                with contextlib.suppress(Exception):
                    worker.submit(hand.close_device).result(1.0)
            worker.shutdown(wait=False, cancel_futures=True)

    def _open(self) -> None:
        self._hand = self._sdk.XHandControl()
        if self._interface == "sdk_ethercat":
            error = self._hand.open_ethercat(self._address)
        else:
            error = self._hand.open_serial(self._address, wire.BAUD)
        _sound(error, f"cannot open {self._address}")
        found = list(self._hand.list_hands_id())
        wanted = self._hand_id
        if not found:
            raise LinkLost(f"no hand answers at {self._address}")
        self._id = wanted if wanted in found else found[0]
        if wanted not in (self._id, 0, wire.HAND, wire.EVERY_HAND):
            there = ", ".join(str(number) for number in found)
            raise XlvlaError(f"{self._address}: no hand with id {wanted}, there are {there}")

    def _exchange(self, command: np.ndarray) -> np.ndarray | None:
        hand_command = self._sdk.HandCommand_t()
        for joint, target in zip(hand_command.finger_command, command, strict=True):
            for name in ("id", "kp", "ki", "kd", "position", "tor_max", "mode"):
                setattr(joint, name, target[name].item())
        error = self._hand.send_command(self._id, hand_command)
        if not error.error_code:
            error, state = self._hand.read_state(self._id, False)
            if not error.error_code or error.error_code in TACTILE_ERRORS:
                return _record(state, self._taxels)
        self.complaint = f": {error.error_message} ({error.error_code})"
        return None


def _sound(error: Any, what: str) -> None:
    if error.error_code:
        raise LinkLost(f"{what}: {error.error_message} ({error.error_code})")


def _record(state: Any, taxels: bool) -> np.ndarray | None:
    """The SDK's state as the frames have it; None while the SDK has not heard of all joints yet."""
    made = np.zeros((), wire.STATE)
    for record, joint in zip(made["joints"], state.finger_state, strict=True):
        for name, vendors_name in _FIELDS.items():
            record[name] = getattr(joint, vendors_name)
    complete = made["joints"]["id"].tolist() == list(range(wire.JOINTS))
    if not complete or not math.isfinite(made["joints"]["position"].sum()):
        return None
    for record, tip in zip(made["tips"], state.sensor_data, strict=True):
        record["force"] = _force(tip.calc_force)
        if taxels:
            record["taxels"] = [_force(force) for force in tip.raw_force]
        record["temperature"] = int(tip.calc_temperature)
    return made[()]


def _force(force: Any) -> tuple[int, int, int]:
    return int(force.fx), int(force.fy), int(force.fz) & 0xFF
