"""What a rig is made of: stations, cameras, what decides, and the simulated world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal

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
class PolicyServer:
    """A server that decides (`policy.type: openpi`), and what it calls what. A key `a>b` is the
    entry b of the map a. Joints go by their names on topics; `left_arm` or `left_hand` stands for
    all of a part's in their order, `none` for a number that is no joint of this rig.

    Args:
        address: of its websocket: ws://host:port, or wss:// where it encrypts.
        frames: rows of its chunks, the action horizon; another number is refused.
        rate_hz: rows per second, of which the wire says nothing.
        timeout_s: longest wait for an answer; a later one is not taken.
        images: our camera by its key; without any, every camera under `images>CAMERA`.
        layout: of its images: rows, columns, channels, or channels first.
        state: our joints, as measured, by its key; without any, all under `state`.
        executed: its key of the last commands [frames, J], one column for each action; '' sends
            none.
        prompt: its key of the instruction.
        chunk: its key of the actions [frames, J].
        actions: our joints, column by column, as positions; without any, all of the rig's.
            `left_latent` stands for a latent of 32 numbers, which the hand's decoder turns into
            joints. Joints that are not named stay where they are commanded.
        degrees: whether its angles are in degrees.
        range: its numbers at our lower and at our upper limit, by joint: [1, 0] where a finger's 1
            is open and its 0 is closed.
    """

    address: str
    frames: Annotated[int, Range(1, 1000)]
    rate_hz: Annotated[float, Range(0.1, 500)]
    timeout_s: Annotated[float, Range(0.02, 600)] = 2.0
    images: Mapping[str, str] = field(default_factory=dict[str, str])
    layout: Literal["hwc", "chw"] = "hwc"
    state: Mapping[str, list[str]] = field(default_factory=dict[str, list[str]])
    executed: str = ""
    prompt: str = "prompt"
    chunk: str = "actions"
    actions: list[str] = field(default_factory=list[str])
    degrees: bool = False
    range: Mapping[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])


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
        server: where the policy `openpi` asks; for no other.
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
    server: PolicyServer | None = None


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
