"""What a rig is made of: stations, cameras, what decides, and the simulated world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from xlvla.device import DeviceConfig
from xlvla.motion import Position
from xlvla.policy import Chunking, Device, EngineName, Precision
from xlvla.ranges import Range

Angle = Annotated[float, Range(-6.2832, 6.2832)]
"""Of a rotation [rad]."""
Rotation = tuple[Angle, Angle, Angle]

CapturedPixels = Annotated[int, Range(16, 7680)]
PublishedPixels = Annotated[int, Range(16, 4096)]


@dataclass(frozen=True)
class ArmStation:
    """An arm and where its base stands in the world [m, rad]; `home` [rad by joint] is where an
    episode starts, for joints that are not named where the arm's entry says. With the type 'none'
    there is no arm, and the hand's root stands there. A limb of the rig's humanoid stands on its
    torso and has no place of its own.
    """

    type: str
    device: DeviceConfig | None = None
    xyz: Position = (0.0, 0.0, 0.0)
    rpy: Rotation = (0.0, 0.0, 0.0)
    home: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True)
class HandStation:
    """A hand, on the flange of the same side's arm; with the type 'none' the flange is bare."""

    type: str
    device: DeviceConfig | None = None


@dataclass(frozen=True)
class Station:
    """One side of a rig."""

    arm: ArmStation
    hand: HandStation


@dataclass(frozen=True)
class HumanoidStation:
    """The humanoid whose limbs the arms are, and where the root of its URDF stands in the world
    [m, rad]. Waist and legs are not commanded: it stands with all their joints at zero.

    Args:
        table_edge_m: x of the near edge of the simulated table [m].
    """

    type: str
    xyz: Position = (0.0, 0.0, 0.0)
    rpy: Rotation = (0.0, 0.0, 0.0)
    table_edge_m: Annotated[float, Range(-0.5, 0.3)] = 0.16


@dataclass(frozen=True)
class Camera:
    """A camera that looks from `xyz` at `target` (world frame, m), captures at one size and
    publishes at another [px].

    `jpeg` is the quality, 1 to 100, at which it publishes compressed pictures, too, for a policy
    across a network; None: raw only.
    """

    xyz: Position
    target: Position
    fovy_deg: Annotated[float, Range(1, 170)] = 45.0
    capture: tuple[CapturedPixels, CapturedPixels] = (960, 540)
    publish: tuple[PublishedPixels, PublishedPixels] = (320, 240)
    rate_hz: Annotated[float, Range(0.1, 240)] = 20.0
    jpeg: Annotated[int, Range(1, 100)] | None = None
    device: DeviceConfig | None = None


@dataclass(frozen=True)
class PolicyConfig:
    """What decides.

    Args:
        type: name of a policy, `checkpoint` its weights; None: the shipped ones.
        replan_s: how often it plans anew.
        max_age_s: age from which an image or a pose is not decided on.
        chunking: how a chunk follows the one before, which the robot executes while the policy
            thinks.
        engine: what runs its network, on which device, in which precision; auto takes what suits
            the weights and the machine.
    """

    type: str = "xlvla"
    checkpoint: str | None = None
    instruction: str = "Push the two tomato cans together."
    replan_s: Annotated[float, Range(0.02, 60)] = 0.8
    max_age_s: Annotated[float, Range(0.02, 10)] = 0.3
    chunking: Chunking = "plain"
    engine: EngineName = "auto"
    device: Device = "auto"
    precision: Precision = "auto"


@dataclass(frozen=True)
class SimConfig:
    """The simulated world: its task, the first seed and how fast it runs (1 is real time, 0 as fast
    as it can).
    """

    task: str = "push_cans"
    seed: Annotated[int, Range(0, 2**32 - 1)] = 0
    speed: Annotated[float, Range(0, 100)] = 1.0
    physics_hz: Annotated[float, Range(100, 5000)] = 500.0
    joint_state_hz: Annotated[float, Range(10, 1000)] = 100.0
