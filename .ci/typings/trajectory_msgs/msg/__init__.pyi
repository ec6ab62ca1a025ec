"""Written by .ci/message_stubs.py."""

from array import array
from collections.abc import Sequence
from typing import Any, ClassVar

import builtin_interfaces.msg
import numpy as np
import std_msgs.msg

class JointTrajectory:
    SLOT_TYPES: ClassVar[Any]
    @property
    def header(self) -> std_msgs.msg.Header: ...
    @header.setter
    def header(self, value: std_msgs.msg.Header) -> None: ...
    @property
    def joint_names(self) -> list[str]: ...
    @joint_names.setter
    def joint_names(self, value: Sequence[str]) -> None: ...
    @property
    def points(self) -> list[JointTrajectoryPoint]: ...
    @points.setter
    def points(self, value: Sequence[JointTrajectoryPoint]) -> None: ...
    def __init__(
        self,
        *,
        header: std_msgs.msg.Header = ...,
        joint_names: Sequence[str] = ...,
        points: Sequence[JointTrajectoryPoint] = ...,
    ) -> None: ...
    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]: ...

class JointTrajectoryPoint:
    SLOT_TYPES: ClassVar[Any]
    @property
    def positions(self) -> array[float]: ...
    @positions.setter
    def positions(
        self, value: Sequence[float] | array[float] | np.ndarray[Any, Any] | bytes
    ) -> None: ...
    @property
    def velocities(self) -> array[float]: ...
    @velocities.setter
    def velocities(
        self, value: Sequence[float] | array[float] | np.ndarray[Any, Any] | bytes
    ) -> None: ...
    @property
    def accelerations(self) -> array[float]: ...
    @accelerations.setter
    def accelerations(
        self, value: Sequence[float] | array[float] | np.ndarray[Any, Any] | bytes
    ) -> None: ...
    @property
    def effort(self) -> array[float]: ...
    @effort.setter
    def effort(
        self, value: Sequence[float] | array[float] | np.ndarray[Any, Any] | bytes
    ) -> None: ...
    @property
    def time_from_start(self) -> builtin_interfaces.msg.Duration: ...
    @time_from_start.setter
    def time_from_start(self, value: builtin_interfaces.msg.Duration) -> None: ...
    def __init__(
        self,
        *,
        positions: Sequence[float] | array[float] | np.ndarray[Any, Any] | bytes = ...,
        velocities: Sequence[float] | array[float] | np.ndarray[Any, Any] | bytes = ...,
        accelerations: Sequence[float] | array[float] | np.ndarray[Any, Any] | bytes = ...,
        effort: Sequence[float] | array[float] | np.ndarray[Any, Any] | bytes = ...,
        time_from_start: builtin_interfaces.msg.Duration = ...,
    ) -> None: ...
    @classmethod
    def get_fields_and_field_types(cls) -> dict[str, str]: ...
