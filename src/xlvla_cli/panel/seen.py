"""What the panel knows of a running rig at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from xlvla.types import Part, Side

if TYPE_CHECKING:
    from xlvla_cli.ros.controls import DeviceStatusLine

SILENT_S = 3.0
"""Nodes report once a second; one that has not for so long is not there or stands still."""

LATE_S = 1.0
"""Joint states come a hundred times a second; after so long they have stopped."""


@dataclass
class Picture:
    """The newest picture of a camera: RGB [H, W, 3], when it was sent [s, monotonic; as well as the
    clocks of the machines agree], and pictures a second.
    """

    rgb: np.ndarray
    sent_s: float
    rate_hz: float


@dataclass
class Coming:
    """A chunk that is to be played: positions [T, N] rad of the named joints, its rate, and when it
    came [s, monotonic].
    """

    names: tuple[str, ...]
    points: np.ndarray
    rate_hz: float
    came_s: float


@dataclass
class Seen:
    """The newest of everything; times are monotonic.

    Attributes:
        nodes: the nodes of the rig, by name.
        heard_s: when each node of the graph last reported on itself.
        figures: what it reported; '' is what it says of itself.
        motion: plays, state and source, as motion last said; empty before.
        measured: positions [rad] by joint; `measured_s` when they came, by part.
        commanded: positions [rad] by joint; `commanded_s` likewise.
        other_robot: whether the graph describes another robot than this rig.
    """

    now_s: float = 0.0
    nodes: tuple[str, ...] = ()
    heard_s: dict[str, float] = field(default_factory=dict[str, float])
    figures: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    motion: dict[str, Any] = field(default_factory=dict[str, Any])
    measured: dict[str, float] = field(default_factory=dict[str, float])
    measured_s: dict[tuple[Side, Part], float] = field(
        default_factory=dict[tuple[Side, Part], float]
    )
    commanded: dict[str, float] = field(default_factory=dict[str, float])
    commanded_s: dict[tuple[Side, Part], float] = field(
        default_factory=dict[tuple[Side, Part], float]
    )
    coming: dict[Side, Coming] = field(default_factory=dict[Side, Coming])
    pictures: dict[str, Picture] = field(default_factory=dict[str, Picture])
    devices: Mapping[tuple[Side, Part], DeviceStatusLine] = field(
        default_factory=dict[tuple[Side, Part], "DeviceStatusLine"]
    )
    sim: dict[str, Any] = field(default_factory=dict[str, Any])
    teleop: dict[str, Any] = field(default_factory=dict[str, Any])
    recording: dict[str, Any] = field(default_factory=dict[str, Any])
    other_robot: bool = False

    def silent_s(self, node: str) -> float:
        """For how long a node has not reported on itself; infinite where it never has."""
        return self.now_s - self.heard_s.get(node, float("-inf"))

    def there(self, node: str) -> bool:
        return self.silent_s(node) < SILENT_S
