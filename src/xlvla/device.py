"""How a rig says where its hardware is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class JointCalibration:
    """joint angle = sign * scale * (angle by the device's data sheet) + offset [rad]."""

    sign: float = 1.0
    offset: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True)
class DeviceConfig:
    """How a part's hardware is reached.

    Args:
        address: what its driver calls for: a serial port, host or host:port, a network interface.
        driver: another driver than the catalogue's; '' is the catalogue's.
        options: what else its driver lets a rig choose.
        rate_hz: how often it is commanded and read.
        calibration: by joint; joints not named are as their data sheet says.
        emulated: the rig starts an emulator at the address first.
    """

    address: str
    driver: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rate_hz: float = 200.0
    calibration: Mapping[str, JointCalibration] = field(default_factory=dict[str, JointCalibration])
    emulated: bool = False
