"""A rig: which arms and hands stand where, which cameras look on, which policy acts, and whether it
is simulated.

A rig is one YAML file, which may be `like` another one. It loads into the frozen dataclasses below,
strictly: an unknown key or name is a fault, and all faults of a file are reported together, before
any process starts. Defaults live here and nowhere else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml

from xlvla import catalog
from xlvla.arm import Arm
from xlvla.buttons import CLUTCH, RECORDER, Action, ButtonsConfig
from xlvla.device import DeviceConfig
from xlvla.errors import XlvlaError
from xlvla.hand import Hand
from xlvla.humanoid import Humanoid
from xlvla.motion import MotionConfig
from xlvla.recording import RecorderConfig
from xlvla.rig_parts import Camera, HumanoidStation, PolicyConfig, SimConfig, Station
from xlvla.teleop import TeleopConfig
from xlvla.types import NONE, PARTS, Part, Side, scoped

USUAL_CAMERA = "v4l2"
"""The driver of a camera whose rig names none."""


@dataclass(frozen=True)
class Rig:
    """A whole rig; `sim` None means real hardware, `teleop` None no teleoperation,
    `recorder` None no recordings, `network` that nodes of other machines are let in
    (`xlvla.network`), `namespace` where its nodes, topics and services stand in the ROS graph,
    `humanoid` None that the arms stand on their own, `buttons` pedals and gamepads by a name.
    """

    name: str
    sides: Mapping[Side, Station]
    cameras: Mapping[str, Camera] = field(default_factory=dict[str, Camera])
    policy: PolicyConfig | None = field(default_factory=PolicyConfig)
    motion: MotionConfig = field(default_factory=MotionConfig)
    sim: SimConfig | None = field(default_factory=SimConfig)
    teleop: TeleopConfig | None = None
    recorder: RecorderConfig | None = None
    network: bool = False
    namespace: str = ""
    description: str = ""
    humanoid: HumanoidStation | None = None
    buttons: Mapping[str, ButtonsConfig] = field(default_factory=dict[str, ButtonsConfig])

    @property
    def no_actions(self) -> tuple[Action, ...]:
        """What a pedal or gamepad cannot do here, since nothing is there to do it."""
        return (*(() if self.recorder else RECORDER), *(() if self.teleop else CLUTCH))

    @property
    def body(self) -> Humanoid | None:
        """The humanoid whose limbs the arms are."""
        return catalog.humanoid(self.humanoid.type) if self.humanoid else None

    def arm(self, side: Side) -> Arm:
        return catalog.arm_of_side(self.sides[side].arm.type).on(side)

    def hand(self, side: Side) -> Hand:
        return catalog.hand_of_side(self.sides[side].hand.type)

    def parts_of(self, side: Side) -> tuple[Part, ...]:
        """What a side has: an arm, a hand or both, in the order of its joints."""
        station = self.sides[side]
        types: dict[Part, str] = {"arm": station.arm.type, "hand": station.hand.type}
        return tuple(part for part in PARTS if types[part] != NONE)

    @property
    def parts(self) -> tuple[tuple[Side, Part], ...]:
        """Every arm and hand there is."""
        return tuple((side, part) for side in self.sides for part in self.parts_of(side))

    def refuse_incomplete(self, what: str) -> None:
        """Raises XlvlaError where a side lacks the arm or the hand that `what` needs."""
        for side in self.sides:
            for part in PARTS:
                if part not in self.parts_of(side):
                    raise XlvlaError(
                        f"{what} needs an arm with a hand on every side; the {side} side of rig "
                        f"'{self.name}' has no {part}"
                    )

    @property
    def emulated(self) -> tuple[tuple[Side, Part], ...]:
        """The arms and hands that are emulated devices."""
        return tuple(
            key
            for key in self.parts
            if not self.sim and (device := self.device(*key)) and device.emulated
        )

    @property
    def mirrored(self) -> tuple[str, ...]:
        """The cameras that look into a simulated world which mirrors the devices."""
        return tuple(
            name
            for name, camera in self.cameras.items()
            if not self.sim and camera.device and camera.device.emulated
        )

    def device(self, side: Side, part: Part) -> DeviceConfig | None:
        """Where a part's hardware is, its driver spelled out; None where the rig does not say."""
        station = self.sides[side].arm if part == "arm" else self.sides[side].hand
        usual = (self.arm(side) if part == "arm" else self.hand(side)).driver
        return station.device and dataclasses.replace(
            station.device, driver=station.device.driver or usual
        )

    def camera_device(self, name: str) -> DeviceConfig | None:
        """Where a camera is, its driver spelled out; None where the rig does not say."""
        device = self.cameras[name].device
        return device and dataclasses.replace(device, driver=device.driver or USUAL_CAMERA)

    def joint_names(self, side: Side, part: Part) -> tuple[str, ...]:
        """Names the joints of an arm or hand bear on every topic of this rig (each begins with the
        side's word and the part's); none of a part that the side does not have.
        """
        names = self.arm(side).joints if part == "arm" else self.hand(side).joint_names(side)
        return tuple(scoped(side, part, name) for name in names)

    def acceleration(self, side: Side, part: Part) -> np.ndarray:
        """Acceleration limits of an arm or hand [J] rad/s^2 in the order of `joint_names`."""
        arm = self.arm(side)
        return (
            self.hand(side).acceleration(side)
            if part == "hand"
            else np.full(len(arm.joints), arm.acceleration)
        )

    def limits(self, side: Side, part: Part) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper [J] rad that a command to an arm or hand may have, in the order of
        `joint_names`.
        """
        if part == "hand":
            return self.hand(side).command_range(side)
        limits = self.arm(side).limits
        return limits.lower, limits.upper

    def home(self, side: Side) -> dict[str, float]:
        """Home of an arm [rad] by rig-wide joint name; joints the rig does not name are where the
        arm's entry has them.
        """
        arm = self.arm(side)
        home = {**arm.home.get(side, {}), **self.sides[side].arm.home}
        return {scoped(side, "arm", joint): float(home.get(joint, 0.0)) for joint in arm.joints}

    def start(self, side: Side) -> dict[str, float]:
        """Where an episode starts [rad] by rig-wide joint name: the arm at home, the hand open."""
        lower, upper = self.hand(side).command_range(side)
        open_hand = (
            float(min(max(0.0, low), high)) for low, high in zip(lower, upper, strict=True)
        )
        return self.home(side) | dict(zip(self.joint_names(side, "hand"), open_hand, strict=True))

    def document(self) -> dict[str, Any]:
        """The rig as plain data, which `from_document` makes the same rig of."""
        return _plain(dataclasses.asdict(self))

    def save(self, path: Path) -> Path:
        """Writes the rig as YAML that `load` reads back to the same rig."""
        path.write_text(yaml.safe_dump(self.document(), sort_keys=False))
        return path


def _plain(value: Any) -> Any:
    """The same with lists for tuples, which YAML's safe types need."""
    if isinstance(value, Mapping):
        return {key: _plain(entry) for key, entry in cast(Mapping[str, Any], value).items()}
    return (
        [_plain(entry) for entry in cast(Sequence[Any], value)]
        if isinstance(value, (list, tuple))
        else value
    )
