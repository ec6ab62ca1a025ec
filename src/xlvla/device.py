"""How a rig says where its hardware is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from xlvla.errors import unknown_line
from xlvla.ranges import Range


@dataclass(frozen=True)
class JointCalibration:
    """joint angle = sign * scale * (angle by the device's data sheet) + offset [rad]."""

    sign: float = 1.0
    offset: Annotated[float, Range(-12.6, 12.6)] = 0.0
    scale: Annotated[float, Range(0.01, 100)] = 1.0

    def faults(self, where: str) -> list[str]:
        if self.sign in (1.0, -1.0):
            return []
        return [f"{where}.sign: must be 1 or -1, is {self.sign}"]


@dataclass(frozen=True)
class DeviceConfig:
    """How a part's hardware is reached.

    Args:
        address: what its driver calls for: a serial port, host or host:port, a network interface.
            An emulated device needs none: it is where its emulator likes to be.
        driver: another driver than the catalogue's; '' is the catalogue's.
        options: what else its driver lets a rig choose.
        rate_hz: how often it is read and commanded.
        calibration: by joint; joints not named are as their data sheet says.
        emulated: the rig starts an emulator at the address first.
    """

    address: str = ""
    driver: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rate_hz: Annotated[float, Range(1, 1000)] = 200.0
    calibration: Mapping[str, JointCalibration] = field(default_factory=dict[str, JointCalibration])
    emulated: bool = False

    def faults(
        self, where: str, driver: str, known: Iterable[str], joints: Iterable[str]
    ) -> list[str]:
        """Everything wrong with what a rig says: `driver` is the one it resolves to, `joints` the
        part's own names.
        """
        faults = [] if driver in known else [f"{where}: {unknown_line('driver', driver, known)}"]
        if not (self.address or self.emulated):
            faults.append(
                f"{where}: 'address' is missing: the serial port, host or network interface of the "
                "device"
            )
        for joint, calibration in self.calibration.items():
            if joint not in joints:
                faults.append(f"{where}.calibration: {unknown_line('joint', joint, joints)}")
            faults += calibration.faults(f"{where}.calibration.{joint}")
        return faults

    @staticmethod
    def for_another(document: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """A device section when another type of device stands there: what belongs to the old one
        alone is gone.

        A real device keeps the address, since the newcomer is most likely plugged in where the old
        one was.
        """
        if document is None:
            return None
        kept = {key: document[key] for key in ("rate_hz", "emulated") if key in document}
        return (
            kept if document.get("emulated") else {**kept, "address": document.get("address", "")}
        )
