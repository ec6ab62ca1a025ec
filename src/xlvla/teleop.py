"""How a rig says who drives it by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from xlvla import catalog
from xlvla.errors import unknown_line
from xlvla.ranges import Range

Fingers = Literal["codec", "dex"]
"""How fingers follow the operator's: through the shared latent, as every hand does, or by
dex-retargeting for the hands it knows.
"""


@dataclass(frozen=True)
class TeleopConfig:
    """An operator and the device that watches them.

    Args:
        source: what is read: a module of `xlvla_drivers.teleop`.
        address: where it is: a host, a port, a folder; '' is the source's usual one.
        options: what else its source lets a rig choose.
        scripted: in a simulation, a scripted operator solves the task through this source.
        fingers: how fingers follow the operator's.
        operator: name of the one whose hand was calibrated (`xlvla calibrate operator`); '' is
            anybody.
        camera: the one whose pictures the operator's headset shows; '' shows none.
        scale: how far the wrist goes for a metre of the operator's.
        turn_deg: how far to the left of the robot's forward the operator's is: 180 for one who
            stands opposite.
        rate_hz: how often the operator is followed.
    """

    source: str
    address: str = ""
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    scripted: bool = False
    fingers: Fingers = "codec"
    operator: str = ""
    camera: str = ""
    scale: Annotated[float, Range(0.05, 1)] = 1.0
    turn_deg: Annotated[float, Range(-360, 360)] = 0.0
    rate_hz: Annotated[float, Range(5, 500)] = 90.0

    def faults(self, simulated: bool) -> list[str]:
        """Everything wrong with what a rig says."""
        known = catalog.drivers("teleop")
        faults = (
            []
            if self.source in known
            else [f"teleop.source: {unknown_line('source', self.source, known)}"]
        )
        if self.scripted and not simulated:
            faults.append(
                "teleop.scripted: only a simulation has a scripted operator, add `sim: {...}`"
            )
        return faults
