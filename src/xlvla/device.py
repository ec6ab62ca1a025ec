"""How a rig says where its hardware is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from xlvla.errors import unknown_line


@dataclass(frozen=True)
class JointCalibration:
    """joint angle = sign * scale * (angle by the device's data sheet) + offset [rad]."""

    sign: float = 1.0
    offset: float = 0.0
    scale: float = 1.0

    def faults(self, where: str) -> list[str]:
        faults = (
            [] if self.sign in (1.0, -1.0) else [f"{where}.sign: must be 1 or -1, is {self.sign}"]
        )
        return (
            faults
            if self.scale > 0
            else [*faults, f"{where}.scale: must be above 0, is {self.scale}"]
        )


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
    rate_hz: float = 200.0
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
        if not self.rate_hz > 0:
            faults.append(f"{where}.rate_hz: must be above 0, is {self.rate_hz}")
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
